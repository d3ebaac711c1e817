"""inotify as a hint: it only makes the next look come sooner. Losing every hint costs seconds, never events."""

import logging
import threading
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

log = logging.getLogger(__name__)


class Watch(FileSystemEventHandler):
    """Collects which transcripts may have grown."""

    def __init__(self, root: Path, wake: threading.Event) -> None:
        self._root = root
        self._wake = wake
        self._hints: set[str] = set()
        self._lock = threading.Lock()
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None
        self._polling = False

    @property
    def alive(self) -> bool:
        """Whether hints can be expected."""
        return self._observer is not None and self._observer.is_alive()

    def ensure(self) -> None:
        """Watch the root as it is now: it may have appeared, or be another folder than before."""
        try:
            found = self._root.stat()
        except OSError:
            self.close()
            return
        identity = (found.st_dev, found.st_ino)
        if self.alive and identity == self._watched:
            return
        self.close()
        self._observer = _observe(self, self._root)
        self._watched = identity if self._observer else None
        if self._observer is None and not self._polling:
            log.warning("no file notifications to be had; looking every second instead")
        self._polling = self._observer is None

    def take(self) -> set[str]:
        """The hints since the last call."""
        with self._lock:
            hints, self._hints = self._hints, set()
        return hints

    def close(self) -> None:
        """Stop watching."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
        self._observer = self._watched = None

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note the file (watchdog's own thread)."""
        if event.event_type not in {"modified", "created", "moved"} or event.is_directory:
            return
        paths = {str(event.src_path), str(event.dest_path)} if event.event_type == "moved" else {str(event.src_path)}
        if paths := {path for path in paths if path.endswith(".jsonl")}:
            with self._lock:
                self._hints |= paths
            self._wake.set()


def _observe(handler: FileSystemEventHandler, root: Path) -> BaseObserver | None:
    """A running observer; None when the user's inotify instances or watches are used up."""
    try:
        observer = Observer()
    except OSError:
        return None
    try:
        observer.schedule(handler, str(root), recursive=True)
        observer.start()
    except OSError:
        observer.stop()  # it has had a thread and a descriptor since it was made
        return None
    return observer
