"""Invented sessions, written and reported as Claude Code would: what `vibetea up --demo` shows."""

import contextlib
import json
import random
import socket
import threading
import time
from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from vibetea_daemon.sources import frames

SEED: Final = 20260203
HISTORY_DAYS: Final = 28
SESSIONS_A_DAY: Final = 5
LIVE_SESSIONS: Final = 3
PROJECTS: Final = ("shop", "atlas", "billing-api", "notes", "weather-map")
FILES: Final = ("auth.ts", "cart.py", "README.md", "api.go", "styles.css", "test_cart.py", "models.rs", "index.html")
MODELS: Final = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5")
OTHER_TOOLS: Final = ("Grep", "Write", "WebSearch", "Skill", "mcp__tickets__search")
TOOLS: Final = (*("Read",) * 6, *("Edit",) * 4, *("Bash",) * 5, *OTHER_TOOLS)
SKILLS: Final = ("review", "simplify", "security-review")
AGENT_TYPE: Final = "Explore"
ERRORS: Final = ("overloaded", "rate_limit", "server_error")
ASKED: Final = (3.0, 8.0)
"""Seconds a person takes to answer a permission prompt."""

Line = dict[str, Any]
Step = tuple[datetime, list[Line]]


class DemoSession:
    """One session that goes on for as long as it is asked for lines."""

    def __init__(self, chance: random.Random, projects: Path) -> None:
        self._chance = chance
        project = chance.choice(PROJECTS)
        self._id = self._uuid()
        self._cwd = f"/home/demo/{project}"
        self._model = chance.choice(MODELS)
        self._calls: dict[str, Line] = {}
        self.path = projects / f"-home-demo-{project}" / f"{self._id}.jsonl"

    def turn(self, begin: datetime) -> Iterator[Step]:
        """One prompt and all that follows: lines that belong together, and when they are written."""
        prompt = self._uuid()
        now = begin
        yield now, [self._said(now, prompt)]
        now = yield from self._work(now, prompt, self._chance.randint(2, 9))
        if self._chance.random() < 0.15:
            call, agent = self._call("Agent"), f"a{self._chance.getrandbits(64):016x}"
            yield now, [self._message(now, prompt, [call])]
            yield now, [self._said(now, prompt, agent)]
            now = yield from self._work(now, prompt, self._chance.randint(1, 4), agent)
            yield now, [self._end(now, prompt, agent)]
            yield now, [self._result(now, prompt, call)]
        now += timedelta(seconds=self._chance.uniform(0.8, 4))
        failed = self._chance.random() < 0.04
        yield now, [self._failure(now, prompt) if failed else self._end(now, prompt)]

    def write(self, lines: list[Line]) -> None:
        """Append to the transcript, or to the subagent's."""
        for line in lines:
            path = self.path
            if agent := line["agentId"]:
                path = path.with_suffix("") / "subagents" / f"agent-{agent}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            if agent and not path.exists():
                path.with_suffix(".meta.json").write_text(json.dumps({"agentType": AGENT_TYPE}))
            with path.open("a") as file:
                file.write(json.dumps(line, separators=(",", ":")) + "\n")

    def hooks(self, line: Line) -> Iterator[Line]:
        """What Claude Code's hooks report of a line."""
        agent, content = line["agentId"], line["message"]["content"]
        common = {"session_id": self._id, "cwd": self._cwd, "prompt_id": line["promptId"]}
        common |= {"agent_id": agent, "agent_type": AGENT_TYPE} if agent else {}
        if isinstance(content, str):
            yield common | {"hook_event_name": "SubagentStart" if agent else "UserPromptSubmit"}
        elif "error" in line:
            yield common | {"hook_event_name": "StopFailure", "error": line["error"]}
        elif line["message"].get("stop_reason") == "end_turn":
            yield common | {"hook_event_name": "SubagentStop" if agent else "Stop"}
        else:
            for block in content:
                yield common | self._tool_hook(block)
            if content[0].get("name") in {"Bash", "Write"} and self._chance.random() < 0.25:
                yield common | {"hook_event_name": "PermissionRequest"}

    def _tool_hook(self, block: Line) -> Line:
        call = self._calls.get(block.get("tool_use_id", ""), block)
        hook = {"tool_use_id": call["id"], "tool_name": call["name"], "tool_input": call["input"]}
        if call is block:
            return hook | {"hook_event_name": "PreToolUse"}
        event = "PostToolUseFailure" if block["is_error"] else "PostToolUse"
        return hook | {"hook_event_name": event, "duration_ms": int(self._chance.lognormvariate(5, 1.5))}

    def _work(self, now: datetime, prompt: str, messages: int, agent: str = "") -> Generator[Step, None, datetime]:
        """Calls of tools, and what came of them; when the last one ended."""
        for _ in range(messages):
            calls = [self._call(self._chance.choice(TOOLS)) for _ in range(self._chance.choice((1, 1, 1, 2)))]
            now += timedelta(seconds=self._chance.uniform(0.8, 5))
            yield now, [self._message(now, prompt, [call], agent) for call in calls]
            for call in calls:
                now += timedelta(seconds=self._chance.uniform(0.1, 2.5))
                yield now, [self._result(now, prompt, call, agent, failed=self._chance.random() < 0.07)]
        return now

    def _uuid(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))

    def _call(self, tool: str) -> Line:
        inputs: Line = {}
        if tool in {"Read", "Edit", "Write"}:
            inputs = {"file_path": f"{self._cwd}/{self._chance.choice(FILES)}"}
        elif tool == "Skill":
            inputs = {"skill": self._chance.choice(SKILLS)}
        call: Line = {
            "type": "tool_use",
            "id": f"toolu_{self._chance.getrandbits(100):025x}",
            "name": tool,
            "input": inputs,
        }
        self._calls[call["id"]] = call
        return call

    def _said(self, at: datetime, prompt: str, agent: str = "") -> Line:
        return self._line(at, "user", prompt, {"role": "user", "content": "invented"}, agent)

    def _result(self, at: datetime, prompt: str, call: Line, agent: str = "", *, failed: bool = False) -> Line:
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": "", "is_error": failed}
        return self._line(at, "user", prompt, {"role": "user", "content": [result]}, agent)

    def _end(self, at: datetime, prompt: str, agent: str = "") -> Line:
        return self._message(at, prompt, [{"type": "text", "text": "invented"}], agent, stop="end_turn")

    def _failure(self, at: datetime, prompt: str) -> Line:
        failed = {"isApiErrorMessage": True, "error": self._chance.choice(ERRORS)}
        return self._line(at, "assistant", prompt, {"role": "assistant", "content": []}) | failed

    def _message(self, at: datetime, prompt: str, content: list[Line], agent: str = "", stop: str = "tool_use") -> Line:
        return self._line(
            at,
            "assistant",
            prompt,
            {
                "id": f"msg_{self._chance.getrandbits(100):025x}",
                "role": "assistant",
                "model": self._model,
                "content": content,
                "stop_reason": stop,
                "usage": {
                    "input_tokens": self._chance.randint(3, 900),
                    "output_tokens": self._chance.randint(20, 1500),
                    "cache_read_input_tokens": self._chance.randint(8_000, 90_000),
                    "cache_creation_input_tokens": self._chance.randint(0, 4_000),
                },
            },
            agent,
        )

    def _line(self, at: datetime, kind: str, prompt: str, message: Line, agent: str = "") -> Line:
        return {
            "type": kind,
            "uuid": self._uuid(),
            "timestamp": _stamp(at),
            "sessionId": self._id,
            "agentId": agent,
            "cwd": self._cwd,
            "promptId": prompt,
            "message": message,
        }


def write_history(projects: Path, until: datetime) -> None:
    """Some weeks of sessions below a folder of project folders, most of them in working hours."""
    chance = random.Random(SEED)  # noqa: S311  invented data
    for day in range(HISTORY_DAYS, -1, -1):
        midnight = (until - timedelta(days=day)).replace(hour=0, minute=0, second=0, microsecond=0)
        for _ in range(chance.randint(1, SESSIONS_A_DAY) if midnight.weekday() < 5 else chance.randint(0, 1)):
            session = DemoSession(chance, projects)
            begin = midnight + timedelta(hours=chance.triangular(7, 23, 14))
            for _ in range(chance.randint(1, 6)):
                for at, lines in session.turn(begin + timedelta(minutes=chance.uniform(0.5, 12))):
                    begin = at
                    if at < until:
                        session.write(lines)


def live(projects: Path, stop: threading.Event) -> None:
    """Sessions that go on now, until `stop` is set; the state folder is `vibetea`, beside Claude Code's."""
    chance = random.Random()  # noqa: S311  invented data
    hook_socket = projects.parents[1] / "vibetea/vibetea.sock"
    sessions = [DemoSession(chance, projects) for _ in range(LIVE_SESSIONS)]
    turns = [session.turn(datetime.now(UTC)) for session in sessions]
    asked = [0.0] * LIVE_SESSIONS
    while not stop.wait(chance.uniform(0.5, 3.0)):
        which = chance.randrange(LIVE_SESSIONS)
        if time.monotonic() < asked[which]:
            continue
        step = next(turns[which], None)
        if step is None:
            turns[which] = sessions[which].turn(datetime.now(UTC))
            continue
        for line in step[1]:
            for hook in sessions[which].hooks(line):
                _report(hook, hook_socket)
                if hook["hook_event_name"] == "PermissionRequest":
                    asked[which] = time.monotonic() + chance.uniform(*ASKED)
        sessions[which].write([line | {"timestamp": _stamp(datetime.now(UTC))} for line in step[1]])


def _report(hook: Line, hook_socket: Path) -> None:
    """As the hook script would; while no daemon listens, nothing is told."""
    payload = json.dumps(hook).encode()
    header = bytes([frames.VERSION]) + time.time_ns().to_bytes(8, "big") + len(payload).to_bytes(4, "big")
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(0.5)
        connection.connect(str(hook_socket))
        connection.sendall(header + payload)
        connection.recv(1)


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
