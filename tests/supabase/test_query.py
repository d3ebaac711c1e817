"""`query` over HTTP, a case for every row of the contract's table, on each engine, out of a real PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.relay.world import Sender
from tests.supabase import parts
from tests.supabase.client import Client, batch, event, said

if TYPE_CHECKING:
    from tests.supabase.stack import Stack


NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
"""The hour that the tests began in, and may end after."""


def hour(ago: int) -> datetime:
    """The beginning of an hour in UTC."""
    return NOW - timedelta(hours=ago)


def row(source: str, ago: int, count: int) -> dict[str, Any]:
    at = hour(ago)
    return {"source": source, "date": f"{at:%Y-%m-%d}", "hour": at.hour, "eventCount": count}


def fill(stack: Stack, source: str, *hours_ago: int, count: int = 1) -> None:
    for ago in hours_ago:
        stack.query("insert into vibetea.hourly values (%s, %s, %s)", hour(ago), source, count)


def test_what_ingest_took_is_told_by_hour_the_newest_first(stack: Stack, functions: Client) -> None:
    desktop = Sender("desktop")
    for number, ago in enumerate((30, 30, 2, 1, 1, 1)):
        at = (hour(ago) + timedelta(minutes=59, seconds=59.999)).isoformat().replace("+00:00", "Z")
        assert functions.send(batch(event(number, timestamp=at))).status_code == 200
    at = hour(1).isoformat().replace("+00:00", "Z")
    assert functions.send(batch(event(1, desktop, timestamp=at)), desktop).status_code == 200
    answer = functions.ask(days=7)
    assert answer.status_code == 200
    found = answer.json()
    assert found["aggregates"] == [row("desktop", 1, 1), row("laptop", 1, 3), row("laptop", 2, 1), row("laptop", 30, 2)]
    fetched = datetime.fromisoformat(found["meta"].pop("fetchedAt"))
    assert abs(datetime.now(UTC) - fetched) < timedelta(minutes=5)
    assert found["meta"] == {"totalCount": 4, "daysRequested": 7}
    assert functions.ask(days=7, source="desktop").json()["aggregates"] == [row("desktop", 1, 1)]


def test_seven_days_or_thirty(stack: Stack, functions: Client) -> None:
    fill(stack, "laptop", 1, 7 * 24 - 1, 7 * 24 + 1, 30 * 24 - 1, 30 * 24 + 1)
    months, weeks, default = functions.ask(days=30), functions.ask(days=7), functions.ask()
    assert [found.json()["meta"]["totalCount"] for found in (months, weeks, default)] == [4, 2, 2]
    assert [found.json()["meta"]["daysRequested"] for found in (months, weeks, default)] == [30, 7, 7]


def test_more_rows_than_the_rest_interface_gives_come_whole(stack: Stack, functions: Client) -> None:
    """Thirty days of three sources: the interface in between cuts rows at a thousand."""
    stack.query("""
        insert into vibetea.hourly
        select date_trunc('hour', now(), 'UTC') - ago * interval '1 hour', source, ago + 1
        from generate_series(0, 719) as ago, unnest(array['laptop', 'desktop', 'server']) as source
    """)
    found = functions.ask(days=30).json()
    assert found["meta"]["totalCount"] == len(found["aggregates"]) == 2160
    assert sum(each["eventCount"] for each in found["aggregates"]) == 3 * 720 * 721 // 2
    at = [(each["date"], each["hour"]) for each in found["aggregates"]]
    assert at == sorted(at, reverse=True)


@pytest.mark.parametrize("source", ["stranger", "my laptop", "läptop", "\0", "x" * 100, "' or true --"])
def test_a_source_nobody_has_has_no_hours(stack: Stack, functions: Client, source: str) -> None:
    fill(stack, "laptop", 1)
    answer = functions.ask(source=source)
    assert (answer.status_code, answer.json()["aggregates"]) == (200, [])


def test_an_empty_source_is_all_of_them(stack: Stack, functions: Client) -> None:
    fill(stack, "laptop", 1)
    assert functions.ask(source="").json()["aggregates"] == [row("laptop", 1, 1)]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "missing_auth"),
        ("", "missing_auth"),
        ("Bearer", "invalid_token"),
        ("Bearer another", "invalid_token"),
        ("Basic {token}", "invalid_token"),
        ("{token}", "invalid_token"),
        ("Bearer {token}x", "invalid_token"),
        ("Bearer {token} {token}", "invalid_token"),
    ],
)
def test_who_does_not_have_the_token_is_told_nothing(
    stack: Stack, functions: Client, header: str | None, code: str
) -> None:
    """Before anything else is looked at."""
    headers = {} if header is None else {"Authorization": header.format(token=stack.token)}
    assert said(functions.call("GET", "query?days=8", headers=headers)) == (401, code)


def test_the_schemes_name_has_no_case(stack: Stack, functions: Client) -> None:
    headers = {"authorization": f"bearer {stack.token}"}
    assert functions.call("GET", "query", headers=headers).status_code == 200


@pytest.mark.parametrize("days", ["", "0", "8", "-7", "07", "7.0", "7 ", "7abc", "30000", "seven"])
def test_other_days(functions: Client, days: str) -> None:
    assert said(functions.ask(days=days)) == (400, "invalid_days")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_another_method(functions: Client, method: str) -> None:
    answer = functions.call(method, "query")
    assert (*said(answer), answer.headers["Allow"]) == (405, "method_not_allowed", "GET, OPTIONS")


def test_a_preflight_allows_the_token(functions: Client) -> None:
    answer = functions.call("OPTIONS", "query?days=7", headers={"Origin": "https://team.example"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert "authorization" in answer.headers["Access-Control-Allow-Headers"].split(", ")
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, OPTIONS"


def test_without_a_token_of_its_own_it_does_not_start(stack: Stack) -> None:
    with pytest.raises(AssertionError, match="VIBETEA_SUBSCRIBER_TOKEN is not set"):
        stack.serving(parts.deno(), VIBETEA_SUBSCRIBER_TOKEN=" ").__enter__()
