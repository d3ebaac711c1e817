"""The statistics in a real Chromium. See `open_page`: errors of the page or its console fail the test."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect
from tests.datasette_plugins.chromium import live
from tests.datasette_plugins.test_look import CONTRAST, HOSTILE
from tests.datasette_plugins.told import begun, bill, call, derived_too, error

from datasette_vibetea.prices import RATES

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page
    from tests.datasette_plugins.conftest import Events

NOW = "2026-11-22T13:20:00Z"
MILLION = 1_000_000
LINKS = """() => [...document.querySelectorAll("#numbers a[href*='/vibetea/']:not([data-with])")].map((link) => {
    const [cell, table] = [link.closest("td"), link.closest("table")];
    const head = table ? table.tHead.rows[0].cells[cell.cellIndex] : link.closest("div").querySelector("dt");
    return [link.href, link.title || link.textContent, table?.id ?? "figures", head.textContent];
})"""
SUMS = {
    "Tokens": "input_tokens + output_tokens + cache_read_tokens + cache_creation_tokens",
    "Input": "input_tokens",
    "Output": "output_tokens",
    "Cache read": "cache_read_tokens",
    "Cache write, 5 min": "cache_creation_tokens - cache_creation_hour_tokens",
    "Cache write, 1 h": "cache_creation_hour_tokens",
}
"""Of the rows a number of tokens leads to."""


@pytest.fixture
def opened(address: str, open_page: Any) -> Callable[..., Page]:
    """Opens the statistics at NOW."""

    def open_at(query: str = "", **options: Any) -> Page:
        page: Page = open_page("about:blank", **options)
        page.clock.set_fixed_time(NOW)
        page.goto(f"{address}/statistics{query}")
        live(page)
        return page

    return open_at


@pytest.fixture
def busy_db(empty_db: Events) -> Events:
    """Some of everything, before, in and after the last seven days, with and without names."""
    for at in (
        "2026-11-01T09:00:00.000Z",
        "2026-11-16T08:59:59Z",
        "2026-11-20T14:45:00.000Z",
        "2026-11-22T13:05:00.000Z",
    ):
        with derived_too(empty_db):
            for place, row in enumerate(
                [
                    *(call("Bash", outcome, ms) for outcome, ms in (("ok", 120), ("failed", 6140), ("refused", None))),
                    *(call("Read", "interrupted", 9), call("mcp__a__b", None, 77), call(None), begun("Edit")),
                    *(bill("claude-opus-5-5", (MILLION, 9, 8, 70, 30)), bill("claude-sonnet-5-5"), bill("other")),
                    *(error("rate_limit"), error("overloaded"), error("overloaded")),
                    {"type": "agent", "state": "working", "tool": None, "status": None, "outcome": None},
                ]
            ):
                empty_db.add(
                    1 + place % 3,
                    **{**row, "timestamp": at},
                    project=["shop", "a&b=?c", None][place % 3],
                    source=["laptop", "work station"][place % 2],
                    session_id=f"{place}-session",
                )
    return empty_db


def rows_of(address: str) -> list[dict[str, Any]]:
    """What Datasette's table shows behind an address of it."""
    path, _, query = address.partition("?")
    with urlopen(f"{path}.json?{query}&_shape=array&_size=max") as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found


@pytest.mark.parametrize(
    "query", ["?days=30", "?project=a%26b%3D%3Fc&source=work+station&from=2026-11-20&to=2026-11-22"]
)
def test_every_number_leads_to_just_its_rows(opened: Any, busy_db: Events, query: str) -> None:
    page = opened(query)
    page.locator("summary", has_text="Day by day").click()
    links = page.evaluate(LINKS)
    tables = {"by-model", "day-by-day", "tools", "types", "by-project", "by-source"}
    assert {place for _, _, place, _ in links} >= {"figures"} | tables
    for href, text, _, head in links:
        rows = rows_of(href)
        assert rows, href
        if head in SUMS:
            assert float(text.replace(",", "")) == sum(eval(SUMS[head], {}, row) for row in rows), href
        elif head in {"Half within", "95 % within"}:
            took = [row["duration_ms"] for row in rows]
            assert took == sorted(took, reverse=True)
        elif head != "Cost":
            assert int(text.replace(",", "")) == len(rows), href


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Australia/Lord_Howe"])
def test_days_and_hours_are_those_of_the_viewers_clock(opened: Any, empty_db: Events, zone: str) -> None:
    first = datetime(2026, 10, 3, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    hours: Counter[int] = Counter()
    tokens: Counter[int] = Counter()
    with derived_too(empty_db):
        for step in range(22):
            at = first + timedelta(minutes=15 * 13 * step)
            stamp = f"{at:%Y-%m-%dT%H:%M:%S.000Z}"
            empty_db.add(1 + step, timestamp=stamp)
            empty_db.add(**{**bill(tokens=(1000 * step, 0, 0, 0, 0)), "timestamp": stamp})
            local = at.astimezone(ZoneInfo(zone))  # Lord Howe turns its clocks by half an hour on the 4th
            if local.day <= 5:
                hours[local.hour] += 1 + step
                tokens[local.day] += 1000 * step
    page = opened("?from=2026-10-03&to=2026-10-05", timezone_id=zone)
    expect(page.locator("#figures dd a").first).to_have_text(str(hours.total()))
    said = page.locator("#by-hour td .unseen").all_text_contents()
    assert [int(text.split()[0].replace(",", "")) for text in said] == [hours[hour] for hour in range(24)]
    page.locator("summary", has_text="Day by day").click()
    days = page.locator("#day-by-day tbody tr").evaluate_all(
        "all => all.map(row => [row.cells[0].textContent, row.cells[4].querySelector('a')?.title])"
    )
    assert [(int(re.findall(r"\d+", day)[0]), int(n.replace(",", ""))) for day, n in days] == sorted(tokens.items())


def test_it_grows_under_what_has_the_focus_and_tells_what_it_lacks(opened: Any, busy_db: Events) -> None:
    busy_db.path.with_name("prices.toml").write_text("[[price]]\ninput = 5")
    with derived_too(busy_db):
        busy_db.add(**call("Grep", ms=None), timestamp="2026-11-22T13:05:00Z")
    page = opened()
    expect(page.get_by_role("alert")).to_contain_text(["prices.toml is not used: in [[price]] number 1, models is"])
    expect(page.locator("#unpriced")).to_have_text("No price is known of other.")
    expect(page.locator("#by-model tbody tr").last).to_contain_text("no price")
    for tool, *told in [("Bash", "18", "9", "6.0 s"), ("Grep", "1", "–", "–"), ("Read", "3", "all", "9 ms")]:
        cells = page.locator("#tools tbody tr", has_text=tool).locator("td")
        assert [cells.nth(place).text_content() for place in (0, 2, 3)] == told
    link = page.locator("#tools tbody tr", has_text="Bash").get_by_role("link").first
    before = int(link.text_content())
    link.focus()
    with derived_too(busy_db):
        busy_db.add(2, **call("Bash"), timestamp="2026-11-22T13:19:00Z")
    expect(page.locator("#tools a:focus")).to_have_text(str(before + 2))
    expect(page.locator("#estimate")).to_contain_text("an estimate at the list prices of Anthropic’s API as of")
    rates = "".join(f"{kind} = 1\n" for kind in RATES)
    busy_db.path.with_name("prices.toml").write_text(f'[[price]]\nmodels = ["other"]\n{rates}')
    page.get_by_label("Project").select_option("shop")
    page.wait_for_url("**/statistics?project=shop")
    expect(page.locator("#estimate")).to_contain_text("by your own prices, where they name a model, and else the list")
    expect(page.locator("#figures")).to_contain_text("by your own prices")
    expect(page.locator("#by-project tbody tr")).to_have_count(1)
    page.get_by_label("30 days").check()
    page.wait_for_url("**/statistics?project=shop&days=30")
    page.get_by_role("link", name="Hour by hour").click()
    page.wait_for_url("**/heatmap?days=30&project=shop")


def test_without_events_it_says_what_to_do(opened: Any, empty_db: Events) -> None:
    page = opened()
    expect(page.get_by_role("heading", name="Nothing to count yet")).to_be_visible()
    with derived_too(empty_db):
        empty_db.add(timestamp="2026-01-01T00:00:00Z")
    expect(page.locator("#none")).to_be_visible()
    expect(page.locator("#sections")).to_be_hidden()
    expect(page.locator("#figures dd a")).to_have_text(["0", "0", "0", "0", "0", "$0.00"])
    with derived_too(empty_db):
        empty_db.add(**bill(tokens=(10, 0, 0, 0, 0)), timestamp=NOW)
    expect(page.locator("#figures dd a")).to_have_text(["0", "1", "0", "0", "10", "< $0.01"])
    expect(page.locator("#figures div").first).to_contain_text("without token counts")
    empty_db.connection.execute("drop table outcomes")
    page = opened()
    expect(page.get_by_role("heading", name="An older VibeTea made this database")).to_be_visible()


@pytest.mark.parametrize(("scheme", "width"), [("light", 320), ("dark", 390), ("dark", 2560)])
def test_it_can_be_read_everywhere_and_hostile_names_are_only_text(
    opened: Any, busy_db: Events, scheme: str, width: int
) -> None:
    with derived_too(busy_db):
        for name in HOSTILE:
            columns = {"timestamp": "2026-11-22T13:00:00.000Z", "project": name, "source": name}
            busy_db.add(**{**call(name), **columns})
            busy_db.add(**{**bill(name), **columns})
            busy_db.add(**{**error(name), **columns})
    page = opened("?days=30", color_scheme=scheme, viewport={"width": width, "height": 844})
    page.locator("summary", has_text="Day by day").click()
    assert page.title() == "VibeTea statistics"
    assert page.locator("main :is(script, img, iframe, object, form:not(.filters), svg)").count() == 0
    assert HOSTILE[0] in page.locator("#tools tbody th").all_text_contents()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
    for table in page.locator("#numbers table").all():
        assert table.locator("caption").text_content()
        assert table.locator("th:not([scope])").count() == 0
