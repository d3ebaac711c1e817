"""What the terminal says of an event."""

import re
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.streaming_relay import SESSION

from vibetea_daemon.words import ACTIVITIES, STATES, describe
from vibetea_protocol.events import PAYLOADS

ROOT = Path(__file__).parents[2]


def test_the_page_and_the_terminal_say_the_same() -> None:
    page = (ROOT / "datasette_plugins/datasette_vibetea/static/words.js").read_text()
    said = re.findall(r'^  (\w+): \["\w+", "(\w+)", "([^"]+)"\],$', page, re.MULTILINE)
    assert {(name, words.tone, words.text) for name, words in (STATES | ACTIVITIES).items()} == set(said)


def test_every_type_has_words() -> None:
    for kind in PAYLOADS:
        words = describe(kind, {"sessionId": SESSION})
        assert words.text
        assert "None" not in words.text


@pytest.mark.parametrize(
    ("kind", "payload", "expected"),
    [
        ("session", {"action": "started", "how": "startup"}, "Session started"),
        ("session", {"action": "started", "how": "resume"}, "Session started resume"),
        ("session", {"action": "ended", "reason": "prompt_input_exit"}, "Session ended prompt input exit"),
        ("tool", {"tool": "Bash", "status": "started"}, "Bash started"),
        ("tool", {"tool": "Bash", "status": "completed", "outcome": "failed", "durationMs": 6140}, "Bash failed 6.1 s"),
        ("tool", {"tool": "Read", "status": "completed", "outcome": "ok", "context": "a.ts"}, "Read a.ts"),
        ("tool", {"tool": "Bash", "status": "completed", "durationMs": 125_000}, "Bash 2 min 5 s"),
        ("activity", {"kind": "model_switched", "toModel": "claude-x"}, "Switched model claude-x"),
        ("activity", {"kind": "cwd_changed"}, "Changed directory"),
        ("activity", {}, "Activity"),
        ("agent", {"state": "waiting_permission"}, "Needs permission"),
        ("error", {"category": "rate_limit"}, "Error rate limit"),
        ("skill_invocation", {"skillName": "review"}, "/review"),
        ("token_usage", {"model": "m", "inputTokens": 1240, "outputTokens": 2_000_000}, "1.2k tokens in / 2.0M out, m"),
        ("todo_progress", {"completed": 2, "inProgress": 1, "pending": 3, "abandoned": 0}, "2 of 6 tasks done"),
        ("file_change", {"linesAdded": 3, "linesRemoved": 1}, "File changed +3 -1"),
        ("something_new", {}, "something new"),
    ],
)
def test_words(kind: str, payload: dict[str, Any], expected: str) -> None:
    assert describe(kind, payload).text == expected
