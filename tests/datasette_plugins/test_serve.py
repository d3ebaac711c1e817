from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from click import ClickException
from tests.datasette_plugins.conftest import DEADLINE, Events, plainly_served, served

from datasette_vibetea.serve import serve
from vibetea_daemon.commands import dashboard
from vibetea_daemon.config import Config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def address(full_db: Events) -> Iterator[str]:
    """Our server's, over a database with ten events and a table of the daemon's."""
    with served(full_db.path) as (address, _):
        yield address


def rows(address: str, path: str) -> Any:
    return httpx.get(f"{address}{path}").raise_for_status().json()


def test_what_is_served_and_what_is_not(address: str) -> None:
    """The table with the newest first and facets, what each table is; not the file, and nothing by another name."""
    table = rows(address, "/vibetea/events.json?_shape=objects&_extra=facet_results")
    assert [row["seq"] for row in table["rows"]] == list(range(10, 0, -1))
    facets = table["facet_results"]
    assert {"type", "tool", "project", "status"} <= set(facets.get("results", facets))  # Datasette 1.0 wraps them
    for name, said in {"activity": "slot * 900", "usage": "slot * 900", "sessions": "latest"}.items():
        assert said in httpx.get(f"{address}/vibetea/{name}").text
    assert httpx.get(f"{address}/vibetea.db").status_code == 403
    assert httpx.get(f"{address}/", headers={"host": "attacker.example"}).status_code == 421


def test_sessions_show_the_latest_first_and_the_live_ones_can_be_asked_for(full_db: Events, address: str) -> None:
    lasts = {"a": "2026-03-01", "c": "2026-03-03", "b": "2026-03-02", "live": "2126-03-01", "too": "2126-03-02"}
    for name, last in lasts.items():
        add_session(full_db, name, last)
    found = rows(address, "/vibetea/sessions.json?_shape=objects")["rows"]
    assert [row["session_id"] for row in found] == ["too", "live", "c", "b", "a"]
    found = rows(address, "/vibetea/board.json?_shape=objects&live=1")["rows"]
    assert [(row["session_id"], row["state"], row["live"]) for row in found] == [
        ("too", "idle", 1),
        ("live", "idle", 1),
    ]


def add_session(db: Events, name: str, last: str) -> None:
    columns = "session_id, source, first_at, last_at, events"
    db.connection.execute(f"insert into sessions({columns}) values (?, 'laptop', '2026-01-01', ?, 1)", [name, last])


def test_an_error_leaves_no_content_in_the_terminal(full_db: Events) -> None:
    full_db.connection.execute("create view peek as select zeroblob(2000000) as secret")
    with served(full_db.path) as (address, server):
        for path, statuses in {
            "/nowhere": {404},
            "/vibetea/events/99": {404},
            "/vibetea.json?sql=select+secret+from+nowhere": {400},
            "/vibetea.csv?sql=select+secret+from+nowhere&_stream=1": {200, 400},  # of 0.65 and of 1.0
            "/vibetea/peek": {500},
        }.items():
            assert httpx.get(f"{address}{path}", follow_redirects=True).status_code in statuses, path
        server.stop()
    assert "".join(server.said[1:]) == "a page failed: DataError\n"


def test_every_page_leads_to_the_live_one_until_there_is_a_database(tmp_path: Path) -> None:
    paths = ("/", "/vibetea", "/vibetea/events")
    with served(tmp_path / "vibetea.db") as (address, server):
        for path in paths:
            found = httpx.get(f"{address}{path}", follow_redirects=True)
            assert (found.status_code, found.url.path) == (200, "/-/vibetea")
        assert '{"state":"missing"}' in httpx.get(f"{address}/-/vibetea/stream").text
        events = Events(tmp_path / "vibetea.db")
        for path in paths:
            assert httpx.get(f"{address}{path}").status_code == 200
        events.connection.close()
        server.stop()
    assert server.said[1:] == []


@pytest.mark.parametrize("serving", [served, plainly_served])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_open_streams_instead_of_waiting(full_db: Events, serving: Any, number: int) -> None:
    with serving(full_db.path) as (address, server):
        with httpx.stream("GET", f"{address}/-/vibetea/stream", timeout=DEADLINE) as response:
            lines = response.iter_lines()
            assert "event: live" in lines
            server.process.send_signal(number)
            assert list(lines)[-1] == ""  # a body that was ended, not one that was cut off
        server.stop(number)
        assert "Exception in ASGI application" not in "".join(server.said)


def test_stops_with_nobody_connected(full_db: Events) -> None:
    with served(full_db.path) as (_, server):
        assert server.stop() == 0


def test_a_reader_resumes_over_a_restart(full_db: Events) -> None:
    with served(full_db.path) as (address, server):
        assert places(address, 10, {}) == [10]
        server.stop()
    full_db.add(3)
    with served(full_db.path, httpx.URL(address).port or 0) as (again, _):
        assert again == address
        assert places(address, 13, {"last-event-id": "10"}) == [11, 12, 13]


def places(address: str, last: int, headers: dict[str, str]) -> list[int]:
    """What the stream names as the place to go on after, up to the last expected."""
    found: list[int] = []
    with httpx.stream("GET", f"{address}/-/vibetea/stream", headers=headers, timeout=DEADLINE) as response:
        for line in response.iter_lines():
            if line.startswith("id: "):
                found.append(int(line.removeprefix("id: ")))
                if found[-1] >= last:
                    break
    return found


def test_an_address_in_use_is_an_error_at_once(full_db: Events) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        serve(full_db.path, port=taken.getsockname()[1], on_ready=lambda _: None)


def test_a_port_in_use_is_told_in_a_sentence(tmp_path: Path) -> None:
    config = Config.load({"HOME": str(tmp_path), "VIBETEA_HOME": str(tmp_path)})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ClickException) as told:
            dashboard.show(config, no_open=True, port=port, on_ready=lambda _: None)
    assert told.value.message == (
        f"port {port} is used by another program; name another with --port, or take any with --port 0"
    )


def test_our_port_in_use_is_told_and_another_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config.load({"HOME": str(tmp_path), "VIBETEA_HOME": str(tmp_path)})

    class Ready(Exception):
        pass

    def ready(address: str) -> None:
        raise Ready(address)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(dashboard, "PORT", port)
        with pytest.raises(Ready) as other:
            dashboard.show(config, no_open=True, port=None, on_ready=ready)
    assert capsys.readouterr().out == f"Port {port} is used by another program, so this takes one that is free\n"
    assert f":{port}/" not in str(other.value)


def test_datasette_itself_serves_it_without_complaint(full_db: Events) -> None:
    with plainly_served(full_db.path) as (address, server):
        page = httpx.get(f"{address}/vibetea").raise_for_status().text
        assert "select * from activity" in page
        server.stop()
    assert "ERROR" not in "".join(server.said)
