"""The live page's data besides the stream: what there is to choose from, and the events before those it has."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from datasette_vibetea import rows
from datasette_vibetea.filters import CHOICES, COLUMNS, MOST_CHARACTERS, BadFilter, Filters, choices
from datasette_vibetea.slots import SLOT_SECONDS

if TYPE_CHECKING:
    import sqlite3

PAGE: Final = 500
_PLACE: Final = re.compile(r"(?P<timestamp>.{1,300}) (?P<seq>[0-9]{1,18})", re.ASCII | re.DOTALL)
MOST_SUMS: Final = 20_000
"""Of `activity`, the latest ones: a busy month of one person."""
_NAMES: Final = f"""
    select {", ".join(COLUMNS)}, count(*) from (
        select {", ".join(COLUMNS)} from activity
        where slot > strftime('%s', 'now', '-30 days') / {SLOT_SECONDS} order by slot desc limit {MOST_SUMS})
    group by {", ".join(COLUMNS)}
"""
_SESSIONS: Final = f"""
    select session_id, coalesce(project, '') from sessions
    where length(session_id) between 1 and {MOST_CHARACTERS} order by last_at desc limit {CHOICES}
"""


@dataclass(frozen=True, slots=True)
class Older:
    """Which events are asked for, and the place before which they stand, None for the latest."""

    filters: Filters
    before: rows.Place | None

    @classmethod
    def parse(cls, arguments: Any) -> Self:
        """The filters of an address and `before`, a timestamp and a seq. Raises BadFilter."""
        filters = Filters.parse(arguments)
        if "before" not in arguments:
            return cls(filters, None)
        if not (place := _PLACE.fullmatch(arguments["before"])):
            raise BadFilter("before is a timestamp and a seq, like 2026-03-12T14:30:00.000Z 17")
        return cls(filters, (place["timestamp"], int(place["seq"])))


def read(connection: sqlite3.Connection, _: Filters) -> dict[str, Any]:
    """`sources`, `projects`, `types` and `tools` of the last 30 days, the most frequent first.

    And the latest `sessions`, each a pair of its id and its project.
    """
    seen: list[Counter[str]] = [Counter() for _ in COLUMNS]
    for *names, n in connection.execute(_NAMES):
        for counter, name in zip(seen, names, strict=True):
            counter[name] += n
    named = {f"{column}s": choices(counter) for column, counter in zip(COLUMNS, seen, strict=True)}
    return {**named, "sessions": connection.execute(_SESSIONS).fetchall()}


def older(connection: sqlite3.Connection, question: Older) -> dict[str, Any]:
    """`events`, up to PAGE as the stream has them, the latest first, and whether there are `more` before them."""
    found = rows.latest(connection, question.filters, PAGE + 1, question.before)
    return {"events": found[:PAGE], "more": len(found) > PAGE}
