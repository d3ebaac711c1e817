"""Changing an input that is not on the allow-list, written out here by hand, changes not one byte of what leaves."""

import copy
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.daemon import recorded
from tests.daemon.recorded import Json, Place, Transcript

from vibetea_daemon.acts import BadInput, Reader
from vibetea_daemon.claude_code.plugin import vibetea_frame_acts, vibetea_transcript_reader
from vibetea_daemon.sanitise import sanitise
from vibetea_protocol import Level, Rules
from vibetea_protocol import vocabulary as v

STAMP = 1_795_389_986_495_698_200
RULES = {level: Rules(b"k" * 32, "laptop", level=level, home="/home/dev") for level in Level}
CANARY = "CANARY it's private/не для всех\x1b[31m <b>=cmd"

# What may have an influence, and nothing else. `[]` is any place in a list.
EVERY_HOOK = {"hook_event_name", "session_id", "cwd", "transcript_path", "agent_id"}
OF_A_HOOK: dict[str, set[str]] = {
    "SessionStart": {"source"},
    "SessionEnd": {"reason"},
    "Setup": set(),
    "UserPromptSubmit": {"prompt_id"},
    "UserPromptExpansion": {"prompt_id", "command_name"},
    "PreToolUse": {"tool_name", "tool_use_id"},
    "PostToolUse": {"tool_name", "tool_use_id", "duration_ms"},
    "PostToolUseFailure": {"tool_name", "tool_use_id", "duration_ms", "is_interrupt"},
    "PostToolBatch": {"tool_calls", "tool_calls.[]", "tool_calls.[].tool_name", "tool_calls.[].tool_use_id"},
    "PermissionRequest": set(),
    "PermissionDenied": {"tool_name", "tool_use_id"},
    "Notification": {"notification_type"},
    "Elicitation": set(),
    "ElicitationResult": set(),
    "SubagentStart": {"agent_type"},
    "SubagentStop": {"agent_type"},
    "Stop": {"prompt_id", "stop_hook_active"},
    "StopFailure": {"prompt_id", "error"},
    "PreCompact": {"prompt_id"},
    "PostCompact": {"prompt_id"},
    "PreModelSwitch": set(),
    "PostModelSwitch": {"from_model", "to_model"},
    "CwdChanged": set(),
    "DirectoryAdded": set(),
    "WorktreeRemove": set(),
    "ConfigChange": set(),
    "InstructionsLoaded": set(),
    "TeammateIdle": set(),
    "MessageDisplay": set(),
    "SomethingNew": set(),
}
OF_A_TOOL_CALLED: dict[str, set[str]] = {"Skill": {"skill"}}
OF_A_TOOL_DONE: dict[str, set[str]] = {
    **{tool: {"file_path"} for tool in ("Read", "Edit", "MultiEdit", "Write")},
    **{tool: {"notebook_path"} for tool in ("NotebookEdit", "NotebookRead")},
    "TodoWrite": {"todos", "todos.[]", "todos.[].status"},
}

EVERY_LINE = {"type", "timestamp", "sessionId", "cwd"}
OF_A_LINE: dict[str, set[str]] = {
    "user": {
        "promptId",
        "uuid",
        "isMeta",
        "isCompactSummary",
        "interruptedMessageId",
        "toolDenialKind",
        "toolDenialBeforeRun",
        "message",
        "message.content.[]",
        "message.content.[].type",
        "message.content.[].tool_use_id",
        "message.content.[].is_error",
    },
    "assistant": {
        "requestSessionId",
        "isApiErrorMessage",
        "apiErrorStatus",
        "error",
        "message",
        "message.id",
        "message.model",
        "message.stop_reason",
        "message.usage",
        "message.usage.input_tokens",
        "message.usage.output_tokens",
        "message.usage.cache_read_input_tokens",
        "message.usage.cache_creation_input_tokens",
        "message.content",
        "message.content.[]",
        "message.content.[].type",
        "message.content.[].id",
        "message.content.[].name",
    },
    "queue-operation": {"operation"},
    "attachment": {"attachment", "attachment.type", "attachment.commandMode", "attachment.source_uuid"},
}
# Texts that are read for what they begin with: the fixed words in front may have an influence, the rest may not.
BEGINNING_ONLY = {
    "UserPromptSubmit": {"prompt"},
    "PostToolBatch": {"tool_calls.[].tool_response"},
    "user": {"message.content", "message.content.[].content", "message.content.[].text"},
    "queue-operation": {"content"},
}
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


def of_line(reader: Reader, line: Json, level: Level) -> list[bytes | str]:
    """What leaves for a line, or why nothing does."""
    try:
        return [sanitise(act, RULES[level]).wire() for act in reader.acts(recorded.compact(line))]
    except BadInput as bad:
        return [bad.reason]


def of_lines(transcript: Transcript, lines: tuple[Json, ...], level: Level) -> list[bytes | str]:
    """What leaves for a transcript."""
    reader = reader_of(transcript)
    leaving = [one for line in lines for one in of_line(reader, line, level)]
    return leaving + [sanitise(act, RULES[level]).wire() for act in reader.settle(2**62)]


def allowed_of_hook(payload: Json) -> set[str]:
    event, tool = payload["hook_event_name"], payload.get("tool_name", "")
    inputs = {"PreToolUse": OF_A_TOOL_CALLED, "PostToolUse": OF_A_TOOL_DONE}.get(event, {}).get(tool, set())
    return EVERY_HOOK | OF_A_HOOK[event] | {f"tool_input.{name}" for name in inputs}


def allowed_of_line(line: Json) -> set[str]:
    if line["type"] not in OF_A_LINE:
        return {"type"}
    allowed = EVERY_LINE | OF_A_LINE[line["type"]]
    if line["type"] == "assistant":
        blocks = line["message"]["content"]
        tools = {block.get("name", "") for block in blocks if isinstance(block, dict)}
        inputs = (OF_A_TOOL_CALLED | OF_A_TOOL_DONE).items()
        allowed |= {f"message.content.[].input.{name}" for tool, names in inputs if tool in tools for name in names}
    return allowed


def private(document: Json, allowed: set[str], kind: str) -> Iterator[tuple[Place, bool]]:
    """Places that may have no influence, and whether only what follows the beginning there may have none."""
    holds_allowed = {name[: end.start()] for name in allowed for end in re.finditer(r"\.", name)}
    beginnings = BEGINNING_ONLY.get(kind, set())
    for place in recorded.places(document):
        name = recorded.dotted(place)
        if name in allowed or name in holds_allowed:
            continue
        if name not in beginnings:
            yield place, False
        elif isinstance(recorded.at(document, place), str):
            yield place, True


def other_values(value: Json, *, beginning_only: bool) -> list[Json]:
    if beginning_only:
        found = BEGINNING.match(value)
        kept = found[0] if found else ""
        return [kept + CANARY, kept + "", kept + "x" * 5000]
    return [CANARY, "", None, True, -1, 1e300, 10**30, [], [CANARY], {}, {CANARY: {CANARY: [CANARY]}}]


def kind_of(document: Json) -> str:
    return str(document.get("hook_event_name") or document["type"])


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("name", HOOKS)
def test_private_input_of_a_hook_has_no_influence(name: str, level: Level) -> None:
    before = of_hook(HOOKS[name], level)
    payload = HOOKS[name] | {"a_field_of_tomorrow": "private"}
    for place, beginning_only in private(payload, allowed_of_hook(payload), kind_of(payload)):
        for value in other_values(recorded.at(payload, place), beginning_only=beginning_only):
            assert of_hook(recorded.replaced(payload, place, value), level) == before, recorded.dotted(place)


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda transcript: transcript.path.stem[:13])
def test_private_input_of_a_line_has_no_influence(transcript: Transcript, level: Level) -> None:
    reader = reader_of(transcript)
    for number, line in enumerate(transcript.lines):
        before, after = copy.deepcopy(reader), reader
        leaving = of_line(after, line, level)
        for place, beginning_only in private(line, allowed_of_line(line), kind_of(line)):
            for value in other_values(recorded.at(line, place), beginning_only=beginning_only):
                changed = recorded.replaced(line, place, value)
                reader = copy.deepcopy(before)
                assert of_line(reader, changed, level) == leaving, (number, line["type"], recorded.dotted(place), value)
                assert reader == after, "it remembers what was private"
        reader = after


# generated changes: many places at once, any value, any unknown key

_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.just(CANARY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just(CANARY), inner, max_size=3),
    max_leaves=8,
)
_unknown = st.dictionaries(st.text().map(lambda text: f"zz{text}"), _json, max_size=3)


def with_unknown_keys(document: Json, data: st.DataObject) -> Json:
    if isinstance(document, dict):
        known = {name: with_unknown_keys(value, data) for name, value in document.items()}
        return {**known, **data.draw(_unknown)}
    return document


def changed(document: Json, allowed: set[str], data: st.DataObject) -> Json:
    """The document with up to four private values changed, and perhaps with keys nobody knows."""
    spots = list(private(document, allowed, kind_of(document)))
    result = document
    for place, beginning_only in data.draw(st.lists(st.sampled_from(spots), max_size=4, unique=True)) if spots else ():
        if beginning_only:
            kept = BEGINNING.match(recorded.at(document, place))
            value = (kept[0] if kept else "") + data.draw(st.text().filter(lambda text: not BEGINNING.match(text)))
        else:
            value = data.draw(_json)
        try:
            result = recorded.replaced(result, place, value)
        except (KeyError, IndexError, TypeError, ValueError):
            continue  # an earlier change took that place away
    return with_unknown_keys(result, data) if data.draw(st.booleans()) else result


@settings(max_examples=400)
@given(st.data(), st.sampled_from(sorted(HOOKS)), st.sampled_from(Level))
def test_any_change_to_private_inputs_of_a_hook(data: st.DataObject, name: str, level: Level) -> None:
    payload = HOOKS[name]
    assert of_hook(changed(payload, allowed_of_hook(payload), data), level) == of_hook(payload, level)


@cache
def unchanged(number: int, level: Level) -> list[bytes | str]:
    return of_lines(TRANSCRIPTS[number], TRANSCRIPTS[number].lines, level)


@settings(max_examples=300)
@given(st.data(), st.integers(0, len(TRANSCRIPTS) - 1), st.sampled_from(Level))
def test_any_change_to_private_inputs_of_a_line(data: st.DataObject, number: int, level: Level) -> None:
    lines = list(TRANSCRIPTS[number].lines)
    spot = data.draw(st.integers(0, len(lines) - 1))
    lines[spot] = changed(lines[spot], allowed_of_line(lines[spot]), data)
    assert of_lines(TRANSCRIPTS[number], tuple(lines), level) == unchanged(number, level)


# the closed world: every string that leaves is of its field's vocabulary or pattern

NAME = r"[A-Za-z0-9_.][A-Za-z0-9._-]{0,63}"
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def words(vocabulary: Any) -> str:
    return "|".join(map(re.escape, vocabulary if isinstance(vocabulary, frozenset) else vocabulary.__args__))


STANDARD = {
    "id": r"evt_[0-9a-f]{20}",
    "source": "laptop",
    "timestamp": TIME,
    "type": "session|activity|tool|agent|summary|error|agent_spawn|skill_invocation|token_usage|todo_progress",
    "payload.sessionId": UUID,
    "payload.project": NAME,
    "payload.agentId": r"[a-z0-9]{1,64}",
    "payload.action": words(v.SessionAction),
    "payload.how": words(v.SessionHow),
    "payload.reason": words(v.SessionReason),
    "payload.kind": words(v.ActivityKind),
    "payload.fromModel": r"claude-[a-z0-9.-]{1,40}|other",
    "payload.toModel": r"claude-[a-z0-9.-]{1,40}|other",
    "payload.model": r"claude-[a-z0-9.-]{1,40}|other",
    "payload.tool": words(v.TOOLS) + r"|mcp__[A-Za-z0-9._-]{1,59}|mcp|other",
    "payload.status": words(v.ToolStatus),
    "payload.context": NAME + r"|\[filtered\]",
    "payload.outcome": words(v.Outcome),
    "payload.state": words(v.AgentState),
    "payload.summary": "Session ended",
    "payload.category": words(v.ErrorCategory),
    "payload.agentType": words(v.AGENT_TYPES) + "|custom",
    "payload.description": "",
    "payload.timestamp": TIME,
    "payload.skillName": words(v.SKILLS) + "|custom",
}
STRICT = STANDARD | {
    "timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z",
    "payload.timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z",
    "payload.sessionId": r"[0-9a-f]{8}-[0-9a-f]{4}-[58][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "payload.project": "p-[0-9a-f]{8}|home",
    "payload.agentId": "[0-9a-f]{16}",
    "payload.tool": words(v.TOOLS) + "|mcp|other",
    "payload.context": "|".join(set(v.LANGUAGES.values())),
}
WORLD = {Level.STANDARD: STANDARD, Level.STRICT: STRICT}


def assert_closed(wire: bytes, level: Level) -> None:
    event = json.loads(wire)
    for place in recorded.places(event):
        value, name = recorded.at(event, place), recorded.dotted(place)
        if isinstance(value, str):
            assert re.fullmatch(WORLD[level][name], value), (name, value)
        elif isinstance(value, int):
            assert 0 <= value < 2**53
            assert level is Level.STANDARD or value.bit_count() <= 1, "not a power of two"
        else:
            assert isinstance(value, dict)
            assert name == "payload"


@pytest.mark.parametrize("level", Level)
def test_recorded_outputs_are_of_the_closed_world(level: Level) -> None:
    leaving = [wire for payload in HOOKS.values() for wire in of_hook(payload, level)]
    leaving += [
        wire
        for transcript in TRANSCRIPTS
        for wire in of_lines(transcript, transcript.lines, level)
        if isinstance(wire, bytes)
    ]
    assert len(leaving) > 150
    for wire in leaving:
        assert_closed(wire, level)
        assert b"CANARY" not in wire


@settings(max_examples=400)
@given(st.data(), st.sampled_from(Level))
def test_any_input_at_all_leaves_nothing_outside_the_closed_world(data: st.DataObject, level: Level) -> None:
    """Allowed places too hold whatever they like: a name that is no plain name has no way out."""
    payload = HOOKS[data.draw(st.sampled_from(sorted(HOOKS)))]
    for place in data.draw(st.lists(st.sampled_from(list(recorded.places(payload))), max_size=4, unique=True)):
        try:
            payload = recorded.replaced(payload, place, data.draw(_json | st.just(f"/home/{CANARY}/x y.py")))
        except (KeyError, IndexError, TypeError, ValueError):
            continue
    try:
        leaving = of_hook(payload, level)
    except BadInput:
        return
    for wire in leaving:
        assert_closed(wire, level)


@settings(max_examples=400)
@given(st.data(), st.integers(0, len(TRANSCRIPTS) - 1), st.sampled_from(Level))
def test_any_line_at_all_leaves_nothing_outside_the_closed_world(
    data: st.DataObject, number: int, level: Level
) -> None:
    transcript = TRANSCRIPTS[number]
    lines = list(transcript.lines)
    for _ in range(data.draw(st.integers(1, 3))):
        spot = data.draw(st.integers(0, len(lines) - 1))
        place = data.draw(st.sampled_from(list(recorded.places(lines[spot]))))
        lines[spot] = recorded.replaced(lines[spot], place, data.draw(_json))
    for wire in of_lines(transcript, tuple(lines), level):
        if isinstance(wire, bytes):
            assert_closed(wire, level)
