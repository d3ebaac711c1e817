"""Who may send: the sources' public keys, from the environment and from a file that may change while we run."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from vibetea_protocol.signing import SigningError, decode_key
from vibetea_relay.errors import RelayConfigError

KEYS_PER_SOURCE: Final = 2
"""The old one and the new one, while a sender changes."""
LOOK_SECONDS: Final = 1.0

logger = logging.getLogger(__name__)

Keys = Mapping[str, tuple[bytes, ...]]


def parse_variable(text: str) -> Keys:
    """The keys of `VIBETEA_PUBLIC_KEYS`: `source:key,source:key`; the last of a source wins.

    Raises RelayConfigError.
    """
    parts = ((f"part {number}", part) for number, part in enumerate(text.split(","), 1))
    return {source: (key,) for source, key in _pairs("VIBETEA_PUBLIC_KEYS", parts)}


def read_file(path: Path) -> Keys:
    """The keys of a file: `source:key` a line, `#` begins a comment, two keys per source at most.

    Raises RelayConfigError, whose text names line and source and never holds a key.
    """
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise RelayConfigError("the keys file is not UTF-8") from None
    except OSError as error:
        raise RelayConfigError(
            f"the keys file cannot be read: {path}: {error.strerror}; --keys-file or VIBETEA_KEYS_FILE names it"
        ) from None
    lines = ((f"line {number}", line.partition("#")[0]) for number, line in enumerate(text.splitlines(), 1))
    keys: dict[str, tuple[bytes, ...]] = {}
    for source, key in _pairs("the keys file", lines):
        keys[source] = tuple(dict.fromkeys((*keys.get(source, ()), key)))
        if len(keys[source]) > KEYS_PER_SOURCE:
            raise RelayConfigError(f"the keys file has more than {KEYS_PER_SOURCE} keys of {source}")
    if not keys:  # more likely a write that has only begun than a wish to lock everybody out
        raise RelayConfigError("the keys file names nobody")
    return keys


def _pairs(where: str, parts: Iterable[tuple[str, str]]) -> Iterable[tuple[str, bytes]]:
    for place, part in parts:
        if not part.strip():
            continue
        source, colon, key = (piece.strip() for piece in part.partition(":"))
        if not colon or not source or not source.isascii():
            raise RelayConfigError(f"{where}: {place} is not source:key")
        try:
            yield source, decode_key(key)
        except SigningError as error:
            raise RelayConfigError(f"{where}: {place}: the key of {source}: {error}") from None


class Registry:
    """The keys of every source: those given, or those of a file, which is looked at once a second at most.

    A new version is read once it has stayed as it is for a second: it may be being written. One that cannot be used
    leaves the last good one in force and is told once; `stale` says so.

    Raises RelayConfigError when the file cannot be used at the start.
    """

    def __init__(self, given: Keys, file: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.stale = False
        self._file = file
        self._clock = clock
        self._looked = clock()
        self._version = self._seen = _version(file)
        self._keys = read_file(file) if file else given

    def keys(self, source: str) -> tuple[bytes, ...]:
        """A source's keys, raw; none if it is not registered."""
        self.look()
        return self._keys.get(source, ())

    def look(self) -> None:
        """Read the file again if it changed."""
        now = self._clock()
        if self._file is None or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        version, before = _version(self._file), self._seen
        self._seen = version
        if version == self._version or (version != before and not _is_old(version)):
            return
        self._version = version
        try:
            self._keys = read_file(self._file)
        except RelayConfigError as error:
            self.stale = True
            logger.error("%s; the keys read before stay in force", error)
        else:
            self.stale = False
            logger.info("the keys file was read again; sources: %d", len(self._keys))

    def __len__(self) -> int:
        return len(self._keys)


def _is_old(version: tuple[int, ...] | None) -> bool:
    """Whether nobody has written it for a second: nobody may have asked for a key since."""
    return version is not None and time.time_ns() - version[0] >= LOOK_SECONDS * 1e9


def _version(file: Path | None) -> tuple[int, ...] | None:
    try:
        found = file.stat() if file else None
    except OSError:
        return None
    return found and (found.st_mtime_ns, found.st_size, found.st_ino)
