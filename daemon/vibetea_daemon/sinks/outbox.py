"""What a sink is given: its cursor over the rows, and a bell for new ones."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from vibetea_daemon.config import Config
from vibetea_daemon.sinks.cursor import Cursor
from vibetea_daemon.store import Batch, Writer, wire
from vibetea_protocol.ids import keyed_hash

if TYPE_CHECKING:
    import asyncio  # takes a while to load, and most daemons have no sink

RETRY: Final = 1.0
"""Seconds until a position is written again that could not be."""


class Outbox:
    """One sink's. Nothing in it makes the writer wait for the sink."""

    def __init__(self, config: Config, key: bytes, writer: Writer, stop: threading.Event) -> None:
        self._config = config
        self._key = key
        self._writer = writer
        self._stop = stop
        self._listening: tuple[asyncio.AbstractEventLoop, asyncio.Event, asyncio.Event] | None = None

    @contextlib.contextmanager
    def cursor(
        self,
        sink: str,
        address: str,
        *,
        form: Callable[[Sequence[str]], bytes] = wire,
        oldest: Callable[[], float] | None = None,
    ) -> Iterator[Cursor]:
        """This sink's cursor for where it sends to; it begins at the first row. Raises sqlite3.Error.

        It belongs to the thread that asked for it.

        Args:
            sink: the sink's name.
            address: where it sends to; another address is another cursor.
            form: the bytes a row leaves as.
            oldest: when the oldest event may be of that the other end takes, in seconds since the epoch.
        """
        destination = keyed_hash(self._key, "sink", sink, address).hex()
        cursor = Cursor(self._config, sink, destination, self.commit, form=form, oldest=oldest)
        with contextlib.closing(cursor):
            yield cursor

    @contextlib.contextmanager
    def listening(
        self, loop: "asyncio.AbstractEventLoop", news: "asyncio.Event", end: "asyncio.Event"
    ) -> Iterator[None]:
        """Have these events of a loop set when there are new rows, and when the daemon ends."""
        self._listening = loop, news, end
        self.ring()
        try:
            yield
        finally:
            self._listening = None

    def ring(self) -> None:
        """There are new rows, or the daemon ends."""
        if self._listening:
            loop, news, end = self._listening
            with contextlib.suppress(RuntimeError):  # the loop was closed this moment
                if self._stop.is_set():
                    loop.call_soon_threadsafe(end.set)  # first: whoever is woken by the news must know
                loop.call_soon_threadsafe(news.set)

    def status(self, **values: object) -> None:
        """Set lines of `vibetea status`."""
        self._writer.submit(Batch(status=values))

    def commit(self, batch: Batch) -> None:
        """Return when it is written; given up only when the daemon ends, and then what was sent is sent again."""
        while True:
            written: SimpleQueue[bool] = SimpleQueue()
            batch.then = written.put
            self._writer.submit(batch)
            if written.get() or self._stop.wait(RETRY):
                return
