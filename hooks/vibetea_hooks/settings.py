"""Install our hooks in Claude Code's settings, take them out again, and say how they stand.

Edits are textual: what is not ours keeps every byte. A settings file may be edited by Claude Code at any moment,
so each write compares before it replaces. Claude Code reads strict JSON only, and so does this.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from . import entries, jsontext
from .errors import SettingsError
from .record import Record
from .target import Target, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Change", "SettingsError", "check", "install", "installed", "settings_path", "uninstall"]

Scope = Literal["user", "project", "local"]

# Where an administrator's settings lie (Claude Code's documentation, "Settings").
MANAGED = Path(
    "/Library/Application Support/ClaudeCode/managed-settings.json"
    if sys.platform == "darwin"
    else "/etc/claude-code/managed-settings.json"
)
SWITCHES = ("disableAllHooks", "allowManagedHooksOnly")

_ATTEMPTS = 50
_PAUSE = 0.02  # seconds, for another program to finish its edit
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Change:
    """What was done, or with a dry run would be: the diff, where the former bytes are kept, and words for people."""

    changed: bool
    diff: str
    backup: Path | None
    messages: tuple[str, ...]


def settings_path(scope: Scope, claude_dir: Path, project_dir: Path) -> Path:
    """The settings file of a scope."""
    if scope == "user":
        return claude_dir / "settings.json"
    name = "settings.json" if scope == "project" else "settings.local.json"
    return project_dir / ".claude" / name


def install(settings_path: Path, state_dir: Path, *, dry_run: bool = False) -> Change:
    """Register our script for every event; a second run changes nothing.

    Raises:
        SettingsError: the file or the state directory is not fit for it; nothing was changed.
    """
    state_dir = _absolute(state_dir)
    script = str(state_dir / entries.SCRIPT)
    if not script.isprintable():
        raise SettingsError("the state directory's name does not fit into JSON; set VIBETEA_HOME to another one")
    entry = entries.handler(script)

    def wanted(old: bytes | None, _: Record | None) -> bytes:
        if old is None:
            return entries.added("{}\n", entry).encode()
        return _edited(old, lambda text: entries.added(text, entry))

    if not dry_run:
        _prepare(state_dir)
    return _change(settings_path, state_dir, wanted, dry_run=dry_run, done="Hooks installed in")


def uninstall(settings_path: Path, state_dir: Path, *, dry_run: bool = False) -> Change:
    """Take our entries out; the file is byte for byte what it was, if nobody else has changed it since.

    Raises:
        SettingsError: the file cannot be read or changed; nothing was changed.
    """

    def wanted(old: bytes | None, record: Record | None) -> bytes | None:
        if old is None:
            return None
        if record is not None and record.after == old:
            return record.before
        return _without_ours(old, record)

    return _change(settings_path, _absolute(state_dir), wanted, dry_run=dry_run, done="Hooks taken out of")


def installed(settings_path: Path) -> tuple[str, ...]:
    """The events our script is registered for, in our order; empty when there is none, or no file."""
    present = {event for event, _, _ in entries.ours(_read(settings_path))}
    return tuple(event for event in entries.EVENTS if event in present)


def check(settings_path: Path, state_dir: Path) -> tuple[str, ...]:
    """What keeps the installed hooks from working, in words for people; empty when all is well.

    Raises:
        SettingsError: the settings cannot be read.
    """
    faults = []
    present = list(entries.ours(_read(settings_path)))
    missing = set(entries.EVENTS) - {event for event, _, _ in present}
    if missing:
        faults.append(f"{len(missing)} of {len(entries.EVENTS)} events are not registered: run vibetea install-hooks")
    script = _absolute(state_dir) / entries.SCRIPT
    if any(entry != entries.handler(str(script)) for _, _, entry in present):
        faults.append("The registered command is out of date: run vibetea install-hooks")
    if present and not _is_current(script):
        faults.append(f"{script} is missing or altered: run vibetea install-hooks")
    for path in (settings_path, MANAGED):
        settings = _read(path)
        switched = [name for name in SWITCHES if isinstance(settings, dict) and settings.get(name) is True]
        faults.extend(f"{name} in {path} switches the hooks off" for name in switched)
    return tuple(faults)


def _change(
    path: Path,
    state_dir: Path,
    wanted: Callable[[bytes | None, Record | None], bytes | None],
    *,
    dry_run: bool,
    done: str,
) -> Change:
    target = Target.behind(path)
    for _ in range(_ATTEMPTS):
        old = target.read()
        record = Record.load(state_dir, target.path)
        try:
            new = wanted(old, record)
        except SettingsError as error:
            time.sleep(_PAUSE)
            if target.read() != old:  # half of somebody's edit
                continue
            raise SettingsError(f"{target.path} was left as it is: {error}") from None
        if new == old:
            return Change(changed=False, diff="", backup=None, messages=(f"Nothing to do in {target.path}.",))
        diff = _diff(target.path, old, new)
        if dry_run:
            return Change(changed=True, diff=diff, backup=None, messages=(f"Would change {target.path}.",))
        with _locked(state_dir):
            target.check_writable()
            backup = None if old is None else Record.back_up(state_dir, target.path, old)
            ...
    raise SettingsError(f"{target.path} is being changed all the time; try again when other programs are at rest")
