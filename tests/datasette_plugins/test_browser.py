"""The live page in a real Chromium: what it follows, and how it comes back. See `open_page`: errors fail the test."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import expect
from tests.datasette_plugins.chromium import PAGE, has, live, shows, turn
from tests.datasette_plugins.conftest import Events, eventually, plainly_served, served


def test_an_empty_database_teaches_what_to_do(live_address: str, open_page: Any) -> None:
    page = open_page(live_address)
    live(page)
    expect(page.get_by_role("heading", name="Nothing has happened yet")).to_be_visible()
    expect(page.get_by_text("vibetea install-hooks")).to_be_visible()


def test_a_commit_of_another_process_appears_by_itself(live_address: str, open_page: Any, empty_db: Events) -> None:
    page = open_page(live_address)
    live(page)
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        'c.execute("insert into events(id, source, timestamp, type, project, tool, payload) '
        "values ('evt_1', 'laptop', '2026-03-12T14:32:07Z', 'tool', 'shop', 'Bash', '{}')\"); c.commit()"
    )
    subprocess.run([sys.executable, "-c", program, str(empty_db.path)], check=True)
    row = page.locator("#events li")
    expect(row).to_contain_text("shop")
    expect(row).to_contain_text("Bash")
    expect(page.locator("#empty")).to_be_hidden()


def test_the_newest_two_hundred_are_there_and_the_next_goes_on_top(
    live_address: str, open_page: Any, empty_db: Events
) -> None:
    empty_db.add(230)
    page = open_page(live_address)
    has(page, 200)
    expect(page.locator("#events li").first).to_have_attribute("data-seq", "230")
    empty_db.add(2)
    has(page, 202)
    expect(page.locator("#events li").first).to_have_attribute("data-seq", "232")


@pytest.mark.both
def test_a_hidden_tab_lets_go_of_its_stream_and_resumes_without_gap_or_double(
    live_address: str, open_page: Any, empty_db: Events
) -> None:
    empty_db.add(5)
    page = open_page(live_address)
    live(page)
    finished: list[str] = []
    page.on("requestfailed", lambda request: finished.append(request.url))
    turn(page, "hidden")
    expect(page.locator("#connection")).to_have_text("Paused while hidden")
    eventually(lambda: page.evaluate("0") == 0 and any("/stream" in url for url in finished))
    empty_db.add(7)
    turn(page, "visible")
    live(page)
    empty_db.add(2)
    shows(page, list(range(14, 0, -1)))


def test_a_tab_opened_in_the_background_waits_until_it_is_seen(
    live_address: str, open_page: Any, empty_db: Events
) -> None:
    page = open_page("about:blank")
    page.add_init_script(
        "Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => 'hidden' })"
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(live_address)
    expect(page.locator("#connection")).to_have_text("Paused while hidden")
    assert not any("/stream" in url and "static" not in url for url in asked)
    empty_db.add()
    turn(page, "visible")
    shows(page, [1])


@pytest.mark.both
def test_resumes_over_a_restart_of_the_server(open_page: Any, servers: ExitStack, empty_db: Events) -> None:
    empty_db.add(3)
    base, server = servers.enter_context(served(empty_db.path))
    page = open_page(base + PAGE, forgive="ERR_")
    live(page)
    server.stop()
    expect(page.locator("#connection")).to_have_attribute("data-state", "reconnecting")
    empty_db.add(4)
    servers.enter_context(served(empty_db.path, int(base.rpartition(":")[2])))
    shows(page, list(range(7, 0, -1)))
    empty_db.add()
    shows(page, list(range(8, 0, -1)))
    live(page)


def test_a_connection_lost_among_the_first_events_leaves_no_gap(
    live_address: str, open_page: Any, full_db: Events
) -> None:
    """1. It ends after three of ten, and the browser comes back. 2. The same again, and the tab is hidden meanwhile."""
    with urlopen(live_address.replace("/live", "/stream")) as stream:
        begun = b""
        while begun.count(b"\n\n") < 4:  # how soon to come back, and three events
            begun += stream.readline()
    lost: list[str] = []

    def lose(route: Any) -> None:
        if len(lost) == 2:
            return route.continue_()
        lost.append(route.request.url)
        return route.fulfill(body=begun, content_type="text/event-stream")

    page = open_page("about:blank")
    page.route("**/-/vibetea/stream*", lose)
    page.goto(live_address)
    eventually(lambda: page.evaluate("0") == 0 and len(lost) == 2)
    shows(page, [3, 2, 1])
    turn(page, "hidden")
    turn(page, "visible")
    live(page)
    shows(page, list(range(10, 0, -1)))
    full_db.add()
    shows(page, list(range(11, 0, -1)))


def test_comes_back_after_answers_that_were_errors(live_address: str, open_page: Any, empty_db: Events) -> None:
    empty_db.add()
    page = open_page("about:blank", forgive="503")
    refusals = iter([True, True])
    page.route(
        "**/-/vibetea/stream*",
        lambda route: route.fulfill(status=503) if next(refusals, False) else route.continue_(),
    )
    page.goto(live_address)
    live(page)
    shows(page, [1])


def test_goes_on_by_itself_once_there_is_a_database(open_page: Any, servers: ExitStack, tmp_path: Path) -> None:
    path = tmp_path / "vibetea.db"
    base, _ = servers.enter_context(served(path))
    page = open_page(base + PAGE)
    expect(page.get_by_role("heading", name="No events to read yet")).to_be_visible()
    expect(page.locator("#connection")).to_have_text("Waiting")
    events = Events(path)
    events.add(2)
    shows(page, [2, 1])
    expect(page.locator("#missing")).to_be_hidden()
    expect(page.locator("#events a").first).to_have_attribute("href", "/vibetea/events/2")
    events.connection.close()


def test_the_home_page_leads_here_until_there_is_a_database(open_page: Any, servers: ExitStack, tmp_path: Path) -> None:
    base, _ = servers.enter_context(served(tmp_path / "vibetea.db"))
    page = open_page(base, forgive="404")
    expect(page.get_by_role("heading", name="No events to read yet")).to_be_visible()
    assert page.url == f"{base}/-/vibetea"


def test_begins_anew_when_the_events_are_gone(live_address: str, open_page: Any, empty_db: Events) -> None:
    empty_db.add(4)
    empty_db.add(5, source="workstation")
    page = open_page(live_address)
    live(page)
    expect(page.locator(".source").first).to_be_visible()
    turn(page, "hidden")
    empty_db.connection.execute("delete from events where seq > 4")
    turn(page, "visible")
    shows(page, [4, 3, 2, 1])
    expect(page.locator(".source").first).to_be_hidden()


def test_nothing_moves_under_a_reader_who_scrolled_down(live_address: str, open_page: Any, empty_db: Events) -> None:
    empty_db.add(100)
    page = open_page(live_address)
    shows(page, list(range(100, 0, -1)))
    page.mouse.wheel(0, 900)
    eventually(lambda: page.evaluate("scrollY") > 500)
    page.keyboard.press("Escape")
    eventually(lambda: page.evaluate("scrollY") == 0)
    page.mouse.wheel(0, 900)
    eventually(lambda: page.evaluate("scrollY") > 500)
    before = page.evaluate("document.querySelector('[data-seq=\"70\"]').getBoundingClientRect().top")
    empty_db.add(3)
    button = page.get_by_role("button", name="3 new")
    expect(button).to_be_visible()
    assert page.evaluate("document.querySelector('[data-seq=\"70\"]').getBoundingClientRect().top") == before
    button.click()
    shows(page, list(range(103, 0, -1)))
    assert page.evaluate("scrollY") == 0
    expect(button).to_be_hidden()


def test_works_below_a_base_address(open_page: Any, servers: ExitStack, empty_db: Events) -> None:
    empty_db.add(4)
    base, _ = servers.enter_context(plainly_served(empty_db.path, "--setting", "base_url", "/tea/"))
    page = open_page("about:blank")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/older.json" in request.url else None)
    page.goto(f"{base}/tea{PAGE}")
    live(page)
    shows(page, [4, 3, 2, 1])
    expect(page.get_by_text("No older events.")).to_be_visible()
    assert len(asked) == 1
    page.locator("#events a").first.click()
    page.wait_for_url("**/tea/vibetea/events/4")
