"""Claude Code's task lists: how many tasks of a session are in which state, and nothing of what they say.

Two forms, both of the recorded client and its forerunners: `tasks/<session>/<n>.json`, one object a task, and
`todos/<session>-agent-<session>.json`, one list a session.
"""

import os
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from vibetea_daemon.acts import Act
from vibetea_daemon.config import Config
from vibetea_daemon.hookspecs import hookimpl
from vibetea_daemon.ingest import Ingest
from vibetea_daemon.sources.files import NotOurs, read_ours

INTERVAL: Final = 2.0
"""Seconds between looks at the folders' times of change."""
MAX_FILE: Final = 1024 * 1024
STATES: Final = ("completed", "in_progress", "pending", "cancelled")


class Task(msgspec.Struct):
    """The one field read of a task."""

    status: str = ""


_task: Final = msgspec.json.Decoder(Task)
_list: Final = msgspec.json.Decoder(list[Task])


class Tasks:
    """The source of task lists."""

    name = "tasks"

    def __init__(self, claude_dir: Path, since: int) -> None:
        self._claude_dir = claude_dir
        self._since = since
        self._seen: dict[str, int] = {}
        self._told: dict[str, Counter[str]] = {}

    def prepare(self, ingest: Ingest, stop: threading.Event) -> None:
        """Nothing: a list is whole whenever it is read."""

    def run(self, ingest: Ingest, stop: threading.Event) -> None:
        """Look until `stop` is set."""
        while not stop.is_set():
            acts = [act for session, at, files in self._lists() if (act := self._act(session, at, files, ingest))]
            if acts:
                ingest.lines(acts, Counter())
            stop.wait(INTERVAL)

    def _lists(self) -> Iterator[tuple[str, int, list[Path]]]:
        """Each session with the nanosecond its list changed, and the list's files."""
        for folder in _entries(self._claude_dir / "tasks"):
            if folder.is_dir(follow_symlinks=False):
                files = [Path(entry.path) for entry in _entries(folder) if entry.name.endswith(".json")]
                if files or folder.name in self._seen:  # a task that was deleted changes the folder alone
                    yield folder.name, max(map(_changed, [Path(folder.path), *files])), files
        for entry in _entries(self._claude_dir / "todos"):
            session, _, agent = entry.name.removesuffix(".json").partition("-agent-")
            if agent == session:  # a subagent's list is its own affair
                yield session, _changed(Path(entry.path)), [Path(entry.path)]

    def _act(self, session: str, changed: int, files: list[Path], ingest: Ingest) -> Act | None:
        if changed <= max(self._seen.get(session, 0), self._since):
            return None
        self._seen[session] = changed
        try:
            states = Counter(task.status for path in files for task in _tasks(path))
        except (NotOurs, OSError, msgspec.DecodeError, UnicodeError, RecursionError):
            ingest.drop("task_list_unreadable")  # half-written: it changes again when it is whole
            return None
        if states == self._told.get(session):
            return None
        self._told[session] = states
        completed, in_progress, pending, abandoned = (states[state] for state in STATES)
        return Act(
            type="todo_progress",
            key=(session, "tasks", str(changed)),
            session=session,
            at=changed,
            cwd="",
            todo=(completed, in_progress, pending, abandoned),
        )


@hookimpl
def vibetea_sources(config: Config) -> list[Tasks]:
    """This source."""
    return [Tasks(config.claude_dir, config.since)]


def _entries(folder: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except OSError:
        return []


def _changed(path: Path) -> int:
    try:
        found = path.lstat()
    except OSError:
        return 0
    ours = stat.S_IFMT(found.st_mode) in {stat.S_IFREG, stat.S_IFDIR} and found.st_uid == os.geteuid()
    return found.st_mtime_ns if ours else 0


def _tasks(path: Path) -> list[Task]:
    raw = read_ours(path, MAX_FILE)
    return _list.decode(raw) if raw.lstrip().startswith(b"[") else [_task.decode(raw)]
