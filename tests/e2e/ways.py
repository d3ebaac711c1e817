"""Sessions of the real client, seen in four ways at once: by hooks, by transcripts, by both, and afterwards.

Four state folders share a hashing key, so that the same act must get the same id in each.
"""

import json
import os
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.claude_code.scenario import Scenario
from tests.claude_code.stage import Run
from tests.daemon.world import Process
from tests.tools.forked import begun, completed

from vibetea_hooks.settings import install
from vibetea_protocol import event_id

WAYS = ("hooks", "transcripts", "both", "afterwards")
HOOKED = ("hooks", "both", "afterwards")
WATCHING = ("transcripts", "both")
"""Who sees the client's own files while it is open."""


@dataclass
class Ways:
    """The four installations.

    Args:
        root: a short path; it holds the state folders and the clients' own.
        ways: those that are wanted.
    """

    root: Path
    ways: tuple[str, ...] = WAYS
    processes: dict[str, Process] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    """The clients' own."""
    played: list[tuple[Scenario, Run]] = field(default_factory=list)
    """What went as it should, one after another."""

    def prepare(self) -> None:
        """Make the state folders, start all daemons but the late one."""
        (self.root / "empty").mkdir()
        first = self._environment(self.ways[0])
        completed("init", environment=first).check_returncode()
        for way in self.ways[1:]:
            shutil.copytree(self.root / self.ways[0], self.root / way)
        hooks: dict[str, list[object]] = {}
        for way in filter(HOOKED.__contains__, self.ways):
            file = self.root / f"{way}.json"
            install(file, self.root / way)
            for event, entries in json.loads(file.read_text())["hooks"].items():
                hooks.setdefault(event, []).extend(entries)
        for way in self.ways:
            if way != "afterwards":
                self.start(way)
        self.settings = {"hooks": hooks}

    def home(self) -> Path:
        """A fresh HOME for a scenario; the client's own folder in it is the one that is watched."""
        claude = self.root / "claude"
        claude.mkdir(exist_ok=True)
        home = self.root / f"home-{len(list(self.root.glob('home-*')))}"
        home.mkdir()
        (home / ".claude").symlink_to(claude)
        return home

    def start(self, way: str) -> None:
        """Start that way's daemon and wait until it is ready."""
        log = self.root / f"{way}.log"
        with log.open("wb") as stderr:
            popen = begun("daemon", environment=self._environment(way), output=stderr.fileno())
        process = Process(popen, log)
        self.processes[way] = process
        process.wait_ready()

    def stop(self) -> None:
        """End every daemon in order."""
        for process in self.processes.values():
            if process.popen.poll() is None:
                process.stop()

    def rows(self, way: str, run: Run) -> list[tuple[str, ...]]:
        """What that way's database holds, as (id, type, session, tool, status, outcome, state, agent, payload).

        What is of another run that went well is left out; what is of no run is not.
        """
        sql = "select id, type, session_id, tool, status, outcome, state, agent_id, payload from events order by seq"
        others = {session for _, other in self.played if other is not run for session in other.sessions.values()}
        return [row for row in self._query(way, sql) if row[2] not in others]

    def board(self, way: str, session: str) -> list[str]:
        """What that way's board says of the session: a state and its reason."""
        return [
            f"{state} {reason}"
            for one, state, reason in self._query(way, "select session_id, state, reason from board")
            if one == session
        ]

    def counters(self, way: str) -> dict[str, int]:
        """What that way's daemon dropped."""
        return dict(self._query(way, "select name, n from _counters"))

    def stories(self, way: str, run: Run) -> Counter[str]:
        """What happened, in the scenario's own words, and how often."""
        teller = Teller(run, self._key())
        return Counter(teller.story(row) for row in self.rows(way, run))

    def identified(self, way: str, run: Run) -> dict[str, str]:
        """The story of each event, by its id."""
        teller = Teller(run, self._key())
        return {row[0]: teller.story(row) for row in self.rows(way, run)}

    def durations(self, way: str) -> dict[str, int]:
        """Milliseconds of each tool call that is known to have taken some time."""
        sql = "select id, duration_ms from events where duration_ms is not null"
        return dict(self._query(way, sql))

    def inbox(self, way: str) -> list[Path]:
        """The frames still waiting."""
        return list((self.root / way / "inbox").glob("*.frame"))

    def _key(self) -> bytes:
        return bytes(self._query(self.ways[0], "select value from _secrets where name = 'hashing_key'")[0][0])

    def _query(self, way: str, sql: str) -> list[Any]:
        database = self.root / way / "vibetea.db"
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as db:
            return db.execute(sql).fetchall()

    def _environment(self, way: str) -> dict[str, str]:
        claude = self.root / ("empty" if way == "hooks" else "claude")
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "VIBETEA_HOME": str(self.root / way),
            "VIBETEA_CLAUDE_DIR": str(claude),
            "VIBETEA_SOURCE_ID": "laptop",
            "PYTHONWARNINGS": "error",
        }


class Teller:
    """Puts events into a scenario's labels. A tool's label is found by its id, so a wrong id has no label."""

    def __init__(self, run: Run, key: bytes) -> None:
        self._sessions = {session: label for label, session in run.sessions.items()}
        self._agents = {agent: label for label, agent in run.agents.items()}
        self._calls = {
            event_id(key, kind, session, call, phase): label
            for label, call in run.tools.items()
            for session in run.sessions.values()
            for kind, phase in (("tool", "started"), ("tool", "completed"))
        }

    def story(self, row: tuple[str, ...]) -> str:
        """One event in a line."""
        event, kind, session, tool, status, outcome, state, agent, raw = row
        payload = json.loads(raw)
        words = [self._sessions.get(session, "?"), kind]
        if kind == "tool":
            words += [self._calls.get(event, "?"), tool, outcome or status]
        elif kind == "session":
            words += [payload["action"], payload.get("how") or payload.get("reason")]
        elif kind == "skill_invocation":
            words.append(payload["skillName"])
        elif kind == "agent_spawn":
            words.append(payload["agentType"])
        elif kind == "error":
            words.append(payload["category"])
        elif kind == "todo_progress":
            words += [f"{payload[name]} {name}" for name in ("completed", "inProgress", "pending")]
        elif state:
            words.append(state)
        if agent:
            words.append(f"in {self._agents.get(agent, '?')}")
        return " ".join(words)
