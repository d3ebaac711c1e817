"""What each command does; `vibetea_daemon.cli` holds their options, so that `--help` imports none of this."""

from pathlib import Path


def identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another that took its place; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


def counted(number: int, noun: str) -> str:
    """`1 event`, `2 events`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
