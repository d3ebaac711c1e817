"""History from Supabase in the heatmap, in a real Chromium. See `open_page`: errors of the page fail the test."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect
from tests.datasette_plugins.activity import happened
from tests.datasette_plugins.chromium import live
from tests.datasette_plugins.conftest import Events, eventually, plainly_served
from tests.datasette_plugins.supabase import TOKEN, Supabase, failing
from tests.datasette_plugins.test_look import CONTRAST
from tests.relay.world import Sender
from tests.supabase.client import Client, batch

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from playwright.sync_api import Page
    from tests.supabase.stack import Stack

NOW = "2026-11-22T13:20:00Z"


@pytest.fixture
def asking(
    empty_db: Events, servers: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str], str]:
    """Serves the pages, which ask the functions at a URL with a token; the address."""

    def served(url: str, token: str) -> str:
        monkeypatch.setenv("FUNCTIONS_TOKEN", token)
        history = {"url": url, "token": {"$env": "FUNCTIONS_TOKEN"}}
        metadata = tmp_path / "metadata.json"
        metadata.write_text(json.dumps({"plugins": {"datasette-vibetea": {"history": history}}}))
        base, _ = servers.enter_context(plainly_served(empty_db.path, "-m", str(metadata)))
        return base

    return served


def heatmap(open_page: Any, base: str) -> Page:
    """The page at that moment."""
    page: Page = open_page("about:blank")
    page.clock.set_fixed_time(NOW)
    page.goto(f"{base}/-/vibetea/heatmap")
    return page


def test_a_new_machine_without_an_event_shows_the_hours_of_before(
    functions: Supabase, asking: Callable[[str, str], str], open_page: Any
) -> None:
    functions.add("2026-11-22", 0, 7)
    base = asking(functions.url, TOKEN)
    page = heatmap(open_page, base)
    expect(page.locator("#history span")).to_have_text(
        "7 events of these days are from Supabase, token counts among them: dotted."
    )
    expect(page.locator('[aria-label^="7 events from Supabase, Sunday 22 November, 01:00"]')).to_be_visible()
    expect(page.locator("#empty")).to_contain_text("vibetea up")
    page.goto(f"{base}/-/vibetea")
    expect(page.locator('[aria-label^="7 events from Supabase, Sunday 22 November, 01:00"]')).to_be_visible()
    expect(page.locator("#empty")).to_contain_text("vibetea install-hooks")
    for part in ("#figures", "#latest"):
        expect(page.locator(part)).to_be_hidden()


def test_hours_of_before_stand_apart_and_lead_nowhere(
    empty_db: Events, functions: Supabase, asking: Callable[[str, str], str], open_page: Any
) -> None:
    """1. Supabase fails, then answers. 2. Its hours are walked to. 3. A project is chosen: it knows none."""
    happened(empty_db, "2026-11-22T01:00:00Z")
    functions.add("2026-11-22", 0, 7)
    functions.add("2026-11-22", 1, 3, "build-server")
    functions.instead = failing
    page = heatmap(open_page, asking(functions.url, TOKEN))
    live(page)
    told, line = page.locator("#told"), page.locator("#history span")
    expect(line).to_have_text("Supabase gives no usable answer now.")
    expect(page.locator('[aria-label^="1 event, Sunday 22 November, 02:00"]')).to_be_visible()
    functions.instead = None
    page.locator('#grid a[aria-label^="0 events, Sunday 22 November, 01:00"]').focus()
    expect(page.get_by_role("button", name="Ask again")).to_be_visible()
    again = "document.querySelector('#history button').click()"
    eventually(lambda: page.evaluate(again) or "dotted" in (line.text_content() or ""))  # the server asks once a second
    expect(line).to_have_text("10 events of these days are from Supabase, token counts among them: dotted.")
    expect(page.locator("#sum")).to_contain_text("11 events in 7 days, 10 of them from Supabase.")

    older = page.locator('#grid tbody td.older[aria-label^="7 events from Supabase, Sunday 22 November, 01:00"]')
    expect(older).to_be_focused()
    expect(told).to_have_text("7 events from Supabase, Sunday 22 November, 01:00–02:00")
    assert page.locator('#grid [tabindex="0"]').count() == 1
    assert older.locator("a").count() == 0
    assert page.evaluate(CONTRAST) == []
    older.press("ArrowDown")
    mixed = page.locator('#grid tbody a[aria-label^="4 events, 3 of them from Supabase, Sunday 22 November, 02:00"]')
    expect(mixed).to_be_focused()
    expect(mixed).to_have_attribute("href", re.compile("timestamp__gte=2026-11-22T01"))
    mixed.press("ArrowUp")
    expect(older).to_be_focused()

    page.select_option("[name=project]", "shop")
    expect(line).to_have_text(re.compile("nothing of it is added to one project"))
    expect(page.locator('#grid a[aria-label^="1 event, Sunday 22 November, 02:00"]')).to_be_visible()
    expect(page.locator("#grid td.older")).to_have_count(0)


def test_the_real_functions_fill_the_hours_they_alone_have(
    empty_db: Events, stack: Stack, asking: Callable[[str, str], str], open_page: Any
) -> None:
    """What was sent to a real `ingest`, told by a real `query`; of the hours this database knows it adds nothing."""
    yesterday, before = (
        (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:30:00.000Z") for days in (1, 2)
    )
    happened(empty_db, yesterday)
    with Client(stack.functions, stack.token) as client:
        for source, at, numbers in (
            ("laptop", before, range(3)),
            ("laptop", yesterday, range(3, 5)),
            ("desktop", yesterday, range(4)),
        ):
            sender = Sender(source)
            sent = client.send(batch(*(sender.event(number, timestamp=at) for number in numbers)), sender)
            assert sent.json()["inserted"] == len(numbers)
    page = open_page(f"{asking(stack.functions, stack.token)}/-/vibetea/heatmap")
    expect(page.locator("#history span")).to_have_text(
        "7 events of these days are from Supabase, token counts among them: dotted."
    )
    expect(page.locator("#sum")).to_contain_text("8 events in 7 days")
    expect(page.locator('#grid tbody td.older[aria-label^="3 events from Supabase"]')).to_have_count(1)
    expect(page.locator('#grid tbody a[aria-label^="5 events, 4 of them from Supabase"]')).to_have_count(1)
