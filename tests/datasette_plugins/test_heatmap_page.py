"""The heatmap in a real Chromium. See `open_page`: errors of the page or its console fail the test."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect
from tests.datasette_plugins.activity import committed, happened
from tests.datasette_plugins.chromium import live
from tests.datasette_plugins.conftest import Events, eventually, plainly_served
from tests.datasette_plugins.test_look import CONTRAST, HOSTILE, SCHEMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Page

NOW = "2026-11-22T13:20:00Z"
PATH = "/heatmap"
ALL_HOURS = """() => [...document.querySelectorAll("#grid tbody tr")].flatMap((row, hour) =>
    [...row.querySelectorAll("td")].map((cell, column) => [column, hour, cell.dataset.says]))"""


@pytest.fixture
def opened(address: str, open_page: Any) -> Callable[..., Page]:
    """Opens the heatmap at NOW, or at another time."""

    def open_at(query: str = "", now: str = NOW, **options: Any) -> Page:
        page: Page = open_page("about:blank", **options)
        page.clock.set_fixed_time(now)
        page.goto(f"{address}{PATH}{query}")
        live(page)
        return page

    return open_at


def hour(page: Page, says: str) -> Locator:
    return page.locator(f'#grid a[aria-label^="{says}"]')


def numbers(page: Page, first: date) -> Counter[tuple[date, int]]:
    """What every hour's cell says, by local day and hour, `first` being the first column's day."""
    found: Counter[tuple[date, int]] = Counter()
    for column, at, says in page.evaluate(ALL_HOURS):
        count = re.match(r"([\d,]+) events?, |No such hour, ", says)
        assert count, says
        day = first + timedelta(days=column)
        assert f"{day.day} {day:%B}, {at:02d}:00–{at + 1:02d}:00" in says
        if count[1]:
            found[day, at] = int(count[1].replace(",", ""))
    return found


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        pytest.param("Asia/Kathmandu", date(2026, 5, 5), marks=pytest.mark.both),
        ("Asia/Kolkata", date(2026, 5, 5)),
        pytest.param("Australia/Lord_Howe", date(2026, 4, 5), marks=pytest.mark.both),
        ("Australia/Lord_Howe", date(2026, 10, 4)),
        ("Europe/Berlin", date(2026, 3, 29)),
        ("Europe/Berlin", date(2026, 10, 25)),
        ("America/New_York", date(2026, 3, 8)),
        ("America/New_York", date(2026, 11, 1)),
        ("America/Santiago", date(2026, 9, 6)),  # whose days of change have no midnight
    ],
)
def test_hours_are_those_of_the_viewers_clock(opened: Any, empty_db: Events, zone: str, change: date) -> None:
    first, last = change - timedelta(days=1), change + timedelta(days=1)
    begin = int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp()) // 900 - 96
    expected: Counter[tuple[date, int]] = Counter()
    with committed(empty_db):
        empty_db.add(timestamp="2026-01-01T00:00:00Z")
    for slot in range(begin, begin + 5 * 96):
        count = 1 + slot * slot % 13
        empty_db.connection.execute(
            "insert into activity values (?, 'laptop', 'shop', 'tool', 'Read', ?)", (slot, count)
        )
        local = datetime.fromtimestamp(slot * 900, ZoneInfo(zone))
        if first <= local.date() <= last:
            expected[local.date(), local.hour] += count
    page = opened(f"?from={first}&to={last}", timezone_id=zone)
    assert numbers(page, first) == expected
    by_day = Counter[date]()
    for (day, _), count in expected.items():
        by_day[day] += count
    sums = page.locator("#grid tfoot a").all_text_contents()
    assert sums == [str(by_day[first + timedelta(days=number)]) for number in range(3)]


def test_an_hour_the_clocks_skip_is_no_hour_and_one_they_repeat_is_longer(opened: Any, empty_db: Events) -> None:
    happened(empty_db, "2026-03-29T00:30:00Z", 3)
    page = opened("?from=2026-03-29&to=2026-03-29")
    skipped = page.locator("#grid td.skipped")
    expect(skipped).to_have_attribute("aria-label", "No such hour, Sunday 29 March, 02:00–03:00: the clocks changed")
    assert skipped.locator("a").count() == 0
    happened(empty_db, "2026-10-25T00:30:00Z", 2)
    happened(empty_db, "2026-10-25T01:30:00Z", 4)
    page = opened("?from=2026-10-25&to=2026-10-25")
    expect(hour(page, "6 events, Sunday 25 October, 02:00–03:00, 120 minutes long: the clocks changed")).to_be_visible()


@pytest.mark.parametrize(
    ("zone", "query", "says"),
    [
        ("Europe/Berlin", "", "26 events, Sunday 22 November, 02:00–03:00"),
        ("Asia/Kathmandu", "", "19 events, Sunday 22 November, 06:00–07:00"),
        ("Asia/Kathmandu", "", "10 events, Sunday 22 November, 07:00–08:00"),
        ("Europe/Berlin", "?project=shop", "19 events, Sunday 22 November, 02:00–03:00"),
        ("Europe/Berlin", "?project=a%26b%3D%3Fc&source=work+station", "3 events, Sunday 22 November, 02:00–03:00"),
        ("Europe/Berlin", "?days=30", "26 events, Sunday 22 November, 02:00–03:00"),
        ("Europe/Berlin", "", "29 events, Sunday 22 November"),
        ("Europe/Berlin", "?from=2026-10-25&to=2026-10-25", "7 events, Sunday 25 October, 02:00–03:00, 120"),
    ],
)
def test_a_cell_leads_to_just_as_many_rows(opened: Any, empty_db: Events, zone: str, query: str, says: str) -> None:
    happened(empty_db, "2026-11-22T00:59:59.999Z", 1)
    happened(empty_db, "2026-11-22T01:00:00Z", 5)
    happened(empty_db, "2026-11-22T01:00:00.000Z", 13)
    happened(empty_db, "2026-11-22T01:15:00.000Z", 1)
    happened(empty_db, "2026-11-22T01:15:00.000Z", 9, type="token_usage", tool=None)
    happened(empty_db, "2026-11-22T01:59:59Z", 3, project="a&b=?c", source="work station")
    happened(empty_db, "2026-11-22T01:59:59.999Z", 4, project=None)
    happened(empty_db, "2026-11-22T02:00:00Z", 2)
    happened(empty_db, "2026-10-25T00:59:59.999Z", 3)
    happened(empty_db, "2026-10-25T01:00:00Z", 4)
    page = opened(query, timezone_id=zone)
    link = hour(page, says) if "–" in says else page.locator(f'#grid tfoot a[aria-label="{says}"]')
    link.click()
    page.wait_for_url("**/vibetea/events?*")
    expect(page.locator("table.rows-and-columns tbody tr")).to_have_count(int(says.split(maxsplit=1)[0]))
    times = page.locator("table.rows-and-columns tbody td.col-timestamp").all_text_contents()
    assert times == sorted(times, reverse=True)
    clicked = page.url
    page.go_back()
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(clicked)


def test_a_cell_grows_when_something_happens(opened: Any, empty_db: Events) -> None:
    happened(empty_db, "2026-11-22T13:05:00Z", 25)
    page = opened()
    page.evaluate("window.unchanged = true")
    cell = hour(page, "25 events, Sunday 22 November, 14:00–15:00")
    expect(cell).to_have_text("25")
    expect(cell).to_have_attribute("aria-current", "time")
    cell.focus()
    happened(empty_db, "2026-11-22T13:19:00Z")
    expect(page.locator("#grid a:focus")).to_have_text("26")
    expect(page.locator("#told")).to_have_text("26 events, Sunday 22 November, 14:00–15:00")
    expect(page.locator("#sum")).to_contain_text("26 events in 7 days.")
    expect(page.locator("#grid tfoot a").last).to_have_text("26")
    assert page.evaluate("window.unchanged")


def test_the_hour_that_runs_is_marked_and_so_is_the_next(opened: Any, empty_db: Events) -> None:
    happened(empty_db, "2026-11-22T13:05:00Z")
    page = opened()
    running = page.locator("#grid [aria-current=time]")
    expect(running).to_have_attribute("aria-label", "1 event, Sunday 22 November, 14:00–15:00")
    expect(page.locator("#grid [aria-current=date]")).to_have_attribute("aria-label", "Sunday 22 November")
    page.clock.set_fixed_time("2026-11-22T14:00:00Z")
    happened(empty_db, "2026-11-22T14:00:00Z", 2)
    expect(running).to_have_attribute("aria-label", "2 events, Sunday 22 November, 15:00–16:00")
    page.clock.set_fixed_time("2026-11-22T23:00:00Z")
    happened(empty_db, "2026-11-22T23:00:00Z", 3)
    expect(running).to_have_attribute("aria-label", "3 events, Monday 23 November, 00:00–01:00")
    expect(page.locator("#grid thead th").first).to_have_attribute("aria-label", "Tuesday 17 November")


def test_the_grid_is_one_stop_for_the_tab_key_and_is_walked_by_arrows(opened: Any, empty_db: Events) -> None:
    happened(empty_db, "2026-11-22T13:05:00Z", 26)
    happened(empty_db, "2026-11-21T05:05:00Z", 1)
    page = opened()
    assert page.locator('#grid [tabindex="0"]').count() == 1
    page.get_by_label("Source").focus()
    page.keyboard.press("Tab")
    told = page.locator("#told")
    expect(told).to_have_text("26 events, Sunday 22 November, 14:00–15:00")
    assert told.get_attribute("role") == "status"
    for key, says in {
        "ArrowLeft": "0 events, Saturday 21 November, 14:00–15:00",
        "PageUp": "0 events, Saturday 21 November, 08:00–09:00",
        "ArrowUp": "0 events, Saturday 21 November, 07:00–08:00",
        "ArrowRight": "0 events, Sunday 22 November, 07:00–08:00",
        "ArrowDown": "0 events, Sunday 22 November, 08:00–09:00",
        "Home": "0 events, Monday 16 November, 08:00–09:00",
        "PageDown": "0 events, Monday 16 November, 14:00–15:00",
        "End": "26 events, Sunday 22 November, 14:00–15:00",
        "Control+Home": "0 events, Monday 16 November, 00:00–01:00",
        "Control+End": "26 events, Sunday 22 November",
    }.items():
        page.keyboard.press(key)
        expect(told).to_have_text(says)
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == says
        assert page.locator('#grid [tabindex="0"]').count() == 1
    for key in ("ArrowDown", "ArrowRight", "PageDown", "End"):
        page.keyboard.press(key)
        expect(told).to_have_text("26 events, Sunday 22 November")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('#grid')") is None
    hour(page, "1 event, Saturday 21 November").first.hover()
    expect(told).to_have_text("1 event, Saturday 21 November, 06:00–07:00")


def test_an_hour_that_never_was_can_be_walked_over(opened: Any, empty_db: Events) -> None:
    happened(empty_db, "2026-03-29T00:30:00Z", 3)
    page = opened("?from=2026-03-28&to=2026-03-30")
    hour(page, "3 events, Sunday 29 March, 01:00–02:00").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#told")).to_contain_text("No such hour")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#told")).to_have_text("0 events, Sunday 29 March, 03:00–04:00")
    assert page.locator('#grid [tabindex="0"]').count() == 1


@pytest.mark.both
def test_what_is_asked_for_stands_in_the_address(opened: Any, empty_db: Events) -> None:
    happened(empty_db, "2026-11-22T13:05:00Z", 4)
    happened(empty_db, "2026-11-02T13:05:00Z", 8, project="api")
    happened(empty_db, "2026-07-01T10:05:00Z", 16, source="workstation")
    page = opened()
    days, total = page.locator("#grid thead th"), page.locator("#sum")
    expect(days).to_have_count(7)
    expect(total).to_have_text("4 events in 7 days. The busiest hour: Sunday 22 November, 14:00–15:00, with 4.")
    page.get_by_text("30 days", exact=True).click()
    expect(days).to_have_count(30)
    expect(total).to_contain_text("12 events in 30 days. The busiest hour: Monday 2 November, 14:00–15:00, with 8.")
    page.get_by_label("Project").select_option("api")
    expect(total).to_contain_text("8 events in 30 days")
    expect(page.locator('#grid a[href*="project__exact=api"]')).to_have_count(30 * 25)
    assert page.url.endswith(f"{PATH}?days=30&project=api")
    page.reload()
    expect(total).to_contain_text("8 events in 30 days")
    expect(page.get_by_label("30 days")).to_be_checked()
    expect(page.get_by_label("Project")).to_have_value("api")
    page.get_by_label("From").fill("2026-06-30")
    expect(days).to_have_count(146)
    page.get_by_label("to", exact=True).fill("2026-07-02")
    expect(days).to_have_count(3)
    expect(total).to_have_text("No events in 3 days of this choice.")
    expect(page.get_by_label("30 days")).not_to_be_checked()
    page.get_by_label("Project").select_option("")
    page.get_by_label("Source").select_option("workstation")
    expect(total).to_contain_text("16 events in 3 days")
    assert page.url.endswith(f"{PATH}?from=2026-06-30&to=2026-07-02&source=workstation")
    page.get_by_text("7 days", exact=True).click()
    expect(days).to_have_count(7)
    expect(page.get_by_label("From")).to_have_value("")
    page.go_back()
    expect(days).to_have_count(3)
    expect(page.get_by_label("From")).to_have_value("2026-06-30")


def test_days_that_cannot_be_shown_are_told_and_others_can_be_chosen(opened: Any, empty_db: Events) -> None:
    happened(empty_db, NOW)
    page = opened("?from=abc&to=2026-02-30", forgive="400")
    expect(page.get_by_label("7 days")).to_be_checked()
    for first, last, why in [
        ("2026-11-20", "2026-11-10", "the first day must not be after the last"),
        ("2020-01-01", "2026-11-10", "at most 400 days"),
    ]:
        page.get_by_label("From").fill(first)
        page.get_by_label("to", exact=True).fill(last)
        expect(page.get_by_role("alert")).to_have_text(f"These days cannot be shown: {why}.")
        expect(page.locator("#heat")).to_be_hidden()
    page.reload()
    expect(page.locator("#connection")).to_have_text("Waiting")
    page.get_by_text("7 days", exact=True).click()
    live(page)
    expect(page.get_by_role("alert")).to_have_text("")
    expect(page.locator("#grid")).to_be_visible()


def test_colours_are_quarters_of_the_busy_hours_and_the_legend_says_their_numbers(
    opened: Any, empty_db: Events
) -> None:
    for at, count in enumerate([1, 2, 3, 4, 4, 6, 40, 900]):
        happened(empty_db, f"2026-11-21T{at + 10}:00:00Z", count)
    page = opened()
    legend = page.locator("#legend span")
    expect(legend).to_have_text(["0", "1–2", "3–4", "5–6", "7–900"])
    levels = page.eval_on_selector_all("#grid tbody td:nth-of-type(6)", "all => all.map(each => each.dataset.level)")
    assert [level for level in levels if level != "0"] == ["1", "1", "2", "2", "2", "3", "4", "4"]
    painted = page.eval_on_selector_all(
        "#grid tbody a", "all => all.map(each => getComputedStyle(each).backgroundColor)"
    )
    key = page.eval_on_selector_all("#legend i", "all => all.map(each => getComputedStyle(each).backgroundColor)")
    assert len(set(key)) == 5
    assert set(painted) - {"rgba(0, 0, 0, 0)"} == set(key)


def test_one_busy_hour_is_the_busiest(opened: Any, empty_db: Events) -> None:
    happened(empty_db, "2026-11-21T10:00:00Z", 3)
    page = opened()
    expect(page.locator("#legend span")).to_have_text(["0", "1–3"])
    expect(page.locator('#grid td[data-level="4"]')).to_have_text("3")


def test_without_colours_bars_say_how_busy(opened: Any, empty_db: Events) -> None:
    for at, count in enumerate([1, 2, 3, 4]):
        happened(empty_db, f"2026-11-21T{at + 10}:00:00Z", count)
    for query in ("", "?days=30"):
        page = opened(query, forced_colors="active")
        heights = [
            page.locator(f'#grid [data-level="{level}"] a').first.evaluate(
                "a => parseFloat(getComputedStyle(a).borderBottomWidth)"
            )
            for level in range(5)
        ]
        assert heights == sorted(set(heights))


def test_an_empty_database_teaches_what_to_do(opened: Any, empty_db: Events) -> None:
    page = opened()
    expect(page.get_by_role("heading", name="No hour has been busy on this machine yet")).to_be_visible()
    expect(page.get_by_text("vibetea install-hooks")).to_be_visible()
    expect(page.locator("#heat")).to_be_hidden()
    happened(empty_db, NOW)
    expect(hour(page, "1 event, Sunday 22 November, 14:00–15:00")).to_be_visible()
    expect(page.locator("#empty")).to_be_hidden()


def test_hostile_names_are_only_ever_text(opened: Any, empty_db: Events) -> None:
    names = [name for name in HOSTILE if len(name) <= 300]
    for name in HOSTILE:
        happened(empty_db, NOW, project=name, source=name)
    page = opened()
    project = page.get_by_label("Project")
    assert sorted(project.locator("option").all_text_contents()[1:]) == sorted(names)
    for name in names:
        project.select_option(name)
        expect(page.locator("#sum")).to_contain_text("1 event in 7 days")
    hour(page, "1 event, Sunday 22 November, 14:00–15:00").click()
    page.wait_for_url("**/vibetea/events?*")
    expect(page.locator("table.rows-and-columns tbody tr")).to_have_count(1)


def test_hostile_names_leave_the_page_as_it_is(opened: Any, empty_db: Events) -> None:
    for name in HOSTILE:
        happened(empty_db, NOW, project=name, source=name)
    page = opened()
    assert page.title() == "VibeTea heatmap"
    assert page.locator("main :is(script, img, iframe, object, svg)").count() == 0
    hrefs = page.eval_on_selector_all("#grid a", "all => all.map(each => each.getAttribute('href'))")
    assert all(href.startswith("/vibetea/events?") for href in hrefs)


@pytest.mark.both
def test_a_phone_has_seven_days_in_view_and_the_newest_of_thirty(opened: Any, empty_db: Events) -> None:
    happened(empty_db, NOW, 12345)
    size = {"width": 390, "height": 844}
    page = opened(viewport=size)
    heads = page.locator("#grid thead th")
    expect(heads.first).to_be_in_viewport(ratio=1)
    expect(heads.last).to_be_in_viewport(ratio=1)
    page = opened("?days=30", viewport=size)
    expect(heads.nth(0)).to_be_attached()
    heads = page.locator("#grid thead th")
    expect(heads.last).to_be_in_viewport(ratio=1)
    expect(heads.first).not_to_be_in_viewport()
    side = page.locator("#grid tbody th").first
    expect(side).to_be_in_viewport(ratio=1)
    page.locator("#days").evaluate("box => { box.scrollLeft = 0; }")
    expect(heads.first).to_be_in_viewport(ratio=1)
    expect(side).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_nothing_is_wider_than_the_window(opened: Any, empty_db: Events) -> None:
    happened(empty_db, NOW, project="a-project-with-a-very-long-name-indeed-which-goes-on" * 3)
    for query in ("", "?days=30", "?days=366"):
        page = opened(query)
        expect(page.locator("#grid")).to_be_visible()
        for width in (320, 720, 1024, 2560):
            page.set_viewport_size({"width": width, "height": 700})
            assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [1200, 390])
def test_text_stands_out_in_both_schemes(opened: Any, empty_db: Events, width: int) -> None:
    for at, count in enumerate([1, 2, 3, 4, 5, 40]):
        happened(empty_db, f"2026-11-21T{at + 10}:00:00Z", count)
    page = opened(viewport={"width": width, "height": 844}, reduced_motion="reduce")
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(CONTRAST) == []


def test_works_below_a_base_address(open_page: Any, servers: Any, empty_db: Events) -> None:
    with committed(empty_db):
        empty_db.add(4)
    base, _ = servers.enter_context(plainly_served(empty_db.path, "--setting", "base_url", "/tea/"))
    page = open_page(f"{base}/tea/-/vibetea/heatmap")
    live(page)
    page.locator("#grid tfoot a", has_text="4").click()
    page.wait_for_url("**/tea/vibetea/events?*")
    eventually(lambda: page.locator("table.rows-and-columns tbody tr").count() == 4)
