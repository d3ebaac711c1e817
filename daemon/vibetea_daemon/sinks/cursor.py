"""A sink's place in the table of events: what comes next, and what is settled.

What is still to be sent is kept as lanes, ranges of sequence numbers. The live lane has no end. When more waits in it
than one request takes, all of that becomes an old lane and the live lane begins after it, so that what happens now
does not wait behind a backlog. Within a lane the order is kept; an old lane is gone once its end is reached. Rows that
the other end will take later only are set aside: they become an old lane that rests for a while.
"""

import contextlib
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from vibetea_daemon.config import Config
from vibetea_daemon.store import Batch, Position, Refusal

MAX_LANES: Final = 16
"""With so many the live lane stays as it is until an old one is done."""
LAST: Final = 2**63 - 1
LOOK: Final = 10
"""Rows looked at for each that a request may hold: those of other machines may stand between ours."""

_NEXT: Final = """
    select seq, id, source, timestamp, type, payload, privacy from events
    where seq > ? and seq <= ? order by seq limit ?
"""
_OWN: Final = """
    select count(*) from (select source from events where seq > ? and seq <= ? order by seq limit ?) where source = ?
"""
TOO_OLD: Final = "too_old"


class Row(NamedTuple):
    """An event that is to leave; `raw` are its very bytes."""

    seq: int
    id: str
    timestamp: str
    raw: bytes


class Page(NamedTuple):
    """The next rows of one lane.

    Args:
        until: the lane's end, None for the live one.
        rows: what to send, in order; may be none.
        passed: (seq, reason) of the rows among them that do not leave.
        through: the sequence number that is reached when all rows are settled.
    """

    until: int | None
    rows: tuple[Row, ...]
    passed: tuple[tuple[int, str], ...]
    through: int


class Cursor:
    """Reads with a connection of its own and moves by a batch of the writer's."""

    def __init__(
        self,
        config: Config,
        sink: str,
        destination: str,
        commit: Callable[[Batch], None],
        *,
        form: Callable[[Sequence[str]], bytes],
        oldest: Callable[[], float] | None,
    ) -> None:
        self._source = config.source
        self._strict = config.privacy == "strict"
        self._sink = sink
        self._destination = destination
        self._commit = commit
        self._form = form
        self._oldest = oldest
        self._live_is_next = True
        self._db = sqlite3.connect(f"{config.database.absolute().as_uri()}?mode=ro", uri=True)
        found = self._db.execute("select lanes, sent_at from _cursors where destination = ?", (destination,)).fetchone()
        self._sent_at: str | None = found[1] if found else None
        self._lanes: dict[int | None, int] = (
            {until: after for after, until in json.loads(found[0])} if found else {None: 0}
        )
        """Where each lane ends, and how far it is."""
        self._resting: dict[int | None, float] = {}
        """Lanes set aside, by their ends, and until when by the monotonic clock."""

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def page(self, rows: int, size: int) -> Page | None:
        """What comes next, so many rows and bytes at most; the lanes take turns. None when nothing waits."""
        self._part(rows)
        oldest = self._awake()[0]
        for until in (None, oldest) if self._live_is_next else (oldest, None):
            if page := self._read(until, rows, size):
                self._live_is_next = until is not None
                self._resting.pop(until, None)
                return page
        return None

    def last(self) -> int:
        """The latest row's sequence number, 0 if there is none. Raises sqlite3.OperationalError."""
        return int(self._db.execute("select coalesce(max(seq), 0) from events").fetchone()[0])

    def waiting(self, through: int) -> int:
        """How many rows up to this one are not settled, nor set aside; those that do not leave among them."""
        ends = {until: through if until is None else min(until, through) for until in self._awake()}
        return sum(max(0, end - self._lanes[until]) for until, end in ends.items())

    def fills(self, rows: int) -> bool:
        """Whether so many rows of this machine wait, as far as a look ahead tells."""
        found = 0
        for until in self._awake():
            where = (self._lanes[until], LAST if until is None else until, LOOK * rows, self._source)
            found += self._db.execute(_OWN, where).fetchone()[0]
        return found >= rows

    def settle(self, page: Page, rows: Sequence[Row], status: dict[str, object], *, refused: str = "") -> None:
        """Write down that these rows need not be sent again, nor any of the page before them.

        Args:
            page: as `page` gave it.
            rows: some that follow each other; at the page's end, what was passed over there is done too.
            status: lines of `vibetea status` to write along.
            refused: why the other end will never take them, if it will not.
        """
        before, reached = self._lanes[page.until], _reached(page, rows)
        counts = Counter(f"{self._sink}_{why}" for seq, why in page.passed if before < seq <= reached)
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        refusals = [Refusal(self._destination, row.id, refused, now) for row in rows] if refused else []
        counts.update([f"{self._sink}_refused_{refused}"] * len(refusals))
        if rows and not refused:
            self._sent_at = now
        self._go_on(page.until, reached)
        self._commit(Batch(counts=counts, status=status, position=self._position(), refusals=refusals))

    def set_aside(self, page: Page, rows: Sequence[Row], seconds: float) -> None:
        """Let these rows rest for so long, and go on behind them; arguments else as those of `settle`."""
        before, reached = self._lanes[page.until], _reached(page, rows)
        self._go_on(page.until, reached)
        rested = self._resting.pop(before, None)
        self._lanes[reached] = before if rested is None else self._lanes.pop(before)  # what rests and ends here goes on
        self._resting[reached] = time.monotonic() + seconds if rested is None else rested
        self._commit(Batch(position=self._position()))

    def begin(self, status: dict[str, object]) -> None:
        """Write down where it stands, so that `vibetea status` can tell what waits."""
        self._commit(Batch(status=status, position=self._position()))

    @property
    def rests(self) -> bool:
        """Whether rows are set aside."""
        return bool(self._resting)

    @property
    def destination(self) -> str:
        """The keyed hash that stands for where the sink sends to."""
        return self._destination

    def _position(self) -> Position:
        lanes = tuple((after, until) for until, after in self._lanes.items())
        return Position(self._destination, self._sink, lanes, self._sent_at)

    def _awake(self) -> list[int | None]:
        """The ends of the lanes that do not rest, the live one last."""
        now = time.monotonic()
        return [until for until in self._lanes if self._resting.get(until, 0.0) <= now]

    def _go_on(self, until: int | None, reached: int) -> None:
        """Move a lane on; at its end it is gone."""
        if until is None or reached < until:
            self._lanes[until] = reached
        else:
            del self._lanes[until]

    def _part(self, most: int) -> None:
        """Part the live lane where it ends now if more than so many rows wait in it."""
        last = self.last()
        live = self._lanes.pop(None)
        if last - live > most and len(self._lanes) - len(self._resting) < MAX_LANES:
            # a lane that ends just there goes on
            self._lanes[last] = live if live in self._resting else self._lanes.pop(live, live)
            live = last
        self._lanes[None] = live

    def _read(self, until: int | None, most: int, size: int) -> Page | None:
        rows: list[Row] = []
        passed: list[tuple[int, str]] = []
        reached = None
        oldest = comparable(self._oldest()) if self._oldest else ""
        where = (self._lanes[until], LAST if until is None else until, LOOK * most)
        with contextlib.closing(self._db.execute(_NEXT, where)) as found:
            for seq, *event, privacy in found:
                if why := self._stays(event[1], privacy, too_old=event[2] < oldest):
                    passed.append((seq, why))
                else:
                    raw = self._form(event)
                    size -= len(raw) + 1
                    if size < 0 and rows:
                        break
                    rows.append(Row(seq, event[0], event[2], raw))
                reached = seq
                if len(rows) == most:
                    break
            else:
                if until is not None and len(rows) + len(passed) < LOOK * most:
                    reached = until  # the lane is done
        return None if reached is None else Page(until, tuple(rows), tuple(passed), reached)

    def _stays(self, source: str, privacy: str | None, *, too_old: bool) -> str:
        """Why a row does not leave, if so."""
        if source != self._source:
            return "other_source"
        if self._strict and privacy != "strict":
            return "privacy"
        return TOO_OLD if too_old else ""


def _reached(page: Page, rows: Sequence[Row]) -> int:
    """How far a lane is after these rows of its page."""
    return rows[-1].seq if rows and rows[-1] is not page.rows[-1] else page.through


def comparable(seconds: float) -> str:
    """A time, in seconds since the epoch, as events have it, in so far as they can be compared."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
