"""Every string that leaves is of its field's vocabulary or pattern, whatever came in."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.daemon import recorded
from tests.daemon.corpus import CANARY, HOOKS, TRANSCRIPTS, anything, of_hook, of_lines

from vibetea_daemon.acts import BadInput
from vibetea_protocol import Level
from vibetea_protocol import vocabulary as v

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
            payload = recorded.replaced(payload, place, data.draw(anything | st.just(f"/home/{CANARY}/x y.py")))
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
        lines[spot] = recorded.replaced(lines[spot], place, data.draw(anything))
    for wire in of_lines(transcript, tuple(lines), level):
        if isinstance(wire, bytes):
            assert_closed(wire, level)
