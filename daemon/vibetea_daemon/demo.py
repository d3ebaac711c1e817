"""Invented sessions, written as Claude Code would write them: what `vibetea up --demo` shows."""

import json
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

SEED: Final = 20260203
HISTORY_DAYS: Final = 28
SESSIONS_A_DAY: Final = 5
LIVE_SESSIONS: Final = 3
PROJECTS: Final = ("shop", "atlas", "billing-api", "notes", "weather-map")
FILES: Final = ("auth.ts", "cart.py", "README.md", "api.go", "styles.css", "test_cart.py", "models.rs", "index.html")
MODELS: Final = ("claude-opus-5-5", "claude-sonnet-5", "claude-haiku-5")
TOOLS: Final = ("Read",) * 6 + ("Edit",) * 4 + ("Bash",) * 5 + ("Grep", "Write", "WebSearch", "mcp__tickets__search")

Line = dict[str, object]


class DemoSession:
    """One session that goes on for as long as it is asked for lines."""

    def __init__(self, chance: random.Random, projects: Path) -> None:
        self._chance = chance
        project = chance.choice(PROJECTS)
        self._id = self._uuid()
        self._cwd = f"/home/demo/{project}"
        self._model = chance.choice(MODELS)
        self.path = projects / f"-home-demo-{project}" / f"{self._id}.jsonl"

    def turn(self, begin: datetime) -> Iterator[tuple[datetime, list[Line]]]:
        """One prompt and all that follows: lines that belong together, and when they are written."""
        prompt = self._uuid()
        now = begin
        yield now, [self._line(now, "user", prompt, {"role": "user", "content": "invented"})]
        for _ in range(self._chance.randint(2, 9)):
            calls = [self._call() for _ in range(self._chance.choice((1, 1, 1, 2)))]
            now += timedelta(seconds=self._chance.uniform(0.8, 5))
            yield now, [self._message(now, prompt, [call]) for call in calls]
            for call in calls:
                now += timedelta(seconds=self._chance.uniform(0.1, 2.5))
                failed = self._chance.random() < 0.07
                result = {"type": "tool_result", "tool_use_id": call["id"], "content": "", "is_error": failed}
                yield now, [self._line(now, "user", prompt, {"role": "user", "content": [result]})]
        now += timedelta(seconds=self._chance.uniform(0.8, 4))
        yield now, [self._message(now, prompt, [{"type": "text", "text": "invented"}], stop="end_turn")]

    def write(self, lines: list[Line]) -> None:
        """Append to the transcript."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)

    def _uuid(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))

    def _call(self) -> dict[str, object]:
        tool = self._chance.choice(TOOLS)
        inputs = {"file_path": f"{self._cwd}/{self._chance.choice(FILES)}"} if tool in {"Read", "Edit", "Write"} else {}
        return {"type": "tool_use", "id": f"toolu_{self._chance.getrandbits(100):025x}", "name": tool, "input": inputs}

    def _message(self, at: datetime, prompt: str, content: list[dict[str, object]], stop: str = "tool_use") -> Line:
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
        )

    def _line(self, at: datetime, kind: str, prompt: str, message: dict[str, object]) -> Line:
        return {
            "type": kind,
            "uuid": self._uuid(),
            "timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
            "sessionId": self._id,
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
    """Sessions that go on now, until `stop` is set."""
    chance = random.Random()  # noqa: S311  invented data
    sessions = [DemoSession(chance, projects) for _ in range(LIVE_SESSIONS)]
    turns = [session.turn(datetime.now(UTC)) for session in sessions]
    while not stop.wait(chance.uniform(0.2, 0.9)):
        which = chance.randrange(LIVE_SESSIONS)
        now = datetime.now(UTC)
        step = next(turns[which], None)
        if step is None:
            turns[which] = sessions[which].turn(now)
            continue
        sessions[which].write([line | {"timestamp": f"{now:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"} for line in step[1]])
