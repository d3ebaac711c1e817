"""Changing an input that is not on the allow-list, written out here by hand, changes not one byte of what leaves."""

import pickle
import re
from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.daemon import recorded
from tests.daemon.corpus import BEGINNING, CANARY, HOOKS, TRANSCRIPTS, anything, of_hook, of_line, of_lines, reader_of
from tests.daemon.recorded import Json, Place, Transcript

from vibetea_protocol import Level

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
        "message.usage.cache_creation",
        "message.usage.cache_creation.ephemeral_1h_input_tokens",
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


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda transcript: transcript.path.stem[:13])
def test_private_input_of_a_line_has_no_influence(transcript: Transcript) -> None:
    reader = reader_of(transcript)
    for number, line in enumerate(transcript.lines):
        before, after = pickle.dumps(reader), reader  # unpickling is several times as quick as a deep copy
        leaving = of_line(after, line, *Level)
        for place, beginning_only in private(line, allowed_of_line(line), kind_of(line)):
            for value in other_values(recorded.at(line, place), beginning_only=beginning_only):
                changed = recorded.replaced(line, place, value)
                reader = pickle.loads(before)
                where = (number, line["type"], recorded.dotted(place), value)
                assert of_line(reader, changed, *Level) == leaving, where
                assert reader == after, "it remembers what was private"
        reader = after


# generated changes: many places at once, any value, any unknown key

_unknown = st.dictionaries(st.text().map(lambda text: f"zz{text}"), anything, max_size=3)


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
            value = data.draw(anything)
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
