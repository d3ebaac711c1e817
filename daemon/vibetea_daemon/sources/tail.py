"""One growing file, read line by line from where reading ended, whatever was done to the file meanwhile."""

import os
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from vibetea_daemon.sources.files import open_ours

CHUNK: Final = 1024 * 1024
MAX_LINE: Final = 8 * 1024 * 1024
"""Bytes; a longer line is passed over without being held in memory. The longest seen hold a pasted image."""
SAMPLE: Final = 512
"""Bytes at the file's start, and as many before the position, whose hash tells the file from another of its name or
inode. Lines of one session often end alike; what a file begins with has an id and a time in it."""


class Line(NamedTuple):
    """A complete line without its newline; `start` is its first byte's place. None stands for one too long."""

    start: int
    raw: bytes | None


class TailedFile:
    """Reads what a file gains. Holds it open, so that what is renamed away is still read to its end.

    Args:
        path: the file.
        key: what hashes are keyed with; they are of private text.
        position: where to go on; 0 for a new one.
        tail: `hash_before` of that position when it was stored.
    """

    def __init__(self, path: Path, key: bytes, position: int = 0, tail: str = "") -> None:
        """Open. Raises files.NotOurs or OSError."""
        self.path = path
        self._key = key
        self._descriptor = open_ours(path)
        self.position = 0
        if position <= os.fstat(self._descriptor).st_size and self.hash_before(position) == tail:
            self.position = position
        self._carry = bytearray()
        self._waiting = 0  # bytes of the incomplete line, held in the carry unless it is too long
        self._before = self.hash_before(self.position)

    def close(self) -> None:
        """Let the file go; `position` stays at the start of the line that was not complete."""
        os.close(self._descriptor)

    @property
    def found(self) -> os.stat_result:
        """The open file's state."""
        return os.fstat(self._descriptor)

    @property
    def torn(self) -> bool:
        """Whether an incomplete line waits for its end."""
        return self._waiting > 0

    @property
    def read_to(self) -> int:
        """How far the file has been looked at."""
        return self.position + self._waiting

    def replaced(self) -> bool:
        """Whether the path now means another file, or none."""
        try:
            there = self.path.lstat()
        except OSError:
            return True
        here = self.found
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)

    def rewritten(self) -> bool:
        """Whether what was read is not there any more: the file was cut, or written anew."""
        return self.found.st_size < self.read_to or self.hash_before(self.read_to) != self._before

    def lines(self, limit: int) -> Iterator[Line]:
        """The lines complete within one chunk from here, no byte beyond `limit`; `position` follows them."""
        size = min(CHUNK, limit - self.read_to)
        if size <= 0:
            return
        chunk = os.pread(self._descriptor, size, self.read_to)
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            if self._waiting == 0:
                raw: bytes | None = chunk[start:end]
            else:
                raw = bytes(self._carry) + chunk[start:end] if self._waiting == len(self._carry) else None
            line = Line(self.position, raw)
            self.position += self._waiting + end - start + 1
            self._waiting = 0
            self._carry.clear()
            start = end + 1
            yield line
        self._waiting += len(chunk) - start
        if self._waiting <= MAX_LINE:
            self._carry += chunk[start:]
        else:
            self._carry.clear()
        self._before = self.hash_before(self.read_to)

    def hash_before(self, position: int) -> str:
        """A hash of the file's first bytes and of those just before a position."""
        size = min(position, SAMPLE)
        first, last = (os.pread(self._descriptor, size, start) for start in (0, position - size))
        return blake2b(first + last, key=self._key, digest_size=16).hexdigest()
