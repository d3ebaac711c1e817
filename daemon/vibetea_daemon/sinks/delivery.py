"""Delivers the rows of one cursor to a server: one request at a time, each lane in order, until the daemon ends."""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from random import sample
from typing import Final, NamedTuple

from vibetea_daemon.backoff import backoff
from vibetea_daemon.sinks.cursor import TOO_OLD, Cursor, Page, Row
from vibetea_daemon.sinks.outbox import Outbox
from vibetea_daemon.sinks.post import QUICK, Answer, Server, Verdict

log = logging.getLogger(__name__)

MAX_BODY: Final = 900 * 1024
"""Bytes of a request, as old monitors have it; a server takes 1 MiB. A slow uplink lets less through at once."""
POLL: Final = 2.0
"""Seconds between looks at the table when no bell rings: another process may have imported."""
UNWELCOME: Final = 300.0
"""Seconds until a server that does not know us is asked again, or one whose clock is far behind our events."""
MANY: Final = 50
"""So many events refused in a row are no longer their own fault; it is not asked again for a while."""
ABOUT_ALL: Final = frozenset({"source_mismatch"})
"""Refusals that are about the sender, so that no event alone would fare better."""
WITNESSES: Final = 2
"""Others of a page, drawn by lot, that are asked about when one is refused by something before the server."""
CHANCES: Final = 3
"""So often it is asked about such a one again, each time right after another was let through."""
BLOCKED: Final = "blocked"
"""The word for a refusal that is none of the server's own, but of something before it."""
ABOUT_ITSELF: Final = frozenset({"past_retention"})
"""Refusals that a server only gives to an event that is at fault, however many there are."""
LEAST_BODY: Final = 32 * 1024
"""Bytes of a request below which a server that fails is not the slower for its size."""
MAX_AHEAD: Final = 86_400 - 60
"""Seconds that events of a request may lie ahead, with some of them for its way."""


class Terms(NamedTuple):
    """How a server is delivered to.

    Args:
        rows: events of one request at most.
        pauses: seconds between attempts, begun anew when one of them succeeds. After the last it waits for the next
            interval.
        grace: seconds it has when the daemon ends.
        flush: whether it then still sends what waits; else only the request under way may end.
        interval: seconds in which events are gathered, if not enough for a request wait before; 0: not at all.
    """

    rows: int
    pauses: Callable[[], Iterator[float]]
    grace: float
    flush: bool = False
    interval: float = 0.0


def deliver(cursor: Cursor, outbox: Outbox, server: Server, terms: Terms) -> None:
    """Deliver until the daemon ends."""
    asyncio.run(_run(Delivery(cursor, outbox, server, terms), outbox, terms.grace))


async def _run(delivery: "Delivery", outbox: Outbox, grace: float) -> None:
    with outbox.listening(asyncio.get_running_loop(), delivery.news, delivery.end):
        work, ended = asyncio.create_task(delivery.work()), asyncio.create_task(delivery.end.wait())
        await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        await asyncio.wait({work}, timeout=grace)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


class _Anew(Exception):
    """The page is to be read again."""


class _Ended(Exception):
    """The daemon ends, and nothing more is to be sent."""


class Delivery:
    """The work, and what `vibetea status` shows of it."""

    def __init__(self, cursor: Cursor, outbox: Outbox, server: Server, terms: Terms) -> None:
        self._cursor = cursor
        self._outbox = outbox
        self._server = server
        self._terms = terms
        self._gathers_until = time.monotonic() + terms.interval
        self._due = 0
        """Rows up to this one have been gathered for long enough."""
        self._why = ""
        self._since: str | None = None
        self._rests_because = ""
        self._refused_in_a_row = 0
        self._taken: Row | None = None
        """One that the server took."""
        self._size = MAX_BODY
        self._pauses = terms.pauses()
        self._rounds = backoff()
        self.news = asyncio.Event()
        self.end = asyncio.Event()

    async def work(self) -> None:
        """Deliver page after page until the daemon ends."""
        self._cursor.begin(self._status(""))
        async with self._server:
            with contextlib.suppress(_Ended):
                while True:
                    self.news.clear()
                    page = self._next()
                    with contextlib.suppress(_Anew):
                        await self._turn(page)

    async def _turn(self, page: Page | None) -> None:
        """Do what the page asks for. Raises _Anew and _Ended."""
        if page is None:
            await self._wait()
        elif not self._server.heard and any(why == TOO_OLD for _, why in page.passed):
            # what is too old the server's clock says: ours may be wrong
            if (answer := await self._send(())).verdict is not Verdict.ACCEPTED:
                await self._rest(answer)
        elif page.rows:
            await self._deliver(page, page.rows)
        else:
            self._cursor.settle(page, (), {})
            await asyncio.sleep(0)

    def _next(self) -> Page | None:
        """What is to be sent now, if anything."""
        try:
            return self._cursor.page(self._terms.rows, self._size) if self._is_due() else None
        except sqlite3.OperationalError:  # busy, or a full disk; time mends it
            return None

    def _is_due(self) -> bool:
        """Whether what waits is to be sent now."""
        if not self._terms.interval:
            return True
        last = self._cursor.last()
        if time.monotonic() >= self._gathers_until or self.end.is_set():
            self._due = last
            self._gathers_until = time.monotonic() + self._terms.interval
        return self._cursor.waiting(self._due) > 0 or self._cursor.fills(self._terms.rows)

    async def _wait(self) -> None:
        """Until there may be something to send. Raises _Ended when there never will be."""
        if self.end.is_set():
            raise _Ended
        left = self._gathers_until - time.monotonic() if self._terms.interval else POLL
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.news.wait(), min(POLL, max(0.1, left)))

    async def _deliver(self, page: Page, rows: Sequence[Row]) -> None:
        """Send rows until each is accepted, set aside, or refused all alone. Raises _Anew and _Ended."""
        while (answer := await self._send(rows)).verdict is not Verdict.ACCEPTED:
            if answer.verdict is Verdict.AHEAD:
                latest = self._latest(answer.clock)
                if any(row.timestamp > latest for row in rows):
                    await self._set_aside(page, rows, latest, answer)
                    return
            elif answer.code not in ABOUT_ALL:
                if len(rows) > 1:
                    middle = len(rows) // 2
                    await self._deliver(page, rows[:middle])
                    await self._deliver(page, rows[middle:])
                    return
                if answer.code in ABOUT_ITSELF or await self._is_refused_alone(page, rows[0], answer):
                    self._cursor.settle(page, rows, self._status(""), refused=answer.code or BLOCKED)
                    return
            self._refused_in_a_row = 0
            await self._rest(answer)
        self._refused_in_a_row = 0
        self._taken = rows[-1]
        self._cursor.settle(page, rows, self._status(""))

    async def _is_refused_alone(self, page: Page, row: Row, answer: Answer) -> bool:
        """Whether no request is refused but this event's."""
        if self._refused_in_a_row >= MANY:
            return False
        if answer.code:
            alone = (await self._send(())).verdict is Verdict.ACCEPTED
        else:
            alone = await self._is_blocked(page, row)
        self._refused_in_a_row += alone
        return alone

    async def _is_blocked(self, page: Page, row: Row) -> bool:
        """Whether something before the server lets others through and, asked again and again, never this one.

        It may have refused this one by chance: raises _Anew if it lets it through after all. What is sent twice is
        known there already.
        """
        for _ in range(CHANCES):
            if not await self._is_another_let_through(page, row):
                return False
            if (await self._send((row,))).verdict is Verdict.ACCEPTED:
                raise _Anew
        return True

    async def _is_another_let_through(self, page: Page, row: Row) -> bool:
        """Whether an event gets to the server: an empty request might, and no event.

        One alone is a bad witness, since it may be blocked, too.
        """
        others = [one for one in page.rows if one is not row]
        known = () if self._taken is None else (self._taken,)
        for other in (*known, *sample(others, min(WITNESSES, len(others)))):
            if (await self._send((other,))).verdict is Verdict.ACCEPTED:
                self._taken = other
                return True
        return False

    async def _set_aside(self, page: Page, rows: Sequence[Row], latest: str, answer: Answer) -> None:
        """Let those of a later time rest, and deliver the others."""
        for ahead, run in groupby(rows, lambda row: row.timestamp > latest):
            part = tuple(run)
            if ahead:
                self._cursor.set_aside(page, part, UNWELCOME)
                self._rests_because = answer.why
                self._outbox.status(**self._status(""))
            else:
                await self._deliver(page, part)

    def _latest(self, clock: float | None) -> str:
        """The latest timestamp a server takes, by its clock or what we know of it."""
        now = time.time() + self._server.ahead if clock is None else clock
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now + MAX_AHEAD))

    async def _send(self, rows: Sequence[Row]) -> Answer:
        """Send the same bytes until the server takes or refuses them.

        Raises _Anew if fewer may fare better or it waits for the next interval, and _Ended.
        """
        body = b"[" + b",".join(row.raw for row in rows) + b"]"
        learnt = False
        while True:
            if self.end.is_set() and not self._terms.flush:
                raise _Ended
            begun = time.monotonic()
            answer = await self._server.post(body, len(rows))
            match answer.verdict:
                case Verdict.ACCEPTED | Verdict.REFUSED | Verdict.AHEAD:
                    self._pauses = self._terms.pauses()
                    self._rounds = backoff()
                    if answer.verdict is Verdict.ACCEPTED and time.monotonic() - begun < QUICK:
                        self._size = min(max(self._size, 2 * len(body)), MAX_BODY)
                    return answer
                case Verdict.SLOW if rows:
                    self._size = len(body) // 2
                    await self._pause_between(answer, len(body))
                    raise _Anew
                case Verdict.LATER | Verdict.SLOW:
                    await self._pause_between(answer, len(body))
                case Verdict.STALE if answer.clock is not None and not learnt:
                    self._server.ahead = answer.clock - time.time()
                    learnt = True
                case Verdict.FORBIDDEN if rows:
                    await self._send(())  # rests if all is forbidden
                    return answer
                case _:
                    await self._rest(answer)
                    learnt = False

    async def _rest(self, answer: Answer) -> None:
        """Wait for long; raises _Ended if the daemon ends, and _Anew if what waited may be too old by then."""
        await self._pause(answer, UNWELCOME)
        if self.end.is_set():
            raise _Ended
        if self._terms.interval:
            raise _Anew

    async def _pause_between(self, answer: Answer, size: int) -> None:
        """Wait for the next attempt; after the last of a round for the next interval, then raise _Anew.

        Rounds that fail become rarer, however short the interval, and smaller, since it may have been too much at
        once. Who asks for a longer wait gets it; one that asks for a shorter wait is still not asked more often.
        """
        asked = answer.wait or 0.0
        pause = next(self._pauses, None)
        if pause is None:
            self._pauses = self._terms.pauses()
            if not asked:
                self._size = min(self._size, max(size // 2, LEAST_BODY))
            await self._pause(answer, max(self._terms.interval, next(self._rounds), asked))
            raise _Anew
        await self._pause(answer, max(pause, asked))

    async def _pause(self, answer: Answer, seconds: float) -> None:
        """Wait, until the daemon ends at the longest, and say why. Raises _Ended if it already did."""
        if answer.why != self._why:
            self._outbox.status(**self._status(answer.why, answer))
        if self.end.is_set():
            raise _Ended
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.end.wait(), seconds)

    def _status(self, why: str, answer: Answer | None = None) -> dict[str, object]:
        """The line of `vibetea status`; the first of the same reason says since when."""
        if self._cursor.rests:
            why = why or self._rests_because
        if why != self._why:
            if why:
                log.warning("%s's sink waits: %s", self._server.title, why)
            else:
                log.info("%s takes events again", self._server.title)
            self._since = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}" if why else None
        self._why = why
        return {
            f"sink_{self._server.name}": {
                "to": self._server.address,
                "destination": self._cursor.destination,
                "why": why,
                "since": self._since,
                "unwelcome": answer is not None and answer.code == "unknown_source",
                "clock_seconds": round(self._server.ahead),
            }
        }
