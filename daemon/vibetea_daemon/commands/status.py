"""`vibetea status`: read from the database, so that it answers while the daemon is busy, stuck or gone."""

import contextlib
import fcntl
import json
import os
import sqlite3
import sys
from typing import Any

import click

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
        "database_bytes": config.database.stat().st_size if config.database.exists() else 0,
        "events": 0,
        "sessions": 0,
        "last_event": None,
        "dropped": {},
    }
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_open(config)) as db:
        (found["events"],) = db.execute("select count(*) from events").fetchone()
        (found["sessions"],) = db.execute("select count(*) from sessions").fetchone()
        (found["last_event"],) = db.execute("select max(last_at) from sessions").fetchone()
        found["dropped"] = dict(db.execute("select name, n from _counters order by n desc"))
        found |= {name: json.loads(value) for name, value in db.execute("select name, value from _status")}
    return found


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


def _open(config: Config) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{config.database}?mode=ro", uri=True)


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


def _text(found: dict[str, Any]) -> str:
    daemon = found.get("daemon", {})
    lines = [
        f"daemon       running, pid {daemon.get('pid')}, since {daemon.get('started')}, privacy {daemon.get('privacy')}"
        if found["running"]
        else "daemon       not running; start it with `vibetea up`",
        f"events       {found['events']} in {found['sessions']} sessions; the last at {found['last_event'] or '-'}",
    ]
    if imported := found.get("import"):
        percent = 100 * imported["bytes_done"] // imported["bytes"] if imported["bytes"] else 100
        lines.append(f"import       {percent} %: {imported['files_done']} of {imported['files']} transcripts")
    lines += [
        "hooks        " + ("installed" if found["hooks_installed"] else "not installed: vibetea install-hooks"),
        f"watching     by {found.get('watching', '-')}",
        f"inbox        {found['inbox_frames']} waiting",
        f"database     {found['database_bytes'] // 1024} KiB in {found['home']}",
        *(
            f"failed       {name.removeprefix('source_')}: {value['error']}, {value['failures']} times"
            for name, value in found.items()
            if name.startswith("source_")
        ),
    ]
    dropped = found["dropped"]
    lines.append("dropped      " + (", ".join(f"{n} {name}" for name, n in dropped.items()) or "nothing"))
    return "\n".join(lines)
