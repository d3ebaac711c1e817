"""Events for whatever is asked: the latest first, or those after a place in the stream.

In a table of millions no column but the time and the session has an index, and none is needed: `activity` knows in
which quarters of an hour there is something to find, and only those are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from datasette_vibetea.database import COLUMNS, PAGE_ROWS, TABLE, event
from datasette_vibetea.slots import SLOT_SECONDS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from datasette_vibetea.filters import Filters

Place = tuple[str, int]
"""A timestamp and a seq: where an event stands among those ordered by their own time."""
_ROWS: Final = f"select {', '.join(COLUMNS)} from {TABLE}"
_DOWN: Final = "order by timestamp desc, seq desc limit ?"
_MINUTE: Final = f"strftime('%Y-%m-%dT%H:%M', {{slot}} * {SLOT_SECONDS}, 'unixepoch')"
"""The beginning of a time is less than all that begin with it."""


def latest(
    connection: sqlite3.Connection, filters: Filters, count: int, before: Place | None = None
) -> list[dict[str, Any]]:
    """Up to `count` matching events by their own time, the latest first, whatever the range of the filters."""
    if not filters.columns or filters.session is not None:
        return _found(connection, filters, count, before)
    found: list[dict[str, Any]] = []
    for begin, end in _quarters(connection, filters, before):
        found += _found(connection, filters, count - len(found), min(before or (end, 0), (end, 0)), begin)
        if len(found) == count:
            break
    return found


def after(connection: sqlite3.Connection, filters: Filters, seq: int) -> list[dict[str, Any]]:
    """Up to PAGE_ROWS matching events whose seq is above this one, in order."""
    parts, values = _conditions(filters)
    sql = f"{_ROWS} where {' and '.join(['seq > ?', *parts])} order by seq limit {PAGE_ROWS}"
    return [event(row) for row in connection.execute(sql, (seq, *values))]


def _found(
    connection: sqlite3.Connection,
    filters: Filters,
    count: int,
    before: Place | None,
    begin: str = "",
) -> list[dict[str, Any]]:
    parts, values = _conditions(filters)
    if begin:
        parts, values = ["timestamp >= ?", *parts], [begin, *values]
    if before:
        parts, values = ["(timestamp, seq) < (?, ?)", *parts], [*before, *values]
    where = f"where {' and '.join(parts)}" if parts else ""
    return [event(row) for row in connection.execute(f"{_ROWS} {where} {_DOWN}", (*values, count))]


def _quarters(connection: sqlite3.Connection, filters: Filters, before: Place | None) -> Iterator[tuple[str, str]]:
    """The first minutes of those in which something matches, and of the next each, the latest first; read as needed."""
    parts = [f"{name} = ?" for name, _ in filters.columns]
    values: list[Any] = [value for _, value in filters.columns]
    if before:
        parts, values = [f"slot <= strftime('%s', ?) / {SLOT_SECONDS}", *parts], [before[0], *values]
    bounds = f"{_MINUTE.format(slot='slot')}, {_MINUTE.format(slot='(slot + 1)')}"
    sql = f"select {bounds} from activity where {' and '.join(parts)} group by slot order by slot desc"
    yield from connection.execute(sql, values)


def _conditions(filters: Filters) -> tuple[list[str], list[Any]]:
    # not coalesced, so that the session's index is of use
    parts = [f"{name} = ?" if value else f"coalesce({name}, '') = ''" for name, value in filters.names]
    return parts, [value for _, value in filters.names if value]
