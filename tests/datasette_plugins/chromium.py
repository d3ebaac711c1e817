"""What tests of the live page in a browser share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

PAGE = "/-/vibetea/live"


def live(page: Page) -> None:
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")


SCROLLED = """async () => {
    const found = new Map();
    const frames = async () => {
        for (let n = 0; n < 2; n += 1) await new Promise(requestAnimationFrame);
    };
    const look = () => {
        for (const row of document.querySelectorAll("#events li")) {
            const box = row.getBoundingClientRect();
            const list = row.parentElement.getBoundingClientRect();
            const place = Math.round((box.top - list.top) / box.height) + 1;
            if (place !== Number(row.ariaPosInSet)) throw new Error(`a row is not at ${place}`);
            if (!row.innerText.trim()) throw new Error(`nothing is at ${place}`);
            const known = found.get(place) ?? row.dataset.seq;
            if (known !== row.dataset.seq) throw new Error(`two rows at ${place}`);
            found.set(place, row.dataset.seq);
        }
    };
    const before = scrollY;
    await frames(); // whoever scrolled last, the list draws in the frame after
    look();
    const size = () => Number(document.querySelector("#events li").ariaSetSize);
    while (found.size < size() && scrollY + innerHeight < document.documentElement.scrollHeight - 1) {
        scrollBy(0, innerHeight);
        await frames();
        look();
    }
    scrollTo(0, before);
    await frames();
    const places = [...found.keys()].sort((one, other) => one - other);
    if (places.some((place, at) => place !== at + 1)) throw new Error(`rows are missing: ${places}`);
    return places.map((place) => Number(found.get(place)));
}"""


def has(page: Page, size: int) -> None:
    """Wait for a list of so many events, of which only those in sight are in the document."""
    expect(page.locator("#events li").first).to_have_attribute("aria-setsize", str(size))


def seqs(page: Page) -> list[int]:
    """The seqs shown, top to bottom, as one sees them who scrolls through the list and back."""
    found: list[int] = page.evaluate(SCROLLED)
    return found


def shows(page: Page, expected: list[int]) -> None:
    has(page, len(expected))
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
