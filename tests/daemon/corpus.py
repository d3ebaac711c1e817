"""Recorded and invented input, and what leaves for it."""

import re

from hypothesis import strategies as st
from tests.daemon import recorded
from tests.daemon.recorded import Json, Transcript

from vibetea_daemon.acts import BadInput, Reader
from vibetea_daemon.claude_code.plugin import vibetea_frame_acts, vibetea_transcript_reader
from vibetea_daemon.sanitise import sanitise
from vibetea_protocol import Level, Rules

STAMP = 1_795_389_986_495_698_200
RULES = {level: Rules(b"k" * 32, "laptop", level=level, home="/home/dev") for level in Level}
CANARY = "CANARY it's private/не для всех\x1b[31m <b>=cmd"

BEGINNING = re.compile(
    r"<task-notification>(.*</task-id>)?|<command-name>[^<]*<|<command-message>[^<]*</command-message>\s*<command-name>[^<]*<"
    r"|<local-command-|<tool_use_error>|\[Request interrupted by user|Permission to use ",
    re.DOTALL,
)


def invented_hooks() -> dict[str, Json]:
    """Payloads of the events that were not recorded, with everything private their documentation names."""
    base = {
        "session_id": "7226d4a2-26c3-4448-ae53-0abe7321bc0b",
        "transcript_path": "/home/dev/.claude/projects/-home-dev-shop/7226d4a2-26c3-4448-ae53-0abe7321bc0b.jsonl",
        "cwd": "/home/dev/shop",
        "prompt_id": "fcf5740f-3cd7-4b0a-908e-e2da6461692c",
        "permission_mode": "default",
        "effort": {"level": "medium"},
    }
    own: dict[str, Json] = {
        "Setup": {"trigger": "init"},
        "UserPromptExpansion": {"command_name": "review", "command_args": "of it", "prompt": "a long one"},
        "PermissionDenied": {"tool_name": "Bash", "tool_input": {"command": "rm"}, "tool_use_id": "t", "reason": "no"},
        "Elicitation": {"message": "which database?", "mcp_server_name": "db", "requested_schema": {"a": "b"}},
        "ElicitationResult": {"content": {"password": "hunter2"}, "action": "accept"},
        "StopFailure": {"error": "rate_limit", "error_details": "try later"},
        "PreModelSwitch": {"from_model": "claude-opus-5-5", "to_model": "claude-haiku-5", "requested_model": "haiku"},
        "PostModelSwitch": {"from_model": "claude-opus-5-5", "to_model": "claude-haiku-5", "requested_model": "haiku"},
        "DirectoryAdded": {"directory": "/home/dev/other"},
        "WorktreeRemove": {"worktree_path": "/home/dev/shop/.claude/worktrees/x"},
        "ConfigChange": {"source": "user_settings", "file_path": "/home/dev/.claude/settings.json"},
        "InstructionsLoaded": {
            "file_path": "/home/dev/shop/CLAUDE.md",
            "memory_type": "Project",
            "load_reason": "start",
        },
        "TeammateIdle": {"teammate_name": "anna", "team_name": "secret"},
        "SomethingNew": {"tool_name": "Bash", "source": "startup", "reason": "other", "message": "new"},
    }
    tools: dict[str, Json] = {
        "Skill": {"skill": "review", "args": "the whole thing"},
        "NotebookEdit": {"notebook_path": "/home/dev/shop/a.ipynb", "new_source": "x = 1"},
        "TodoWrite": {"todos": [{"content": "do it", "activeForm": "doing", "status": "completed"}]},
        "Task": {"description": "look", "prompt": "look there", "subagent_type": "Explore", "model": "haiku"},
        "BrandNewTool": {"file_path": "/home/dev/shop/x.py", "skill": "review", "command": "ls"},
    }
    invented = {name: {**base, "hook_event_name": name, **fields} for name, fields in own.items()}
    for name, inputs in tools.items():
        call = {"tool_name": name, "tool_input": inputs, "tool_use_id": "toolu_1"}
        invented[f"PreToolUse-{name}"] = {**base, "hook_event_name": "PreToolUse", **call}
        done = {"tool_response": {"text": "done"}, "duration_ms": 7}
        invented[f"PostToolUse-{name}"] = {**base, "hook_event_name": "PostToolUse", **call, **done}
    notification = "<task-notification><task-id>a1b2</task-id><summary>private</summary></task-notification>"
    invented["UserPromptSubmit-machine"] = {**base, "hook_event_name": "UserPromptSubmit", "prompt": notification}
    return invented


HOOKS = recorded.hook_payloads() | invented_hooks()
TRANSCRIPTS = recorded.transcripts()


def of_hook(payload: Json, level: Level) -> tuple[bytes, ...]:
    """What leaves for a payload."""
    acts = vibetea_frame_acts(stamp=STAMP, payload=recorded.compact(payload))
    return tuple(sanitise(act, RULES[level]).wire() for act in acts)


def reader_of(transcript: Transcript) -> Reader:
    reader = vibetea_transcript_reader(path=transcript.path, at_start=True)
    assert reader is not None
    return reader


def of_line(reader: Reader, line: Json, *levels: Level) -> list[bytes | str]:
    """What leaves for a line at each of these levels, or why nothing does."""
    try:
        acts = reader.acts(recorded.compact(line))
        return [sanitise(act, RULES[level]).wire() for level in levels for act in acts]
    except BadInput as bad:
        return [bad.reason]


def of_lines(transcript: Transcript, lines: tuple[Json, ...], level: Level) -> list[bytes | str]:
    """What leaves for a transcript."""
    reader = reader_of(transcript)
    leaving = [one for line in lines for one in of_line(reader, line, level)]
    return leaving + [sanitise(act, RULES[level]).wire() for act in reader.settle(2**62, hooked=False)]


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.just(CANARY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just(CANARY), inner, max_size=3),
    max_leaves=8,
)
"""Any JSON."""
