"""`ingest` over HTTP, a case for every row of the contract's table, on each engine, into a real PostgreSQL."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocol.test_events import EXAMPLES
from tests.relay.world import Sender
from tests.supabase import parts
from tests.supabase.client import LAPTOP, Client, batch, event, moment, said

from vibetea_protocol.events import Event
from vibetea_protocol.signing import sign

if TYPE_CHECKING:
    from tests.supabase.stack import Stack

MIB = 2**20
STRANGER = Sender("stranger")
SMALL_ORDER = b64encode(bytes([1, *bytes(31)])).decode()


def stored(stack: Stack) -> list[tuple[Any, ...]]:
    return stack.query("select id, source, event_type, payload from public.events order by id")


def test_the_daemons_own_batch_comes_in_once(stack: Stack, functions: Client) -> None:
    """All fifteen types as the daemon writes and signs them; sent again they are there already."""
    written = [
        Event(id=event(number)["id"], source="laptop", timestamp=moment(), type=kind, payload=payload)  # type: ignore[arg-type]
        for number, (kind, payload) in enumerate(EXAMPLES.items())
    ]
    body = b"[" + b",".join(each.wire() for each in written) + b"]"
    headers = {"X-Source-ID": "laptop", "X-Signature": sign(stack.keys["laptop"], body)}
    first = functions.call("POST", "ingest", content=body, headers=headers)
    assert (first.status_code, first.json()) == (200, {"inserted": 15, "message": "new: 15 of 15"})
    again = functions.call("POST", "ingest", content=body, headers=headers)
    assert (again.status_code, again.json()["inserted"]) == (200, 0)
    assert stored(stack) == sorted((each.id, "laptop", each.type, EXAMPLES[each.type]) for each in written)
    counted = stack.query("select source, sum(event_count)::int from vibetea.hourly group by 1")
    assert counted == [("laptop", 15)]


def test_either_name_of_the_type_and_unknown_keys(stack: Stack, functions: Client) -> None:
    """What is not of an event is not kept; what a payload has besides is."""
    named, both = event(1), event(2, eventType="tool", secret="dropped")
    named["eventType"] = named.pop("type")
    assert functions.send(batch(named, both)).json()["inserted"] == 2
    assert {row[2] for row in stored(stack)} == {"tool"}
    assert said(functions.send(batch(event(3, eventType="session")))) == (400, "invalid_event")


def test_a_preflight_allows_what_clients_send(functions: Client) -> None:
    answer = functions.call("OPTIONS", "ingest", headers={"Origin": "https://team.example"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert {"x-source-id", "x-signature", "content-type"} <= set(
        answer.headers["Access-Control-Allow-Headers"].split(", ")
    )
    assert answer.headers["Access-Control-Allow-Methods"] == "POST, OPTIONS"


ONE = batch(event())
NEXT = int(moment()[:4]) + 1
"""A year of which nothing is too old."""
ROWS: list[tuple[str, int, str, dict[str, Any]]] = [
    ("a body over 1 MiB", 413, "payload_too_large", {"body": b" " * (MIB + 1)}),
    ("an empty source", 401, "missing_auth", {"x_source_id": ""}),
    ("an empty signature", 401, "missing_auth", {"x_signature": ""}),
    ("a source without a key", 401, "unknown_source", {"sender": STRANGER}),
    ("what no source is called", 401, "unknown_source", {"x_source_id": "my laptop"}),
    ("no base64", 401, "invalid_signature", {"x_signature": "no base64!"}),
    ("base64 without padding", 401, "invalid_signature", {"x_signature": "A" * 86}),
    ("63 bytes", 401, "invalid_signature", {"x_signature": b64encode(bytes(63)).decode()}),
    ("another body's signature", 401, "invalid_signature", {"x_signature": sign(LAPTOP.seed, b"[]")}),
    ("another source's signature", 401, "invalid_signature", {"x_source_id": "desktop"}),
    ("no JSON", 400, "invalid_request", {"body": b"[{]"}),
    ("no UTF-8", 400, "invalid_request", {"body": b'["\xff"]'}),
    ("no body", 400, "invalid_request", {"body": b""}),
    ("no array", 400, "invalid_request", {"body": json.dumps(event()).encode()}),
    ("no events", 400, "empty_batch", {"body": b"[]"}),
    ("1001 events", 400, "batch_too_large", {"body": batch(*range(1001))}),
    ("an ill-formed id", 400, "invalid_event", {"body": batch(event(id="evt_1"))}),
    ("an ill-formed source", 400, "invalid_event", {"body": batch(event(source="my laptop"))}),
    ("a date of no calendar", 400, "invalid_event", {"body": batch(event(timestamp=f"{NEXT}-02-30T00:00:00Z"))}),
    ("an hour of no day", 400, "invalid_event", {"body": batch(event(timestamp=f"{NEXT}-02-20T24:00:00Z"))}),
    ("another time zone", 400, "invalid_event", {"body": batch(event(timestamp=f"{NEXT}-02-20T12:00:00+00:00"))}),
    ("a payload that is no object", 400, "invalid_event", {"body": batch(event(payload=[]))}),
    ("NUL in a payload", 400, "invalid_event", {"body": batch(event(payload={"tool": ["\0"]}))}),
    ("NUL in a payload's key", 400, "invalid_event", {"body": batch(event(payload={"\0": 1}))}),
    ("half a pair", 400, "invalid_event", {"body": batch(event(payload={"tool": "\ud800"}))}),
    ("no type", 400, "invalid_event", {"body": batch(event(type=None))}),
    ("two types", 400, "invalid_event", {"body": batch(event(eventType="error"))}),
    ("too old", 400, "past_retention", {"body": batch(event(timestamp=moment(days=90, minutes=1)))}),
    ("an unknown type", 422, "invalid_event_type", {"body": batch(event(type="thought"))}),
    ("another's event", 422, "source_mismatch", {"body": batch(event(source="desktop"))}),
]


@pytest.mark.parametrize(("status", "code", "request_"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_row_of_the_table(stack: Stack, functions: Client, status: int, code: str, request_: dict[str, Any]) -> None:
    assert said(functions.send(**{"body": ONE} | request_)) == (status, code)
    assert stored(stack) == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method(functions: Client, method: str) -> None:
    answer = functions.call(method, "ingest")
    assert (*said(answer), answer.headers["Allow"]) == (405, "method_not_allowed", "POST, OPTIONS")


def test_the_rows_hold_in_their_order(functions: Client) -> None:
    """Each request is wrong in its own row and in all that follow it."""
    worse = [event(number, source="desktop") for number in range(1001)]
    worst = [
        (413, "payload_too_large", {"body": b" " * (MIB + 1), "sender": STRANGER, "x_signature": ""}),
        (401, "missing_auth", {"body": b"", "sender": STRANGER, "x_signature": ""}),
        (401, "unknown_source", {"body": b"", "sender": STRANGER, "x_signature": "?"}),
        (401, "invalid_signature", {"body": b"", "x_signature": "?"}),
        (400, "batch_too_large", {"body": batch(*worse, {})}),
        (400, "invalid_event", {"body": batch(*worse[:2], event(type="thought"), {})}),
        (422, "invalid_event_type", {"body": batch(*worse[:2], event(type="thought"))}),
        (422, "source_mismatch", {"body": batch(event(), *worse[:2])}),
    ]
    for status, code, request in worst:
        assert said(functions.send(**request)) == (status, code)


@pytest.mark.parametrize("header", ["X-Source-ID", "X-Signature"])
def test_without_a_header(functions: Client, header: str) -> None:
    headers = LAPTOP.headers(ONE)
    del headers[header]
    assert said(functions.call("POST", "ingest", content=ONE, headers=headers)) == (401, "missing_auth")


def test_the_longest_body(stack: Stack, functions: Client) -> None:
    """Also of one that does not say how long it is, which no gateway has read before."""
    body = ONE.ljust(MIB)
    assert functions.send(body).json()["inserted"] == 1
    upstream, _ = stack.gateway.upstreams[f"{httpx.URL(functions.base).path}/ingest"]
    with Client(upstream.removesuffix("/ingest"), stack.token) as directly:
        for length, status in ((MIB, 200), (MIB + 1, 413), (8 * MIB, 413)):
            body = ONE.ljust(length)
            pieces = (body[at : at + 65_536] for at in range(0, length, 65_536))
            answer = directly.call("POST", "ingest", content=pieces, headers=LAPTOP.headers(body))
            assert (answer.status_code, answer.request.headers.get("Content-Length")) == (status, None)


def test_a_thousand_events_and_not_one_more(stack: Stack, functions: Client) -> None:
    events = [event(number) for number in range(1001)]
    assert said(functions.send(batch(*events))) == (400, "batch_too_large")
    assert functions.send(batch(*events[:1000])).json()["inserted"] == 1000
    assert functions.send(batch(*events[1:])).json() == {"inserted": 1, "message": "new: 1 of 1000"}


@pytest.mark.parametrize("wrong", [{"payload": {"tool": "\0"}}, {"source": "desktop"}], ids=["NUL", "source"])
def test_one_bad_event_among_999_is_found_by_halving(stack: Stack, functions: Client, wrong: dict[str, Any]) -> None:
    """The batch is refused as a whole, as what cannot be mended by trying again; its halves tell which one it was."""
    events = [event(number) for number in range(1000)]
    events[614] |= wrong
    refused: list[Any] = []
    waiting = [events]
    requests = 0
    while waiting:
        some = waiting.pop()
        answer = functions.send(batch(*some))
        requests += 1
        if answer.status_code == 200:
            assert answer.json()["inserted"] == len(some)
            continue
        assert answer.status_code in {400, 422}
        if requests == 1:
            assert stored(stack) == []
        if len(some) == 1:
            refused += some
        else:
            half = len(some) // 2
            waiting += [some[:half], some[half:]]
    assert refused == [events[614]]
    assert requests <= 21
    assert [row[0] for row in stored(stack)] == sorted(each["id"] for each in events if each is not events[614])


def test_a_key_of_the_table_counts_until_it_is_revoked(stack: Stack, functions: Client) -> None:
    """While the functions run; the environment's keys need no table."""
    body = batch(event(1, STRANGER))
    assert said(functions.send(body, STRANGER)) == (401, "unknown_source")
    stack.query("insert into vibetea.source_keys (source, public_key) values (%s, %s)", "stranger", STRANGER.public)
    assert functions.send(body, STRANGER).json()["inserted"] == 1
    assert said(functions.send(body, STRANGER, x_source_id="desktop")) == (401, "invalid_signature")
    stack.query("update vibetea.source_keys set revoked_at = now()")
    assert said(functions.send(batch(event(2, STRANGER)), STRANGER)) == (401, "unknown_source")
    stack.query("update vibetea.source_keys set revoked_at = null, public_key = %s", SMALL_ORDER)
    assert said(functions.send(batch(event(2, STRANGER)), STRANGER)) == (401, "unknown_source")


def test_no_keys_but_the_tables_the_old_name_of_the_secret_key_and_other_days(stack: Stack) -> None:
    changes = {
        "VIBETEA_PUBLIC_KEYS": None,
        "SUPABASE_SECRET_KEYS": None,
        "SUPABASE_SERVICE_ROLE_KEY": stack.service_role_key,
        "VIBETEA_RETENTION_DAYS": "7",
    }
    with stack.serving(parts.deno(), **changes) as base, Client(base, stack.token) as functions:
        assert said(functions.send(ONE)) == (401, "unknown_source")
        stack.query("insert into vibetea.source_keys (source, public_key) values (%s, %s)", "laptop", LAPTOP.public)
        assert functions.send(ONE).json()["inserted"] == 1
        edges = [batch(event(2, timestamp=moment(days=7, minutes=sign))) for sign in (-1, 1)]
        assert [said(functions.send(edge)) for edge in edges] == [(200, None), (400, "past_retention")]
        assert functions.ask().json()["meta"]["totalCount"] >= 1


def test_a_database_that_is_gone_is_an_error_that_tells_nothing(stack: Stack, functions: Client) -> None:
    """The same batch comes in once it is back."""
    stack.stop_postgres()
    try:
        answers = [functions.send(ONE), functions.send(batch(event(1, STRANGER)), STRANGER), functions.ask()]
    finally:
        stack.start_postgres()
    for answer in answers:
        assert said(answer) == (500, "internal_error")
        assert answer.json()["message"] == "it failed here; try again later"
    assert functions.send(ONE).json()["inserted"] == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(payload=st.dictionaries(st.text(), json_values, max_size=6) | json_values)
@settings(max_examples=40)
def test_whatever_a_payload_holds_it_is_kept_as_it_is_or_refused(running_stack: Stack, payload: Any) -> None:
    """Never is it the database that refuses: the sender would try for ever."""
    running_stack.empty()
    with Client(running_stack.functions, running_stack.token) as functions:
        answer = functions.send(batch(event(payload=payload)))
    if answer.status_code == 200:
        assert [row[3] for row in stored(running_stack)] == [payload]
    else:
        assert said(answer) in {(400, "invalid_event"), (400, "invalid_request")}
        assert stored(running_stack) == []


plain = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@given(payload=st.dictionaries(plain, plain | st.integers(-(2**53) + 1, 2**53 - 1) | st.booleans() | st.none()))
@settings(max_examples=20)
def test_a_plain_payload_is_kept(running_stack: Stack, payload: Any) -> None:
    running_stack.empty()
    with Client(running_stack.functions, running_stack.token) as functions:
        assert said(functions.send(batch(event(payload=payload)))) == (200, None)
    assert [row[3] for row in stored(running_stack)] == [payload]
