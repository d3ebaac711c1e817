"""One transcript on its way into the store: its file, its reader, and where both go on after a restart."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from vibetea_daemon.acts import Act, BadInput, Reader
from vibetea_daemon.hookspecs import Normaliser
from vibetea_daemon.ingest import Ingest
from vibetea_daemon.sources.tail import TailedFile
from vibetea_daemon.store import Offset

log = logging.getLogger(__name__)

HEAD_START: Final = 0.5
"""Seconds a hook is given to report first, in a session whose hooks report: it knows the duration."""
INT64: Final = 2**63 - 1
"""The largest number a database holds."""
HOOKS_ALIVE: Final = 600.0
"""Seconds after its last hook that a session's hooks count as alive."""


class Follower:
    """Follows one transcript from where the last run ended."""

    def __init__(self, path: Path, ingest: Ingest, normaliser: Normaliser, since: int, known: Offset | None) -> None:
        """Open. Raises tail.NotOurs, OSError, or LookupError when no normaliser knows the file.

        Args:
            path: the transcript.
            ingest: where its acts go.
            normaliser: who makes its reader.
            since: nanoseconds since the epoch; acts before are left out.
            known: how far it was read before.
        """
        self.path = path
        self._ingest = ingest
        self._normaliser = normaliser
        self._since = since
        self._file = TailedFile(path, ingest.key, known.offset, known.tail) if known else TailedFile(path, ingest.key)
        self._told_since = known.since if known and self._file.position else since
        self.behind = True
        """Whether more can be read at once; what `advance` calls soon may also be a wait for somebody."""
        self._begin()

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def advance(self, status: dict[str, object] | None, then: Callable[[Offset | None], None]) -> bool:
        """Hand in one chunk; whether there is more to do now or soon.

        Args:
            status: lines of `vibetea status` to commit with it.
            then: called after the commit with the new offset, or with None if there was no commit.
        """
        counts: Counter[str] = Counter()
        gone = self._file.replaced()
        if not gone and self._file.rewritten():
            self._reopen()
        hooked = self._ingest.hooked_within(self._reader.session, HOOKS_ALIVE)
        limit = self._limit(hooked and not gone)
        before = self._file.read_to
        acts = [*self._read(limit, counts), *self._reader.settle(time.time_ns(), hooked=hooked)]
        acts = [act for act in acts if act.at >= self._since]
        self.behind = self._file.read_to < limit
        if gone and not self.behind:
            if self._file.torn:
                counts["line_torn"] += 1
            self._ingest.lines(acts, counts)
            raise FileNotFoundError(str(self.path))
        if acts or counts or status or self._file.read_to != before:
            offset = self._offset()
            self._ingest.lines(acts, counts, offset, status, lambda written: then(offset if written else None))
        return self._file.read_to < self._file.found.st_size or (not hooked and self._reader.unsettled())

    @property
    def settled(self) -> bool:
        """Whether nothing that was read waits for a later line."""
        return not self._reader.unsettled()

    @property
    def read_to(self) -> int:
        """Bytes read so far."""
        return self._file.read_to

    def _begin(self) -> None:
        reader = self._normaliser.vibetea_transcript_reader(path=self.path, at_start=self._file.position == 0)
        if reader is None:
            self._file.close()
            raise LookupError
        self._reader: Reader = reader
        self._resume = self._file.position
        self._marks: deque[tuple[float, int]] = deque()

    def _reopen(self) -> None:
        self._file.close()
        self._file = TailedFile(self.path, self._ingest.key)
        self._told_since = self._since
        self._begin()

    def _limit(self, hooked: bool) -> int:
        """How far may be read: to the end, or to what the end was a head start ago."""
        size = self._file.found.st_size
        if not hooked:
            return size
        now = time.monotonic()
        if not self._marks or self._marks[-1][1] != size:
            self._marks.append((now, size))
        while len(self._marks) > 1 and self._marks[1][0] <= now - HEAD_START:
            self._marks.popleft()
        since, readable = self._marks[0]
        return readable if since <= now - HEAD_START else self._file.read_to

    def _read(self, limit: int, counts: Counter[str]) -> list[Act]:
        acts: list[Act] = []
        for line in self._file.lines(limit):
            if line.raw is None:
                counts["line_too_long"] += 1
                continue
            raw = line.raw.removeprefix(b"\xef\xbb\xbf") if line.start == 0 else line.raw
            if not raw.strip():
                continue
            try:
                acts += self._reader.acts(raw)
            except BadInput as bad:
                counts[f"line_{bad.reason}"] += 1
            except Exception as error:  # noqa: BLE001  a plugin's fault must cost this line only
                log.error("a normaliser failed on a line: %s", type(error).__name__)
                counts["line_normaliser_failed"] += 1
            if self._reader.resumable:
                self._resume = line.start
        return acts

    def _offset(self) -> Offset:
        found = self._file.found
        return Offset(
            file=self._ingest.file(self.path),
            device=found.st_dev & INT64,
            inode=found.st_ino & INT64,
            modified=min(found.st_mtime_ns, INT64),
            size=0 if self._reader.unsettled() else self._file.read_to,
            offset=self._resume,
            tail=self._file.hash_before(self._resume),
            since=self._told_since,
        )
