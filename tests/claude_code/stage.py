"""Where a scenario is played: a throw-away HOME with a git repository, the real client, and the scripted model."""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.claude_code.model import ModelServer, Script
from tests.claude_code.terminal import Terminal

Json = dict[str, Any]
_API_KEY = "sk-ant-scripted-0000000000000000000000000000"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a person typed: under which label, in which session."""

    label: str
    text: str
    session: str


@dataclass(frozen=True, slots=True)
class Run:
    """What a scenario left behind.

    `sessions`, `tools` and `agents` give the client's ids by the scenario's labels; `script.usages` what the model charged.
    """

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
        return self.home / ".claude/projects" / str(self.project).replace("/", "-")

    def transcript(self, session: str) -> Path:
        """The transcript of one session, by the session's label."""
        return self.transcript_folder / f"{self.sessions[session]}.jsonl"

    def lines(self, session: str) -> list[Json]:
        """The complete lines written so far to that transcript."""
        return read_lines(self.transcript(session))

    def agents(self, session: str) -> dict[str, list[Json]]:
        """The lines of each subagent's transcript, by the subagent's id."""
        folder = self.transcript(session).with_suffix("") / "subagents"
        return {f.stem.removeprefix("agent-"): read_lines(f) for f in sorted(folder.glob("agent-*.jsonl"))}


def read_lines(path: Path) -> list[Json]:
    """The complete lines of a transcript; a line still being written is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def wait_until(condition: Callable[[], object], what: str, seconds: float = 30) -> None:
    """Poll until the condition holds.

    Raises:
        TimeoutError: it did not within the time given.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


@dataclass(slots=True)
class Stage:
    """One run in the making: scenarios call `headless` and `terminal`."""

    claude: Path
    run: Run
    environment: Mapping[str, str]

    def headless(self, session: str, label: str, text: str, *options: str, fails: bool = False) -> None:
        """Play one prompt with `claude -p`; the session's id is kept under its label."""
        known = self.run.sessions.get(session)
        if known is None and "--resume" not in options and "--continue" not in options:
            known = str(uuid.uuid4())
            options = ("--session-id", known, *options)
        command = [str(self.claude), "-p", text, "--output-format", "json", *options]
        done = subprocess.run(
            command,
            cwd=self.run.project,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if (done.returncode != 0) != fails:
            raise AssertionError(f"claude -p ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        said = json.loads(done.stdout)
        self.run.sessions[session] = said["session_id"]
        self.run.prompts.append(Prompt(label, text, session))

    @contextmanager
    def terminal(self, session: str, *options: str) -> Iterator[Terminal]:
        """An interactive client in a terminal, ready for input; ended by force if the block leaves it running."""
        if "--resume" not in options:
            self.run.sessions[session] = str(uuid.uuid4())
            options = ("--session-id", self.run.sessions[session], *options)
        with Terminal([str(self.claude), *options], self.run.project, self.environment) as screen:
            screen.wait_for("❯")
            yield screen

    def type(self, screen: Terminal, session: str, label: str, text: str) -> None:
        """Type a prompt and send it."""
        screen.type(text)
        self.run.prompts.append(Prompt(label, text, session))

    def wait_for_line(self, session: str, matches: Callable[[Json], object], what: str, seconds: float = 30) -> None:
        """Wait until a line of the session's transcript matches."""
        wait_until(lambda: any(matches(line) for line in self.run.lines(session)), what, seconds)


def prepare(
    home: Path, claude: Path, model: ModelServer, script: Script, settings: Json | None, env: Mapping[str, str]
) -> Stage:
    """Furnish the HOME (its settings only if given) and the repository `shop`, and begin the script."""
    project = home / "shop"
    project.mkdir(parents=True)
    git = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    (project / "prices.txt").write_text("CANARY apples 1\n")
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], cwd=project, check=True, env=os.environ | git)
    state = {
        "hasCompletedOnboarding": True,
        "theme": "dark",
        "bypassPermissionsModeAccepted": True,
        "customApiKeyResponses": {"approved": [_API_KEY[-20:]], "rejected": []},
        "projects": {str(project): {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}},
    }
    (home / ".claude.json").write_text(json.dumps(state))
    if settings is not None:
        (home / ".claude").mkdir(exist_ok=True)
        (home / ".claude/settings.json").write_text(json.dumps(settings))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "SHELL": "/bin/bash",
        "ANTHROPIC_BASE_URL": model.begin(script),
        "ANTHROPIC_API_KEY": _API_KEY,
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "1",
        "IS_SANDBOX": "1",
        **git,
        **env,
    }
    return Stage(claude, Run(home, project, script), environment)
