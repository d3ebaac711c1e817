"""The live page in a real Chromium: what one may choose, how far back it goes, and how it is walked."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect
from tests.datasette_plugins.activity import committed, happened
from tests.datasette_plugins.chromium import PAGE, has, live, shows, turn
from tests.datasette_plugins.conftest import Events, eventually, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OTHER = "a91d4e07-5b3c-4f0e-8c66-2e7b9d40f3a2"
MANY = """
insert into events(id, source, timestamp, type, session_id, project, tool, status, outcome, payload)
with recursive numbers(n) as (values (1) union all select n + 1 from numbers where n < ?)
select 'evt_' || n, 'laptop', strftime('%Y-%m-%dT%H:%M:%fZ', 1800000000 + n, 'unixepoch'), 'tool', 'a', 'shop', 'Read',
    'completed', 'ok', '{}' from numbers
"""


def focused(page: Any) -> int:
    """The seq of the row that has the focus, which is in sight."""
    row = page.locator("#events li:focus-within")
    expect(row).to_be_in_viewport(ratio=0.99)
    return int(row.get_attribute("data-seq"))


@pytest.mark.parametrize(
    ("filter_name", "label", "columns"),
    [
        ("session", "shop · a91d", {"session_id": OTHER}),
        ("project", "api", {"project": "api"}),
        ("source", "workstation", {"source": "workstation"}),
        ("type", "agent", {"type": "agent", "tool": None, "state": "waiting_input"}),
        ("tool", "Bash", {"tool": "Bash"}),
    ],
)
def test_only_what_was_chosen_is_shown_and_the_address_keeps_it(
    live_address: str, open_page: Any, empty_db: Events, filter_name: str, label: str, columns: dict[str, Any]
) -> None:
    with committed(empty_db):
        mine = empty_db.add(2, **columns)
        others = empty_db.add(3)
    empty_db.connection.execute(
        "insert into sessions(session_id, source, project, first_at, last_at, events) "
        "select session_id, source, max(project), min(timestamp), max(timestamp), count(*) from events group by 1"
    )
    page = open_page(live_address)
    shows(page, [*reversed(others), *reversed(mine)])
    chosen = page.locator(f"[name={filter_name}]")
    chosen.select_option(label=label)
    shows(page, list(reversed(mine)))
    with committed(empty_db):
        empty_db.add(3)
        mine += empty_db.add(**columns)
    shows(page, list(reversed(mine)))
    page.reload()
    shows(page, list(reversed(mine)))
    expect(chosen.locator("option:checked")).to_have_text(label)
    page.go_back()
    has(page, 9)
    expect(chosen).to_have_value("")


def test_a_choice_without_events_leads_back_to_all_and_one_without_meaning_says_so(
    live_address: str, open_page: Any, empty_db: Events
) -> None:
    happened(empty_db, "2026-03-12T14:30:00.000Z", 2)
    page = open_page(f"{live_address}?project=nobody&tool=Read", forgive="400")
    expect(page.get_by_text("Nothing of this choice has happened yet.")).to_be_visible()
    live(page)
    happened(empty_db, "2026-03-12T14:31:00.000Z", project="nobody")
    shows(page, [3])
    expect(page.locator("#none")).to_be_hidden()
    page.goto(f"{live_address}?project=no%20one")
    page.get_by_role("link", name="Show all").click()
    shows(page, [3, 2, 1])
    page.goto(f"{live_address}?project={'x' * 301}")
    expect(page.get_by_role("alert").first).to_have_text(
        "These events cannot be shown: project is longer than 300 characters."
    )
    expect(page.locator("#connection")).to_have_text("Waiting")
    turn(page, "hidden")
    expect(page.locator("#connection")).to_have_text("Paused while hidden")
    turn(page, "visible")
    expect(page.locator("#connection")).to_have_text("Waiting")


def test_older_events_come_as_the_end_comes_near_each_once(live_address: str, open_page: Any, empty_db: Events) -> None:
    """1. Imports arrive while older pages are read, many of one moment. Result: every event once, in its place."""
    old = "2026-03-12T14:30:00.000Z"
    for _ in range(3):
        happened(empty_db, old, 420)
    happened(empty_db, "2026-03-12T15:00:00.000Z", 250)
    page = open_page(live_address)
    has(page, 200)

    def import_more(route: Any) -> None:
        answer = route.fetch()  # of before what comes now
        happened(empty_db, "2026-03-12T14:40:00.000Z", 5)
        happened(empty_db, "2026-03-12T14:00:00.000Z", 5)
        route.fulfill(response=answer)

    page.route("**/older.json*", import_more)
    page.locator("[name=tool]").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_text("No older events.")).to_be_hidden()

    def pressed() -> bool:
        page.keyboard.press("End")
        return bool(page.get_by_text("No older events.").is_visible())

    eventually(pressed)
    page.unroute("**/older.json*")
    page.keyboard.press("Escape")
    events = empty_db.connection.execute("select seq from events order by timestamp desc, seq desc").fetchall()
    shows(page, [seq for (seq,) in events])


def test_says_when_older_events_cannot_be_read_and_tries_again(
    live_address: str, open_page: Any, empty_db: Events
) -> None:
    happened(empty_db, "2026-03-12T14:30:00.000Z", 230)
    page = open_page(live_address, forgive="503")
    page.route("**/older.json*", lambda route: route.fulfill(status=503, body="{}"))
    has(page, 200)
    page.mouse.wheel(0, 100_000)
    expect(page.get_by_role("alert").filter(has_text="Older events cannot be read now.")).to_be_visible()
    page.unroute("**/older.json*")
    page.get_by_role("button", name="Try again").click()
    has(page, 230)
    page.evaluate("scrollTo(0, 0)")
    shows(page, list(range(230, 0, -1)))


def test_fifty_thousand_events_are_walked_with_a_few_rows(live_address: str, open_page: Any, empty_db: Events) -> None:
    page = open_page(live_address)
    live(page)
    empty_db.connection.execute(MANY, [50_300])
    has(page, 50_000)
    rows = page.locator("#events li")
    page.locator("[name=tool]").focus()
    page.keyboard.press("Tab")
    for key, seq in {"End": 301, "ArrowUp": 302, "PageUp": 312, "Home": 50_300, "PageDown": 50_290}.items():
        page.keyboard.press(key)
        assert focused(page) == seq
        assert rows.count() < 70
    page.keyboard.press("Escape")
    page.evaluate("scrollTo(0, document.querySelector('#events').offsetTop + 20_000 * 34)")
    expect(page.locator('[data-seq="30295"]')).to_be_in_viewport()
    assert rows.count() < 70
    page.mouse.wheel(0, 10_000_000)
    expect(page.get_by_text("The newest 50,000 events are here.")).to_be_in_viewport()
    assert page.locator('#events a[tabindex="0"]').count() == 1


@contextmanager
def wire(port: int) -> Iterator[tuple[int, Callable[[], None]]]:
    """A port that passes bytes on to another, and what makes the streams of now fall silent, for good."""
    listener = socket.create_server(("127.0.0.1", 0))
    streams: list[threading.Event] = []
    open_sockets: list[socket.socket] = [listener]

    def pass_on(one: socket.socket, other: socket.socket, quiet: threading.Event) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                if data.startswith(b"GET /-/vibetea/stream?"):
                    streams.append(quiet)
                if not quiet.is_set():
                    other.sendall(data)
            if not quiet.is_set():
                other.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server, quiet = socket.create_connection(("127.0.0.1", port)), threading.Event()
                open_sockets.extend([client, server])
                for ends in ((client, server), (server, client)):
                    threads.append(threading.Thread(target=pass_on, args=(*ends, quiet)))
                    threads[-1].start()

    def silence() -> None:
        assert streams
        for quiet in streams:
            quiet.set()

    threads = [threading.Thread(target=accept)]
    threads[0].start()
    try:
        yield listener.getsockname()[1], silence
    finally:
        for each in open_sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in threads:
            thread.join()


def test_goes_on_without_gap_or_double_after_a_sleep_in_which_the_connection_died_without_a_word(
    open_page: Any, servers: ExitStack, empty_db: Events
) -> None:
    empty_db.add(3)
    base, _ = servers.enter_context(served(empty_db.path))
    port, silence = servers.enter_context(wire(int(base.rpartition(":")[2])))
    page = open_page("about:blank")
    page.clock.install()
    page.goto(f"http://127.0.0.1:{port}{PAGE}")
    live(page)
    shows(page, [3, 2, 1])
    silence()
    empty_db.add(4)
    page.clock.fast_forward("08:00:00")
    shows(page, [7, 6, 5, 4, 3, 2, 1])
    live(page)
    empty_db.add()
    shows(page, [8, 7, 6, 5, 4, 3, 2, 1])
