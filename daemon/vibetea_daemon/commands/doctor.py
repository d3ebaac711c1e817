"""`vibetea doctor`: what is wrong, and how to mend it."""

import contextlib
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import click

from vibetea_daemon import keys
from vibetea_daemon.commands import counted, status
from vibetea_daemon.commands.audit import recorded_at_standard
from vibetea_daemon.config import Config, ConfigError
from vibetea_daemon.plugins import Plugins
from vibetea_hooks import settings

OLDER: Final = "is it older than this VibeTea?"
REFUSED: Final = {
    "past_retention": "do VIBETEA_RETENTION_DAYS there and here agree?",
    "blocked": "something before it did, such as a firewall, which should except its address",
}
"""What to think of by the word of a refusal."""


class Note(str):
    """What is worth a word and yet not wrong."""

    __slots__ = ()


def doctor(config: Config) -> None:
    """Print a line for each check, and under it what it found; exit 1 when anything is wrong."""
    wrong = False
    for name, check in (OF_A_MIRROR if status.only_mirror(config, status.collect(config)) else CHECKS).items():
        found = list(check(config))
        faulty = not all(isinstance(told, Note) for told in found)
        click.echo(f"{'wrong' if faulty else 'fine '}  {name}")
        for told in found:
            click.echo(f"       {told}")
        wrong |= faulty
    if wrong:
        sys.exit(1)


def _daemon(config: Config) -> Iterator[str]:
    found = status.collect(config)
    if not found["running"]:
        yield "not running; start it with `vibetea up` or `vibetea daemon`"
        return
    for name, value in status.failed(found).items():
        times = counted(value["failures"], "time")
        yield f"{name} failed {times} ({value['error']}); restart the daemon, read its log"


def _mirror(config: Config) -> Iterator[str]:
    found = status.collect(config)
    if not found["mirroring"]:
        relay = found["mirror"]["relay"] if found["mirror"] else "URL"
        yield f"not running; start it with `vibetea mirror --relay {relay}`"
    elif found["mirror"] and found["mirror"]["why"]:
        yield f"no connection to {found['mirror']['relay']}: {found['mirror']['why']}; it tries on by itself"


def _hooks(config: Config) -> Iterator[str]:
    paths = [settings.settings_path(scope, config.claude_dir, Path.cwd()) for scope in ("user", "project", "local")]
    try:
        for fault in settings.switched_off(*paths, settings.MANAGED):
            yield f"{fault}: Claude Code runs no hooks of ours until that is taken out"
        ours = [path for path in paths if settings.installed(path)]
        for path in ours:
            for fault in settings.check(path, config.home):
                yield f"{fault}; install them again with `vibetea install-hooks --settings {path}`"
        if not ours:
            yield Note("not installed: no durations and permission prompts; see `vibetea install-hooks --dry-run`")
    except settings.SettingsError as error:
        yield str(error)


def _transcripts(config: Config) -> Iterator[str]:
    folder = config.claude_dir / "projects"
    if not config.claude_dir.is_dir():
        yield f"there is no {config.claude_dir}; set VIBETEA_CLAUDE_DIR to Claude Code's folder"
    elif not folder.exists():
        yield Note(f"none yet in {config.claude_dir}; if that is not Claude Code's folder, set VIBETEA_CLAUDE_DIR")
    elif not os.access(folder, os.R_OK | os.X_OK):
        yield f"{folder} cannot be read by this user"


def _key(config: Config) -> Iterator[str]:
    try:
        if keys.existing(config) is None:
            yield Note("none yet: only sending needs one, and `vibetea init` makes it")
    except ConfigError as error:
        yield str(error)


def _plugins(config: Config) -> Iterator[str]:
    for plugin in Plugins(config.plugins).loaded:
        if plugin.error:
            yield f"{plugin.name}: {plugin.error}; install it, or take it out of {config.home / 'config.toml'}"


def _database(config: Config) -> Iterator[str]:
    if not config.database.exists():
        yield Note("none yet: `vibetea up` makes one")
        return
    try:
        with contextlib.closing(status.open_read_only(config)) as db:
            told_more = recorded_at_standard(db, config.source) if config.privacy == "strict" else 0
            (sound,) = db.execute("pragma quick_check(1)").fetchone()
    except sqlite3.Error as error:
        sound, told_more = str(error), 0
    if sound != "ok":
        yield f"{sound}; stop the daemon, move {config.database} away, and `vibetea import` what is still there"
    if told_more:
        yield f"{counted(told_more, 'event')} recorded at `standard`; see docs/privacy.md, Changing the level"


def _relay(config: Config) -> Iterator[str]:
    return _server(config, "relay", "server_url")


def _supabase(config: Config) -> Iterator[str]:
    return _server(config, "supabase", "supabase_url")


def _server(config: Config, name: str, setting: str) -> Iterator[str]:
    """What the daemon says of a server it sends to; this shell's settings may be other ones."""
    found = status.collect(config)
    sink = found["sinks"].get(name, {})
    if found["running"] and "to" in sink:
        if sink["why"]:
            mend = status.UNWELCOME if sink["unwelcome"] else "what waits is kept"
            yield f"{sink['to']}: {sink['why']}; {mend}, {counted(sink['waiting'], 'event')} waiting"
        yield from status.unused(config, found, setting)
    elif address := found.get("daemon", {}).get(setting):
        yield Note(f"{address}: nothing is known of it yet")
    elif getattr(config, setting) is not None:
        yield from _server_of_this_shell(config, found, setting)
    else:
        yield Note(f"not used; VIBETEA_{setting.upper()} names one")
    for code, number in sink.get("refused", {}).items():
        yield f"it refused {counted(number, 'event')} for good ({code}); {REFUSED.get(code, OLDER)}"


def _server_of_this_shell(config: Config, found: dict[str, Any], setting: str) -> Iterator[str]:
    with contextlib.suppress(ConfigError):  # told by the key's own check
        if keys.existing(config) is None:
            yield "there is no signing key yet; `vibetea init` makes one and prints the line to register there"
            return
    yield from status.unused(config, found, setting)
    if not found["running"]:
        yield Note("not asked: only the daemon sends to it, and none runs")


CHECKS: Final[dict[str, Callable[[Config], Iterator[str]]]] = {
    "daemon": _daemon,
    "database": _database,
    "hooks": _hooks,
    "transcripts": _transcripts,
    "signing key": _key,
    "relay": _relay,
    "supabase": _supabase,
    "plugins": _plugins,
}
OF_A_MIRROR: Final[dict[str, Callable[[Config], Iterator[str]]]] = {"mirror": _mirror, "database": _database}
"""In a folder that no daemon ever used."""
