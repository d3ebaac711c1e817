"""The page in a real Chromium. An error on its console fails the test that caused it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.datasette_plugins.conftest import Events, eventually, plainly_served, served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
PAGE = "/-/vibetea"

pytestmark = pytest.mark.skipif(not CHROMIUM.exists() and "CI" not in os.environ, reason="no Chromium here")

Open = "Callable[..., Page]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--disable-dev-shm-usage"])
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens an address in a fresh window. `forgive` names words of console errors that are meant to happen."""
    wrong: list[str] = []
    contexts = []

    def opened(address: str, *, forgive: str = "\0", **options: Any) -> Page:
        context = browser.new_context(**{"timezone_id": "Europe/Berlin", "locale": "en-GB", **options})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"page error: {error}"))
        page.on(
            "console",
            lambda said: (
                wrong.append(f"console {said.type}: {said.text}")
                if said.type in {"error", "warning"} and forgive not in said.text
                else None
            ),
        )
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def address(empty_db: Events) -> Iterator[str]:
    """The live page over an empty database."""
    with served(empty_db.path) as (base, _):
        yield base + PAGE


def live(page: Page) -> None:
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")


def seqs(page: Page) -> list[int]:
    """The seqs shown, top to bottom."""
    found: list[int] = page.eval_on_selector_all("#events li", "all => all.map(each => Number(each.dataset.seq))")
    return found


def shows(page: Page, expected: list[int]) -> None:
    eventually(lambda: page.locator("#events li").count() == len(expected))
    assert seqs(page) == expected


def turn(page: Page, visibility: str) -> None:
    """Hide the tab or bring it back, as the browser would tell the page."""
    page.evaluate(
        """visibility => {
            Object.defineProperty(document, "visibilityState", { configurable: true, get: () => visibility });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        visibility,
    )


def test_an_empty_database_teaches_what_to_do(open_page: Any, address: str) -> None:
    page = open_page(address)
    live(page)
    expect(page.get_by_role("heading", name="Nothing has happened yet")).to_be_visible()
    expect(page.get_by_text("vibetea install-hooks")).to_be_visible()


def test_a_commit_of_another_process_appears_by_itself(open_page: Any, address: str, empty_db: Events) -> None:
    page = open_page(address)
    live(page)
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        "c.execute(\"insert into events(id, source, timestamp, type, project, tool, payload) "
        "values ('evt_1', 'laptop', '2026-03-12T14:32:07Z', 'tool', 'shop', 'Bash', '{}')\"); c.commit()"
    )
    subprocess.run([sys.executable, "-c", program, str(empty_db.path)], check=True)
    row = page.locator("#events li")
    expect(row).to_contain_text("shop")
    expect(row).to_contain_text("Bash")
    expect(page.locator("#empty")).to_be_hidden()


def test_the_newest_two_hundred_are_there_and_the_next_goes_on_top(
    open_page: Any, address: str, empty_db: Events
) -> None:
    empty_db.add(230)
    page = open_page(address)
    shows(page, list(range(230, 30, -1)))
    empty_db.add(2)
    shows(page, list(range(232, 30, -1)))


SAID = [
    ({}, "Read auth.ts 17 ms"),
    ({"status": "started", "outcome": None, "duration_ms": None, "payload": {}}, "Read started"),
    ({"tool": "Bash", "outcome": "failed", "duration_ms": 6140, "payload": {}}, "Bash failed 6.1 s"),
    ({"tool": "Bash", "outcome": "refused", "duration_ms": None, "payload": {}}, "Bash refused"),
    ({"tool": "Bash", "outcome": "ok", "duration_ms": 125_000, "payload": {}}, "Bash 2 min 5 s"),
    ({"type": "agent", "state": "waiting_permission"}, "Needs permission"),
    ({"type": "agent", "state": "waiting_input"}, "Turn finished"),
    ({"type": "agent", "state": "finished", "agent_id": "a17c"}, "subagent Finished"),
    ({"type": "agent", "state": "pondering_deeply"}, "pondering deeply"),
    ({"type": "activity", "state": "prompt"}, "Prompt"),
    ({"type": "activity", "state": None}, "Activity"),
    ({"type": "session", "payload": {"action": "started", "how": "resume"}}, "Session started resume"),
    ({"type": "session", "payload": {"action": "ended", "reason": "logout"}}, "Session ended logout"),
    ({"type": "summary", "payload": {"summary": "Session ended"}}, "Summary Session ended"),
    ({"type": "error", "payload": {"category": "rate_limit"}}, "Error rate limit"),
    ({"type": "agent_spawn", "payload": {"agentType": "Explore"}}, "Subagent started Explore"),
    ({"type": "skill_invocation", "payload": {"skillName": "review"}}, "/review"),
    (
        {"type": "token_usage", "payload": {"inputTokens": 1240, "outputTokens": 37, "model": "claude-opus-4-6"}},
        "1.2k tokens in / 37 out, claude-opus-4-6",
    ),
    ({"type": "todo_progress", "payload": {"completed": 2, "inProgress": 1, "pending": 3}}, "2 of 6 tasks done"),
    ({"type": "file_change", "payload": {"linesAdded": 12, "linesRemoved": 3}}, "File changed +12 −3"),
    ({"type": "project_activity", "payload": {"isActive": True}}, "Project active"),
    ({"type": "session_metrics", "payload": {"totalSessions": 3, "totalMessages": 90}}, "3 sessions, 90 messages"),
    ({"type": "activity_pattern", "payload": {}}, "Activity by hour counted"),
    ({"type": "model_distribution", "payload": {}}, "Tokens by model counted"),
    ({"type": "of_the_future", "payload": None}, "of the future"),
    ({"type": "constructor", "payload": [1]}, "constructor"),
    ({"tool": "toString", "outcome": "hasOwnProperty", "payload": "text"}, "toString 17 ms"),
    ({"type": "error", "payload": {"category": {"a": 1}}}, "Error"),
]


def test_every_event_says_in_words_what_happened(open_page: Any, address: str, empty_db: Events) -> None:
    for columns, _ in SAID:
        empty_db.add(**columns)
    page = open_page(address)
    shows(page, list(range(len(SAID), 0, -1)))
    texts: list[str] = page.eval_on_selector_all("#events li", "all => all.map(each => each.textContent)")
    for text, (_, words) in zip(reversed(texts), SAID, strict=True):
        assert words in " ".join(text.split())


def test_a_row_tells_who_and_when_and_leads_to_its_row(open_page: Any, address: str, empty_db: Events) -> None:
    (seq,) = empty_db.add(timestamp="2026-03-12T14:32:07.123Z")
    page = open_page(address)
    link = page.locator("#events a")
    expect(link.locator("time")).to_have_text("12 Mar, 15:32")  # Berlin
    expect(link.locator(".project")).to_have_text("shop")
    expect(link.locator(".session")).to_have_text("3f0c")
    expect(link.locator(".source")).to_be_hidden()
    empty_db.add(source="workstation")
    expect(page.locator(".source").first).to_be_visible()
    page.locator(f'[data-seq="{seq}"] a').click()
    page.wait_for_url(f"**/vibetea/events/{seq}")
    expect(page.locator("body")).to_contain_text("auth.ts")


def test_a_session_keeps_its_colour(open_page: Any, address: str, empty_db: Events) -> None:
    empty_db.add(2)
    empty_db.add(session_id="a91d4e07-5b3c-4f0e-8c66-2e7b9d40f3a2")
    page = open_page(address)
    shows(page, [3, 2, 1])
    other, *same = page.eval_on_selector_all(".session", "all => all.map(each => getComputedStyle(each).backgroundColor)")
    assert same[0] == same[1] != other


HOSTILE = [
    "<script>document.title='taken'</script>",
    "<img src=x onerror=\"document.title='taken'\">",
    "\"'><svg onload=document.title='taken'>",
    "javascript:document.title='taken'",
    "{{constructor.constructor('document.title=1')()}}",
    "\u202etxt.exe\u202c\u2066\u200b",
    "a\n\ndata: {}\n\nevent: reset",
    "x" * 5000,
    "',--hue:url(x)",
]


def test_hostile_names_are_only_ever_text(open_page: Any, address: str, empty_db: Events) -> None:
    for name in HOSTILE:
        columns = dict.fromkeys(["source", "type", "session_id", "project", "tool", "state", "agent_id", "model"], name)
        empty_db.add(**columns, payload={"context": name})
        empty_db.add(**(columns | {"type": "tool", "timestamp": name}), payload={"context": name, "summary": name})
        empty_db.add(**(columns | {"type": "session"}), payload={"action": name, "how": name})
    page = open_page(address)
    live(page)
    shows(page, list(range(3 * len(HOSTILE), 0, -1)))
    assert page.title() == "VibeTea live"
    assert page.locator("main :is(script, img, iframe, object, form)").count() == 0
    assert page.locator("main svg:not(.icon)").count() == 0
    projects = page.locator(".project").all_text_contents()
    assert HOSTILE[0] in projects
    assert HOSTILE[5] in projects
    assert max(map(len, projects)) <= 81
    hrefs: list[str] = page.eval_on_selector_all("#events a", "all => all.map(each => each.getAttribute('href'))")
    assert all(href.startswith("/vibetea/events/") for href in hrefs)


def test_a_hidden_tab_lets_go_of_its_stream_and_resumes_without_gap_or_double(
    open_page: Any, address: str, empty_db: Events
) -> None:
    empty_db.add(5)
    page = open_page(address)
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


def test_a_tab_opened_in_the_background_waits_until_it_is_seen(open_page: Any, address: str, empty_db: Events) -> None:
    page = open_page("about:blank")
    page.add_init_script(
        "Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => 'hidden' })"
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    expect(page.locator("#connection")).to_have_text("Paused while hidden")
    assert not any("/stream" in url and "static" not in url for url in asked)
    empty_db.add()
    turn(page, "visible")
    shows(page, [1])


def test_resumes_over_a_restart_of_the_server(open_page: Any, empty_db: Events) -> None:
    empty_db.add(3)
    with served(empty_db.path) as (base, server):
        page = open_page(base + PAGE, forgive="ERR_")
        live(page)
        server.stop()
        expect(page.locator("#connection")).to_have_attribute("data-state", "reconnecting")
    empty_db.add(4)
    with served(empty_db.path, int(base.rpartition(":")[2])):
        shows(page, list(range(7, 0, -1)))
        empty_db.add()
        shows(page, list(range(8, 0, -1)))
        live(page)


def test_comes_back_after_answers_that_were_errors(open_page: Any, address: str, empty_db: Events) -> None:
    empty_db.add()
    page = open_page("about:blank", forgive="503")
    refusals = iter([True, True])
    page.route(
        "**/-/vibetea/stream*",
        lambda route: route.fulfill(status=503) if next(refusals, False) else route.continue_(),
    )
    page.goto(address)
    live(page)
    shows(page, [1])


def test_goes_on_by_itself_once_there_is_a_database(open_page: Any, tmp_path: Path) -> None:
    path = tmp_path / "vibetea.db"
    with served(path) as (base, _):
        page = open_page(base + PAGE)
        expect(page.get_by_role("heading", name="No events to read yet")).to_be_visible()
        expect(page.locator("#connection")).to_have_text("Waiting for a database")
        events = Events(path)
        events.add(2)
        shows(page, [2, 1])
        expect(page.locator("#missing")).to_be_hidden()
        expect(page.locator("#events a").first).to_have_attribute("href", "/vibetea/events/2")
        events.connection.close()


def test_begins_anew_when_the_events_are_gone(open_page: Any, address: str, empty_db: Events) -> None:
    empty_db.add(9)
    page = open_page(address)
    live(page)
    turn(page, "hidden")
    empty_db.connection.execute("delete from events where seq > 4")
    turn(page, "visible")
    shows(page, [4, 3, 2, 1])


def test_nothing_moves_under_a_reader_who_scrolled_down(open_page: Any, address: str, empty_db: Events) -> None:
    empty_db.add(100)
    page = open_page(address)
    shows(page, list(range(100, 0, -1)))
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


def test_the_list_is_one_stop_for_the_tab_key_and_is_walked_by_arrows(
    open_page: Any, address: str, empty_db: Events
) -> None:
    empty_db.add(30)
    page = open_page(address)
    shows(page, list(range(30, 0, -1)))
    assert page.locator('#events a[tabindex="0"]').count() == 1

    def focused() -> Any:
        return page.evaluate("document.activeElement.closest('li')?.dataset.seq")

    page.locator("summary").focus()
    page.keyboard.press("Tab")
    assert focused() == "30"
    for key, seq in {"ArrowDown": "29", "PageDown": "19", "End": "1", "ArrowUp": "2", "Home": "30"}.items():
        page.keyboard.press(key)
        assert focused() == seq
    page.keyboard.press("ArrowDown")
    empty_db.add()
    expect(page.get_by_role("button", name="1 new")).to_be_visible()
    assert focused() == "29"
    page.keyboard.press("Escape")
    shows(page, list(range(31, 0, -1)))
    assert page.locator('#events a[tabindex="0"]').count() == 1


def test_the_number_of_rows_is_bounded(open_page: Any, address: str, empty_db: Events) -> None:
    page = open_page(address)
    live(page)
    empty_db.connection.execute("begin")
    empty_db.add(1300)
    empty_db.connection.execute("commit")
    expect(page.locator('[data-seq="1300"]')).to_be_visible()
    shows(page, list(range(1300, 800, -1)))


def test_a_screen_reader_hears_what_matters_and_no_flood(open_page: Any, address: str, empty_db: Events) -> None:
    page = open_page(address)
    live(page)
    page.evaluate(
        """() => {
            window.heard = [];
            const spoken = document.getElementById("spoken");
            new MutationObserver(() => heard.push(spoken.textContent)).observe(spoken, { childList: true });
        }"""
    )
    empty_db.add(300)
    empty_db.add(type="agent", state="waiting_permission")
    expect(page.locator("#spoken")).to_have_text("shop: Needs permission")
    assert page.evaluate("heard") == ["shop: Needs permission"]
    expect(page.locator("#spoken")).to_contain_text("301 new", timeout=40_000)


CONTRAST = """() => {
    const canvas = new OffscreenCanvas(1, 1);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const pixel = colours => {
        context.clearRect(0, 0, 1, 1);
        for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const luminance = rgb => {
        const [r, g, b] = rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const low = [];
    for (const each of document.querySelectorAll("body *")) {
        const own = [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim());
        if (!(own || each.matches("svg")) || !each.checkVisibility()) continue;
        const grounds = [];
        for (let at = each; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
        const ground = pixel(["white", ...grounds]);
        const [a, b] = [luminance(ground), luminance(pixel(["white", ...grounds, getComputedStyle(each).color]))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < (each.matches("svg") ? 3 : 4.5)) low.push([each.className, each.textContent, ratio]);
    }
    return low;
}"""


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_schemes(
    open_page: Any, address: str, empty_db: Events, tmp_path: Path, scheme: str, width: int
) -> None:
    for number, (columns, _) in enumerate(SAID):
        empty_db.add(**{"session_id": f"{number:04x}-session", "source": f"machine{number % 2}", **columns})
    page = open_page(
        address, color_scheme=scheme, viewport={"width": width, "height": 844}, reduced_motion="reduce"
    )
    live(page)
    shows(page, list(range(len(SAID), 0, -1)))
    assert page.evaluate(CONTRAST) == []
    picture = tmp_path / f"{scheme}-{width}.png"
    page.screenshot(path=picture)
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize("width", [320, 390, 720, 1024, 2560])
def test_nothing_is_wider_than_the_window(open_page: Any, address: str, empty_db: Events, width: int) -> None:
    empty_db.add(project="a-project-with-a-very-long-name-indeed-which-goes-on", source="workstation.of.somebody")
    empty_db.add(payload={"context": "a" * 64})
    page = open_page(address, viewport={"width": width, "height": 700})
    live(page)
    shows(page, [2, 1])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(page.locator("#events .what").first).to_be_in_viewport()


def test_forced_colours_keep_sessions_apart_from_the_ground(open_page: Any, address: str, empty_db: Events) -> None:
    empty_db.add(outcome="failed")
    page = open_page(address, forced_colors="active")
    shows(page, [1])
    border = page.locator(".session").evaluate("chip => getComputedStyle(chip).borderTopColor")
    assert border != page.locator(".session").evaluate("chip => getComputedStyle(chip).backgroundColor")


def test_reduced_motion_is_respected(open_page: Any, address: str, empty_db: Events) -> None:
    page = open_page(address, reduced_motion="reduce")
    live(page)
    empty_db.add()
    shows(page, [1])
    assert page.evaluate("document.getAnimations().length") == 0


def test_works_below_a_base_address(open_page: Any, empty_db: Events) -> None:
    empty_db.add(4)
    with plainly_served(empty_db.path, "--setting", "base_url", "/tea/") as (base, _):
        page = open_page(f"{base}/tea{PAGE}")
        live(page)
        shows(page, [4, 3, 2, 1])
        page.locator("#events a").first.click()
        page.wait_for_url("**/tea/vibetea/events/4")


def test_the_payload_of_a_row_is_the_json_that_was_stored(open_page: Any, address: str, empty_db: Events) -> None:
    empty_db.add(payload={"tool": "Read", "context": "auth.ts"})
    page = open_page(address)
    row = page.request.get(address.replace(PAGE, "/vibetea/events/1.json?_shape=objects")).json()["rows"][0]
    assert json.loads(row["payload"]) == {"tool": "Read", "context": "auth.ts"}
