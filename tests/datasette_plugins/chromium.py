"""What tests of the live page in a browser share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect
from tests.datasette_plugins.conftest import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Page

PAGE = "/-/vibetea/live"


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
