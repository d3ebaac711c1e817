"""The sessions page in a real Chromium. See `open_page`: errors of the page or its console fail the test."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect
from tests.datasette_plugins.chromium import live, turn
from tests.datasette_plugins.conftest import Events, eventually, plainly_served
from tests.datasette_plugins.sessions import Sessions, ago, named
from tests.datasette_plugins.test_look import CONTRAST, HOSTILE, SCHEMES

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from playwright.sync_api import Locator, Page

PATH = "/sessions"


@pytest.fixture
def opened(address: str, open_page: Any) -> Callable[..., Page]:
    """Opens the sessions page."""

    def open_it(query: str = "", **options: Any) -> Page:
        page: Page = open_page(f"{address}{PATH}{query}", **options)
        live(page)
        return page

    return open_it


def card(page: Page, number: int) -> Locator:
    return page.locator(f'.card[data-session="{named(number)}"]')


def state(page: Page, number: int) -> Locator:
    return card(page, number).locator("> .state")


def group(page: Page, heading: str) -> list[int]:
    """The sessions below that heading, by their numbers, in order."""
    found: list[str] = page.locator("[data-group]", has=page.get_by_role("heading", name=heading)).evaluate_all(
        "groups => groups.flatMap(group => [...group.querySelectorAll('.card')].map(card => card.dataset.session))"
    )
    return [int(session[:4]) for session in found]


@pytest.fixture
def board(daemon: Sessions) -> Sessions:
    """A session in each state there is."""
    daemon.agent(1, "waiting_permission", 2.5)
    daemon.tool(2, 1.5, "AskUserQuestion")
    daemon.agent(3, "waiting_input", 0.5, source="workstation")
    daemon.add("error", 4, 3.5, category="overloaded")
    daemon.prompt(5, 3.5)
    daemon.tool(5, 0.5)
    daemon.prompt(6, 2.5)
    daemon.spawn(6, "a1", "Explore", 1.5)
    daemon.tool(6, 1.2, "Read", agentId="a1")
    daemon.spawn(6, "a2", "Plan", 1.5)
    daemon.agent(6, "finished", 0.1, agentId="a2")
    daemon.agent(7, "interrupted", 2.5)
    daemon.start(8, 0.5)
    daemon.agent(9, "waiting_input", 20)
    daemon.end(10, "killed", 8.5)
    daemon.end(11, "logout", 11.5)
    return daemon


def test_every_state_is_said_in_words(opened: Any, board: Sessions, empty_db: Events) -> None:
    page = opened(timezone_id="UTC")
    (idle,) = empty_db.connection.execute("select since from board where reason = 'quiet'").fetchone()
    said = {
        1: "Needs permission · waiting 2 min",
        2: "Asks a question · waiting 1 min",
        4: "Turn failed · 3 min ago",
        5: "Working · Bash · 3 min",
        6: "Working · 2 min",
        7: "Interrupted · 2 min ago",
        10: "Died (process gone) · 8 min ago",
        11: "Ended · logged out · 11 min ago",
    }
    for number, words in said.items():
        expect(state(page, number)).to_contain_text(words)
    expect(state(page, 9)).to_have_text(
        re.compile(rf"^Idle since (\d+ \w+, )?{idle[11:16]}$")
    )  # after midnight with a day
    expect(state(page, 3)).to_contain_text("Turn finished · ")
    expect(state(page, 8)).to_contain_text("Started · ")
    assert group(page, "Needs you") == [4, 1, 2, 3]
    assert group(page, "Working") == [6, 5]
    assert group(page, "Quiet") == [7, 8, 9]
    assert group(page, "Gone") == [10, 11]
    assert page.title() == "(4) VibeTea sessions"
    subagents = card(page, 6).get_by_role("list", name="Subagents").get_by_role("listitem")
    expect(subagents).to_have_count(2)
    expect(subagents.first).to_contain_text("Explore Working · Read · 1 min")
    expect(subagents.last).to_contain_text("Plan Finished · ")


def test_a_card_says_where_and_what_it_took(opened: Any, daemon: Sessions) -> None:
    daemon.prompt(1, 2)
    tokens = {"inputTokens": 40, "outputTokens": 1200, "cacheReadTokens": 30_000, "cacheCreationTokens": 0}
    daemon.add("token_usage", 1, 1, model="claude-opus-5-5", **tokens)
    page = opened()
    expect(card(page, 1).locator(".project")).to_have_text("shop")
    expect(card(page, 1).locator(".session")).to_have_text("0001")
    expect(card(page, 1).locator(".facts")).to_have_text("claude-opus-5-5 31.2k tokens · 1 prompt")
    expect(card(page, 1)).to_contain_text("2 events in 30 minutes, 2 in the last 5")
    expect(card(page, 1).locator("svg.line")).to_have_attribute("aria-hidden", "true")
    assert card(page, 1).locator("svg.line path").get_attribute("d").count("M") in {1, 2}
    expect(card(page, 1).locator(".source")).to_be_hidden()
    daemon.prompt(2, source="workstation")
    expect(card(page, 2).locator(".source")).to_have_text("workstation")
    expect(card(page, 1).locator(".source")).to_be_visible()


@pytest.mark.both
def test_a_permission_prompt_brings_its_session_to_the_top(opened: Any, daemon: Sessions) -> None:
    for number in range(1, 7):
        daemon.prompt(number, 4 - number / 10)
    daemon.agent(9, "waiting_permission", 2)
    page = opened()
    assert group(page, "Working") == [6, 5, 4, 3, 2, 1]
    page.evaluate("document.querySelector('.card').here = true")
    daemon.agent(2, "waiting_permission")
    expect(state(page, 2)).to_contain_text("Needs permission · waiting")
    assert group(page, "Needs you") == [9, 2]
    assert group(page, "Working") == [6, 5, 4, 3, 1]
    expect(page).to_have_title("(2) VibeTea sessions")
    expect(page.get_by_role("heading", name="Needs you")).to_have_text("Needs you 2")
    daemon.prompt(2)
    expect(state(page, 2)).to_contain_text("Working")
    assert group(page, "Working") == [2, 6, 5, 4, 3, 1]
    expect(page).to_have_title("(1) VibeTea sessions")
    daemon.prompt(9)
    expect(page).to_have_title("VibeTea sessions")
    expect(page.get_by_role("heading", name="Needs you")).to_be_hidden()
    assert page.evaluate("document.querySelector('.card').here === true")  # it was not loaded anew


def test_what_only_the_client_says_comes_by_itself(opened: Any, daemon: Sessions) -> None:
    daemon.agent(1, "waiting_permission", 1)
    daemon.client(1, "waiting", 1, "permission")
    page = opened()
    expect(state(page, 1)).to_contain_text("Needs permission")
    daemon.client(1, "busy")
    expect(state(page, 1)).to_contain_text("Working")


def test_a_screen_reader_hears_once_who_begins_to_wait(opened: Any, daemon: Sessions) -> None:
    daemon.agent(1, "waiting_permission", 2, project="docs")
    daemon.prompt(2, 1)
    page = opened()
    page.evaluate(
        """() => {
            window.heard = [];
            const spoken = document.getElementById("spoken");
            new MutationObserver(() => heard.push(spoken.textContent)).observe(spoken, { childList: true });
        }"""
    )
    daemon.agent(2, "waiting_permission")
    expect(page.locator("#spoken")).to_have_text("shop: Needs permission")
    daemon.prompt(3)
    expect(card(page, 3)).to_be_visible()
    daemon.agent(3, "waiting_input")
    expect(page.locator("#spoken")).to_have_text("shop: Turn finished")
    page.get_by_label("Project").select_option("docs")
    expect(page.locator(".card")).to_have_count(1)
    page.get_by_label("Project").select_option("")
    expect(page.locator(".card")).to_have_count(3)
    assert page.evaluate("heard") == ["shop: Needs permission", "shop: Turn finished"]


def test_the_title_is_true_in_a_hidden_tab(opened: Any, daemon: Sessions) -> None:
    daemon.prompt(1, 1)
    page = opened()
    turn(page, "hidden")
    expect(page.locator("#connection")).to_have_text("Paused while hidden")
    daemon.agent(1, "waiting_permission")
    expect(page).to_have_title("(1) VibeTea sessions")


def test_times_go_on_without_the_server(address: str, open_page: Any, daemon: Sessions) -> None:
    daemon.agent(1, "waiting_permission", 2.1)
    daemon.client(1, "waiting", 2.1, "permission")
    page = open_page("about:blank", forgive="ERR_")
    page.clock.install()
    page.goto(f"{address}{PATH}")
    expect(state(page, 1)).to_contain_text("waiting 2 min")
    page.route("**/sessions.json*", lambda route: route.abort())
    page.wait_for_event("requestfailed", lambda request: "sessions.json" in request.url)  # none is on its way
    page.clock.fast_forward("01:30")
    expect(state(page, 1)).to_contain_text("waiting 3 min")


def test_a_card_keeps_focus_and_selection(opened: Any, daemon: Sessions) -> None:
    daemon.prompt(1, 3)
    daemon.prompt(2, 2)
    page = opened()
    card(page, 2).get_by_role("link").focus()
    page.evaluate(
        "project => getSelection().selectAllChildren(project)", card(page, 2).locator(".project").element_handle()
    )
    daemon.tool(2, 0, "Bash")
    expect(state(page, 2)).to_contain_text("Bash")
    assert page.evaluate("getSelection().toString()") == "shop"
    assert page.evaluate("document.activeElement.closest('.card')?.dataset.session") == named(2)
    daemon.agent(2, "waiting_permission")
    expect(state(page, 2)).to_contain_text("Needs permission")
    assert page.evaluate("document.activeElement.closest('.card')?.dataset.session") == named(2)


def test_cards_that_stay_are_not_touched(opened: Any, daemon: Sessions) -> None:
    for number in range(1, 5):
        daemon.prompt(number, 4 - number / 10)
    page = opened()
    page.evaluate(
        """() => {
            window.moved = [];
            new MutationObserver(all => moved.push(...all.flatMap(one => [...one.addedNodes, ...one.removedNodes])
                .filter(node => node.matches?.(".card")).map(node => node.dataset.session.slice(0, 4)))
            ).observe(document.getElementById("board"), { childList: true, subtree: true });
        }"""
    )
    daemon.tool(3, 0, "Read")
    expect(state(page, 3)).to_contain_text("Read")
    assert page.evaluate("moved") == []
    daemon.agent(4, "waiting_permission")
    expect(state(page, 4)).to_contain_text("Needs permission")
    assert set(page.evaluate("moved")) == {"0004"}


def test_cards_are_links_to_their_events_in_tab_order(opened: Any, daemon: Sessions) -> None:
    daemon.prompt(1, 2)
    daemon.agent(2, "waiting_permission", 1)
    daemon.tool(3, 1)
    page = opened()
    page.get_by_label("Source").focus()
    for number in (2, 3, 1):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('.card')?.dataset.session") == named(number)
    link = card(page, 2).get_by_role("link", name="shop 0002")
    expect(link).to_have_accessible_description("Needs permission · waiting 1 min")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/vibetea/events?session_id={named(1)}&_sort_desc=seq")
    expect(page.locator("body")).to_contain_text("1 row")


def test_works_below_a_base_address(open_page: Any, servers: ExitStack, daemon: Sessions) -> None:
    daemon.prompt(1, 1)
    base, _ = servers.enter_context(plainly_served(daemon.path, "--setting", "base_url", "/tea/"))
    page = open_page(f"{base}/tea/-/vibetea{PATH}")
    live(page)
    card(page, 1).get_by_role("link").click()
    page.wait_for_url("**/tea/vibetea/events?session_id=*")


@pytest.mark.both
def test_filters_stand_in_the_address(opened: Any, board: Sessions) -> None:
    page = opened()
    expect(page.locator(".card")).to_have_count(11)
    page.get_by_label("Source").select_option("workstation")
    expect(page.locator(".card")).to_have_count(1)
    expect(page).to_have_title("(1) VibeTea sessions")
    assert page.url.endswith("/sessions?source=workstation")
    page.go_back()
    expect(page.locator(".card")).to_have_count(11)
    other = opened("?project=none+such")
    expect(other.get_by_text("No session of this choice is open.")).to_be_visible()
    expect(other.locator(".teach:visible")).to_have_count(0)
    other.get_by_role("link", name="Show all").click()
    expect(other.locator(".card")).to_have_count(11)


def test_an_unreadable_filter_is_said(address: str, open_page: Any, daemon: Sessions) -> None:
    daemon.prompt(1)
    page = open_page(f"{address}{PATH}?project={'x' * 301}", forgive="400")
    expect(page.get_by_role("alert")).to_have_text(
        "These sessions cannot be shown: project is longer than 300 characters."
    )


def test_without_sessions_it_teaches_what_to_do(opened: Any, daemon: Sessions) -> None:
    page = opened()
    expect(page.get_by_role("heading", name="No session is open")).to_be_visible()
    expect(page.get_by_text("vibetea install-hooks")).to_be_visible()
    daemon.prompt(1)
    expect(card(page, 1)).to_be_visible()
    expect(page.get_by_role("heading", name="No session is open")).to_be_hidden()


def test_a_database_of_before_says_what_to_do(opened: Any, empty_db: Events) -> None:
    empty_db.connection.execute("drop view board")
    page = opened()
    expect(page.get_by_role("heading", name="An older VibeTea made this database")).to_be_visible()


def test_more_sessions_than_cards_lead_to_the_table(opened: Any, empty_db: Events) -> None:
    empty_db.connection.executemany(
        "insert into sessions(session_id, source, first_at, last_at, events) values (?, 'laptop', ?, ?, 1)",
        ((named(number), ago(1), ago(1)) for number in range(203)),
    )
    page = opened()
    page.get_by_role("link", name="200 of 203 sessions. All of them").click()
    page.wait_for_url("**/vibetea/sessions?_sort_desc=last_at")


def test_hostile_names_are_only_ever_text(opened: Any, empty_db: Events, daemon: Sessions) -> None:
    columns = "session_id, agent_id, type, state, reason, since, at, tool, first_at, last_at, events"
    for number, name in enumerate([*HOSTILE, "constructor", "=cmd|' /C calc'!A0"]):
        session = f"{number}{name}"
        empty_db.connection.execute(
            "insert into sessions(session_id, source, project, model, first_at, last_at, events) "
            "values (?1, ?2, ?2, ?2, ?3, ?3, 1)",
            (session, name, ago(1)),
        )
        for agent in ("", name):
            empty_db.connection.execute(
                f"insert into agents({columns}) values (?1, ?2, ?3, ?4, ?3, ?3, ?5, ?3, ?5, ?5, 1)",
                (session, agent, name, "working" if agent else name, ago(1)),
            )
    page = opened()
    eventually(lambda: page.locator(".card").count() == len(HOSTILE) + 2)
    assert page.title() == "VibeTea sessions"
    assert page.locator("#board :is(script, img, iframe, object, form)").count() == 0
    assert page.locator("#board svg:not(.icon, .line)").count() == 0
    projects = page.locator(".card .project").all_text_contents()
    assert HOSTILE[0] in projects
    assert max(map(len, projects)) <= 81
    assert page.locator(".agents li").count() == len(HOSTILE) + 2
    hrefs: list[str] = page.eval_on_selector_all(".card a", "all => all.map(each => each.getAttribute('href'))")
    assert all(href.startswith("/vibetea/events?session_id=") for href in hrefs)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


@pytest.mark.parametrize("width", [1200, 390])
def test_text_stands_out_in_both_schemes(opened: Any, board: Sessions, width: int) -> None:
    page = opened(viewport={"width": width, "height": 844}, reduced_motion="reduce")
    expect(page.locator(".card")).to_have_count(11)
    if width == 390:
        expect(card(page, 10)).to_be_hidden()
        page.get_by_role("heading", name="Gone").click()
    expect(card(page, 10)).to_be_visible()
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(CONTRAST) == []
    assert page.evaluate("document.getAnimations().length") == 0


def test_nothing_is_wider_than_the_window(opened: Any, daemon: Sessions) -> None:
    name = "a-project-with-a-very-long-name-indeed-which-goes-on-and-on-for-ever"[:64]
    daemon.prompt(1, 1, project=name, source="workstation.of.somebody")
    daemon.tool(1, tool="mcp__a_server_of_a_long_name__a_tool_of_a_long_name", project=name)
    daemon.spawn(1, "a1", "an-agent-with-a-very-long-name-indeed-which-goes-on")
    daemon.agent(2, "waiting_permission", 60 * 23)
    page = opened()
    expect(page.locator(".card")).to_have_count(2)
    for width in (320, 390, 720, 1024, 2560):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator(".card").evaluate_all("all => all.every(card => card.scrollWidth <= card.clientWidth)")


def test_forced_colours_tell_those_who_wait_by_their_border(opened: Any, board: Sessions) -> None:
    page = opened(forced_colors="active")
    expect(page.locator(".card")).to_have_count(11)

    def border(number: int) -> list[str]:
        found: list[str] = card(page, number).evaluate(
            "card => [getComputedStyle(card).borderLeftStyle, getComputedStyle(card).borderLeftWidth]"
        )
        return found

    assert border(1) == border(2) == border(3) == border(4) != border(5)
    ground = card(page, 1).evaluate("card => getComputedStyle(card).backgroundColor")
    chip = card(page, 1).locator(".session").evaluate("chip => getComputedStyle(chip).borderTopColor")
    assert chip != ground
