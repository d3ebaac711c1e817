"""Opening what others can reach: only regular files of this user, never through a link, never waiting."""

import errno
import os
import stat
from pathlib import Path


class NotOurs(Exception):
    """Not a regular file of this user: a link, a device, a pipe, a folder, somebody else's."""


def open_ours(path: Path) -> int:
    """A descriptor to read from. Raises NotOurs or OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise NotOurs from None
        raise
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(descriptor)
        raise NotOurs
    return descriptor


def read_ours(path: Path, limit: int) -> bytes:
    """The file's first bytes, `limit` at most. Raises NotOurs or OSError."""
    with os.fdopen(open_ours(path), "rb") as file:
        return file.read(limit)
