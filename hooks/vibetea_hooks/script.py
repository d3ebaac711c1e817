"""The copies of `start.py` and `emit.py` in the state directory: the files Claude Code really runs."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .entries import SCRIPT
from .errors import SettingsError
from .target import write_over

_COPIES = {"emit.py": "emit.py", SCRIPT: "start.py"}  # the started one last: it needs the other


def path(state_dir: Path) -> str:
    """Where the started one lies; SettingsError when JSON cannot say it."""
    name = str(state_dir / SCRIPT)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise SettingsError("the state directory's name is not UTF-8; set VIBETEA_HOME to another one") from None
    return name


def place(state_dir: Path) -> None:
    """Make the private state directory if need be, and put fresh copies into it; OSError when that fails."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = state_dir.stat()
    if state.st_uid != os.geteuid():
        raise SettingsError(f"{state_dir} belongs to another user; set VIBETEA_HOME to a folder of your own")
    if state.st_mode & 0o022:
        raise SettingsError(f"others can write to {state_dir}; mend it with: chmod 700 '{state_dir}'")
    for name, source in _COPIES.items():
        if not _is_copy(state_dir / name, source):
            write_over(state_dir / name, _content(source), 0o500)


def is_current(state_dir: Path) -> bool:
    """Whether the copies are there, unaltered, and writable by nobody."""
    return all(_is_copy(state_dir / name, source) for name, source in _COPIES.items())


def _is_copy(file: Path, source: str) -> bool:
    try:
        return file.read_bytes() == _content(source) and stat.S_IMODE(file.lstat().st_mode) == 0o500
    except OSError:
        return False


def _content(source: str) -> bytes:
    return Path(__file__).with_name(source).read_bytes()
