"""One poller for all readers of a database, running while there are any.

Polling the cursor query itself is as cheap as any other sign of change, and unlike watching the write-ahead log it
loses nothing: a commit becomes visible after its bytes are written. To watch it makes the next poll come sooner.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from datasette_vibetea.database import PAGE_ROWS, Frame, Reader, Replaced
from datasette_vibetea.hint import Hint
from datasette_vibetea.lock import abandoned

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

logger = logging.getLogger(__name__)

PROBE_SECONDS: Final = 2.0
QUEUED_BATCHES: Final = 50
RESET: Final = b"id:\nevent: reset\ndata: {}\n\n"
"""Tells a reader to begin anew; the empty id makes it forget its own."""
LIVE: Final = b"event: live\ndata: {}\n\n"
NO_DAEMON: Final = b'event: state\ndata: {"state":"no_daemon"}\n\n'
"""Until the next LIVE."""

Batch = list[Frame]


class Client:
    """One reader's queue of batches, shared with all others, and of bytes to say in between or last."""

    def __init__(self) -> None:
        self.ended = False
        self._queue: asyncio.Queue[Batch | bytes] = asyncio.Queue(QUEUED_BATCHES)

    async def next(self) -> Batch | bytes:
        """The next batch, or what to say; once `ended` it is the last."""
        return await self._queue.get()

    def offer(self, item: Batch | bytes) -> None:
        """Queue it. A reader too slow for its queue is ended: it comes back with its last id."""
        if self._queue.full():
            self.end()
        elif not self.ended:
            self._queue.put_nowait(item)

    def end(self, last: bytes = b"") -> None:
        """Nothing more will come; what is still queued can be had from the database again."""
        self.ended = True
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(last)


class Hub:
    """Polls one database file and hands every new event to every client."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._clients: set[Client] = set()
        self._starting = asyncio.Lock()
        self._poller: asyncio.Task[None] | None = None
        self._abandoned = False

    @asynccontextmanager
    async def join(self) -> AsyncIterator[Client]:
        """A client that gets every event committed from now on. Raises what opening a Reader raises."""
        client = Client()
        async with self._starting:
            if self._poller is None:
                reader, cursor = await asyncio.to_thread(_open, self._path)
                self._poller = asyncio.create_task(self._poll(reader, cursor))
            self._clients.add(client)
            if self._abandoned:
                client.offer(NO_DAEMON)
        try:
            yield client
        finally:
            self._clients.discard(client)

    async def _poll(self, reader: Reader, cursor: int) -> None:
        last = b""
        probe = 0.0
        batch: Batch = []
        hint = Hint(self._path)
        looker = ThreadPoolExecutor(1, "vibetea-hub")
        loop = asyncio.get_running_loop()
        try:
            while self._clients and not server_is_stopping():
                if time.monotonic() >= probe:
                    # on the hub's own thread: slow questions of pages hold all others
                    self._probed(await loop.run_in_executor(looker, abandoned, self._path))
                    probe = time.monotonic() + PROBE_SECONDS
                more = len(batch) == PAGE_ROWS
                batch = await loop.run_in_executor(looker, self._look, reader, hint, cursor, probe, more)
                if batch:
                    cursor = batch[-1].seq
                    self._tell(batch)
        except Replaced:
            last = RESET
        except (sqlite3.Error, OSError) as error:
            logger.warning("the event database cannot be read: %s", type(error).__name__)
        finally:
            self._poller = None
            self._abandoned = False
            clients, self._clients = self._clients, set()
            for client in clients:
                client.end(last)
            hint.close()
            looker.shutdown(wait=False)
            reader.close()

    def _look(self, reader: Reader, hint: Hint, cursor: int, until: float, more: bool) -> Batch:
        """What is new, as soon as something is; nothing after some time, or when nobody is there to tell.

        The thread waits by itself: to wake the loop ten times a second for nothing would cost twice as much.
        """
        while True:
            if not more:
                hint.pause()
            more = False
            if batch := reader.page(cursor):
                return batch
            if not self._clients or server_is_stopping() or time.monotonic() >= until:
                return []

    def _probed(self, is_abandoned: bool) -> None:
        before, self._abandoned = self._abandoned, is_abandoned
        if is_abandoned != before:
            self._tell(NO_DAEMON if is_abandoned else LIVE)

    def _tell(self, item: Batch | bytes) -> None:
        for client in self._clients:
            client.offer(item)


def server_is_stopping() -> bool:
    """Whether uvicorn was told to stop.

    It waits for open responses before it tells the application, so a stream has to ask: the handler uvicorn installs
    for SIGINT is a method of its server.
    """
    server = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
    return bool(getattr(server, "should_exit", False))


def _open(path: Path) -> tuple[Reader, int]:
    reader = Reader(path)
    try:
        return reader, reader.newest()
    except BaseException:
        reader.close()
        raise
