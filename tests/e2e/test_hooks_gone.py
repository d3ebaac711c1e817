"""The state folder was removed and the hooks were not: the real client goes on as if there were none."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.claude_code.headless import TEN_TOOLS
from tests.claude_code.model import ModelServer
from tests.claude_code.scenario import run
from tests.claude_code.stage import Run, Stage

from vibetea_hooks.settings import install

Said = tuple[str, str, str, bool, str]


def work(stage: Stage) -> None:
    """A prompt larger than a pipe holds, which nobody reads, and many tools."""
    stage.headless("main", "work", f"CANARY please do [work] {'x' * 100_000}")


SCENARIO = replace(TEN_TOOLS, play=work)


def conversation(played: Run) -> Counter[Said]:
    """What each side said and what became of every tool call."""
    said: Counter[Said] = Counter()
    for line in played.lines("main"):
        if line["type"] in {"user", "assistant"}:
            content = line["message"]["content"]
            for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
                words = json.dumps(block.get("content") or block.get("text")).replace(str(played.home), "~")
                said[line["type"], block["type"], block.get("name", ""), block.get("is_error", False), words] += 1
    return said


def hook_reports(played: Run) -> list[dict[str, Any]]:
    """What the client has to say of its hooks."""
    attached = [line["attachment"] for line in played.lines("main") if line["type"] == "attachment"]
    return [attachment for attachment in attached if "hook" in attachment["type"]]


def test_a_session_is_the_same_without_the_script(tmp_path: Path, claude: Path, model: ModelServer) -> None:
    """Be it the script that is gone or its folder."""
    bare = run(SCENARIO, tmp_path / "bare", claude, model, {})
    assert len(conversation(bare)) > len(SCENARIO.outcomes)
    settings, state = tmp_path / "settings.json", tmp_path / "state"
    install(settings, state)
    hooks = json.loads(settings.read_bytes())
    for name in ("script", "folder"):
        if name == "script":
            (state / "vibetea-emit.py").unlink()
        else:
            shutil.rmtree(state)

        hooked = run(SCENARIO, tmp_path / name, claude, model, hooks)

        assert conversation(hooked) == conversation(bare)
        assert hook_reports(hooked) == []
        (stop,) = [line for line in hooked.lines("main") if line.get("subtype") == "stop_hook_summary"]
        assert (stop["hookErrors"], stop["preventedContinuation"]) == ([], False)
