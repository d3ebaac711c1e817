"""How far events were read, so that what is kept of them can be added to instead of being made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Self

from datasette_vibetea.database import TABLE

if TYPE_CHECKING:
    import sqlite3

MOST_NEW: Final = 5000
"""Events since; with more of them counting anew is quicker."""

_NEWEST: Final = f"select seq, id from {TABLE} order by seq desc limit 1"
_THERE: Final = f"select 1 from {TABLE} where seq = ? and id = ?"


class Seen(NamedTuple):
    """The newest event there was; of none, as in an empty table, nothing is known."""

    seq: int = 0
    id: str = ""

    @classmethod
    def newest(cls, connection: sqlite3.Connection) -> Self:
        """The newest event there is now. Raises sqlite3.Error."""
        return cls(*(connection.execute(_NEWEST).fetchone() or ()))

    def leads_to(self, newest: Seen, connection: sqlite3.Connection) -> bool:
        """Whether few events came since, in the same file. Raises sqlite3.Error."""
        # another file, or one with less in it, has another event there or none
        return newest.seq - self.seq <= MOST_NEW and connection.execute(_THERE, self).fetchone() is not None
