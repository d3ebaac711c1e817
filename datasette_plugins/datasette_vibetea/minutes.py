"""How many events each session had in each of the last minutes.

To count what a busy half hour holds takes longer than all else the board asks. So the counts are kept, and what came
since is added to them.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from datasette_vibetea.database import TABLE
from datasette_vibetea.seen import Seen

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

MINUTES: Final = 30

# A machine's clock may go ahead of ours: what lies in the minutes to come is counted for when they are there.
_WITHIN: Final = "timestamp >= :first and timestamp < :after"
_SINCE: Final = f"""
    select session_id, substr(timestamp, 1, 16), count(*) from {TABLE} not indexed
    where seq > :seq and session_id is not null and {_WITHIN} group by 1, 2
"""
_ALL: Final = f"""
    select session_id, substr(timestamp, 1, 16), count(*) from sessions join {TABLE} using (session_id)
    where last_at >= :first and {_WITHIN} group by 1, 2
"""


class Minutes:
    """The counts of one database. May be asked from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest = Seen()
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def read(self, connection: sqlite3.Connection, sessions: list[str], now: datetime) -> list[list[int]]:
        """For each of these sessions, its events in each of the last MINUTES minutes, the running one last."""
        shown = [_minute(now - timedelta(minutes=back)) for back in reversed(range(MINUTES))]
        newest = Seen.newest(connection)
        within = {"first": shown[0], "after": _minute(now + timedelta(minutes=MINUTES))}
        with self._lock:
            if self._newest.leads_to(newest, connection):
                rows = connection.execute(_SINCE, {"seq": self._newest.seq, **within})
            else:
                self._counts.clear()
                rows = connection.execute(_ALL, within)
            for session, minute, n in rows:
                self._counts[minute][session] += n
            for minute in [each for each in self._counts if each < shown[0]]:
                del self._counts[minute]
            self._newest = newest
            counts = [self._counts[minute] for minute in shown]
            return [[minute[session] for minute in counts] for session in sessions]


def _minute(at: datetime) -> str:
    """As a time begins with it."""
    return at.isoformat()[:16]
