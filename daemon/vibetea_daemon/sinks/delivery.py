"""Delivers the rows of one cursor to a relay: one request at a time, each lane in order, until the daemon ends."""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Final

from vibetea_daemon.backoff import backoff
from vibetea_daemon.config import Config
from vibetea_daemon.sinks.cursor import Cursor, Page, Row
from vibetea_daemon.sinks.outbox import Outbox
from vibetea_daemon.sinks.post import QUICK, Answer, Relay, Verdict

log = logging.getLogger(__name__)

MAX_BODY: Final = 900 * 1024
"""Bytes of a request, as old monitors have it; a relay takes 1 MiB. A slow uplink lets less through at once."""
POLL: Final = 2.0
"""Seconds between looks at the table when no bell rings: another process may have imported."""
UNWELCOME: Final = 300.0
"""Seconds until a relay that does not know us is asked again, or one whose clock is far behind our events."""
GRACE: Final = 1.5
"""Seconds a request under way has to end when the daemon does."""
MANY: Final = 50
"""So many events refused in a row are no longer their own fault; it is not asked again for a while."""
ABOUT_ALL: Final = frozenset({"source_mismatch"})
"""Refusals that are about the sender, so that no event alone would fare better."""
MAX_AHEAD: Final = 86_400 - 60
"""Seconds that events of a request may lie ahead, with some of them for its way."""


def run(config: Config, url: str, seed: bytes, outbox: Outbox) -> None:
    """Deliver until the daemon ends."""
    with outbox.cursor("relay", url) as cursor:
        asyncio.run(_run(Delivery(config, cursor, Relay(url, config.source, seed), outbox, url), outbox))


async def _run(delivery: "Delivery", outbox: Outbox) -> None:
    end = asyncio.Event()
    with outbox.listening(asyncio.get_running_loop(), delivery.news, end):
        work, ended = asyncio.create_task(delivery.work()), asyncio.create_task(end.wait())
        await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(delivery.posting.acquire(), GRACE)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


class _TooMuch(Exception):
    """The page is to be read again, with fewer bytes."""


class Delivery:
    """The work, and what `vibetea status` shows of it."""

    def __init__(self, config: Config, cursor: Cursor, relay: Relay, outbox: Outbox, address: str) -> None:
        self._config = config
        self._cursor = cursor
        self._relay = relay
        self._outbox = outbox
        self._address = address
        self._why = ""
        self._since: str | None = None
        self._rests_because = ""
        self._refused_in_a_row = 0
        self._size = MAX_BODY
        self._pauses = backoff()
        self.news = asyncio.Event()
        self.posting = asyncio.Lock()
        """Held while a request is under way; whoever takes it lets no other begin."""

    async def work(self) -> None:
        """Deliver page after page; never ends by itself."""
        self._cursor.begin(self._status(""))
        async with self._relay:
            while True:
                self.news.clear()
                page = self._next()
                if page is None:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self.news.wait(), POLL)
                elif page.rows:
                    with contextlib.suppress(_TooMuch):
                        await self._deliver(page, page.rows)
                else:
                    self._cursor.settle(page, (), {})
                    await asyncio.sleep(0)

    def _next(self) -> Page | None:
        try:
            return self._cursor.page(self._config.buffer_size, self._size)
        except sqlite3.OperationalError:  # busy, or a full disk; time mends it
            return None

    async def _deliver(self, page: Page, rows: Sequence[Row]) -> None:
        """Send rows until each is accepted, set aside, or refused all alone. Raises _TooMuch."""
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
                if self._refused_in_a_row < MANY and (await self._send(())).verdict is Verdict.ACCEPTED:
                    self._refused_in_a_row += 1  # no request is refused but this event's
                    self._cursor.settle(page, rows, self._status(""), refused=answer.code)
                    return
            await self._pause(answer, UNWELCOME)
            self._refused_in_a_row = 0
        self._refused_in_a_row = 0
        self._cursor.settle(page, rows, self._status(""))

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
        """The latest timestamp a relay takes, by its clock or what we know of it."""
        now = time.time() + self._relay.ahead if clock is None else clock
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now + MAX_AHEAD))

    async def _send(self, rows: Sequence[Row]) -> Answer:
        """Send the same bytes until the relay takes or refuses them. Raises _TooMuch if fewer may fare better."""
        body = b"[" + b",".join(row.raw for row in rows) + b"]"
        learnt = False
        while True:
            async with self.posting:
                begun = time.monotonic()
                answer = await self._relay.post(body, len(rows))
            match answer.verdict:
                case Verdict.ACCEPTED | Verdict.REFUSED | Verdict.AHEAD:
                    self._pauses = backoff()
                    if answer.verdict is Verdict.ACCEPTED and time.monotonic() - begun < QUICK:
                        self._size = min(max(self._size, 2 * len(body)), MAX_BODY)
                    return answer
                case Verdict.SLOW if rows:
                    self._size = len(body) // 2
                    await self._pause(answer, answer.wait or next(self._pauses))
                    raise _TooMuch
                case Verdict.LATER | Verdict.SLOW:
                    await self._pause(answer, answer.wait or next(self._pauses))
                case Verdict.STALE if answer.clock is not None and not learnt:
                    self._relay.ahead = answer.clock - time.time()
                    learnt = True
                case _:
                    await self._pause(answer, UNWELCOME)
                    learnt = False

    async def _pause(self, answer: Answer, seconds: float) -> None:
        """Wait, whatever happens meanwhile, and say why."""
        if answer.why != self._why:
            self._outbox.status(**self._status(answer.why, answer))
        await asyncio.sleep(seconds)

    def _status(self, why: str, answer: Answer | None = None) -> dict[str, object]:
        """The line of `vibetea status`; the first of the same reason says since when."""
        if self._cursor.rests:
            why = why or self._rests_because
        if why != self._why:
            if why:
                log.warning("the relay's sink waits: %s", why)
            else:
                log.info("the relay takes events again")
            self._since = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}" if why else None
        self._why = why
        return {
            "sink_relay": {
                "to": self._address,
                "destination": self._cursor.destination,
                "why": why,
                "since": self._since,
                "unwelcome": answer is not None and answer.code == "unknown_source",
                "clock_seconds": round(self._relay.ahead),
            }
        }
