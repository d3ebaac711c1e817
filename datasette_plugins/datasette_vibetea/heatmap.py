"""The heatmap's data: how many events every quarter of an hour saw, to be folded into the hours of those who look.

A month of a busy year takes a tenth of a second to add up, and the page asks after every burst of events. So sums are
kept, and what came since is added to them, just as the daemon adds it to `activity`.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from datasette_vibetea.database import TABLE
from datasette_vibetea.filters import MOST_CHARACTERS
from datasette_vibetea.slots import SLOT_SECONDS

if TYPE_CHECKING:
    import sqlite3

    from datasette_vibetea.filters import Filters

UNCOUNTED: Final = ("token_usage", "session_metrics", "activity_pattern", "model_distribution", "project_activity")
"""Types that are nobody's act: the bill of each message, and sums and states of what has been counted already."""
CHOICES: Final = 100
KEPT: Final = 16
MOST_NEW: Final = 5000
"""Events since; with more of them adding everything up anew is quicker."""

# compared one by one: SQLite takes longer to look into a list
_ACTS: Final = " and ".join(f"type <> '{name}'" for name in UNCOUNTED)
_SINCE: Final = f"""(
    select strftime('%s', timestamp) / {SLOT_SECONDS} as slot, source, coalesce(project, '') as project, type, 1 as n
    from {TABLE} where seq > ?
)"""
_NEWEST: Final = f"select seq, id from {TABLE} order by seq desc limit 1"
_THERE: Final = f"select 1 from {TABLE} where seq = ? and id = ?"


@dataclass(frozen=True, slots=True)
class _Sums:
    """Events by slot, and whatever the filters on columns by (source, project)."""

    slots: Counter[int] = field(default_factory=Counter)
    names: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(self.slots + other.slots, self.names + other.names)


class Heatmap:
    """The sums of the questions asked last. May be asked from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Filters, tuple[tuple[int, str], _Sums]] = {}

    def read(self, connection: sqlite3.Connection, filters: Filters) -> dict[str, Any]:
        """`counts` by quarter hour from slot `start` on, the types left out, and the sources and projects to choose."""
        filters = filters.without("type", "tool")
        newest = connection.execute(_NEWEST).fetchone() or (0, "")
        sums = self._sums(connection, filters, newest)
        with self._lock:
            self._kept.pop(filters, None)
            self._kept[filters] = newest, sums
            while len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return {
            "start": filters.first,
            "counts": [sums.slots[slot] for slot in range(filters.first, filters.last)],
            "uncounted": UNCOUNTED,
            "sources": _choices(sums, 0),
            "projects": _choices(sums, 1),
        }

    def _sums(self, connection: sqlite3.Connection, filters: Filters, newest: tuple[int, str]) -> _Sums:
        with self._lock:
            then, sums = self._kept.get(filters, ((0, ""), _Sums()))
        # another file, or one with less in it, has another event there or none
        if newest[0] - then[0] <= MOST_NEW and connection.execute(_THERE, then).fetchone():
            return sums + _added(connection, filters, _SINCE, then[0])
        return _added(connection, filters, "activity")


def _added(connection: sqlite3.Connection, filters: Filters, rows: str, *parameters: int) -> _Sums:
    """The sums of these rows, which have the columns of `activity`."""

    def found(columns: str, asked: Filters) -> list[tuple[Any, ...]]:
        where, values = asked.where()
        sql = f"select {columns}, sum(n) from {rows} where {where} and {_ACTS} group by {columns}"
        return connection.execute(sql, (*parameters, *values)).fetchall()

    names = found("source, project", filters.without("source", "project"))
    return _Sums(Counter(dict(found("slot", filters))), Counter({(source, project): n for source, project, n in names}))


def _choices(sums: _Sums, column: int) -> list[str]:
    """The most active names first, without those that cannot be asked for."""
    active: Counter[str] = Counter()
    for pair, n in sums.names.items():
        active[pair[column]] += n
    names = sorted(active, key=lambda name: (-active[name], name))
    return [name for name in names if 0 < len(name) <= MOST_CHARACTERS][:CHOICES]
