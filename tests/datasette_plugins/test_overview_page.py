"""The overview in a real Chromium: that its parts tell the same story. The parts have tests of their own."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect
from tests.datasette_plugins.chromium import live, turn
from tests.datasette_plugins.conftest import Events, plainly_served
from tests.datasette_plugins.sessions import Sessions
from tests.datasette_plugins.test_look import CONTRAST, HOSTILE

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from playwright.sync_api import Page

CROWDED = """() => [...document.querySelectorAll("#latest .row")].flatMap((row) => {
    const parts = [...row.children].filter((each) => each.getClientRects().length && each.textContent);
    const boxes = parts.map((each) => [each, each.getBoundingClientRect()]);
    const isCut = (time) => time.scrollWidth > Math.ceil(time.getBoundingClientRect().width);
    const touch = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    const cut = parts.filter((each) => each.matches("time") && isCut(each));
    return [...cut, ...boxes.filter(([each, box]) => boxes.some(([other, its]) => other !== each && touch(box, its)))
        .map(([each]) => each)].map((each) => `${each.className} ${each.textContent}`);
})"""
"""Parts of a line that lie over another, and times that are cut."""


@pytest.fixture
def busy(daemon: Sessions) -> Sessions:
    """Two sessions that work, one that waits, one of last week, on two machines and three projects."""
    daemon.prompt(1, 3)
    daemon.tool(1, 0.2)
    daemon.prompt(2, 2, project="atlas", source="workstation")
    daemon.agent(3, "waiting_permission", 1, project="atlas")
    for minute in range(40):
        daemon.tool(4, 8 * 1440 + minute, tool="Read", project="notes")
    tokens = {"inputTokens": 1161, "outputTokens": 1184, "cacheReadTokens": 23500, "cacheCreationTokens": 0}
    daemon.add("token_usage", 4, 8 * 1440 + 0.5, project="notes", model="claude-opus-5-5", **tokens)
    return daemon


@pytest.fixture
def opened(address: str, open_page: Any) -> Callable[..., Page]:
    """Opens the overview."""

    def open_it(query: str = "", **options: Any) -> Page:
        page: Page = open_page(f"{address}{query}", **options)
        live(page)
        return page

    return open_it


def cards(page: Page) -> list[int]:
    found: list[str] = page.eval_on_selector_all(".card", "all => all.map(each => each.dataset.session)")
    return [int(session[:4]) for session in found]


def test_at_one_glance(opened: Any, busy: Sessions) -> None:
    page = opened()
    expect(page.get_by_role("heading", name="Needs you")).to_have_text("Needs you 1")
    expect(page).to_have_title("(1) VibeTea overview")
    assert cards(page) == [3, 2, 1]
    expect(page.locator("#latest li")).to_have_count(22)
    expect(page.locator("#latest li").first).to_contain_text("Bash")
    expect(page.locator("#sum")).to_contain_text("4 events in 7 days")
    page.get_by_text("30 days", exact=True).click()
    expect(page.locator("#sum")).to_contain_text("44 events in 30 days")
    page.get_by_label("Project").select_option("notes")
    expect(page.locator("#latest li").first).to_contain_text("Read")
    expect(page.locator("#latest .just-now")).to_have_count(0)
    page.get_by_label("Project").select_option("atlas")
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator("#latest li")).to_have_count(2)
    expect(page.locator("#latest .just-now")).to_have_count(0)
    expect(page.locator("#sum")).to_contain_text("2 events in 30 days")
    assert page.url.endswith("?days=30&project=atlas")
    for heading, query in {
        "Statistics": "?days=30&project=atlas",
        "Live": "?project=atlas",
        "Heatmap": "?days=30&project=atlas",
    }.items():
        link = page.locator("h2").get_by_role("link", name=heading)
        expect(link).to_have_attribute("href", re.compile(rf"/-/vibetea/{heading.lower()}{re.escape(query)}$"))
    for link, address in {
        page.get_by_role("navigation").get_by_role("link", name="Heatmap"): "/-/vibetea/heatmap?days=30&project=atlas",
        page.get_by_role("navigation").get_by_role("link", name="Live"): "/-/vibetea/live?project=atlas",
        page.get_by_role("heading", name="Needs you").get_by_role("link"): "/-/vibetea/sessions?project=atlas",
        page.get_by_role("link", name="All events"): "/vibetea/events?project__exact=atlas",
    }.items():
        expect(link).to_have_attribute("href", re.compile(f"{re.escape(address)}$"))
    busy.tool(2, project="atlas", source="workstation", tool="WebFetch")
    expect(page.locator("#latest .just-now")).to_contain_text(["WebFetch"])
    busy.tool(4, 7, project="atlas")
    expect(page.locator("#latest li")).to_have_count(4)
    expect(page.locator("#latest .just-now")).to_have_count(1)
    expect(page.locator("#sum")).to_contain_text("4 events in 30 days")
    page.go_back()
    expect(page.locator("#latest li")).to_have_count(22)
    page.go_back()
    expect(page.locator("#latest li").first).to_contain_text("WebFetch")
    page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=1))
    expect(page.locator("#latest time")).to_have_text([re.compile(r"^\d+ \w+, \d\d:\d\d$")] * 22)


def test_what_is_new_does_not_move_what_is_looked_at(opened: Any, busy: Sessions) -> None:
    page = opened()
    link = page.locator("#latest a").nth(3)
    link.focus()
    href = link.get_attribute("href")
    busy.agent(1, "waiting_input")
    expect(page.locator("#latest li").first).to_contain_text("Turn finished")
    assert page.evaluate("document.activeElement.getAttribute('href')") == href
    project = page.get_by_label("Project")
    project.focus()
    for name in ("zebra", "ant"):
        busy.tool(5, project=name)
        expect(page.locator("#latest li").first).to_contain_text(name)
    options = project.locator("option")
    expect(options).to_have_text(["All", "atlas", "shop"])
    project.blur()
    expect(options).to_have_text(["All", "ant", "atlas", "shop", "zebra"])


def test_without_a_session_the_past_is_there_and_without_a_past_a_lesson(opened: Any, daemon: Sessions) -> None:
    page = opened(forgive="400")
    expect(page.get_by_role("heading", name="No session is open")).to_be_visible()
    expect(page.locator("#past")).to_be_hidden()
    daemon.tool(1, 600)
    expect(page.get_by_text("No session is open now")).to_be_visible()
    expect(page.get_by_role("heading", name="No session is open")).to_be_hidden()
    expect(page.locator("#latest li")).to_have_count(1)
    page.get_by_text("30 days", exact=True).click()
    page.evaluate("history.pushState(null, '', `?days=30&project=${'x'.repeat(301)}`)")
    page.evaluate("dispatchEvent(new PopStateEvent('popstate'))")
    expect(page.get_by_role("alert")).to_contain_text("This cannot be shown")
    expect(page.get_by_text("No session is open now")).to_be_hidden()
    page.get_by_label("Project").select_option("")
    page.get_by_label("Project").select_option("shop")
    page.get_by_role("link", name="Show all").click()
    page.wait_for_url("**/-/vibetea?days=30")
    expect(page.get_by_text("No session is open now")).to_be_visible()
    daemon.prompt(2)
    expect(page.locator(".card")).to_have_count(1)
    expect(page.get_by_text("No session is open now")).to_be_hidden()


def test_the_title_is_true_in_a_hidden_tab(opened: Any, busy: Sessions) -> None:
    page = opened()
    expect(page).to_have_title("(1) VibeTea overview")
    with page.expect_response(re.compile(r"&since=[0-9]+$")) as unchanged:
        pass
    assert set(unchanged.value.json()) == {"seq", "sessions"}
    turn(page, "hidden")
    busy.agent(1, "waiting_permission")
    expect(page).to_have_title("(2) VibeTea overview")
    with page.expect_response(re.compile(r"&since=now$")) as hidden:
        pass
    assert set(hidden.value.json()) == {"seq", "sessions"}
    turn(page, "visible")
    expect(page.locator("#latest li").first).to_contain_text("Needs permission")
    expect(page.locator("#sum")).to_contain_text("5 events in 7 days")


def test_a_choice_that_means_nothing_is_said(address: str, open_page: Any, busy: Sessions) -> None:
    page = open_page("about:blank", forgive="400")
    page.clock.install()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/overview.json" in request.url else None)
    page.goto(f"{address}?project={'x' * 301}")
    expect(page.get_by_role("alert")).to_have_text("This cannot be shown: project is longer than 300 characters.")
    expect(page.locator("#past")).to_be_hidden()
    page.clock.run_for(60_000)
    assert len(asked) == 1
    page.get_by_label("Project").select_option("")
    expect(page.locator(".card")).to_have_count(3)
    expect(page.get_by_role("alert")).to_have_text("")


def test_works_below_a_base_address(open_page: Any, servers: ExitStack, busy: Sessions) -> None:
    base, _ = servers.enter_context(plainly_served(busy.path, "--setting", "base_url", "/tea/"))
    page = open_page(f"{base}/tea/-/vibetea?project=atlas")
    expect(page.locator(".card")).to_have_count(2)
    page.locator("h2").get_by_role("link", name="Live").click()
    page.wait_for_url("**/tea/-/vibetea/live?project=atlas")


def test_hostile_names_are_only_ever_text(opened: Any, daemon: Sessions, empty_db: Events) -> None:
    daemon.prompt(1)
    for name in HOSTILE:
        columns: dict[str, Any] = dict.fromkeys(["source", "project", "tool", "state", "agent_id", "model"], name)
        empty_db.add(**columns, payload={"context": name})
        empty_db.connection.execute("update sessions set project = ?, source = ?, model = ?", [name] * 3)
        empty_db.connection.execute("update agents set tool = ?, state = 'working'", [name])
    page = opened()
    expect(page.locator("#latest li")).to_have_count(1 + len(HOSTILE))
    assert page.title() == "VibeTea overview"
    assert page.locator("main :is(script, img, iframe, object)").count() == 0


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_text_stands_out_and_nothing_is_wider_than_the_window(
    opened: Any, busy: Sessions, scheme: str, width: int
) -> None:
    page = opened(color_scheme=scheme, viewport={"width": width, "height": 844}, reduced_motion="reduce")
    expect(page.locator("#latest li")).to_have_count(22)
    assert page.evaluate(CONTRAST) == []
    for days in ("30 days", "7 days"):
        page.get_by_text(days, exact=True).click()
        expect(page.locator("#sum")).to_contain_text(days)
        for wide in (width, 320, 720, 1152, 2560):
            page.set_viewport_size({"width": wide, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth") <= wide
            assert page.evaluate(CROWDED) == []
