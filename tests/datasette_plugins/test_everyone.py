"""Every page, for people who see and steer it in their own way: axe-core, and the keyboard alone."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect
from tests.datasette_plugins.axe.rules import violations
from tests.datasette_plugins.conftest import served
from tests.datasette_plugins.sessions import Sessions

from datasette_vibetea.pages import PAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

pytestmark = pytest.mark.both


@pytest.fixture
def life(tmp_path: Path) -> Path:
    """A database in which something of every kind happens right now."""
    told = Sessions(tmp_path / "vibetea.db")
    for number, state in enumerate(["waiting_permission", "waiting_input", "interrupted", "working"]):
        told.start(number, 20, project=f"project-{number}")
        told.prompt(number, 19)
        told.tool(number, 12)
        told.spawn(number, f"a{number}", "Explore", 3)
        told.agent(number, state, 2)
        told.add("tool", number, 1, tool="Bash", status="completed", outcome="failed", durationMs=1200)
        told.agent(number, state, 0.5)
    told.start(8, 29, source="desk")
    told.end(8, "killed", 28, source="desk")
    told.add("error", 9, 20, category="rate_limit")
    tokens = {"inputTokens": 10, "outputTokens": 200, "cacheReadTokens": 3000, "cacheCreationTokens": 40}
    told.add("token_usage", 1, 4, model="claude-opus-4-6", **tokens)
    told.close()
    return tmp_path / "vibetea.db"


@pytest.fixture
def base(life: Path, servers: ExitStack) -> str:
    address, _ = servers.enter_context(served(life))
    return address


def filled(page: Page) -> None:
    """Wait until what is to be shown is there."""
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    expect(page.locator("main").get_by_text("project-0").or_(page.locator("main table")).first).to_be_attached()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(base: str, open_page: Callable[..., Page], scheme: Any) -> None:
    page = open_page("about:blank", color_scheme=scheme, bypass_csp=True, reduced_motion="reduce")
    found = {}
    for each in PAGES:
        page.goto(base + each.path)
        filled(page)
        found[each.name] = violations(page)
    assert found == {each.name: [] for each in PAGES}


FOCUSED = """() => {
    const at = document.activeElement;
    const box = at.getBoundingClientRect();
    const marked = each => {
        const style = getComputedStyle(each);
        return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    };
    return {
        name: at.name || at.textContent.trim(),
        path: at.pathname ?? "",
        page: at === document.body,
        seen: box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
        marked: [at, at.closest(".card"), at.closest("label")].some(each => each && marked(each)),
    };
}"""
STOPS = 60
"""Far more than any page has before its end."""


def test_the_keyboard_alone_reaches_everything(base: str, open_page: Callable[..., Page]) -> None:
    page = open_page(base + PAGES[0].path, viewport={"width": 1000, "height": 600})
    for each in (*PAGES[1:], PAGES[0]):
        filled(page)
        stops = walk(page, until=each.path)
        assert [stop for stop in stops if not (stop["seen"] and stop["marked"])] == []
        page.keyboard.press("Enter")
        page.wait_for_url(f"**{each.path}")
    filled(page)
    stops = walk(page)
    assert [stop for stop in stops if not (stop["seen"] and stop["marked"])] == []
    assert {"project", "source", "Menu"} <= {stop["name"] for stop in stops}
    assert sum("/vibetea/events" in stop["path"] for stop in stops) > 4  # the cards


def walk(page: Page, until: str | None = None) -> list[dict[str, Any]]:
    """Every stop of the Tab key up to a link there, or to the end of the page."""
    stops: list[dict[str, Any]] = []
    while len(stops) < STOPS:
        page.keyboard.press("Tab")
        stop = page.evaluate(FOCUSED)
        if stop["page"]:
            assert until is None, f"no link to {until}"
            return stops
        stops.append(stop)
        if until and stop["path"] == until:
            return stops
    raise AssertionError(f"no end of {stops}")
