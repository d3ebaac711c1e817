"""History from Supabase in the heatmap, in a real Chromium. See `open_page`: errors of the page fail the test."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect
from tests.datasette_plugins.activity import happened
from tests.datasette_plugins.chromium import live
from tests.datasette_plugins.conftest import Events, eventually, plainly_served
from tests.datasette_plugins.supabase import TOKEN, Supabase, failing
from tests.datasette_plugins.test_look import CONTRAST

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    import pytest

NOW = "2026-11-22T13:20:00Z"


def test_hours_of_before_stand_apart_and_lead_nowhere(
    empty_db: Events,
    functions: Supabase,
    servers: ExitStack,
    open_page: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """1. Supabase fails, then answers. 2. Its hours are walked to. 3. A project is chosen: it knows none."""
    monkeypatch.setenv("FUNCTIONS_TOKEN", TOKEN)
    history = {"url": functions.url, "token": {"$env": "FUNCTIONS_TOKEN"}}
    metadata = tmp_path / "metadata.json"
    metadata.write_text(json.dumps({"plugins": {"datasette-vibetea": {"history": history}}}))
    happened(empty_db, "2026-11-22T01:00:00Z")
    functions.add("2026-11-22", 0, 7)
    functions.add("2026-11-22", 1, 3, "build-server")
    functions.instead = failing
    base, _ = servers.enter_context(plainly_served(empty_db.path, "-m", str(metadata)))
    page = open_page("about:blank")
    page.clock.set_fixed_time(NOW)
    page.goto(f"{base}/-/vibetea/heatmap")
    live(page)
    told, line = page.locator("#told"), page.locator("#history span")
    expect(line).to_have_text("Supabase gives no usable answer now.")
    expect(page.locator('[aria-label^="1 event, Sunday 22 November, 02:00"]')).to_be_visible()
    functions.instead = None
    page.locator('#grid a[aria-label^="0 events, Sunday 22 November, 01:00"]').focus()
    expect(page.get_by_role("button", name="Ask again")).to_be_visible()
    again = "document.querySelector('#history button').click()"
    eventually(lambda: page.evaluate(again) or "dotted" in (line.text_content() or ""))  # the server asks once a second
    expect(line).to_have_text("10 events of these days are from Supabase: dotted.")
    expect(page.locator("#sum")).to_contain_text("11 events in 7 days")

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
