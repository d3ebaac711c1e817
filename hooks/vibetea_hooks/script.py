"""The copy of `emit.py` in the state directory: the file Claude Code really runs."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .entries import SCRIPT
from .errors import SettingsError
from .target import write_over


def path(state_dir: Path) -> str:
    """Where it lies; SettingsError when JSON cannot say it."""
    name = str(state_dir / SCRIPT)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise SettingsError("the state directory's name is not UTF-8; set VIBETEA_HOME to another one") from None
    return name


def place(state_dir: Path) -> None:
    """Make the private state directory if need be, and put a fresh copy into it; OSError when that fails."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = state_dir.stat()
    if state.st_uid != os.geteuid():
        raise SettingsError(f"{state_dir} belongs to another user; set VIBETEA_HOME to a folder of your own")
    if state.st_mode & 0o022:
        raise SettingsError(f"others can write to {state_dir}; mend it with: chmod 700 '{state_dir}'")
    if not is_current(state_dir):
        write_over(state_dir / SCRIPT, _content(), 0o500)


def is_current(state_dir: Path) -> bool:
    """Whether the copy is there, unaltered, and writable by nobody."""
    file = state_dir / SCRIPT
    try:
        return file.read_bytes() == _content() and stat.S_IMODE(file.lstat().st_mode) == 0o500
    except OSError:
        return False


def _content() -> bytes:
    return Path(__file__).with_name("emit.py").read_bytes()
