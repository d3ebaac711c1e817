"""Delivers the rows of one cursor to a relay: one request at a time, each lane in order, until the daemon ends."""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from vibetea_daemon.backoff import backoff
from vibetea_daemon.config import Config
from vibetea_daemon.sinks.cursor import Cursor, Page, Row
from vibetea_daemon.sinks.outbox import Outbox
from vibetea_daemon.sinks.post import Answer, Relay, Verdict
from vibetea_protocol.freshness import origin

log = logging.getLogger(__name__)

MAX_BODY: Final = 900 * 1024
"""Bytes of a request, as old monitors have it; a relay takes 1 MiB."""
POLL: Final = 2.0
"""Seconds between looks at the table when no bell rings: another process may have imported."""
UNWELCOME: Final = 300.0
"""Seconds until a relay that does not know us is asked again."""
GRACE: Final = 1.5
"""Seconds a request under way has to end when the daemon does."""
MANY: Final = 50
"""So many events refused in a row are no longer their own fault; it is not asked again for a while."""
ABOUT_ALL: Final = frozenset({"source_mismatch"})
"""Refusals that are about the sender, so that no event alone would fare better."""


def run(config: Config, url: str, seed: bytes, outbox: Outbox) -> None:
    """Deliver until the daemon ends."""
    with outbox.cursor("relay", url) as cursor:
        asyncio.run(_run(Delivery(config, cursor, Relay(url, config.source, seed), outbox, origin(url)), outbox))


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


class Delivery:
    """The work, and what `vibetea status` shows of it."""

    def __init__(self, config: Config, cursor: Cursor, relay: Relay, outbox: Outbox, address: str) -> None:
        self._config = config
        self._cursor = cursor
        self._relay = relay
        self._outbox = outbox
        self._address = address
        self._why = ""
        self._refused_in_a_row = 0
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
                    await self._deliver(page, page.rows)
                else:
                    self._cursor.settle(page, (), {})
                    await asyncio.sleep(0)

    def _next(self) -> Page | None:
        try:
            return self._cursor.page(self._config.buffer_size, MAX_BODY)
        except sqlite3.OperationalError:  # busy, or a full disk; time mends it
            return None

    async def _deliver(self, page: Page, rows: Sequence[Row]) -> None:
        """Send rows until each is accepted, or refused all alone."""
        while (answer := await self._send(rows)).verdict is Verdict.REFUSED:
            if answer.code not in ABOUT_ALL:
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

    async def _send(self, rows: Sequence[Row]) -> Answer:
        """Send the same bytes until the relay takes or refuses them."""
        body = b"[" + b",".join(row.raw for row in rows) + b"]"
        pauses = backoff()
        learnt = False
        while True:
            async with self.posting:
                answer = await self._relay.post(body, len(rows))
            match answer.verdict:
                case Verdict.ACCEPTED | Verdict.REFUSED:
                    return answer
                case Verdict.LATER:
                    await self._pause(answer, answer.wait or next(pauses))
                case Verdict.STALE if answer.clock is not None and not learnt:
                    self._relay.ahead = answer.clock - time.time()
                    learnt = True
                case _:
                    await self._pause(answer, UNWELCOME)
                    learnt = False

    async def _pause(self, answer: Answer, seconds: float) -> None:
        """Wait, whatever happens meanwhile, and say why."""
        if answer.why != self._why:
            log.warning("the relay's sink waits: %s", answer.why)
            self._outbox.status(**self._status(answer.why, answer))
        await asyncio.sleep(seconds)

    def _status(self, why: str, answer: Answer | None = None) -> dict[str, object]:
        """The line of `vibetea status`; only the first of the same reason says since when."""
        if self._why and not why:
            log.info("the relay takes events again")
        self._why = why
        return {
            "sink_relay": {
                "to": self._address,
                "destination": self._cursor.destination,
                "why": why,
                "since": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}" if why else None,
                "unwelcome": answer is not None and answer.verdict is Verdict.UNWELCOME,
                "clock_seconds": round(self._relay.ahead),
            }
        }
