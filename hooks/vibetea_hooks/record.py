"""What an installation replaced, kept in the state directory so that taking it out restores every byte."""

from __future__ import annotations

import binascii
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .target import write_over

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Record:
    """The settings before and after; `before` is None when we made the file, `made_directory` when its folder too."""

    before: bytes | None
    after: bytes
    made_directory: bool

    @classmethod
    def load(cls, state_dir: Path, settings: Path) -> Record | None:
        """The record of this settings file; None when there is none that can be read."""
        try:
            kept = json.loads(_file(state_dir, settings, "json").read_bytes())
            before, after, path = kept["before"], kept["after"], kept["path"]
            if path != os.path.realpath(settings):
                return None
            return cls(None if before is None else before.encode(), after.encode(), bool(kept["made_directory"]))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None

    def save(self, state_dir: Path, settings: Path) -> None:
        """Keep it; both texts are UTF-8, or they would not have been edited."""
        kept = {
            "path": os.path.realpath(settings),
            "before": None if self.before is None else self.before.decode(),
            "after": self.after.decode(),
            "made_directory": self.made_directory,
        }
        write_over(_file(state_dir, settings, "json"), json.dumps(kept).encode())


def forget(state_dir: Path, settings: Path) -> None:
    """Nothing of ours is in these settings any more."""
    _file(state_dir, settings, "json").unlink(missing_ok=True)


def back_up(state_dir: Path, settings: Path, content: bytes) -> Path:
    """Keep the bytes about to be replaced; returns where."""
    file = _file(state_dir, settings, "backup")
    write_over(file, content)
    return file


def _file(state_dir: Path, settings: Path, suffix: str) -> Path:
    name = binascii.crc32(os.fsencode(os.path.realpath(settings)))
    return state_dir / "settings" / f"{name:08x}.{suffix}"
