"""Our entries in Claude Code's settings: which events, what they run, and how they are told from the user's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import jsontext
from .errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

SCRIPT = "vibetea-emit.py"
OLDEST_CLIENT = "2.1.139"  # the first Claude Code that takes `args`; unknown events are harmless since 2.1.101
TIMEOUT = 5  # seconds until Claude Code gives up on a hook; it ends by itself long before

# What Python runs: the script whose name follows, from its compiled form, and always to status 0. A script named to
# Python directly is compiled anew each time, and one that is gone ends with status 2, on which Claude Code refuses
# every prompt and tool call. One line, because Claude Code shows it on the screen after a compaction.
STARTER = (
    "import atexit,posix,sys;atexit.register(posix._exit,0);sys.excepthook=lambda*_:0;posix.umask(63);"
    "__file__=sys.argv[1];from _frozen_importlib_external import SourceFileLoader as F;"
    "exec(F('__main__',__file__).get_code('__main__'))"
)

# Every event that is safe to observe. Left out on purpose: WorktreeCreate (a hook there replaces git's own work),
# MessageDisplay (holds every line of text on the screen up) and FileChanged (its matcher is a watch list).
EVENTS = (
    "SessionStart",
    "SessionEnd",
    "Setup",
    "UserPromptSubmit",
    "UserPromptExpansion",
    "PreToolUse",
    "PostToolUse",
    "PostToolUseFailure",
    "PostToolBatch",
    "PermissionRequest",
    "PermissionDenied",
    "Notification",
    "Elicitation",
    "ElicitationResult",
    "SubagentStart",
    "SubagentStop",
    "TaskCreated",
    "TaskCompleted",
    "TeammateIdle",
    "Stop",
    "StopFailure",
    "PreCompact",
    "PostCompact",
    "PreModelSwitch",
    "PostModelSwitch",
    "CwdChanged",
    "DirectoryAdded",
    "WorktreeRemove",
    "ConfigChange",
    "InstructionsLoaded",
)


def interpreter() -> str:
    """The interpreter behind any virtual environment, which may go, under the name that stays when it is upgraded."""
    known = f"{sys.base_exec_prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    base: str = getattr(sys, "_base_executable", "") or known
    candidates = (_out_of_environment(Path(sys.executable)), Path(base), Path(known))
    return str(next(filter(_lasts, candidates), sys.executable))


def _out_of_environment(path: Path) -> Path:
    """Follow the links of a virtual environment, and no others."""
    while _in_environment(path) and path.is_symlink():
        path = Path(os.path.abspath(path.parent / path.readlink()))  # noqa: PTH100  # `resolve` would follow them all
    return path


def _lasts(path: Path) -> bool:
    """Whether this is a program, of no environment, and not a script: a version manager's shim is slow."""
    try:
        with path.open("rb") as program:
            return program.read(2) != b"#!" and not _in_environment(path)
    except OSError:
        return False


def _in_environment(path: Path) -> bool:
    """Whether a virtual environment's mark lies beside the program or one folder up (PEP 405)."""
    return any((folder / "pyvenv.cfg").exists() for folder in path.parents[:2])


def handler(script: str) -> dict[str, object]:
    """What Claude Code runs for each event, without a shell."""
    args = ["-I", "-S", "-c", STARTER, script]
    return {"type": "command", "command": interpreter(), "args": args, "timeout": TIMEOUT}


def is_ours(entry: object) -> bool:
    """Whether a handler runs our script, wherever it lies."""
    args = entry.get("args") if isinstance(entry, dict) else None
    return isinstance(args, list) and any(isinstance(arg, str) and arg.rpartition("/")[2] == SCRIPT for arg in args)


def ours(document: object) -> Iterator[tuple[str, object, dict[str, object]]]:
    """Event, matcher and handler of each of our entries in decoded settings of any shape."""
    hooks = document.get("hooks") if isinstance(document, dict) else None
    for event, groups in hooks.items() if isinstance(hooks, dict) else ():
        for group in groups if isinstance(groups, list) else ():
            entries = group.get("hooks") if isinstance(group, dict) else None
            for entry in entries if isinstance(entries, list) else ():
                if is_ours(entry):
                    yield event, group.get("matcher"), entry


def added(text: str, entry: dict[str, object]) -> str:
    """The settings with this handler once for every event, and no other of ours; unchanged if that is so already."""
    present = list(ours(_checked(text)))
    unmatched = sorted(event for event, matcher, found in present if matcher in (None, "", "*") and found == entry)
    if unmatched == sorted(EVENTS) and len(present) == len(EVENTS):
        return text
    text = dropped(text, keep={"hooks", *EVENTS})
    if (hooks := _hooks(text)) is None:
        everything = {event: [{"hooks": [entry]}] for event in EVENTS}
        return jsontext.appended(text, jsontext.root(text), everything, "hooks")
    for event in EVENTS:
        place = next((child for child in jsontext.children(text, hooks) if child.key == event), None)
        if place is None:
            text = jsontext.appended(text, hooks, [{"hooks": [entry]}], event)
        else:
            text = jsontext.appended(text, place.value, {"hooks": [entry]})
    return text


def dropped(text: str, keep: Collection[str] = ()) -> str:
    """The settings without our handlers, nor the groups, events and `hooks` they leave empty; those in `keep` stay."""
    _checked(text)
    while (path := _path_to_ours(text)) is not None:
        *above, (_, opening, index) = path
        while above and len(jsontext.children(text, opening)) == 1 and above[-1][0] not in keep:
            *above, (_, opening, index) = above
        text = jsontext.removed(text, opening, index)
    return text


def _path_to_ours(text: str) -> list[tuple[str | None, int, int]] | None:
    """The first of our handlers, as name, opening and index of the child to follow: root, hooks, event, group."""
    top = jsontext.root(text)
    for a, hooks in enumerate(jsontext.children(text, top)):
        if hooks.key != "hooks":
            continue
        for b, event in enumerate(jsontext.children(text, hooks.value)):
            for c, group in enumerate(_within(text, event, list)):
                for member in _within(text, group, dict):
                    for d, entry in enumerate(_within(text, member, list) if member.key == "hooks" else ()):
                        if is_ours(entry.data):
                            return [
                                ("hooks", top, a),
                                (event.key, hooks.value, b),
                                (None, event.value, c),
                                (None, member.value, d),
                            ]
    return None


def _within(text: str, child: jsontext.Child, kind: type) -> list[jsontext.Child]:
    return jsontext.children(text, child.value) if isinstance(child.data, kind) else []


def _hooks(text: str) -> int | None:
    top = jsontext.children(text, jsontext.root(text))
    return next((child.value for child in top if child.key == "hooks"), None)


def _checked(text: str) -> object:
    """The decoded settings, once it is certain that our entries have one place to go."""
    document = jsontext.parse(text)
    if not isinstance(document, dict):
        raise SettingsError("it must hold an object { … }")
    if not isinstance(document.get("hooks", {}), dict):
        raise SettingsError('its "hooks" must be an object { … }')
    _no_duplicates([child.key for child in jsontext.children(text, jsontext.root(text))], {"hooks"})
    if (hooks := _hooks(text)) is not None:
        events = jsontext.children(text, hooks)
        _no_duplicates([child.key for child in events], EVENTS)
        for event in events:
            if event.key in EVENTS and not isinstance(event.data, list):
                raise SettingsError(f'"{event.key}" in its "hooks" must be a list [ … ]')
    return document


def _no_duplicates(names: list[str | None], watched: Collection[str]) -> None:
    for name in watched:
        if names.count(name) > 1:
            raise SettingsError(f'"{name}" stands in it twice')
