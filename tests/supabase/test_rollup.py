"""Batches in, hours out: each event counts once, whoever sends it, however often, and at the same time as whom."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import httpx
import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from tests.supabase.events import RECOUNT, ROLLUP, Row, insert
from tests.supabase.stack import DATABASE, SOURCES, Stack

from vibetea_protocol import EventType

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ROWS = st.builds(
    Row,
    id=st.sampled_from([f"evt_{number}" for number in range(8)]),
    source=st.sampled_from(["laptop", "Laptop", "a b", "ü'\"\\"]),
    at=st.integers(0, 48 * 60).map(lambda minute: datetime(2026, 3, 28, tzinfo=UTC) + timedelta(minutes=minute)),
)


def told(at: datetime, source: str = "laptop") -> dict[str, Any]:
    """An hour of the answer."""
    return {"source": source, "date": f"{at:%Y-%m-%d}", "hour": at.hour, "eventCount": 1}


@pytest.fixture
def service(stack: Stack) -> Iterator[psycopg.Connection[Any]]:
    """The service role, as PostgREST becomes it."""
    with stack.postgres.connect(DATABASE, "authenticator") as connection:
        connection.execute("set role service_role")
        yield connection


def test_every_kind_of_event_is_taken_and_no_other(service: psycopg.Connection[Any]) -> None:
    kinds = get_args(EventType)
    assert insert(service, [Row(f"evt_{kind}", type=kind) for kind in kinds]) == len(kinds) == 15
    with pytest.raises(psycopg.errors.CheckViolation):
        insert(service, [Row("evt_a"), Row("evt_b", type="prompt")])


def test_a_batch_with_one_bad_event_leaves_nothing(stack: Stack, service: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        insert(service, [*(Row(f"evt_{number}") for number in range(999)), Row("evt_bad", type="prompt")])
    assert stack.query("select (select count(*) from public.events), (select count(*) from vibetea.hourly)") == [(0, 0)]


@given(batches=st.lists(st.lists(ROWS, max_size=12), max_size=5))
@examples(max_examples=40)
def test_the_rollup_is_what_a_recount_finds(running_stack: Stack, batches: list[list[Row]]) -> None:
    stack = running_stack
    stack.empty()
    with stack.postgres.connect(DATABASE) as connection:
        new = sum(insert(connection, batch) for batch in batches)
        rollup = connection.execute(ROLLUP).fetchone()
        assert rollup == connection.execute(RECOUNT).fetchone()
        assert new == sum(rollup[0].values()) == len({row.id for batch in batches for row in batch})


def test_eight_writers_with_the_same_events_never_wait_in_a_circle(stack: Stack) -> None:
    pool = [Row(f"evt_{number:05}", at=datetime(2026, 11, 1, number % 24, tzinfo=UTC)) for number in range(20_000)]
    shuffled = random.Random(20_000)
    batches = [shuffled.sample(pool, 500) for _ in range(160)]
    rest = [pool[first : first + 500] for first in range(0, len(pool), 500)]  # so that all are in, in the end

    def write(mine: list[list[Row]]) -> int:
        with stack.postgres.connect(DATABASE) as connection:
            return sum(insert(connection, batch) for batch in mine)

    work = batches + rest
    with ThreadPoolExecutor(8) as writers:
        inserted = sum(writers.map(write, (work[number::8] for number in range(8))))
    assert inserted == len(pool)
    assert stack.query(ROLLUP) == stack.query(RECOUNT)
    assert stack.query("select deadlocks from pg_stat_database where datname = current_database()") == [(0,)]


def test_thirty_days_of_three_sources_come_whole_through_the_rest_interface(stack: Stack) -> None:
    first = datetime.now(UTC).replace(minute=59, second=59) - 30 * DAY + HOUR
    hours = [first + number * HOUR for number in range(30 * 24)]
    with stack.postgres.connect(DATABASE) as connection:
        for source in SOURCES:
            insert(connection, [Row(f"{source} {hour}", source, hour) for hour in hours])

    def ask(**arguments: Any) -> list[dict[str, Any]]:
        headers = {"apikey": stack.secret_key}
        answer = httpx.post(f"{stack.rest}/rpc/get_hourly_aggregates", json=arguments, headers=headers)
        assert answer.status_code == 200, answer.text
        return list(answer.json())

    everything = [told(hour, source) for hour in reversed(hours) for source in sorted(SOURCES)]
    assert len(everything) == 2160
    assert ask(days_back=31) == everything
    assert ask(days_back=31, source_filter="laptop") == [hour for hour in everything if hour["source"] == "laptop"]
    assert ask(days_back=31, source_filter="") == []


def test_a_window_begins_with_a_whole_hour(service: psycopg.Connection[Any]) -> None:
    with service.transaction():  # in which it stays the same moment
        [now] = service.execute("select now()").fetchone() or []
        edge = now.replace(minute=0, second=0, microsecond=0) - 7 * DAY
        insert(service, [Row("evt_in", at=edge), Row("evt_out", at=edge - timedelta(microseconds=1))])
        assert service.execute("select public.get_hourly_aggregates(7)").fetchone() == ([told(edge)],)


def test_a_clock_that_is_wrong_costs_nobody_else_anything(service: psycopg.Connection[Any]) -> None:
    now = datetime.now(UTC)
    rows = [Row("evt_now", at=now), Row("evt_ahead", at=datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC))]
    assert insert(service, rows) == 2
    assert service.execute("select public.get_hourly_aggregates(1)").fetchone() == ([told(now)],)


def test_hours_are_those_of_utc_whatever_the_session_thinks(service: psycopg.Connection[Any]) -> None:
    at = datetime.now(UTC).replace(minute=40)
    service.execute("set timezone = 'Asia/Kolkata'")  # half an hour off
    insert(service, [Row("evt_a", at=at)])
    assert service.execute("select public.get_hourly_aggregates(1)").fetchone() == ([told(at)],)
