"""A throw-away machine: folders, environment, real daemons, real hooks, and what the database says of it all."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copyfile
from typing import Any

from tests.daemon.session import Session
from tests.tools.forked import Forked, begun, completed, vibetea

PYTHON = os.path.realpath(sys.executable)
"""The interpreter itself, without the virtual environment: what the installer writes into Claude Code's settings."""
EMIT = Path(__file__).parents[2] / "hooks/vibetea_hooks/emit.py"
RECORDED = Path(__file__).parents[1] / "recorded"


def wait_until(holds: Callable[[], bool], what: str | Callable[[], str], seconds: float = 60.0) -> None:
    """Poll until it holds; fail with the reason when it never does."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(what if isinstance(what, str) else what())
        time.sleep(0.05)


@dataclass
class Process:
    """A running daemon and its log."""

    popen: subprocess.Popen[bytes] | Forked
    log: Path

    @property
    def text(self) -> str:
        return self.log.read_text()

    def wait_ready(self) -> None:
        wait_until(
            lambda: self.popen.poll() is not None or " ready" in self.text, lambda: f"never ready:\n{self.text}", 30
        )
        assert self.popen.returncode is None, f"exited {self.popen.returncode}:\n{self.text}"

    def stop(self, number: int = signal.SIGTERM, *, expect: int = 0) -> None:
        self.popen.send_signal(number)
        assert self.popen.wait(15) == expect, self.text

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()


@dataclass
class World:
    """One user's machine.

    Args:
        root: holds everything.
        state: `VIBETEA_HOME`.
        expected_log: patterns of the warnings and errors this test means to cause.
    """

    root: Path
    state: Path
    env: dict[str, str] = field(default_factory=dict)
    expected_log: list[str] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    _expected: Callable[[], set[str]] | None = None

    @classmethod
    def make(cls, root: Path, state: Path | None = None) -> "World":
        state = state or root / "state"
        world = cls(root, state)
        runtime = root / "run"
        runtime.mkdir(mode=0o700)
        world.projects.mkdir(parents=True)
        world.env = {
            "HOME": str(root / "home"),
            "PATH": os.environ["PATH"],
            "VIBETEA_HOME": str(state),
            "VIBETEA_CLAUDE_DIR": str(root / "claude"),
            "VIBETEA_SOURCE_ID": "laptop",
            "XDG_RUNTIME_DIR": str(runtime),
            "PYTHONWARNINGS": "error",
        }
        world.install_emit()
        return world

    @property
    def projects(self) -> Path:
        return self.root / "claude/projects"

    @property
    def inbox(self) -> Path:
        return self.state / "inbox"

    @property
    def emit(self) -> Path:
        return self.state / "vibetea-emit.py"

    def install_emit(self) -> None:
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        copyfile(EMIT, self.emit)
        self.emit.chmod(0o500)

    # processes

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run a `vibetea` command to its end."""
        return completed(*arguments, environment=self.env, **options)

    def spawn(self, *arguments: str, wrapper: Sequence[str] = (), env: dict[str, str] | None = None) -> Process:
        """Start a daemon and do not wait."""
        log = self.root / f"daemon-{len(self.processes)}.log"
        given = self.env | (env or {})
        popen: subprocess.Popen[bytes] | Forked
        with log.open("wb") as stderr:
            if wrapper:
                command = [*wrapper, *vibetea("daemon", *arguments)]
                popen = subprocess.Popen(command, env=given, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
            else:
                popen = begun("daemon", *arguments, environment=given, output=stderr.fileno())
        process = Process(popen, log)
        self.processes.append(process)
        return process

    def start(self, *arguments: str, wrapper: Sequence[str] = (), env: dict[str, str] | None = None) -> Process:
        """Start a daemon and wait until it is ready."""
        process = self.spawn(*arguments, wrapper=wrapper, env=env)
        process.wait_ready()
        return process

    @contextmanager
    def daemon(self, *arguments: str) -> Iterator[Process]:
        process = self.start(*arguments)
        yield process
        process.stop()

    def end(self) -> None:
        """Stop what runs; nothing may have been logged that was not meant, nothing lost and nothing doubled."""
        running = [process for process in self.processes if process.popen.poll() is None]
        try:
            for process in running:
                process.stop()
        finally:
            for process in running:
                process.popen.kill()
        for process in self.processes:
            assert not self.surprises(process.text), self.surprises(process.text)
        if self.database.exists():
            assert self._expected is None or self.ids() == self._expected()
            self.check_derived()

    def surprises(self, log: str) -> list[str]:
        meant = [re.compile(pattern) for pattern in self.expected_log]
        loud = [line for line in log.splitlines() if not re.search(r"Z INFO ", line)]
        return [line for line in loud if not any(pattern.search(line) for pattern in meant)]

    # what is fed

    def hook(self, payload: dict[str, Any] | bytes, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Send a payload through the real hook script and check that Claude Code would notice nothing."""
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        command = [PYTHON, "-I", "-S", str(self.emit)]
        done = subprocess.run(command, input=raw, env=self.env, capture_output=True, timeout=60, check=False, **options)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        return done

    def transcript(self, session: Session, slug: str = "-home-dev-shop") -> Path:
        path = self.projects / slug / f"{session.id}.jsonl"
        if session.agent:
            path = path.with_suffix("") / "subagents" / f"agent-{session.agent}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, session: Session, *lines: bytes) -> Path:
        """Append to the session's transcript in one go."""
        path = self.transcript(session)
        with path.open("ab", buffering=0) as file:
            file.write(b"".join(lines))
        return path

    # what came of it

    @property
    def database(self) -> Path:
        return self.state / "vibetea.db"

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10)) as db:
            return db.execute(sql, values).fetchall()

    def ids(self) -> set[str]:
        return {row[0] for row in self.query("select id from events")}

    def key(self) -> bytes:
        return bytes(self.query("select value from _secrets where name = 'hashing_key'")[0][0])

    def counters(self) -> dict[str, int]:
        return dict(self.query("select name, n from _counters"))

    def status(self) -> dict[str, Any]:
        return {name: json.loads(value) for name, value in self.query("select name, value from _status")}

    def check_derived(self) -> None:
        """What is kept up to date with the events tells the same as they do."""
        (events,) = self.query("select count(*) from events")[0]
        assert self.query("select coalesce(sum(n), 0) from activity") == [(events,)]
        of_sessions = self.query("select session_id, count(*) from events where session_id not null group by 1")
        assert sorted(self.query("select session_id, events from sessions")) == sorted(of_sessions)
        of_agents = (
            "select session_id, coalesce(agent_id, ''), count(*) from events where session_id not null group by 1, 2"
        )
        assert sorted(self.query("select session_id, agent_id, events from agents")) == sorted(self.query(of_agents))
        used = "select count(*), coalesce(sum(payload ->> 'inputTokens'), 0) from events where type = 'token_usage'"
        of_usage = "select coalesce(sum(messages), 0), coalesce(sum(input_tokens), 0) from usage"
        assert self.query(of_usage) == self.query(used)

    def inboxed(self) -> list[Path]:
        return sorted(self.inbox.glob("*.frame")) if self.inbox.is_dir() else []

    def expect(self, *sessions: Session, seconds: float = 60.0) -> None:
        """Wait until the database holds exactly these sessions' events; it is checked again at the end."""
        key = self.key()
        names = {natural: natural for session in sessions for natural in session.keys}

        def expected() -> set[str]:
            return set().union(*(session.ids(key) for session in sessions))

        def difference() -> str:
            found, wanted = self.ids(), expected()
            by_id = {i: natural for session in sessions for natural in session.keys for i in (_id(key, natural),)}
            extra = self.query("select id, type, payload from events")
            return (
                f"missing: {sorted(by_id[i] for i in wanted - found)}\n"
                f"too much: {[row for row in extra if row[0] in found - wanted]}\n"
                f"counters: {self.counters()}\nlog: {self.processes[-1].text if self.processes else ''}"
            )

        assert names
        wait_until(lambda: self.ids() == expected(), difference, seconds)
        self._expected = expected

    def expect_counter(self, name: str, n: int = 1) -> None:
        wait_until(lambda: self.counters().get(name, 0) >= n, lambda: f"{name} never reached {n}: {self.counters()}")


def _id(key: bytes, natural: tuple[str, ...]) -> str:
    from vibetea_protocol import event_id

    return event_id(key, *natural)
