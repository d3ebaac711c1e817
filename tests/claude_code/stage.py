"""Where a scenario is played: the real client in a throw-away HOME, by `claude -p` or in a terminal."""

import base64
import json
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.claude_code.model import Script, ending
from tests.claude_code.terminal import Terminal

Json = dict[str, Any]
_DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
PICTURE = base64.b64decode(_DOT)  # one pixel, PNG


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a person typed: under which label, in which session (its label)."""

    label: str
    text: str
    session: str


@dataclass(slots=True)
class Run:
    """What a scenario left behind. Sessions, tools and agents are found by the scenario's own labels."""

    home: Path
    project: Path
    script: Script
    sessions: dict[str, str] = field(default_factory=dict)
    prompts: list[Prompt] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def tools(self) -> dict[str, str]:
        """The `tool_use_id` of each labelled call."""
        return self.script.tool_ids

    @property
    def transcript_folder(self) -> Path:
        """The folder with the transcripts of every session of this project."""
        return self.home / ".claude/projects" / re.sub(r"[^a-zA-Z0-9]", "-", str(self.project))

    def transcript(self, session: str) -> Path:
        """The transcript of one session."""
        return self.transcript_folder / f"{self.sessions[session]}.jsonl"

    def lines(self, session: str) -> list[Json]:
        """The complete lines written so far to that transcript."""
        return read_lines(self.transcript(session))

    @property
    def agents(self) -> dict[str, str]:
        """The agent id of each labelled Agent call that really started one."""
        labels = {tool_id: label for label, tool_id in self.tools.items()}
        metas = [(f, json.loads(f.read_text())) for f in self.transcript_folder.rglob("agent-*.meta.json")]
        return {labels[m["toolUseId"]]: f.name.removeprefix("agent-").removesuffix(".meta.json") for f, m in metas}

    def agent_lines(self, session: str, label: str) -> list[Json]:
        """The lines of the transcript of one subagent."""
        name = f"agent-{self.agents[label]}.jsonl"
        return read_lines(self.transcript(session).with_suffix("") / "subagents" / name)


def read_lines(path: Path) -> list[Json]:
    """The complete lines of a transcript; a line still being written is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Poll until the condition holds.

    Raises:
        TimeoutError: it did not within the time given.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.1)


@dataclass(slots=True)
class Stage:
    """One run in the making. A prompt's key leads the model to its script; it is also the prompt's label."""

    claude: Path
    run: Run
    environment: Mapping[str, str]

    def start(
        self, session: str, key: str, text: str = "", *, resume: str = "", fork: bool = False, picture: bool = False
    ) -> "subprocess.Popen[str]":
        """Start `claude -p` with one prompt, in a new session or resuming (or forking) the one labelled `resume`."""
        said = text or _please(key)
        options = ["--dangerously-skip-permissions", "--output-format", "stream-json", "--verbose"]
        if resume:
            options += ["--resume", self.run.sessions[resume], *(["--fork-session"] if fork else [])]
        else:
            self.run.sessions[session] = str(uuid.uuid4())
            options += ["--session-id", self.run.sessions[session]]
        servers = self.run.home / "mcp.json"
        options += ["--mcp-config", str(servers)] if servers.exists() else []
        options += ["--input-format", "stream-json"] if picture else ["--", said]
        process = subprocess.Popen(
            [str(self.claude), "-p", *options],
            cwd=self.run.project,
            env=dict(self.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdin
        if picture:
            process.stdin.write(json.dumps(_with_picture(said)) + "\n")
        process.stdin.close()
        process.stdin = None
        self.run.prompts.append(Prompt(key, said, session))
        return process

    def headless(
        self,
        session: str,
        key: str,
        text: str = "",
        *,
        resume: str = "",
        fork: bool = False,
        picture: bool = False,
        fails: bool = False,
    ) -> None:
        """Play one prompt with `claude -p` to its end."""
        process = self.start(session, key, text, resume=resume, fork=fork, picture=picture)
        said, _ = process.communicate(timeout=120)
        if (process.returncode != 0) != fails:
            raise AssertionError(f"claude -p ended with {process.returncode}:\n{said[-4000:]}")
        self.run.sessions[session] = json.loads(said.splitlines()[-1])["session_id"]

    @contextmanager
    def terminal(self, session: str, *options: str) -> Iterator[Terminal]:
        """An interactive client, ready for input and left by `/exit`; without options it asks no permission."""
        self.run.sessions[session] = str(uuid.uuid4())
        command = [str(self.claude), "--session-id", self.run.sessions[session]]
        command += options or ("--dangerously-skip-permissions",)
        with Terminal(command, self.run.project, self.environment) as screen:
            screen.wait_for("❯")
            yield screen
            screen.type("/exit")
            screen.wait_for_end()

    def say(self, screen: Terminal, session: str, key: str, text: str = "") -> None:
        """Type a prompt and send it."""
        said = text or _please(key)
        screen.type(said)
        self.run.prompts.append(Prompt(key, said, session))

    def finish(self, session: str, key: str) -> None:
        """Wait until the turn in which the model said the key's ending is over and written down."""

        def over() -> bool:
            lines = self.run.lines(session)
            said = [n for n, line in enumerate(lines) if ending(key) in _spoken(line)]
            return bool(said) and any(line.get("subtype") == "turn_duration" for line in lines[said[-1] :])

        wait_until(over, f"the end of {key}")

    def ask(self, screen: Terminal, session: str, key: str, text: str = "") -> None:
        """Type a prompt and wait for the end of its turn."""
        self.say(screen, session, key, text)
        self.finish(session, key)

    def interrupt(self, screen: Terminal, session: str) -> None:
        """Press Escape and wait until the interruption is written down."""
        before = self._interruptions(session)
        screen.press_until("Escape", lambda: self._interruptions(session) > before, "an interruption", every=5)

    def _interruptions(self, session: str) -> int:
        return sum("[Request interrupted by user" in _spoken(line) for line in self.run.lines(session))

    def wait_for_line(self, session: str, matches: Callable[[Json], object], what: str) -> None:
        """Wait until a line of the session's transcript matches."""
        wait_until(lambda: any(matches(line) for line in self.run.lines(session)), what)

    def adopt(self, session: str) -> None:
        """Give the label to the session the client began by itself (after `/clear` or `/branch`)."""
        known = set(self.run.sessions.values())

        def fresh() -> list[str]:
            return [f.stem for f in self.run.transcript_folder.glob("*.jsonl") if f.stem not in known]

        wait_until(fresh, "a new session")
        (self.run.sessions[session],) = fresh()


def _please(key: str) -> str:
    return f"CANARY please do [{key}]"


def _spoken(line: Json) -> str:
    """The text of a user's or the model's line; other lines may repeat theirs."""
    content = line["message"]["content"] if line["type"] in {"user", "assistant"} else ""
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)


def _with_picture(text: str) -> Json:
    source = {"type": "base64", "media_type": "image/png", "data": _DOT}
    content = [{"type": "text", "text": text}, {"type": "image", "source": source}]
    return {"type": "user", "message": {"role": "user", "content": content}}
