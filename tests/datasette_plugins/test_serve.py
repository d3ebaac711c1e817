from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.datasette_plugins.conftest import DEADLINE, plainly_served, served

from datasette_vibetea.serve import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.datasette_plugins.conftest import Events


@pytest.fixture
def address(full_db: Events) -> Iterator[str]:
    """Our server's, over a database with ten events and a table of the daemon's."""
    with served(full_db.path) as (address, _):
        yield address


def rows(address: str, path: str) -> Any:
    return httpx.get(f"{address}{path}").raise_for_status().json()


def test_the_table_shows_the_newest_first_with_facets(address: str) -> None:
    table = rows(address, "/vibetea/events.json?_shape=objects&_extra=facet_results")
    assert [row["seq"] for row in table["rows"]] == list(range(10, 0, -1))
    facets = table["facet_results"]
    assert {"type", "tool", "project", "status"} <= set(facets.get("results", facets))  # Datasette 1.0 wraps them


@pytest.mark.parametrize(
    ("table", "said"), [("activity", "slot * 900"), ("usage", "slot * 900"), ("sessions", "latest")]
)
def test_every_table_says_what_it_is(address: str, table: str, said: str) -> None:
    assert said in httpx.get(f"{address}/vibetea/{table}").text


def test_sessions_show_the_latest_first(full_db: Events, address: str) -> None:
    for name, last in {"a": "2026-03-01", "c": "2026-03-03", "b": "2026-03-02"}.items():
        full_db.connection.execute(
            "insert into sessions values (?, 'laptop', 'shop', '2026-01-01', ?, 1)", [name, last]
        )
    found = rows(address, "/vibetea/sessions.json?_shape=objects")["rows"]
    assert [row["session_id"] for row in found] == ["c", "b", "a"]


def test_only_what_is_meant_for_people_is_listed(address: str) -> None:
    names = {table["name"] for table in rows(address, "/vibetea.json")["tables"]}
    assert names == {"events", "sessions", "activity", "usage"}


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/nowhere", 404, ""),
        ("/vibetea/events/99", 404, ""),
        ("/vibetea.json?sql=select+secret+from+nowhere", 400, ""),
        ("/vibetea.csv?sql=select+secret+from+nowhere&_stream=1", 200, ""),
        ("/vibetea/peek", 500, "a page failed: DatabaseError\n"),
    ],
)
def test_an_error_leaves_no_content_in_the_terminal(full_db: Events, path: str, status: int, said: str) -> None:
    full_db.connection.execute("create view peek as select * from _secrets")
    with served(full_db.path) as (address, server):
        assert httpx.get(f"{address}{path}").status_code == status
        server.stop()
    assert "".join(server.said[1:]) == said


def test_a_page_without_a_database_leaves_no_content_in_the_terminal(tmp_path: Path) -> None:
    with served(tmp_path / "vibetea.db") as (address, server):
        assert httpx.get(f"{address}/").status_code == 500
        server.stop()
    assert "".join(server.said[1:]) == "a page failed: OperationalError\n"


def test_the_file_cannot_be_fetched(address: str) -> None:
    assert httpx.get(f"{address}/vibetea.db").status_code == 403


def test_other_names_are_refused(address: str) -> None:
    assert httpx.get(f"{address}/", headers={"host": "attacker.example"}).status_code == 421


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
        first = read(address, 10, {})
        server.stop()
    full_db.add(3)
    with served(full_db.path, httpx.URL(address).port or 0) as (again, _):
        assert again == address
        assert read(address, 3, {"last-event-id": str(first[-1])}) == [11, 12, 13]


def read(address: str, count: int, headers: dict[str, str]) -> list[int]:
    found: list[int] = []
    with httpx.stream("GET", f"{address}/-/vibetea/stream", headers=headers, timeout=DEADLINE) as response:
        for line in response.iter_lines():
            if line.startswith("id: "):
                found.append(int(line.removeprefix("id: ")))
            if len(found) == count:
                break
    return found


def test_an_address_in_use_is_an_error_at_once(full_db: Events) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        serve(full_db.path, port=taken.getsockname()[1], on_ready=lambda _: None)


def test_a_database_that_is_missing_is_waited_for(tmp_path: Path) -> None:
    with served(tmp_path / "vibetea.db") as (address, _):
        assert httpx.get(f"{address}/-/vibetea").status_code == 200
        assert '{"state":"missing"}' in httpx.get(f"{address}/-/vibetea/stream").text
