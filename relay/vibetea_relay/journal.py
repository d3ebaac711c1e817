"""One process's own stream, kept in `relay.db`; also what a shared stream is copied into."""

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vibetea_protocol.wire import WireEvent
from vibetea_relay.config import Limits
from vibetea_relay.records import JournalError, Records
from vibetea_relay.stream import Entry, Receipt, Unavailable, Wish

__all__ = ["Journal", "JournalError"]

AT_ONCE: Final = 1000
"""Entries that are one transaction: some ten milliseconds, in which the event loop does nothing else."""
TEND_SECONDS: Final = 10
TEND_BYTES: Final = 4_194_304
"""Written since the last checkpoint: what may have to be copied, and lost if the machine, not the process, dies."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Batch:
    """Events of one sender; `done` of them have been looked at, `new` of those kept."""

    events: Sequence[WireEvent]
    receipt: asyncio.Future[Receipt]
    done: int = 0
    new: int = 0


class Journal:
    """A Stream in one file.

    What is published in one turn of the event loop is one transaction, committed there: that takes less than handing
    it to a thread. If it is much, it takes several turns. What takes long, checkpoints, pruning and reading old
    entries, is done by threads.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._waiting: deque[_Batch] = deque()
        self._failing = False
        self._written = 0
        self._much = asyncio.Event()
        self._reading = ThreadPoolExecutor(1, "journal-read")
        self._tending = ThreadPoolExecutor(1, "journal-tend")

    @property
    def condition(self) -> str:
        """Nothing: the file is this process's own."""
        return ""

    @property
    def skipped(self) -> int:
        """None: nobody else writes."""
        return 0

    async def start(self, listen: Callable[[Sequence[Entry]], None], *, shared: bool = False) -> None:
        """Open the file, to publish or, if `shared`, to append to it. Raises JournalError and NotNowError."""
        self._records = Records(self._path, self._limits, shared=shared)
        self._listen = listen
        self._tender = asyncio.create_task(self._tend())

    async def publish(self, events: Sequence[WireEvent]) -> Receipt:
        """Keep a batch; it survives the death of the process. Raises Unavailable."""
        loop = asyncio.get_running_loop()
        receipt: asyncio.Future[Receipt] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append(_Batch(events, receipt))
        return await receipt

    async def append(self, entries: Sequence[Entry], times: Sequence[float], hole: int = 0) -> Sequence[Entry]:
        """Keep entries of a shared stream, in its order and by its numbers; the new ones. Raises Unavailable.

        What was appended before, or has an id seen before, is left out; what is kept is committed when this returns.

        Args:
            entries: any number.
            times: when each came into the stream, in seconds since the epoch: by that it grows old.
            hole: the seq before which some are missing, if there is a new one.
        """
        kept: list[Entry] = []
        for start in range(0, len(entries) or (1 if hole else 0), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            try:
                with self._records.transaction():
                    self._records.hole = max(self._records.hole, hole)
                    new = self._records.append(entries[some], times[some])
            except sqlite3.Error as error:
                raise self._unavailable(error) from None
            self._tell(new)
            kept += new
            await asyncio.sleep(0)
        return kept

    def unseen(self, events: Sequence[WireEvent]) -> Sequence[WireEvent]:
        """Those whose ids are new, each once. Raises Unavailable."""
        try:
            return [event for event in {e.id: e for e in events}.values() if not self._records.is_known(event.id)]
        except sqlite3.Error as error:
            raise self._unavailable(error) from None

    def last(self) -> int:
        """The newest seq, 0 if there never was one; an appended entry that was left out counts."""
        return self._records.highest

    def first(self) -> int:
        """The oldest seq that can still be read; more than `last()` if none can."""
        return self._records.first

    def hole(self) -> int:
        """The seq before which entries of a shared stream are missing; 0 if none are."""
        return self._records.hole

    async def read(self, after: int, limit: int) -> Sequence[Entry]:
        """The entries after a seq, oldest first: `limit` at most, fewer if they are large. Raises Unavailable."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._reading, self._records.read, after, limit)
        except sqlite3.Error as error:
            raise self._unavailable(error) from None

    async def newest(self, many: int, wish: Wish) -> int | None:
        """Of the newest so many entries that suit, the oldest one's seq; None if none suits. Raises Unavailable."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._reading, self._records.newest, many, wish)
        except sqlite3.Error as error:
            raise self._unavailable(error) from None

    async def close(self) -> None:
        """Write what is waiting, and close the file."""
        while self._waiting:
            self._flush()
        self._tender.cancel()
        with suppress(asyncio.CancelledError):
            await self._tender
        for pool in (self._reading, self._tending):
            pool.shutdown()
        self._records.close()

    def _flush(self) -> None:
        """Keep what waits, one transaction of it; the rest of a batch that is too large goes behind the others."""
        turn: list[tuple[_Batch, Sequence[WireEvent]]] = []
        room = AT_ONCE
        while self._waiting and room > 0:
            batch = self._waiting.popleft()
            part = batch.events[batch.done : batch.done + room]
            turn.append((batch, part))
            room -= len(part)
        if not turn:
            return
        try:
            with self._records.transaction():
                added = [self._records.add(part) for _, part in turn]
        except sqlite3.Error as error:
            unavailable = self._unavailable(error)
            for batch, _ in turn:
                if not batch.receipt.done():
                    batch.receipt.set_exception(unavailable)
        else:
            for (batch, part), new in zip(turn, added, strict=True):
                self._count(batch, len(part), len(new))
            self._tell([entry for new in added for entry in new])
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)

    def _count(self, batch: _Batch, done: int, new: int) -> None:
        batch.done += done
        batch.new += new
        if batch.done < len(batch.events):
            self._waiting.append(batch)
        elif not batch.receipt.done():
            batch.receipt.set_result(Receipt(batch.new, batch.done - batch.new))

    def _tell(self, new: list[Entry]) -> None:
        if self._failing:
            self._failing = False
            logger.info("the journal can be written again")
        if new:
            self._written += sum(len(entry.event.raw) for entry in new)
            if self._written > TEND_BYTES:
                self._much.set()
            self._listen(new)

    def _unavailable(self, error: sqlite3.Error) -> Unavailable:
        if not self._failing:
            self._failing = True
            logger.error("the journal cannot be used: %s", _name(error))
        return Unavailable("the journal cannot be used now")

    async def _tend(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                while await loop.run_in_executor(self._tending, self._records.trim):
                    await asyncio.sleep(0.005)  # whoever publishes comes first
                await loop.run_in_executor(self._tending, self._records.checkpoint)
            except sqlite3.Error as error:
                logger.warning("the journal cannot be tended: %s", _name(error))
            self._much.clear()
            self._written = 0
            with suppress(TimeoutError):
                async with asyncio.timeout(TEND_SECONDS):
                    await self._much.wait()


def _name(error: sqlite3.Error) -> str:
    """What went wrong, without the text, which may quote a value; not every error is SQLite's own."""
    return getattr(error, "sqlite_errorname", type(error).__name__)
