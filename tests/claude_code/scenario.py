"""A scenario and how to play it: `run(scenario, home, claude, model, settings, env)`."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.claude_code.model import ModelServer, Script, Step
from tests.claude_code.stage import Run, Stage

Json = dict[str, Any]
Outcome = Literal["ok", "failed", "interrupted", "refused"]
_API_KEY = "scripted-key-0000000000000000000000000000"
_STOCK = Path(__file__).with_name("stock.py")
_NO_GIT_SETTINGS = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


@dataclass(frozen=True, slots=True)
class Scenario:
    """What the person does (`play`), what the model answers (`steps`, by key), and what becomes of each tool call.

    `outcomes` names every labelled call, by hand; `unseen` are the refused ones that no PreToolUse hook sees. `rules`
    are the project's permission rules, `environment` what the client needs besides. Strings in a tool's input may hold
    `{home}` and `{project}`.
    """

    name: str
    play: Callable[[Stage], None]
    steps: Mapping[str, Sequence[Step]] = field(default_factory=dict)
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    unseen: frozenset[str] = frozenset()
    rules: Mapping[str, Sequence[str]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def run(
    scenario: Scenario,
    home: Path,
    claude: Path,
    model: ModelServer,
    settings: Json | None = None,
    env: Mapping[str, str] | None = None,
) -> Run:
    """Play the scenario in this HOME, which must not hold a `shop` yet.

    Args:
        scenario: What to play.
        home: The throw-away HOME. Its `.claude/settings.json` is written only when `settings` is given.
        claude: The client's executable.
        model: The running model server.
        settings: The user's settings, hooks included.
        env: More environment for the client and so for its hooks.

    Returns:
        The labels' ids and where the transcripts are.
    """
    project = home / "shop"
    _furnish(home, project, scenario)
    if settings is not None:
        _write(home / ".claude/settings.json", settings)
    script = Script(scenario.steps, {"home": str(home), "project": str(project)})
    environment = {**_environment(home, model.begin(script)), **scenario.environment, **(env or {})}
    stage = Stage(claude, Run(home, project, script), environment)
    began = time.monotonic()
    try:
        scenario.play(stage)
    finally:
        script.released.set()
        (home / "over").touch()
    stage.run.seconds = time.monotonic() - began
    return stage.run


def _furnish(home: Path, project: Path, scenario: Scenario) -> None:
    """A git repository with a command, a skill and rules; a client past its first questions."""
    project.mkdir(parents=True)
    (project / "prices.txt").write_text("CANARY apples 1\n")
    command = ["git", "init", "--quiet", "--initial-branch", "main"]
    subprocess.run(command, cwd=project, check=True, env=os.environ | _NO_GIT_SETTINGS)
    commands = project / ".claude/commands"
    commands.mkdir(parents=True)
    (commands / "restock.md").write_text("---\ndescription: CANARY restock\n---\nCANARY restock $ARGUMENTS\n")
    skill = project / ".claude/skills/pricing"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text("---\nname: pricing\ndescription: CANARY pricing\n---\nCANARY price.\n")
    if scenario.rules:
        _write(project / ".claude/settings.json", {"permissions": dict(scenario.rules)})
    _write(home / "mcp.json", {"mcpServers": {"stock": {"command": sys.executable, "args": [str(_STOCK)]}}})
    state = {
        "hasCompletedOnboarding": True,
        "bypassPermissionsModeAccepted": True,
        "theme": "dark",
        "customApiKeyResponses": {"approved": [_API_KEY[-20:]], "rejected": []},
        "projects": {str(project): {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}},
    }
    _write(home / ".claude.json", state)


def _environment(home: Path, address: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "SHELL": "/bin/bash",
        "CLAUDE_CODE_TMPDIR": str(home / "temporary"),
        "ANTHROPIC_BASE_URL": address,
        "ANTHROPIC_API_KEY": _API_KEY,
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "1",
        "IS_SANDBOX": "1",
        **_NO_GIT_SETTINGS,
    }


def _write(path: Path, value: Json) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
