"""Events of others: read leniently, passed on in one form, refused without a word of what they held."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vibetea_protocol.events import PAYLOADS
from vibetea_protocol.wire import BASE_TYPES, MAX_TEXT, WireError, parse

SESSION = "550e8400-e29b-41d4-a716-446655440000"
COUNTS = {"inputTokens": 1, "outputTokens": 2, "cacheReadTokens": 3, "cacheCreationTokens": 4}

# The contract's table, its fields in full and then only those that must be there.
FULL: dict[str, dict[str, Any]] = {
    "session": {"sessionId": SESSION, "action": "started", "project": "shop"},
    "activity": {"sessionId": SESSION, "project": "shop"},
    "tool": {"sessionId": SESSION, "tool": "Read", "status": "completed", "context": "auth.ts", "project": "shop"},
    "agent": {"sessionId": SESSION, "state": "thinking"},
    "summary": {"sessionId": SESSION, "summary": "Done: 3 of 4"},
    "error": {"sessionId": SESSION, "category": "rate limit"},
    "agent_spawn": {"sessionId": "s", "agentType": "Explore", "description": "Find it", "timestamp": "2026-02-03"},
    "skill_invocation": {"sessionId": "s", "skillName": "pdf", "project": "/home/x", "timestamp": "t"},
    "token_usage": {"model": "claude", **COUNTS},
    "session_metrics": {"totalSessions": 1, "totalMessages": 2, "totalToolUsage": 3, "longestSession": "s"},
    "activity_pattern": {"hourCounts": {"0": 1, "23": 2}},
    "model_distribution": {"modelUsage": {"claude": COUNTS, "other": COUNTS}},
    "todo_progress": {"sessionId": "s", "completed": 1, "inProgress": 2, "pending": 3, "abandoned": 0},
    "file_change": {
        "sessionId": "s",
        "fileHash": "ab",
        "version": 1,
        "linesAdded": 1,
        "linesRemoved": 2,
        "linesModified": 3,
        "timestamp": "t",
    },
    "project_activity": {"projectPath": "-home-dev-shop", "sessionId": "s", "isActive": True},
}
OPTIONAL = {"activity": ["project"], "tool": ["context", "project"]}


def event(kind: str = "tool", payload: Any = None, **changes: Any) -> dict[str, Any]:
    return {
        "id": "evt_k7m2n9p4q1r6s3t8u5v0",
        "source": "laptop",
        "timestamp": "2026-02-03T14:30:00.123Z",
        "type": kind,
        "payload": FULL[kind] if payload is None else payload,
    } | changes


def one(document: Any) -> dict[str, Any]:
    """What becomes of one event."""
    (read,) = parse(json.dumps(document).encode())
    told: dict[str, Any] = json.loads(read.raw)
    return told


def test_table_is_whole() -> None:
    assert FULL.keys() == PAYLOADS.keys()


@pytest.mark.parametrize("kind", FULL)
def test_every_type_passes_unchanged(kind: str) -> None:
    assert one(event(kind)) == event(kind)


@pytest.mark.parametrize("kind", FULL)
def test_each_field_that_must_be_there(kind: str) -> None:
    payload = FULL[kind]
    for name in payload:
        less = {key: value for key, value in payload.items() if key != name}
        nulled = payload | {name: None}
        if name in OPTIONAL.get(kind, []):
            assert one(event(kind, less)) == one(event(kind, nulled)) == event(kind, less)
        else:
            for broken in (less, nulled, payload | {name: [1]}):
                with pytest.raises(WireError):
                    one(event(kind, broken))


def test_canonical_form() -> None:
    """Compact, the contract's order, absent and unknown fields left out."""
    noisy = {"payload": FULL["agent"] | {"type": "agent", "x": {"y": 1}}, **event("agent", {}), "zzz": 1}
    noisy["payload"] = FULL["agent"] | {"type": "agent", "x": {"y": 1}}
    (read,) = parse(json.dumps(noisy, indent=2).encode())
    assert read.raw == (
        b'{"id":"evt_k7m2n9p4q1r6s3t8u5v0","source":"laptop","timestamp":"2026-02-03T14:30:00.123Z","type":"agent",'
        b'"payload":{"sessionId":"550e8400-e29b-41d4-a716-446655440000","state":"thinking"}}'
    )
    (again,) = parse(read.raw)
    assert again == read


def test_our_own_additions_are_passed_on() -> None:
    payload = FULL["tool"] | {"outcome": "failed", "durationMs": 12}
    assert one(event("tool", payload))["payload"] == payload


@pytest.mark.parametrize(
    ("kind", "project"), [("tool", "shop"), ("agent", ""), ("project_activity", "-home-dev-shop"), ("token_usage", "")]
)
def test_what_is_told_beside_the_bytes(kind: str, project: str) -> None:
    (read,) = parse(json.dumps(event(kind)).encode())
    assert read[:5] == ("evt_k7m2n9p4q1r6s3t8u5v0", "laptop", "2026-02-03T14:30:00.123Z", kind, project)


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({"eventType": "tool"}, True),
        ({"type": None, "eventType": "tool"}, True),
        ({"eventType": None}, True),
        ({"eventType": "agent"}, False),
        ({"type": None}, False),
        ({"type": "Tool"}, False),
        ({"type": ""}, False),
        ({"type": 1}, False),
    ],
)
def test_names_of_the_type(changes: dict[str, Any], good: bool) -> None:
    if good:
        assert one(event(**changes)) == event()
    else:
        with pytest.raises(WireError):
            one(event(**changes))


HEX = SESSION.replace("-", "")


@pytest.mark.parametrize("form", [SESSION, SESSION.upper(), HEX, f"{{{SESSION}}}", f"urn:uuid:{SESSION}"])
def test_forms_of_a_session_id(form: str) -> None:
    for kind in BASE_TYPES:
        assert one(event(kind, FULL[kind] | {"sessionId": form}))["payload"]["sessionId"] == SESSION


@pytest.mark.parametrize(
    "form",
    [
        *("", "s", HEX[:8], SESSION[:-1], SESSION + "0", SESSION + "\n", " " + SESSION),
        *(f"{{{SESSION}", f"{SESSION}}}", f"urn:{SESSION}"),
        *(SESSION.replace("-", "", 1), SESSION.replace("5", "g"), SESSION.replace("5", "٥")),
    ],
)
def test_session_ids_that_are_none(form: str) -> None:
    for kind in BASE_TYPES:
        with pytest.raises(WireError):
            one(event(kind, FULL[kind] | {"sessionId": form}))
    free = one(event("todo_progress", FULL["todo_progress"] | {"sessionId": form}))
    assert free["payload"]["sessionId"] == form


@pytest.mark.parametrize("text", ["", "é\u2028\x00\U0001f600", "a" * MAX_TEXT])
def test_any_text_passes(text: str) -> None:
    assert one(event("summary", {"sessionId": SESSION, "summary": text}))["payload"]["summary"] == text


@pytest.mark.parametrize(
    ("number", "good"),
    [(0, True), (2**53 - 1, True), (2**53, False), (-1, False), (1.5, False), (True, False), ("1", False)],
)
def test_numbers(number: Any, good: bool) -> None:
    payload = {"model": "m"} | COUNTS | {"inputTokens": number}
    if good:
        assert one(event("token_usage", payload))["payload"] == payload
    else:
        with pytest.raises(WireError):
            one(event("token_usage", payload))


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "evt_K7m2n9p4q1r6s3t8u5v0"},
        {"id": "evt_k7m2n9p4q1r6s3t8u5v0\n"},
        {"id": "k7m2n9p4q1r6s3t8u5v0"},
        {"id": None},
        {"source": ""},
        {"source": "a" * 257},
        {"payload": None},
        {"payload": []},
        {"payload": "x"},
        *(
            {"timestamp": text}
            for text in (
                "2026-02-03T14:30:00",
                "2026-02-03T14:30:00+00:00",
                "2026-02-03T14:30:00z",
                "2026-02-03T24:00:00Z",
                "2026-02-03T14:60:00Z",
                "2026-02-03T14:30:61Z",
                "2026-02-03T14:30:00.1Z",
                "2026-02-03T14:30:00.Z",
                "2026-00-03T14:30:00Z",
                "2026-02-32T14:30:00Z",
                "2026-02-29T14:30:00Z",
                "2026-04-31T14:30:00Z",
                "2026-02-03T14:30:00Z\n",
                1770129000,
            )
        ),
    ],
)
def test_envelopes_that_are_none(changes: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        one(event() | changes)


@pytest.mark.parametrize("fraction", ["", ".123", ".123456", ".123456789"])
def test_fractions_of_a_second(fraction: str) -> None:
    stamp = f"2026-12-31T23:59:60{fraction}Z"
    assert one(event(timestamp=stamp))["timestamp"] == stamp


@pytest.mark.parametrize(
    ("body", "count"), [(b"[]", 0), (b" \r\n\t[ ] \n", 0), (b"[%s,%s]", 2), (b"%s", 1), (b"\n %s\n", 1)]
)
def test_one_or_many(body: bytes, count: int) -> None:
    each = json.dumps(event()).encode()
    assert len(parse(body.replace(b"%s", each))) == count


GARBAGE = [
    b"",
    b" ",
    b"null",
    b"1",
    b'"x"',
    b"[null]",
    b"[[]]",
    b"[] x",
    b"[,]",
    b"{}",
    b"\xef\xbb\xbf[]",
    b"\xff",
    b"[1e400]",
    b"[NaN]",
    b"[" * 100_000,
    b'{"payload":' * 100_000,
    b"9" * 100_000,
    json.dumps(event()).encode().replace(b"Read", b"\\ud800"),
    json.dumps(event()).encode().replace(b"Read", b"\xff"),
    json.dumps(event()).encode().replace(b'"Read"', b"[" * 100_000),
    json.dumps(event()).encode().replace(b'"Read"', b'"a\nb"'),
]


@pytest.mark.parametrize("body", GARBAGE)
def test_what_is_no_event(body: bytes) -> None:
    with pytest.raises(WireError):
        parse(body)


CANARY = "canary-7f3a"
places = st.sampled_from(
    ["id", "source", "timestamp", "type", "eventType", "payload", "sessionId", "tool", "hourCounts"]
)
values = st.sampled_from([CANARY, [CANARY], {CANARY: CANARY}, CANARY * 1000, None, 1.5, True])


@given(st.dictionaries(places, values), st.booleans(), st.sampled_from(["tool", "activity_pattern"]))
@example({"hourCounts": {CANARY: CANARY}}, False, "activity_pattern")
def test_an_error_holds_nothing_of_the_body(changes: dict[str, Any], cut: bool, kind: str) -> None:
    inner = {name: value for name, value in changes.items() if name in {"sessionId", "tool", "hourCounts"}}
    outer = {name: value for name, value in changes.items() if name not in inner}
    body = json.dumps(event(kind, FULL[kind] | inner | {CANARY: CANARY}) | outer).encode()
    told = refusal(body[:-1] if cut else body)
    assert told is None or CANARY not in told
    assert not cut or told


@given(st.binary(max_size=200) | st.text().map(lambda text: json.dumps([text]).encode()))
def test_any_bytes(body: bytes) -> None:
    """Events, or a WireError; nothing else."""
    refusal(body)


def refusal(body: bytes) -> str | None:
    """Why it is no event, or None if it is one."""
    try:
        parse(body)
    except WireError as error:
        return str(error)
    return None


def test_of_a_key_written_twice_what_was_read_is_what_is_passed_on() -> None:
    """Whoever checks the source and whoever shows the event must not see two different ones."""
    body = json.dumps(event()).replace('"source"', '"source": "another", "source"', 1).encode()
    (read,) = parse(body)
    assert (read.source, json.loads(read.raw)["source"], read.raw.count(b'"source"')) == ("laptop", "laptop", 1)
