"""The writer thread: takes what the sources hand in, commits it in groups, then tells them."""

import logging
import sqlite3
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final

from vibetea_daemon.store.store import Batch, Store

log = logging.getLogger(__name__)

MAX_BULK: Final = 32
"""Bulk batches that may wait; a source that hands in more is held up until one is written."""
RETRY: Final = 1.0
"""Seconds until a bulk batch is tried again that could not be written."""


class Writer:
    """Owns the store while it runs. A hook's batch overtakes an import's: somebody waits for it.

    When nothing can be written (a full disk), whoever waits is told at once, for a hook can leave its report
    elsewhere. A bulk batch stays where it is and its source is held up, so that none is left out.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = threading.Condition()
        self._urgent: deque[Batch] = deque()
        self._bulk: deque[Batch] = deque()
        self._bulk_from = 0.0
        self._failing = False
        self._closing = False
        self._listeners: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._run, name="writer")

    def start(self) -> None:
        """Begin to write."""
        sys.setswitchinterval(0.0005)  # a hook waits for this thread while an import computes
        self._thread.start()

    def listen(self, listener: Callable[[], None]) -> None:
        """Have it called after every commit that brought new events; it runs on this thread and must not wait."""
        self._listeners.append(listener)

    def submit(self, batch: Batch) -> None:
        """Hand in a batch that somebody waits for."""
        with self._changed:
            self._urgent.append(batch)
            self._changed.notify_all()

    def submit_bulk(self, batch: Batch) -> None:
        """Hand in a batch of a long import; waits while too many wait already."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._bulk) < MAX_BULK or self._closing)
            self._bulk.append(batch)
            self._changed.notify_all()

    def close(self) -> None:
        """Write all that was handed in, then stop."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while self._wait():
            if urgent := self._take_urgent():
                for batch, written in zip(urgent, self._write(urgent), strict=True):
                    self._tell(batch, written)
            if bulk := self._due_bulk():
                for batch, written in zip(bulk, self._write(bulk), strict=True):
                    if written or self._closing:
                        self._drop_bulk(batch)
                        self._tell(batch, written)
                    else:
                        self._bulk_from = time.monotonic() + RETRY

    def _write(self, group: Sequence[Batch]) -> list[bool]:
        """Whether each is dealt with: written, or left out and counted because it can never be written."""
        try:
            inserted = self._store.write(group)
        except Exception as error:  # noqa: BLE001  the writer outlives what it cannot write
            if _is_about_the_file(error):
                self._fail(getattr(error, "sqlite_errorname", type(error).__name__))
                return [False] * len(group)
            if len(group) > 1:  # one of them is bad; the others must not suffer
                return [self._write([batch])[0] for batch in group]
            log.error("a batch is left out: %s", type(error).__name__)
            return [self._count_failed()]
        if self._failing:
            log.info("writing again")
        self._failing = False
        if inserted:
            for listener in self._listeners:
                listener()
        return [True] * len(group)

    def _count_failed(self) -> bool:
        try:
            self._store.write([Batch(counts=Counter(["batch_failed"]))])
        except Exception as error:  # noqa: BLE001  the writer outlives what it cannot write
            self._fail(type(error).__name__)
            return False
        return True

    def _fail(self, reason: str) -> None:
        if not self._failing:
            log.error("nothing can be written: %s", reason)
        self._failing = True

    @staticmethod
    def _tell(batch: Batch, written: bool) -> None:
        if batch.then:
            try:
                batch.then(written)
            except Exception as error:  # noqa: BLE001  the writer outlives whoever waits for it
                log.error("a source failed after a commit: %s", type(error).__name__)

    def _wait(self) -> bool:
        """Until there is something to write; False when there never will be."""
        with self._changed:
            while not (self._urgent or self._closing or self._bulk_is_due()):
                self._changed.wait(self._bulk_from - time.monotonic() if self._bulk else None)
            return bool(self._urgent or self._bulk)

    def _bulk_is_due(self) -> bool:
        return bool(self._bulk) and time.monotonic() >= self._bulk_from

    def _take_urgent(self) -> list[Batch]:
        with self._changed:
            group = list(self._urgent)
            self._urgent.clear()
            return group

    def _due_bulk(self) -> list[Batch]:
        with self._changed:
            return list(self._bulk) if self._closing or self._bulk_is_due() else []

    def _drop_bulk(self, done: Batch) -> None:
        with self._changed:
            self._bulk = deque(batch for batch in self._bulk if batch is not done)
            self._changed.notify_all()


def _is_about_the_file(error: Exception) -> bool:
    """Whether the disk or the database is at fault, which may pass, and not what was to be written."""
    return isinstance(error, sqlite3.OperationalError | MemoryError) or type(error) is sqlite3.DatabaseError
