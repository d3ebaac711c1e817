"""The clients that are open on this machine: what each is at, and whether it lives.

Claude Code keeps `sessions/<pid>.json` for every running client, writes there at once when it begins to work, rests or
waits for its person, and takes the file away when it ends in order. Recorded with 2.1.330.
"""

import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from vibetea_daemon.acts import Act
from vibetea_daemon.claude_code.report import Report
from vibetea_daemon.config import Config
from vibetea_daemon.hookspecs import hookimpl
from vibetea_daemon.ingest import DAY, Ingest
from vibetea_daemon.sources.files import NotOurs, read_ours
from vibetea_daemon.store import Client
from vibetea_protocol.vocabulary import ClientStatus, SessionReason, WaitingFor

INTERVAL: Final = 0.5
"""Seconds between looks."""
HOOK_SECONDS: Final = 3.0
"""How long the hook that tells a session's end may take after the client has left it."""
FRESH: Final = 1_000_000_000
"""Nanoseconds in which a file is read again though its time stayed: two changes may share a tick of the clock."""
MAX_FILES: Final = 1000
MAX_FILE: Final = 64 * 1024
STATUSES: Final[dict[str, ClientStatus]] = {"busy": "busy", "idle": "idle", "waiting": "waiting"}
PERMISSION: Final = "permission prompt"
"""What it says it waits for; every other word is a question."""


class ClientFile(msgspec.Struct):
    """The fields read of a client's file; `since` is in milliseconds."""

    pid: int
    session: str = msgspec.field(name="sessionId")
    begun: str = msgspec.field(name="procStart", default="")
    domain: str = msgspec.field(name="pidDomain", default="")
    cwd: str = ""
    status: str = ""
    since: int = msgspec.field(name="statusUpdatedAt", default=0)
    waiting_for: str = msgspec.field(name="waitingFor", default="")


_file: Final = msgspec.json.Decoder(ClientFile)
_NAME: Final = re.compile(r"([1-9][0-9]{0,9})\.json")


@dataclass(slots=True)
class Open:
    """A client that has a file.

    Args:
        changed: the file's time of change, nanoseconds.
        at: since when it is in its status, RFC 3339.
        since: when it was first seen with this session, monotonic seconds.
        lives: whether its process lives; None while nobody has looked, or if it cannot be seen from here.
        lived: whether it was seen alive; who never was may be long dead.
    """

    file: ClientFile
    changed: int
    at: str
    since: float
    lives: bool | None = None
    lived: bool = False


@dataclass(slots=True)
class Left:
    """A session whose client is gone or went on to another one, `at` nanoseconds since the epoch."""

    file: ClientFile
    at: int
    since: float
    due: float

    def ended(self, reason: SessionReason) -> list[Act]:
        """The acts that tell it."""
        file = self.file
        where = Report(file.session, self.at, file.cwd)
        return where.session_ended(reason, "gone", str(file.pid), file.begun, str(file.since))


class Clients:
    """The source of open clients."""

    name = "clients"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._begun = time.time_ns()
        self._namespace = _pid_namespace()
        self._stamps: dict[int, tuple[int, int]] = {}
        self._open: dict[int, Open] = {}
        self._left: list[Left] = []
        self._told: dict[str, Client] = {}

    def prepare(self, ingest: Ingest, stop: threading.Event) -> None:
        """Nothing: what is open is told once it was looked at."""

    def run(self, ingest: Ingest, stop: threading.Event) -> None:
        """Look until `stop` is set."""
        while not stop.is_set():
            # Before the files are listed: who ends in order takes the file away first.
            for client in self._open.values():
                client.lives = self._lives(client.file)
            counts: Counter[str] = Counter()
            self._look(counts)
            acts = [*self._killed(ingest), *self._ended(ingest)]
            ingest.clients(acts, counts, self._changes())
            stop.wait(INTERVAL)

    def _look(self, counts: Counter[str]) -> None:
        try:
            files = dict(islice(_files(self._folder), MAX_FILES))
        except OSError:  # that nothing can be listed now does not say that everybody is gone
            return
        for pid in self._stamps.keys() - files.keys():
            del self._stamps[pid]
            if client := self._open.pop(pid, None):
                self._leave(client)
        for pid, path in files.items():
            try:
                found = os.lstat(path)
            except OSError:  # the next look tells
                continue
            stamp = (found.st_mtime_ns, found.st_size)
            fresh = abs(time.time_ns() - found.st_mtime_ns) < FRESH
            if self._stamps.get(pid) == stamp and not fresh:
                continue
            self._stamps[pid] = stamp
            if file := _read(path, pid):
                self._take(file, found.st_mtime_ns)
            elif fresh:
                self._stamps[pid] = (0, 0)  # it may be half-written
            else:
                counts["client_unreadable"] += 1

    def _take(self, file: ClientFile, changed: int) -> None:
        """What a file says now."""
        before = self._open.get(file.pid)
        if before and before.file.begun == file.begun and before.file.session == file.session:
            before.file, before.changed, before.at = file, changed, _moment(file, changed)
            return
        if before:  # `/clear`, `/resume`, `/branch`; or a new process got the number of a dead one
            self._leave(before)
        alive = self._lives(file) or None  # of a dead one the next look tells whether the file stays
        self._open[file.pid] = Open(file, changed, _moment(file, changed), time.monotonic(), alive, alive is True)

    def _leave(self, client: Open) -> None:
        if client.lived:
            self._left.append(Left(client.file, time.time_ns(), client.since, time.monotonic() + HOOK_SECONDS))

    def _killed(self, ingest: Ingest) -> Iterator[Act]:
        """Who lived, died and left the file, unless a hook still told the end."""
        for client in self._open.values():
            if client.lived and client.lives is False:
                client.lived = False
                if not ingest.ended_by_hook(client.file.session, client.since):
                    yield from Left(client.file, time.time_ns(), client.since, 0).ended("killed")

    def _ended(self, ingest: Ingest) -> Iterator[Act]:
        """The ends that no hook told in time."""
        waiting = []
        for left in self._left:
            if ingest.ended_by_hook(left.file.session, left.since):
                continue
            if left.due < time.monotonic():
                yield from left.ended("other")
            else:
                waiting.append(left)
        self._left = waiting

    def _changes(self) -> dict[str, Client | None]:
        """What is new, by session; of two clients of one session the one that lives speaks."""
        now = {
            client.file.session: said
            for client in sorted(self._open.values(), key=lambda client: (client.lives is True, client.changed))
            if (said := self._says(client))
        }
        changes: dict[str, Client | None] = {
            session: now.get(session)
            for session in now.keys() | self._told.keys()
            if now.get(session) != self._told.get(session)
        }
        self._told = now
        return changes

    def _says(self, client: Open) -> Client | None:
        file = client.file
        status = STATUSES.get(file.status)
        unseen = client.lives is None and not self._is_elsewhere(file)
        long_dead = client.lives is False and client.changed < self._begun - DAY
        if status is None or unseen or long_dead:
            return None
        waiting_for: WaitingFor | None = None
        if status == "waiting":
            waiting_for = "permission" if file.waiting_for == PERMISSION else "question"
        return Client(client.lives, status, waiting_for, client.at)

    def _is_elsewhere(self, file: ClientFile) -> bool:
        """Whether its process has its number in another namespace, a container's, where we see no processes."""
        return bool(self._namespace and file.domain) and not file.domain.endswith(self._namespace)

    def _lives(self, file: ClientFile) -> bool | None:
        """Whether the very process lives that wrote the file; None if that cannot be seen from here."""
        if self._is_elsewhere(file):
            return None
        try:
            if sys.platform != "linux":
                os.kill(file.pid, 0)
                return True
            # after the name, which may hold anything: the state, and as the twentieth the start in ticks
            state, *numbers = _raw(f"/proc/{file.pid}/stat").rpartition(b")")[2].split()
        except (OSError, OverflowError):
            return False
        return state not in {b"Z", b"X"} and file.begun in {"", numbers[18].decode()}


@hookimpl
def vibetea_sources(config: Config) -> list[Clients]:
    """This source."""
    return [Clients(config.claude_dir / "sessions")]


def _pid_namespace() -> str:
    """The end of `pidDomain` in the files of our own namespace; empty where there are none."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _files(folder: Path) -> Iterator[tuple[int, str]]:
    """The number and path of each file that is named like a client's; those beside them are never opened.

    Raises OSError.
    """
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            if found := _NAME.fullmatch(entry.name):
                yield int(found[1]), entry.path


def _raw(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)


def _moment(file: ClientFile, changed: int) -> str:
    """Since when a client is in its status; a time that cannot be gives way to the file's own."""
    possible = 0 < file.since * 1_000_000 < time.time_ns() + DAY
    moment = datetime.fromtimestamp(file.since / 1e3 if possible else changed / 1e9, UTC)
    return f"{moment.isoformat(timespec='milliseconds')[:23]}Z"


def _read(path: str, pid: int) -> ClientFile | None:
    try:
        file = _file.decode(read_ours(Path(path), MAX_FILE))
    except (NotOurs, OSError, msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return file if file.pid == pid and file.session else None
