"""The writer thread: takes what the sources hand in, commits it in groups, then tells them."""

import logging
import sqlite3
import threading
from collections import deque
from typing import Final

from vibetea_daemon.store.store import Batch, Store

log = logging.getLogger(__name__)

MAX_BULK: Final = 4
"""Bulk batches that may wait; a source that hands in more is held up until one is written."""


class Writer:
    """Owns the store while it runs. A hook's batch overtakes an import's: somebody waits for it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = threading.Condition()
        self._urgent: deque[Batch] = deque()
        self._bulk: deque[Batch] = deque()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="writer")

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def submit(self, batch: Batch) -> None:
        """Hand in a batch that somebody waits for."""
        with self._changed:
            self._urgent.append(batch)
            self._changed.notify_all()

    def submit_bulk(self, batch: Batch) -> None:
        """Hand in a batch of a long import; waits while too many wait already."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._bulk) < MAX_BULK)
            self._bulk.append(batch)
            self._changed.notify_all()

    def close(self) -> None:
        """Write all that was handed in, then stop."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while group := self._next():
            try:
                self._store.write(group)
                written = True
            except sqlite3.Error as error:  # a full disk; the sources still have it all
                log.error("nothing written: %s", error.sqlite_errorname)
                written = False
            for batch in group:
                if batch.then:
                    batch.then(written)

    def _next(self) -> list[Batch]:
        """What to write next: all that is urgent and one bulk batch; nothing once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._urgent or self._bulk or self._closing)
            group = list(self._urgent)
            self._urgent.clear()
            if self._bulk:
                group.append(self._bulk.popleft())
                self._changed.notify_all()
            return group
