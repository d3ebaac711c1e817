"""`vibetea doctor`: what is wrong, and how to mend it."""

import contextlib
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import click

from vibetea_daemon import keys
from vibetea_daemon.commands import counted, status
from vibetea_daemon.commands.audit import recorded_at_standard
from vibetea_daemon.config import Config, ConfigError
from vibetea_daemon.plugins import Plugins
from vibetea_hooks import settings


def doctor(config: Config) -> None:
    """Print a line for each check, and under it what is wrong; exit 1 when anything is."""
    wrong = False
    for name, check in CHECKS.items():
        faults = list(check(config))
        click.echo(f"{'wrong' if faults else 'fine '}  {name}")
        for fault in faults:
            click.echo(f"       {fault}")
        wrong |= bool(faults)
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
            yield "not installed: no durations and permission prompts; see `vibetea install-hooks --dry-run`"
    except settings.SettingsError as error:
        yield str(error)


def _transcripts(config: Config) -> Iterator[str]:
    folder = config.claude_dir / "projects"
    if not folder.is_dir():
        yield f"there is no {folder}; set VIBETEA_CLAUDE_DIR to Claude Code's folder, or begin a session"
    elif not os.access(folder, os.R_OK | os.X_OK):
        yield f"{folder} cannot be read by this user"


def _key(config: Config) -> Iterator[str]:
    try:
        keys.existing(config)
    except ConfigError as error:
        yield str(error)


def _plugins(config: Config) -> Iterator[str]:
    for plugin in Plugins(config.plugins).loaded:
        if plugin.error:
            yield f"{plugin.name}: {plugin.error}; install it, or take it out of {config.home / 'config.toml'}"


def _database(config: Config) -> Iterator[str]:
    if not config.database.exists():
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
    if config.server_url is None:
        return
    with contextlib.suppress(ConfigError):  # told by the key's own check
        if keys.existing(config) is None:
            yield "there is no signing key yet; `vibetea init` makes one and prints the line to register with the relay"
            return
    found = status.collect(config)
    sink = found["sinks"].get("relay")
    if sink is None or "to" not in sink:
        if found["running"]:
            yield "the daemon sends nothing to it: restart the daemon, so that it takes up VIBETEA_SERVER_URL"
        return
    if found["running"] and sink["unwelcome"]:
        yield f"{sink['why']}: register the line `vibetea init` prints with the relay, then restart the daemon"
    elif found["running"] and sink["why"]:
        yield f"{sink['why']}; nothing is lost, {counted(sink['waiting'], 'event')} waiting"
    for code, number in sink["refused"].items():
        yield f"it refused {counted(number, 'event')} for good ({code}); is the relay older than this VibeTea?"


CHECKS: Final[dict[str, Callable[[Config], Iterator[str]]]] = {
    "daemon": _daemon,
    "database": _database,
    "hooks": _hooks,
    "transcripts": _transcripts,
    "signing key": _key,
    "relay": _relay,
    "plugins": _plugins,
}
