"""`vibetea status`: read from the database, so that it answers while the daemon is busy, stuck or gone."""

import contextlib
import fcntl
import json
import os
import sqlite3
import sys
from datetime import datetime
from typing import Any

import click

from vibetea_daemon.commands import counted
from vibetea_daemon.config import Config


def status(config: Config, *, as_json: bool) -> None:
    """Print it; exit 1 when no daemon runs."""
    found = collect(config)
    click.echo(json.dumps(found, indent=2) if as_json else _text(found))
    if not found["running"]:
        sys.exit(1)


def collect(config: Config) -> dict[str, Any]:
    """Everything `--json` prints."""
    found: dict[str, Any] = {
        "running": running(config),
        "home": str(config.home),
        "hooks_installed": _hooks_installed(config),
        "inbox_frames": _count(config.inbox),
        "database_bytes": _size(config),
        "events": 0,
        "sessions": 0,
        "last_event": None,
        "dropped": {},
    }
    if config.database.exists():
        try:
            with contextlib.closing(open_read_only(config)) as db:
                found |= _read(db)
        except sqlite3.Error as error:
            found["database_error"] = str(error)
    return found


def open_read_only(config: Config) -> sqlite3.Connection:
    """The database, which must be there. Raises sqlite3.Error."""
    return sqlite3.connect(f"{config.database.absolute().as_uri()}?mode=ro", uri=True)


def _read(db: sqlite3.Connection) -> dict[str, Any]:
    found: dict[str, Any] = {}
    (found["events"],) = db.execute("select count(*) from events").fetchone()
    (found["sessions"],) = db.execute("select count(*) from sessions").fetchone()
    (found["last_event"],) = db.execute("select max(last_at) from sessions").fetchone()
    found["dropped"] = dict(db.execute("select name, n from _counters order by n desc"))
    return found | {name: json.loads(value) for name, value in db.execute("select name, value from _status")}


def running(config: Config) -> bool:
    """Whether a daemon holds the lock."""
    try:
        descriptor = os.open(config.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _hooks_installed(config: Config) -> bool:
    """Whether the user's settings name our script; a look at the text, for speed."""
    try:
        return b"vibetea-emit.py" in (config.claude_dir / "settings.json").read_bytes()
    except OSError:
        return False


def _count(folder: os.PathLike[str]) -> int:
    try:
        return sum(entry.name.endswith(".frame") for entry in os.scandir(folder))
    except OSError:
        return 0


def _size(config: Config) -> int:
    """Bytes of the database, with what was not folded into it yet."""
    files = (config.database, config.database.with_name(f"{config.database.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def _text(found: dict[str, Any]) -> str:
    lines = _running(found) if found["running"] else ["daemon       not running; start it with `vibetea up`"]
    if found["events"]:
        of_sessions = counted(found["sessions"], "session")
        last = _local(found["last_event"]) if found["last_event"] else "unknown"
        lines.append(f"events       {counted(found['events'], 'event')} in {of_sessions}; the last at {last}")
    lines.append(
        "hooks        " + ("installed" if found["hooks_installed"] else "not installed: vibetea install-hooks")
    )
    if found["inbox_frames"]:
        lines.append(f"inbox        {found['inbox_frames']} waiting")
    if "database_error" in found:
        lines.append(f"database     unreadable: {found['database_error']}; see `vibetea doctor`")
    elif found["database_bytes"]:
        lines.append(f"database     {found['database_bytes'] // 1024} KiB in {found['home']}")
    if found["dropped"]:
        lines.append("dropped      " + ", ".join(f"{n} {name}" for name, n in found["dropped"].items()))
    return "\n".join(lines)


def _running(found: dict[str, Any]) -> list[str]:
    """What only a running daemon can say; what the last one said is no longer true."""
    lines = ["daemon       running"]
    if daemon := found.get("daemon"):
        lines[0] += f", pid {daemon['pid']}, since {_local(daemon['started'])}, privacy {daemon['privacy']}"
    imported = found.get("import")
    if imported and imported["files"]:
        percent = 100 * imported["bytes_done"] // imported["bytes"] if imported["bytes"] else 100
        files = counted(imported["files"], "transcript")
        lines.append(f"import       {percent} %: {imported['files_done']} of {files}")
    if watching := found.get("watching"):
        lines.append(f"watching     by {watching}")
    lines += [
        f"failed       {name.removeprefix('source_')}: {value['error']}, {counted(value['failures'], 'time')}"
        for name, value in found.items()
        if name.startswith("source_")
    ]
    return lines


def _local(timestamp: str) -> str:
    """A time of the database as this machine's clock shows it."""
    return f"{datetime.fromisoformat(timestamp).astimezone():%Y-%m-%d %H:%M:%S}"
