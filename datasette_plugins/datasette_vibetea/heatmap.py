"""The heatmap's data: how many events every quarter of an hour saw, to be folded into the hours of those who look."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from datasette_vibetea.database import TABLE
from datasette_vibetea.filters import choices
from datasette_vibetea.slots import SLOT_SECONDS
from datasette_vibetea.sums import Sums

if TYPE_CHECKING:
    import sqlite3

    from datasette_vibetea.filters import Filters

UNCOUNTED: Final = ("token_usage", "session_metrics", "activity_pattern", "model_distribution", "project_activity")
"""Types that are nobody's act: the bill of each message, and sums and states of what has been counted already."""
COLUMNS: Final = ("source", "project", "type")

# compared one by one: SQLite takes longer to look into a list
ACTS: Final = " and ".join(f"type <> '{name}'" for name in UNCOUNTED)
_SINCE: Final = f"""(
    select strftime('%s', timestamp) / {SLOT_SECONDS} as slot, source, coalesce(project, '') as project, type, 1 as n
    from {TABLE} where seq > ?
)"""


@dataclass(frozen=True, slots=True)
class Hours:
    """Events by slot; and whatever the filters on columns, by the values of COLUMNS."""

    slots: Counter[int] = field(default_factory=Counter)
    acts: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def __add__(self, other: Hours) -> Hours:
        return Hours(self.slots + other.slots, self.acts + other.acts)

    def acts_by(self, column: str) -> Counter[str]:
        """Events by one of COLUMNS, whatever the filters."""
        acts: Counter[str] = Counter()
        for names, n in self.acts.items():
            acts[names[COLUMNS.index(column)]] += n
        return acts


class Heatmap:
    """Its answers, out of sums that are kept. May be asked from any thread."""

    def __init__(self) -> None:
        self._sums = Sums(_count)

    def hours(self, connection: sqlite3.Connection, filters: Filters) -> Hours:
        """What is counted, for filters on project and source."""
        return self._sums.of(connection, filters.without("type", "tool"))

    def read(self, connection: sqlite3.Connection, filters: Filters) -> dict[str, Any]:
        """`counts` by quarter hour from slot `start` on, the types left out, and the sources and projects to choose."""
        hours = self.hours(connection, filters)
        return {
            "start": filters.first,
            "counts": [hours.slots[slot] for slot in range(filters.first, filters.last)],
            "uncounted": UNCOUNTED,
            "sources": choices(hours.acts_by("source")),
            "projects": choices(hours.acts_by("project")),
        }


def _count(connection: sqlite3.Connection, filters: Filters, after: int | None) -> Hours:
    rows, parameters = ("activity", ()) if after is None else (_SINCE, (after,))

    def found(columns: str, asked: Filters) -> list[tuple[Any, ...]]:
        where, values = asked.where()
        sql = f"select {columns}, sum(n) from {rows} where {where} and {ACTS} group by {columns}"
        return connection.execute(sql, (*parameters, *values)).fetchall()

    acts = found(", ".join(COLUMNS), filters.without("source", "project"))
    return Hours(Counter(dict(found("slot", filters))), Counter({tuple(names): n for *names, n in acts}))
