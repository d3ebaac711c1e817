"""Which directory a session belongs to: where it was started, with a git worktree folded into its repository."""

import os
import re
import stat
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final

_NOT_IN_SLUG: Final = re.compile(r"[^A-Za-z0-9]")
_GITDIR: Final = re.compile(rb"gitdir: (/[^\0\n]{1,4000})/\.git/worktrees/[^/\0\n]+\s*\Z")


@lru_cache(maxsize=4096)
def session_root(cwd: str, slug: str) -> str:
    """The session's own directory, however deep it went since.

    Args:
        cwd: where the session is now.
        slug: the name of the transcript's folder, which is the starting directory with `-` for every other
            character; it cannot be turned back, but it picks the ancestor of `cwd` it was made from.
    """
    path = PurePosixPath(cwd)
    root = next((str(p) for p in (path, *path.parents) if _NOT_IN_SLUG.sub("-", str(p)) == slug), cwd)
    return _repository_of_worktree(root) or root


def _repository_of_worktree(directory: str) -> str | None:
    """The repository of a linked git worktree, told by its `.git` file; None for anything else."""
    try:
        descriptor = os.open(Path(directory, ".git"), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        found = _GITDIR.match(os.read(descriptor, 4200))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return os.fsdecode(found[1]) if found else None
