"""Install our hooks in Claude Code's settings, take them out again, and say how they stand.

Edits are textual: what is not ours keeps every byte. A settings file may be edited by Claude Code at any moment,
so each write compares before it replaces. Claude Code reads strict JSON only, and so does this.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from . import entries, jsontext, record, script
from .errors import SettingsError
from .record import Record
from .target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Wanted = Callable[[bytes | None, Record | None], bytes | None]

__all__ = [
    "MANAGED",
    "Change",
    "SettingsError",
    "check",
    "install",
    "installed",
    "settings_path",
    "switched_off",
    "uninstall",
]

Scope = Literal["user", "project", "local"]

# Where an administrator's settings lie (Claude Code's documentation, "Settings").
MANAGED = Path(
    "/Library/Application Support/ClaudeCode/managed-settings.json"
    if sys.platform == "darwin"
    else "/etc/claude-code/managed-settings.json"
)

_SWITCHES = ("disableAllHooks", "allowManagedHooksOnly")
_ATTEMPTS = 50
_PAUSE = 0.02  # seconds, for another program to finish its edit


@dataclass(frozen=True, slots=True)
class Change:
    """What was done, or with a dry run would be: the diff, and words for people."""

    changed: bool
    diff: str
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
        SettingsError: the file or the state directory is not fit for it; the settings were not changed.
    """
    state_dir = _absolute(state_dir)
    entry = entries.handler(script.path(state_dir))

    def wanted(old: bytes | None, _: Record | None) -> bytes:
        return jsontext.edited(b"{}\n" if old is None else old, lambda text: entries.added(text, entry))

    if not dry_run:
        with _told(state_dir):
            script.place(state_dir)
    change = _change(settings_path, state_dir, wanted, dry_run=dry_run, installing=True)
    note = f"{len(entries.EVENTS)} events; for Claude Code {entries.OLDEST_CLIENT} or later, running sessions included."
    return replace(change, messages=(*change.messages, note)) if change.changed else change


def uninstall(settings_path: Path, state_dir: Path, *, dry_run: bool = False) -> Change:
    """Take our entries out; the file is byte for byte what it was, if nobody else has changed it since.

    Raises:
        SettingsError: the file cannot be read or changed, and was not.
    """

    def wanted(old: bytes | None, kept: Record | None) -> bytes | None:
        return kept.before if kept is not None and kept.after == old else _without_ours(old, kept)

    return _change(settings_path, _absolute(state_dir), wanted, dry_run=dry_run, installing=False)


def installed(settings_path: Path) -> tuple[str, ...]:
    """The events our script is registered for, in our order; empty when there is none, or no file.

    Raises:
        SettingsError: the settings cannot be read.
    """
    present = {event for event, _, _ in entries.ours(_read(settings_path))}
    return tuple(event for event in entries.EVENTS if event in present)


def check(settings_path: Path, state_dir: Path) -> tuple[str, ...]:
    """What is wrong with the installed hooks, in words for people; empty when all is well.

    Raises:
        SettingsError: the settings cannot be read.
    """
    faults = []
    state_dir = _absolute(state_dir)
    present = list(entries.ours(_read(settings_path)))
    if missing := set(entries.EVENTS) - {event for event, _, _ in present}:
        faults.append(f"{len(missing)} of {len(entries.EVENTS)} events are not registered in {settings_path}")
    if any(entry != entries.handler(script.path(state_dir)) for _, _, entry in present):
        faults.append(f"The command registered in {settings_path} is out of date")
    if present and not script.is_current(state_dir):
        faults.append(f"{script.path(state_dir)} is missing or altered")
    return tuple(faults)


def switched_off(*paths: Path) -> tuple[str, ...]:
    """What in these settings files stops Claude Code from running our hooks; a file that is absent stops nothing.

    Raises:
        SettingsError: one of them cannot be read.
    """
    found: list[str] = []
    for path in paths:
        document = _read(path)
        settings = document if isinstance(document, dict) else {}
        found.extend(f"{name} is set in {path}" for name in _SWITCHES if settings.get(name) is True)
    return tuple(found)


def _change(path: Path, state_dir: Path, wanted: Wanted, *, dry_run: bool, installing: bool) -> Change:
    target = Target.behind(path)
    made_directory = not target.path.parent.exists()
    for _ in range(_ATTEMPTS):
        old = target.read()
        kept = Record.load(state_dir, target.path)
        try:
            new = wanted(old, kept)
        except SettingsError as error:
            time.sleep(_PAUSE)
            if target.read() != old:  # it was half of somebody's edit
                continue
            raise SettingsError(f"{target.path} was left as it is: {error}") from None
        if new == old:
            return Change(changed=False, diff="", messages=(f"Nothing to change in {target.path}.",))
        diff = _diff(target.path, old, new)
        if dry_run:
            return Change(changed=True, diff=diff, messages=(f"Would change {target.path}.",))
        with _told(target.path), _locked(target.path.parent):
            target.check_writable()
            backup = None if old is None or not state_dir.is_dir() else record.back_up(state_dir, target.path, old)
            if installing and new is not None:
                _record(old, new, kept, made_directory=made_directory).save(state_dir, target.path)
            if not target.replace(old, new):
                continue
            if not installing:
                record.forget(state_dir, target.path)
        if new is None and kept is not None and kept.made_directory:
            with suppress(OSError):  # something else lives there now
                target.path.parent.rmdir()
        deed = "Removed" if new is None else "Changed"
        kept_at = () if backup is None else (f"Its former content is in {backup}.",)
        return Change(changed=True, diff=diff, messages=(f"{deed} {target.path}.", *kept_at))
    raise SettingsError(f"{target.path} is being changed all the time; try again when other programs are at rest")


def _record(old: bytes | None, new: bytes, kept: Record | None, *, made_directory: bool) -> Record:
    if kept is not None and kept.after == old:
        return Record(kept.before, new, kept.made_directory)
    return Record(_without_ours(old, kept), new, made_directory)


def _without_ours(old: bytes | None, kept: Record | None) -> bytes | None:
    if old is None:
        return None
    return jsontext.edited(old, lambda text: entries.dropped(text, keep=_containers(kept)))


def _containers(kept: Record | None) -> set[str]:
    """The events, and `hooks` itself, that stood in the settings before us: they stay when we leave, even empty."""
    before = jsontext.decoded(kept.before) if kept is not None and kept.before is not None else None
    hooks = before.get("hooks") if isinstance(before, dict) else None
    return {"hooks", *hooks} if isinstance(hooks, dict) else set()


def _read(path: Path) -> object:
    try:
        return jsontext.decoded(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100  # `resolve` would follow the user's links


def _diff(path: Path, old: bytes | None, new: bytes | None) -> str:
    import difflib  # only an edit needs it

    before, after = ((content or b"").decode().splitlines() for content in (old, new))
    former, latter = ("/dev/null" if content is None else str(path) for content in (old, new))
    return "".join(f"{line}\n" for line in difflib.unified_diff(before, after, former, latter, lineterm=""))


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(f"{error.filename or path}: {error.strerror}; nothing was changed") from None


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One of us at a time; the directory itself is the lock, so nothing is left behind."""
    directory.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
