"""The models are closed and strict, and what goes out comes in again."""

import json
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vibetea_protocol import Event, EventType
from vibetea_protocol import vocabulary as v
from vibetea_protocol.events import PAYLOADS, Payload

SESSION = "550e8400-e29b-41d4-a716-446655440000"
AT = "2026-02-03T14:30:00.123Z"
TOKENS = {"inputTokens": 1, "outputTokens": 2, "cacheReadTokens": 3, "cacheCreationTokens": 4}
EXAMPLES: dict[str, dict[str, Any]] = {
    "session": {"sessionId": SESSION, "action": "ended", "project": "shop", "how": "startup", "reason": "logout"},
    "activity": {"sessionId": SESSION, "project": "shop", "kind": "prompt", "agentId": "a1"},
    "tool": {
        "sessionId": SESSION,
        "tool": "Read",
        "status": "completed",
        "context": "auth.ts",
        "project": "shop",
        "outcome": "ok",
        "durationMs": 17,
    },
    "agent": {"sessionId": SESSION, "state": "working", "agentId": "a1"},
    "summary": {"sessionId": SESSION, "summary": "Session ended"},
    "error": {"sessionId": SESSION, "category": "rate_limit"},
    "agent_spawn": {"sessionId": SESSION, "agentType": "Explore", "description": "", "timestamp": AT},
    "skill_invocation": {"sessionId": SESSION, "skillName": "review", "project": "shop", "timestamp": AT},
    "token_usage": {"model": "claude-opus-5-5", **TOKENS},
    "session_metrics": {"totalSessions": 1, "totalMessages": 2, "totalToolUsage": 3, "longestSession": SESSION},
    "activity_pattern": {"hourCounts": {"0": 1, "23": 5}},
    "model_distribution": {"modelUsage": {"claude-opus-5-5": TOKENS, "other": TOKENS}},
    "todo_progress": {"sessionId": SESSION, "completed": 1, "inProgress": 1, "pending": 2, "abandoned": 0},
    "file_change": {
        "sessionId": SESSION,
        "fileHash": "0123456789abcdef",
        "version": 2,
        "linesAdded": 1,
        "linesRemoved": 0,
        "linesModified": 3,
        "timestamp": AT,
    },
    "project_activity": {"projectPath": "shop", "sessionId": SESSION, "isActive": True},
}


def event(kind: str, payload: dict[str, Any] | Payload, /, **envelope: Any) -> Event:
    fields = {"id": "evt_k7m2n9p4q1r6s3t8u5v0", "source": "laptop", "timestamp": AT, "type": kind, "payload": payload}
    return Event.model_validate(fields | envelope)


def test_there_are_the_fifteen_types_of_the_contract() -> None:
    assert set(typing.get_args(EventType)) == set(PAYLOADS) == set(EXAMPLES)
    assert len(EXAMPLES) == 15


@pytest.mark.parametrize("kind", EXAMPLES)
def test_example_of_the_contract_comes_out_as_it_went_in(kind: str) -> None:
    built = event(kind, EXAMPLES[kind])
    assert json.loads(built.wire())["payload"] == EXAMPLES[kind]
    assert list(json.loads(built.wire())) == ["id", "source", "timestamp", "type", "payload"]
    assert Event.model_validate_json(built.wire()) == built
    assert built.wire() == built.model_dump_json(by_alias=True, exclude_none=True).encode()


@pytest.mark.parametrize("kind", EXAMPLES)
def test_unknown_key_is_refused(kind: str) -> None:
    with pytest.raises(ValidationError):
        event(kind, EXAMPLES[kind] | {"prompt": "private"})
    with pytest.raises(ValidationError):
        event(kind, EXAMPLES[kind], prompt="private")


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, payload in EXAMPLES.items() for name in payload])
@pytest.mark.parametrize(
    "value", ["two words of private text", "<b>", "/home/anna/x", "", 1.5, -1, 2**53, [], {"a": 1}]
)
def test_value_of_another_kind_is_refused(kind: str, name: str, value: object) -> None:
    allowed = {("agent_spawn", "description", ""), ("session_metrics", "longestSession", "")}
    if isinstance(value, str) and (kind, name, value) in allowed:
        event(kind, EXAMPLES[kind] | {name: value})
        return
    with pytest.raises(ValidationError):
        event(kind, EXAMPLES[kind] | {name: value})


@pytest.mark.parametrize("kind", EXAMPLES)
def test_types_are_not_coerced(kind: str) -> None:
    for name, value in EXAMPLES[kind].items():
        other: object = str(value) if isinstance(value, int) else 1
        with pytest.raises(ValidationError):
            event(kind, EXAMPLES[kind] | {name: other})


@pytest.mark.parametrize("kind", EXAMPLES)
def test_payload_of_another_type_is_refused(kind: str) -> None:
    built = event(kind, EXAMPLES[kind]).payload
    for other in set(EXAMPLES) - {kind}:
        with pytest.raises(ValidationError):
            event(other, built)


@pytest.mark.parametrize(
    "envelope",
    [
        {"id": "evt_K7M2N9P4Q1R6S3T8U5V0"},
        {"id": "evt_k7m2n9p4q1r6s3t8u5v"},
        {"id": "evt_k7m2n9p4q1r6s3t8u5v0\n"},
        {"source": "my laptop"},
        {"source": ""},
        {"source": "x" * 65},
        {"timestamp": "2026-02-03 14:30:00"},
        {"timestamp": "2026-02-03T14:30:00+01:00"},
        {"timestamp": "2026-02-03T14:30:00.1Z"},
        {"timestamp": AT + "\n"},
        {"timestamp": 1770129000},
        {"type": "unheard_of"},
        {"type": "Tool"},
        {"payload": None},
        {"payload": []},
    ],
)
def test_envelope_of_another_form_is_refused(envelope: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        event("tool", EXAMPLES["tool"], **envelope)


@pytest.mark.parametrize("fraction", ["", ".123", ".123456", ".123456789"])
def test_timestamps_of_the_contract_are_accepted(fraction: str) -> None:
    event("tool", EXAMPLES["tool"], timestamp=f"2026-02-03T14:30:00{fraction}Z")


@pytest.mark.parametrize(
    "name", ["=cmd", "-flag", "+1", "@x", "a b", "a/b", "a\n", "x" * 65, "ä", "a:b", "a<b", "a\u202eb"]
)
def test_name_that_could_do_harm_on_a_page_or_in_a_sheet_is_refused(name: str) -> None:
    for kind, field in (
        ("tool", "tool"),
        ("tool", "context"),
        ("session", "project"),
        ("project_activity", "projectPath"),
    ):
        with pytest.raises(ValidationError):
            event(kind, EXAMPLES[kind] | {field: name})


def test_event_cannot_be_changed() -> None:
    built = event("tool", EXAMPLES["tool"])
    with pytest.raises(ValidationError):
        built.source = "other"
    with pytest.raises(ValidationError):
        built.payload.tool = "Bash"  # type: ignore[attr-defined]


def test_absent_fields_do_not_leave() -> None:
    wire = event("tool", {"sessionId": SESSION, "tool": "Read", "status": "started"}).wire()
    assert json.loads(wire)["payload"] == {"sessionId": SESSION, "tool": "Read", "status": "started"}
    assert b" " not in wire


# any event at all

_name = st.from_regex(r"[A-Za-z0-9_.][A-Za-z0-9._-]{0,63}", fullmatch=True)
_count = st.integers(0, 2**53 - 1)
_session = st.uuids().map(str)
_agent = st.none() | st.from_regex(r"[a-z0-9]{1,64}", fullmatch=True)
_model = st.from_regex(r"claude-[a-z0-9.-]{1,40}", fullmatch=True) | st.just("other")
_timestamp = st.datetimes().map(lambda at: f"{at:%Y}".zfill(4) + f"-{at:%m-%dT%H:%M:%S}.{at.microsecond:06d}Z")
_tokens = st.fixed_dictionaries(dict.fromkeys(TOKENS, _count))


def _one_of(vocabulary: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(typing.get_args(vocabulary))


_payloads: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "session": st.fixed_dictionaries(
        {"sessionId": _session, "action": _one_of(v.SessionAction), "project": _name},
        optional={"how": _one_of(v.SessionHow), "reason": _one_of(v.SessionReason)},
    ),
    "activity": st.fixed_dictionaries(
        {"sessionId": _session},
        optional={"project": _name, "kind": _one_of(v.ActivityKind), "fromModel": _model, "toModel": _model},
    ),
    "tool": st.fixed_dictionaries(
        {"sessionId": _session, "tool": _name, "status": _one_of(v.ToolStatus)},
        optional={
            "context": _name | st.just("[filtered]"),
            "project": _name,
            "outcome": _one_of(v.Outcome),
            "durationMs": _count,
            "agentId": _agent,
        },
    ),
    "agent": st.fixed_dictionaries(
        {"sessionId": _session, "state": _one_of(v.AgentState)}, optional={"agentId": _agent}
    ),
    "summary": st.fixed_dictionaries({"sessionId": _session, "summary": st.just("Session ended")}),
    "error": st.fixed_dictionaries({"sessionId": _session, "category": _one_of(v.ErrorCategory)}),
    "agent_spawn": st.fixed_dictionaries(
        {"sessionId": _session, "agentType": _name, "description": st.just(""), "timestamp": _timestamp}
    ),
    "skill_invocation": st.fixed_dictionaries(
        {"sessionId": _session, "skillName": _name, "project": _name, "timestamp": _timestamp}
    ),
    "token_usage": st.builds(
        lambda model, tokens, more: {"model": model, **tokens, **more},
        _model,
        _tokens,
        st.fixed_dictionaries({}, optional={"cacheCreationHourTokens": _count}),
    ),
    "session_metrics": st.fixed_dictionaries(
        {"totalSessions": _count, "totalMessages": _count, "totalToolUsage": _count, "longestSession": _session}
    ),
    "activity_pattern": st.fixed_dictionaries({"hourCounts": st.dictionaries(st.integers(0, 23).map(str), _count)}),
    "model_distribution": st.fixed_dictionaries({"modelUsage": st.dictionaries(_model, _tokens, max_size=3)}),
    "todo_progress": st.fixed_dictionaries(
        {"sessionId": _session, **dict.fromkeys(("completed", "inProgress", "pending", "abandoned"), _count)}
    ),
    "file_change": st.fixed_dictionaries(
        {
            "sessionId": _session,
            "fileHash": st.from_regex(r"[0-9a-f]{16,64}", fullmatch=True),
            "timestamp": _timestamp,
            **dict.fromkeys(("version", "linesAdded", "linesRemoved", "linesModified"), _count),
        }
    ),
    "project_activity": st.fixed_dictionaries({"projectPath": _name, "sessionId": _session, "isActive": st.booleans()}),
}
events = st.sampled_from(sorted(PAYLOADS)).flatmap(
    lambda kind: st.builds(
        event,
        st.just(kind),
        _payloads[kind],
        id=st.from_regex(r"evt_[a-z0-9]{20}", fullmatch=True),
        source=st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True),
        timestamp=_timestamp,
    )
)


@given(events)
def test_wire_and_back_is_the_same_event(built: Event) -> None:
    assert Event.model_validate_json(built.wire()) == built
    assert Event.model_validate_json(built.wire()).wire() == built.wire()


@given(events)
def test_wire_is_plain_json_that_javascript_reads_exactly(built: Event) -> None:
    document = json.loads(built.wire(), parse_float=lambda text: pytest.fail(f"a fraction: {text}"))
    assert None not in document["payload"].values()
    assert built.wire().isascii()


@given(events, st.text())
def test_free_text_fits_in_no_string_of_any_event(built: Event, text: str) -> None:
    """What has a space, a slash, a quote or anything but letters, digits and `._-` is refused everywhere."""
    private = f"{text} of /somebody"
    document = json.loads(built.wire())
    for holder in (document, document["payload"]):
        for name, value in holder.items():
            if isinstance(value, str):
                with pytest.raises(ValidationError):
                    Event.model_validate(
                        document | ({name: private} if holder is document else {"payload": holder | {name: private}})
                    )
