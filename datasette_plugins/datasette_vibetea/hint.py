"""The hint that something was written. It lets the next look at the events come sooner and is never relied on.

A frame lies in the write-ahead log before its commit can be read, for as long as a disk takes to flush. So one hint is
followed by several looks, and the regular ones go on.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from watchdog.events import FileModifiedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

if TYPE_CHECKING:
    from pathlib import Path

    from watchdog.observers.api import BaseObserver

POLL_SECONDS: Final = 0.1
"""From one look to the next without a hint."""
SOON: Final = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032)
"""Seconds between the looks after the one a hint brings."""
GAP_SECONDS: Final = 0.02
"""Between two looks that hints bring: what is written without a pause comes in fewer, larger batches."""


class Hint(FileSystemEventHandler):
    """Paces the looks of one thread at a database. Close it."""

    def __init__(self, database: Path) -> None:
        file = database.resolve()  # the log lies beside the file itself, not beside a link to it
        self._files = {str(file), f"{file}-wal"}
        self._written = threading.Event()
        self._soon: list[float] = []
        self._hinted = 0.0
        self._observer = _observe(self, file.parent)

    def pause(self) -> None:
        """Return when it is time for the next look."""
        if not self._written.wait(self._soon.pop(0) if self._soon else POLL_SECONDS):
            return
        time.sleep(max(0.0, self._hinted + GAP_SECONDS - time.monotonic()))
        self._written.clear()
        self._hinted = time.monotonic()
        self._soon = list(SOON)

    def close(self) -> None:
        """End its threads, and a pause."""
        self._written.set()
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()

    def on_modified(self, event: FileSystemEvent) -> None:
        """A file of the folder was written to (watchdog's own thread)."""
        if event.src_path in self._files:
            self._written.set()


def _observe(handler: FileSystemEventHandler, folder: Path) -> BaseObserver | None:
    """A running observer; None where there are no notifications to be had, or no more of them."""
    try:
        observer = Observer()
    except OSError:
        return None
    try:
        # to be told of readers too, who open and close the same files, would be a hint for nothing
        observer.schedule(handler, str(folder), event_filter=[FileModifiedEvent])
        observer.start()
    except (OSError, RuntimeError):  # no descriptors or no threads are left
        observer.stop()  # it has had a thread and a descriptor since it was made
        return None
    return observer
