from __future__ import annotations

import random
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from datasette_vibetea import database
from datasette_vibetea.minutes import MINUTES, Minutes

if TYPE_CHECKING:
    from tests.datasette_plugins.conftest import Events

NOON = datetime(2026, 4, 17, 12, tzinfo=UTC)
SESSIONS = ["one", "two", "silent"]


def stamp(at: datetime) -> str:
    return f"{at.isoformat()[:19]}Z"


def write(events: Events, session: str | None, at: datetime, count: int = 1) -> None:
    """Events, and what the daemon says of their session."""
    events.add(count, session_id=session, timestamp=stamp(at))
    events.connection.execute(
        "insert into sessions(session_id, source, first_at, last_at, events) values (?, 'laptop', ?2, ?2, 1) "
        "on conflict do update set last_at = max(last_at, ?2)",
        (session or "none", stamp(at)),
    )


def read(events: Events, minutes: Minutes, now: datetime) -> list[list[int]]:
    with closing(database.connect(events.path)) as connection:
        return minutes.read(connection, SESSIONS, now)


def test_an_event_counts_in_its_minute_for_half_an_hour(empty_db: Events) -> None:
    minutes = Minutes()
    write(empty_db, "one", NOON, 3)
    write(empty_db, "one", NOON + timedelta(seconds=59))
    write(empty_db, "two", NOON + timedelta(minutes=2))  # that machine's clock is ahead
    write(empty_db, None, NOON)
    assert read(empty_db, minutes, NOON) == [[0] * 29 + [4], [0] * 30, [0] * 30]
    assert read(empty_db, minutes, NOON + timedelta(minutes=2)) == [[0] * 27 + [4, 0, 0], [0] * 29 + [1], [0] * 30]
    assert read(empty_db, minutes, NOON + timedelta(minutes=29)) == [[4] + [0] * 29, [0] * 2 + [1] + [0] * 27, [0] * 30]
    assert read(empty_db, minutes, NOON + timedelta(minutes=32)) == [[0] * MINUTES] * 3


def test_what_is_added_to_the_kept_counts_is_what_counting_anew_finds(empty_db: Events) -> None:
    chance = random.Random(7)
    minutes = Minutes()
    now = NOON
    for burst in (1, 20, 5200, 3, 40):
        empty_db.connection.execute("begin")
        for _ in range(burst):
            at = now - timedelta(minutes=chance.uniform(-3, 40))
            write(empty_db, chance.choice(["one", "two", None]), at)
        empty_db.connection.execute("commit")
        kept = read(empty_db, minutes, now)
        assert kept == read(empty_db, Minutes(), now)
        assert sum(map(sum, kept)) > 0 or burst == 1
        now += timedelta(minutes=chance.uniform(0, 5))


def test_another_database_in_its_place_is_counted_anew(empty_db: Events) -> None:
    minutes = Minutes()
    write(empty_db, "one", NOON, 3)
    assert read(empty_db, minutes, NOON)[0][-1] == 3
    for table in ("events", "sqlite_sequence"):
        empty_db.connection.execute(f"delete from {table}")
    assert read(empty_db, minutes, NOON)[0][-1] == 0
    write(empty_db, "one", NOON, 2)
    assert read(empty_db, minutes, NOON)[0][-1] == 2
