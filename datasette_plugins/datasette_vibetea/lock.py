"""Whether the daemon lives: it holds a lock beside the database as long as it does."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def abandoned(database: Path) -> bool:
    """Whether a daemon wrote this database and none does now; a copy without a lock file beside it never had one.

    The lock is taken for a moment, shared, and a daemon that starts tries more than once.
    """
    try:
        lock = os.open(database.with_name("daemon.lock"), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(lock)
