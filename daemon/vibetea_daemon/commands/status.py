"""`vibetea status`: read from the database, so that it answers while the daemon is busy, stuck or gone."""

import contextlib
import fcntl
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from vibetea_daemon.commands import counted
from vibetea_daemon.config import Config

MARKED = 10
"""Seconds of difference between two clocks that are worth a word."""
UNWELCOME = (
    "register the line `vibetea init` prints with it, or was its key revoked? The daemon tries again within 5 minutes,"
    " restarted at once"
)
"""How to mend that a server does not know us."""
SERVERS = ("server_url", "supabase_url")
COUNTED = 10_000
"""Rows of a range that are counted; of more its length tells about how many there are."""
STAY = ("_other_source", "_privacy", "_too_old")
"""How the counters of events end that a sink was not to send."""


def status(config: Config, *, as_json: bool) -> None:
    """Print it; exit 1 when neither a daemon nor a mirror runs."""
    found = collect(config)
    click.echo(json.dumps(found, indent=2) if as_json else _text(found, only_mirror=only_mirror(config, found)))
    for told in unused(config, found):
        click.echo(told, err=True)
    if not (found["running"] or found["mirroring"]):
        sys.exit(1)


def collect(config: Config) -> dict[str, Any]:
    """Everything `--json` prints."""
    found: dict[str, Any] = {
        "running": running(config),
        "mirroring": mirroring(config),
        "home": str(config.home),
        "hooks_installed": hooks_installed(config),
        "inbox_frames": _count(config.inbox),
        "database_bytes": _size(config),
        "events": 0,
        "sessions": 0,
        "last_event": None,
        "dropped": {},
        "mirror": None,
        "sinks": {},
    }
    if config.database.exists():
        try:
            with contextlib.closing(open_read_only(config)) as db:
                found |= _read(db, running=found["running"])
        except sqlite3.Error as error:
            found["database_error"] = str(error)
    return found


def of_daemon(config: Config) -> Config:
    """The settings, with what the daemon that runs tells of its own: they decide what leaves, not this shell's.

    Servers stay this shell's if the daemon has none: then it is asked what would leave.
    """
    told = {name: value for name, value in collect(config).get("daemon", {}).items() if name in Config._fields}
    if not any(told.get(name) for name in SERVERS):
        told = {name: value for name, value in told.items() if name not in SERVERS}
    if told.get("extensions") is not None:
        told["extensions"] = frozenset(told["extensions"])
    return config._replace(**told)


def unused(config: Config, found: dict[str, Any], *settings: str) -> Iterator[str]:
    """Servers that this shell names and the daemon that runs does not send to, in a sentence each."""
    daemon = found.get("daemon", {})
    for setting in settings or SERVERS:
        wanted, used = getattr(config, setting), daemon.get(setting)
        if wanted and wanted != used and setting in daemon:  # an older one does not tell
            sends = f"sends to {used}" if used else "sends nothing to it"
            yield f"VIBETEA_{setting.upper()} is {wanted}, and the daemon {sends}: restart it, so that it takes that up"


def only_mirror(config: Config, found: dict[str, Any]) -> bool:
    """Whether this is a mirror's folder that no daemon ever used."""
    return bool(found["mirroring"] or found["mirror"]) and not config.lock.exists()


def failed(found: dict[str, Any]) -> dict[str, Any]:
    """The sources and sinks that failed, with `failures` and `error` of each."""
    sources = {name.removeprefix("source_"): value for name, value in found.items() if name.startswith("source_")}
    return sources | {name: value for name, value in found["sinks"].items() if "error" in value}


def open_read_only(config: Config) -> sqlite3.Connection:
    """The database, which must be there. Raises sqlite3.Error."""
    return sqlite3.connect(f"{config.database.absolute().as_uri()}?mode=ro", uri=True)


def _read(db: sqlite3.Connection, *, running: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    (found["events"],) = db.execute("select count(*) from events").fetchone()
    (found["sessions"],) = db.execute("select count(*) from sessions").fetchone()
    (found["last_event"],) = db.execute("select max(last_at) from sessions").fetchone()
    found["dropped"] = dict(db.execute("select name, n from _counters order by n desc"))
    said = {name: json.loads(value) for name, value in db.execute("select name, value from _status")}
    if mirror := said.pop("mirror", None):  # true still when the mirror has ended
        place = db.execute("select lanes from _cursors where destination = ?", (mirror.pop("destination"),)).fetchone()
        found["mirror"] = mirror | {"seq": json.loads(place[0])[0][0], "gaps": found["dropped"].get("mirror_gap", 0)}
    found["sinks"] = sinks = {
        name.removeprefix("sink_"): said.pop(name) for name in list(said) if name.startswith("sink_")
    }
    for sink in sinks.values():
        if "destination" in sink:
            sink.update(_waiting(db, sink.pop("destination")))
    return found | said if running else found  # what the last daemon said of itself is no longer true


def _waiting(db: sqlite3.Connection, destination: str) -> dict[str, object]:
    """What a sink has still to send, what it sent, and what was refused."""
    found = db.execute("select lanes, sent_at from _cursors where destination = ?", (destination,)).fetchone()
    lanes, sent_at = (json.loads(found[0]), found[1]) if found else ([(0, None)], None)
    (last,) = db.execute("select coalesce(max(seq), 0) from events").fetchone()
    first = "select timestamp from events where seq > ? and seq <= ? order by seq limit 1"
    some = f"select count(*) from (select 1 from events where seq > ? and seq <= ? limit {COUNTED + 1})"
    ranges = [(after, last if until is None else until) for after, until in lanes]
    oldest = [row[0] for lane in ranges for row in db.execute(first, lane)]
    refused = "select code, count(*) from _quarantine where destination = ? group by code"
    return {
        "waiting": sum(
            n if (n := db.execute(some, one).fetchone()[0]) <= COUNTED else one[1] - one[0] for one in ranges
        ),
        "oldest": min(oldest, default=None),
        "last_sent": sent_at,
        "refused": dict(db.execute(refused, (destination,))),
    }


def running(config: Config) -> bool:
    """Whether a daemon holds the lock."""
    return _held(config.lock)


def mirroring(config: Config) -> bool:
    """Whether a mirror writes into this folder."""
    return _held(config.home / "mirror.lock")


def _held(lock: os.PathLike[str]) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def hooks_installed(config: Config) -> bool:
    """Whether settings that are in force here name our script; a look at the text, for speed."""
    folders = (config.claude_dir, Path(".claude"))
    files = [folders[0] / "settings.json", *(folders[1] / f"settings{kind}.json" for kind in ("", ".local"))]
    for file in files:
        with contextlib.suppress(OSError):
            if b"vibetea-emit.py" in file.read_bytes():
                return True
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


def _text(found: dict[str, Any], *, only_mirror: bool) -> str:
    """The lines; of a folder that never had a daemon nobody wants to hear that there is none."""
    lines = []
    if found["running"]:
        lines += _running(found)
    elif not only_mirror:
        lines.append("daemon       not running; start it with `vibetea up`")
    if found["mirroring"] or found["mirror"]:
        lines.append(_mirror(found["mirror"], running=found["mirroring"]))
    if found["events"]:
        of_sessions = counted(found["sessions"], "session")
        last = _local(found["last_event"]) if found["last_event"] else "unknown"
        lines.append(f"events       {counted(found['events'], 'event')} in {of_sessions}; the last at {last}")
    if not only_mirror:
        lines.append(
            "hooks        " + ("installed" if found["hooks_installed"] else "not installed: vibetea install-hooks")
        )
    if found["inbox_frames"]:
        lines.append(f"inbox        {found['inbox_frames']} waiting")
    if "database_error" in found:
        lines.append(f"database     unreadable: {found['database_error']}; see `vibetea doctor`")
    elif found["database_bytes"]:
        lines.append(f"database     {found['database_bytes'] // 1024} KiB in {found['home']}")
    lines += [_sink(name, sink, running=found["running"]) for name, sink in found["sinks"].items() if "to" in sink]
    lines += _dropped(found)
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
        f"failed       {name}: {value['error']}, {counted(value['failures'], 'time')}"
        for name, value in failed(found).items()
    ]
    return lines


def _dropped(found: dict[str, Any]) -> Iterator[str]:
    """What was lost; what is unknown and told all the same, as `other`; what never was to leave."""
    titles: dict[str, list[str]] = {"dropped": [], "unnamed": [], "not sent": []}
    for name, n in found["dropped"].items():
        if name != "mirror_gap":  # told in the mirror's line
            title = "unnamed" if name.endswith("_unknown") else "not sent" if name.endswith(STAY) else "dropped"
            titles[title].append(f"{n} {name}")
    for title, counts in titles.items():
        if counts:
            yield f"{title:<12} {', '.join(counts)}"


def _mirror(mirror: dict[str, Any] | None, *, running: bool) -> str:
    """One line: whether it runs, which relay it mirrors, how far it is, and what it missed."""
    parts = [f"mirror       {'' if running else 'not '}running"]
    if mirror:
        parts[0] += f", of {mirror['relay']}"
        parts.append(f"through seq {mirror['seq']} of its stream")
        if mirror["last_event"]:
            parts[-1] += f", of {_local(mirror['last_event'])}"
        if mirror["heard"]:
            parts.append(f"last heard of it at {_local(mirror['heard'])}")
        if mirror["gaps"]:
            parts.append(counted(mirror["gaps"], "gap"))
        if running and mirror["why"]:
            parts.append(f"no connection since {_local(mirror['since'])}: {mirror['why']}")
    return "; ".join(parts)


def _sink(name: str, sink: dict[str, Any], *, running: bool) -> str:
    """One line: what waits, for how long, and why."""
    parts = ["all sent" if sink["last_sent"] else "nothing sent yet"]
    if sink["waiting"]:
        parts = [f"{counted(sink['waiting'], 'event')} waiting"]
        if sink["oldest"]:
            parts[0] += f", the oldest of {_local(sink['oldest'])}"
    if sink["last_sent"]:
        parts.append(f"last accepted at {_local(sink['last_sent'])}")
    if sink["refused"]:
        parts.append(f"{sum(sink['refused'].values())} refused")
    if running and sink["why"]:
        parts.append(f"waits since {_local(sink['since'])}: {sink['why']}")
        if sink["unwelcome"]:
            parts[-1] += f"; {UNWELCOME}"
    if running and abs(sink["clock_seconds"]) >= MARKED:
        ahead = sink["clock_seconds"] > 0
        parts.append(f"this clock is {abs(sink['clock_seconds'])} s {'behind' if ahead else 'ahead of'} its own")
    return f"{name:<12} {sink['to']}: " + "; ".join(parts)


def _local(timestamp: str) -> str:
    """A time of the database as this machine's clock shows it."""
    return f"{datetime.fromisoformat(timestamp).astimezone():%Y-%m-%d %H:%M:%S}"
