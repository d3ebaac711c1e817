"""Sums over the events of a choice, kept: adding up a month of a busy year takes long, and pages ask after every burst.

What came since is added to what is kept, just as the daemon adds it to its tables of sums.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Generic, Protocol, Self, TypeVar

from datasette_vibetea.seen import Seen

if TYPE_CHECKING:
    import sqlite3

    from datasette_vibetea.filters import Filters

KEPT: Final = 16


class Sum(Protocol):
    """What can be added to another of its kind."""

    def __add__(self, other: Self, /) -> Self: ...


S = TypeVar("S", bound=Sum)
S_co = TypeVar("S_co", covariant=True)


class Count(Protocol[S_co]):
    """Adds up: all of it from the tables of sums, or from the events after a sequence number."""

    def __call__(self, connection: sqlite3.Connection, filters: Filters, after: int | None) -> S_co: ...  # noqa: D102


class Sums(Generic[S]):
    """The sums of the questions asked last. May be asked from any thread."""

    def __init__(self, count: Count[S]) -> None:
        self._count = count
        self._lock = threading.Lock()
        self._kept: dict[Filters, tuple[Seen, S]] = {}

    def of(self, connection: sqlite3.Connection, filters: Filters) -> S:
        """The sums now. Raises sqlite3.Error."""
        newest = Seen.newest(connection)
        sums = self._now(connection, filters, newest)
        with self._lock:
            self._kept.pop(filters, None)
            self._kept[filters] = newest, sums
            while len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return sums

    def _now(self, connection: sqlite3.Connection, filters: Filters, newest: Seen) -> S:
        with self._lock:
            kept = self._kept.get(filters)
        if kept is None:
            return self._count(connection, filters, None)
        then, sums = kept
        if then == newest:
            return sums
        if then.leads_to(newest, connection):
            return sums + self._count(connection, filters, then.seq)
        return self._count(connection, filters, None)
