"""One process's own stream, kept in `relay.db`; also what a shared stream is copied into."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from vibetea_protocol.wire import WireEvent
from vibetea_relay.config import Limits
from vibetea_relay.records import JournalError, Records
from vibetea_relay.stream import Entry, Receipt, Unavailable

__all__ = ["Journal", "JournalError"]

AT_ONCE: Final = 500
"""Entries of a shared stream that are one transaction: a few milliseconds."""
TEND_SECONDS: Final = 10
TEND_BYTES: Final = 4_194_304
"""Written since the last checkpoint: what may have to be copied, and lost if the machine, not the process, dies."""

logger = logging.getLogger(__name__)


class Journal:
    """A Stream in one file.

    All that is published in one turn of the event loop is one transaction, committed there: that takes less than
    handing it to a thread. What takes long, checkpoints, pruning and reading old entries, is done by threads.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._waiting: list[tuple[Sequence[WireEvent], asyncio.Future[Receipt]]] = []
        self._failing = False
        self._written = 0
        self._much = asyncio.Event()
        self._reading = ThreadPoolExecutor(1, "journal-read")
        self._tending = ThreadPoolExecutor(1, "journal-tend")

    @property
    def condition(self) -> str:
        """Nothing: the file is this process's own."""
        return ""

    async def start(self, listen: Callable[[Sequence[Entry]], None]) -> None:
        """Open the file. Raises JournalError."""
        self._records = Records(self._path, self._limits)
        self._listen = listen
        self._tender = asyncio.create_task(self._tend())

    async def publish(self, events: Sequence[WireEvent]) -> Receipt:
        """Keep a batch; it survives the death of the process. Raises Unavailable."""
        loop = asyncio.get_running_loop()
        receipt: asyncio.Future[Receipt] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((events, receipt))
        return await receipt

    async def append(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Keep entries of a shared stream, in its order and by its numbers; the new ones. Raises Unavailable.

        What was appended before, or has an id seen before, is left out; what is kept is committed when this returns.
        """
        kept: list[Entry] = []
        for start in range(0, len(entries), AT_ONCE):
            try:
                with self._records.transaction():
                    new = self._records.append(entries[start : start + AT_ONCE])
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

    async def read(self, after: int, limit: int) -> Sequence[Entry]:
        """The entries after a seq, oldest first: `limit` at most, fewer if they are large. Raises Unavailable."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._reading, self._records.read, after, limit)
        except sqlite3.Error as error:
            raise self._unavailable(error) from None

    async def close(self) -> None:
        """Write what is waiting, and close the file."""
        self._flush()
        self._tender.cancel()
        with suppress(asyncio.CancelledError):
            await self._tender
        for pool in (self._reading, self._tending):
            pool.shutdown()
        self._records.close()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            with self._records.transaction():
                added = [self._records.add(events) for events, _ in waiting]
        except sqlite3.Error as error:
            unavailable = self._unavailable(error)
            for _, receipt in waiting:
                if not receipt.done():
                    receipt.set_exception(unavailable)
            return
        for (events, receipt), new in zip(waiting, added, strict=True):
            if not receipt.done():
                receipt.set_result(Receipt(len(new), len(events) - len(new)))
        self._tell([entry for new in added for entry in new])

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
