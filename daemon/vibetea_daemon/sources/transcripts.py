"""Follows every transcript below a folder: first those of the last weeks, newest first, and always what grows now."""

import logging
import os
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vibetea_daemon.config import Config
from vibetea_daemon.hookspecs import Normaliser, hookimpl
from vibetea_daemon.ingest import Ingest
from vibetea_daemon.sources.files import NotOurs
from vibetea_daemon.sources.follow import Follower
from vibetea_daemon.sources.watch import Watch
from vibetea_daemon.store import Offset

log = logging.getLogger(__name__)

RESCAN: Final = 5.0
"""Seconds between looks at every file; the hints come in between."""
RESCAN_WITHOUT_HINTS: Final = 1.0
SOON: Final = 0.05
"""Seconds until a file is looked at again that waits for a hook's head start."""
MAX_OPEN: Final = 64
DEPTH: Final = 3
"""Folders below the root: project, session, `subagents`."""

Seen = tuple[int, int, int, int]


class Transcripts:
    """The source of transcripts."""

    name = "transcripts"

    def __init__(self, root: Path, normaliser: Normaliser, since: int) -> None:
        """Nothing is opened yet.

        Args:
            root: the folder of project folders.
            normaliser: who reads the lines.
            since: nanoseconds since the epoch; older files and acts are left to `vibetea import`.
        """
        self._root = root
        self._normaliser = normaliser
        self._since = since
        self._wake = threading.Event()
        self._watch = Watch(root, self._wake)
        self._open: OrderedDict[Path, Follower] = OrderedDict()
        self._offsets: dict[Path, Offset] = {}
        self._seen: dict[Path, Seen] = {}
        self._growing: set[Path] = set()
        self._unreadable: set[Path] = set()
        self._backlog: deque[Path] = deque()
        self._import = {"files": 0, "files_done": 0, "bytes": 0, "bytes_done": 0}

    def prepare(self, ingest: Ingest, stop: threading.Event) -> None:
        """Find what is to be imported."""
        self._scan(ingest, first=True)
        ingest.lines((), Counter(), status={"import": self._import})  # by the same way as what changes it later

    def run(self, ingest: Ingest, stop: threading.Event) -> None:
        """Follow until `stop` is set."""
        next_scan = time.monotonic() + self._pause()
        while not stop.is_set():
            self._growing |= {path for hint in self._watch.take() if (path := Path(hint)).is_relative_to(self._root)}
            if time.monotonic() >= next_scan:
                self._scan(ingest)
                next_scan = time.monotonic() + self._pause()
            self._growing = {path for path in self._growing if self._advance(path, ingest)}
            if self._backlog:
                self._import_some(ingest)
            elif not any(path in self._open and self._open[path].behind for path in self._growing):
                self._wake.wait(SOON if self._growing else max(0.0, min(0.5, next_scan - time.monotonic())))
                self._wake.clear()
        self._watch.close()
        for follower in self._open.values():
            follower.close()

    def _pause(self) -> float:
        return RESCAN if self._watch.alive else RESCAN_WITHOUT_HINTS

    def _scan(self, ingest: Ingest, *, first: bool = False) -> None:
        """Find what changed since it was last read to its end."""
        alive = self._watch.alive
        self._watch.ensure()
        if first or alive != self._watch.alive:
            ingest.status(watching="notifications" if self._watch.alive else "polling")
        found = dict(transcripts(self._root))
        changed = [path for path, seen in found.items() if self._seen.get(path) != seen and path not in self._open]
        self._growing |= {path for path in self._open if self._seen.get(path) != found.get(path)}
        for path in self._seen.keys() - found.keys():
            del self._seen[path]
        self._unreadable &= found.keys()
        if not first:
            self._growing |= set(changed) - set(self._backlog)
            return
        todo = [path for path in changed if not self._read_already(path, found[path], ingest)]
        todo.sort(key=lambda path: found[path][3], reverse=True)
        self._backlog.extend(todo)
        self._import |= {"files": len(todo), "bytes": sum(found[path][2] for path in todo)}

    def _read_already(self, path: Path, seen: Seen, ingest: Ingest) -> bool:
        known = ingest.offset(path)
        if known and known.since > self._since:  # this time more is wanted of it
            known = None
        if known:
            self._offsets[path] = known
        old = seen[3] < self._since
        if old or (known and (known.device, known.inode, known.size, known.modified) == seen):
            self._seen[path] = seen
            return True
        return False

    def _import_some(self, ingest: Ingest) -> None:
        """One chunk of the newest file that is still to be imported."""
        path = self._backlog[0]
        before = follower.read_to if (follower := self._open.get(path)) else 0
        status: dict[str, object] = {"import": self._import}
        more = self._advance(path, ingest, status)
        follower = self._open.get(path)
        after = follower.read_to if follower else before
        self._import = {**self._import, "bytes_done": self._import["bytes_done"] + max(0, after - before)}
        if not (more and follower and follower.behind):
            self._backlog.popleft()
            self._growing |= {path} if more else set()
            self._import = {**self._import, "files_done": self._import["files_done"] + 1}
        if not self._backlog:
            ingest.lines((), Counter(), status={"import": {**self._import, "bytes_done": self._import["bytes"]}})

    def _advance(self, path: Path, ingest: Ingest, status: dict[str, object] | None = None) -> bool:
        """Read on in a file; whether to come back to it soon."""
        try:
            follower = self._open.get(path) or self._follow(path, ingest)
            if follower is None:  # every place is taken by a file that is being read
                return True
            self._open.move_to_end(path)
            seen = _seen(path)
            more = follower.advance(status, lambda offset: self._committed(path, offset))
        except (NotOurs, LookupError):
            self._forget(path)
            return False
        except FileNotFoundError:
            self._forget(path)
            return path.exists()
        except OSError as error:
            if path not in self._unreadable:
                log.warning("a transcript cannot be read: %s", error.strerror)
            self._unreadable.add(path)
            self._forget(path)
            return False
        except Exception as error:  # noqa: BLE001  a plugin's reader must cost its own file only
            if path not in self._unreadable:
                log.error("a transcript's reader failed: %s", type(error).__name__)
            self._unreadable.add(path)
            self._close(path)
            return False
        if not more and seen and follower.settled:
            self._seen[path] = seen
        return more

    def _follow(self, path: Path, ingest: Ingest) -> Follower | None:
        if len(self._open) >= MAX_OPEN:
            idle = next((path for path, follower in self._open.items() if not follower.behind), None)
            if idle is None:
                return None
            self._close(idle)
        known = self._offsets.get(path)
        follower = self._open[path] = Follower(path, ingest, self._normaliser, self._since, known)
        return follower

    def _committed(self, path: Path, offset: Offset | None) -> None:
        """Called on the writer's thread."""
        if offset is not None:
            self._offsets[path] = offset

    def _close(self, path: Path) -> None:
        if follower := self._open.pop(path, None):
            follower.close()

    def _forget(self, path: Path) -> None:
        self._close(path)
        self._offsets.pop(path, None)


@hookimpl
def vibetea_sources(config: Config, normaliser: Normaliser) -> list[Transcripts]:
    """This source."""
    return [Transcripts(config.claude_dir / "projects", normaliser, config.since)]


def transcripts(root: Path, depth: int = DEPTH) -> Iterator[tuple[Path, Seen]]:
    """Every `.jsonl` file below a folder, with what tells that it changed; links are not followed."""
    try:
        entries = list(os.scandir(root))
    except OSError:
        return
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=False):
                if depth:
                    yield from transcripts(Path(entry.path), depth - 1)
            elif entry.name.endswith(".jsonl") and entry.is_file(follow_symlinks=False):
                found = entry.stat(follow_symlinks=False)
                yield Path(entry.path), (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        except OSError:
            continue


def _seen(path: Path) -> Seen | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
