"""POST /events over real sockets, a case for every row of the contract's table, and the rows' order."""

import json
from base64 import b64encode
from http import HTTPStatus
from itertools import combinations, product
from typing import Any

import pytest
from tests.relay.world import NO_LIMITS, SESSION, Relay, Sender, relaying

from vibetea_protocol.signing import sign
from vibetea_relay.config import Limits
from vibetea_relay.refusals import Refusal
from vibetea_relay.stream import Unavailable

MIB = 1_048_576
GOLDEN_SEED = bytes(range(32))
GOLDEN_KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="

# accepted


async def test_one_event_and_an_array_and_nothing(relay: Relay, laptop: Sender) -> None:
    answer = await relay.send(laptop, json.dumps(laptop.event(1)).encode())
    assert (answer.status, answer.json) == (202, {"accepted": 1, "duplicates": 0})
    answer = await relay.send(laptop, laptop.body(1, 2, 3))
    assert (answer.status, answer.json) == (202, {"accepted": 2, "duplicates": 1})
    answer = await relay.send(laptop, b"[]")
    assert (answer.status, answer.json) == (202, {"accepted": 0, "duplicates": 0})
    assert [event.id for event in await relay.held()] == [laptop.event(n)["id"] for n in (1, 2, 3)]


async def test_content_type_is_ignored_and_header_names_have_no_case(relay: Relay, laptop: Sender) -> None:
    body = laptop.body(1)
    headers = {"x-SOURCE-id": "laptop", "x-signature": sign(laptop.seed, body), "Content-Type": "text/html"}
    assert (await relay.post(body, headers)).status == 202


async def test_golden_key() -> None:
    golden = Sender("golden", GOLDEN_SEED)
    assert golden.public == GOLDEN_KEY
    async with relaying(golden) as relay:
        assert (await relay.send(golden, golden.body(1))).status == 202


@pytest.mark.parametrize("names", [("type",), ("eventType",), ("type", "eventType")])
async def test_either_name_of_the_type(relay: Relay, laptop: Sender, names: tuple[str, ...]) -> None:
    event = laptop.event()
    kind = event.pop("type")
    answer = await relay.send(laptop, json.dumps(event | dict.fromkeys(names, kind)).encode())
    assert answer.status == 202
    (held,) = await relay.held()
    assert json.loads(held.raw) == laptop.event()


async def test_what_old_monitors_add_is_not_passed_on(relay: Relay, laptop: Sender) -> None:
    """Nulls, a type repeated in the payload, and keys nobody knows."""
    event = laptop.event()
    noisy = event | {
        "hostname": "h",
        "eventType": None,
        "payload": event["payload"] | {"type": "tool", "context": None, "cwd": "/home/dev"},
    }
    assert (await relay.send(laptop, json.dumps(noisy).encode())).status == 202
    (held,) = await relay.held()
    assert json.loads(held.raw) == event


@pytest.mark.parametrize(
    "form", [SESSION, SESSION.upper(), SESSION.replace("-", ""), f"{{{SESSION}}}", f"urn:uuid:{SESSION}"]
)
async def test_forms_of_a_session_id(relay: Relay, laptop: Sender, form: str) -> None:
    event = laptop.event()
    event["payload"]["sessionId"] = form
    assert (await relay.send(laptop, json.dumps(event).encode())).status == 202
    (held,) = await relay.held()
    assert json.loads(held.raw)["payload"]["sessionId"] == SESSION


async def test_body_of_a_mebibyte_and_one_more_byte(relay: Relay, laptop: Sender) -> None:
    body = laptop.body(1)
    body += b" " * (MIB - len(body))
    assert (await relay.send(laptop, body)).status == 202
    refused = await relay.send(laptop, body + b" ")
    assert (refused.status, refused.code) == (413, None)
    assert refused.json["error"]


async def test_mebibyte_and_a_byte_in_chunks(relay: Relay, laptop: Sender) -> None:
    async def chunks() -> Any:
        for _ in range(16):
            yield b" " * 65_536
        yield b" "

    async with relay.http.post(f"{relay.url}/events", data=chunks(), headers=laptop.headers(b"")) as answer:
        assert answer.status == 413


# refused


def without(headers: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in names}


@pytest.mark.parametrize("source", [None, "", "ordinateur-é"])
async def test_source_absent_empty_or_not_ascii(relay: Relay, laptop: Sender, source: str | None) -> None:
    headers = without(laptop.headers(b"[]"), "X-Source-ID")
    answer = await relay.post(b"[]", headers if source is None else headers | {"X-Source-ID": source})
    assert (answer.status, answer.code) == (401, "missing_source")


@pytest.mark.parametrize("signature", [None, ""])
async def test_signature_absent_or_empty(relay: Relay, signature: str | None) -> None:
    headers = {"X-Source-ID": "laptop"}
    answer = await relay.post(b"[]", headers if signature is None else headers | {"X-Signature": signature})
    assert (answer.status, answer.code) == (401, "missing_signature")


async def test_source_not_registered(relay: Relay) -> None:
    answer = await relay.send(Sender("stranger"), b"[]")
    assert (answer.status, answer.code) == (401, "unknown_source")


TRUE = sign(Sender("laptop").seed, b"[]")


@pytest.mark.parametrize(
    "signature",
    [
        "?",
        TRUE.rstrip("="),
        TRUE.translate(str.maketrans("+/", "-_")) + "_",
        TRUE[:40] + " " + TRUE[40:],
        TRUE[:-3] + chr(ord(TRUE[-3]) + 1) + "==",
        "é" + TRUE[1:],
    ],
    ids=["noise", "no padding", "url alphabet", "space", "stray bits", "not ASCII"],
)
async def test_signature_not_canonical_base64(relay: Relay, laptop: Sender, signature: str) -> None:
    answer = await relay.post(b"[]", laptop.headers(b"[]") | {"X-Signature": signature})
    assert (answer.status, answer.code) == (401, "invalid_encoding")


SMALL_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    b"\xec" + b"\xff" * 30 + b"\x7f",
    b"\xed" + b"\xff" * 30 + b"\x7f",
    b"\xee" + b"\xff" * 30 + b"\x7f",
]


def _signature(raw: bytes) -> str:
    return b64encode(raw).decode()


@pytest.mark.parametrize(
    "signature",
    [
        _signature(bytes(63)),
        _signature(bytes(65)),
        sign(Sender("desktop").seed, b"[]"),
        sign(Sender("laptop").seed, b"[ ]"),
        *(_signature(small + bytes(32)) for small in SMALL_ORDER),
    ],
)
async def test_signature_that_does_not_verify(relay: Relay, laptop: Sender, signature: str) -> None:
    answer = await relay.post(b"[]", laptop.headers(b"[]") | {"X-Signature": signature})
    assert (answer.status, answer.code) == (401, "invalid_signature")


@pytest.mark.parametrize("key", SMALL_ORDER)
async def test_key_of_small_order_signs_nothing(key: bytes) -> None:
    """Under such a key a lax verifier takes R = the key, S = 0 for one body in eight or for all."""
    weak = Sender("weak")
    weak.key = key
    async with relaying(weak) as relay:
        for r, body in product((key, SMALL_ORDER[1]), (b"[]", b"[ ]", b"[  ]", b"[]\n")):
            answer = await relay.post(body, {"X-Source-ID": "weak", "X-Signature": _signature(r + bytes(32))})
            assert (answer.status, answer.code) == (401, "invalid_signature")


async def test_rate_limit(laptop: Sender, desktop: Sender) -> None:
    async with relaying(laptop, desktop, limits=Limits(source_rate=0.5)) as relay:
        for _ in range(100):
            assert (await relay.send(laptop, b"[]")).status == 202
        answer = await relay.send(laptop, b"[]")
        assert (answer.status, answer.code) == (429, "rate_limited")
        assert 1 <= int(answer.headers["Retry-After"]) <= 2
        assert (await relay.send(desktop, b"[]")).status == 202


EVENT = Sender("laptop").event()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"null",
        b"1",
        b"[[]]",
        b"[] []",
        *(
            json.dumps(event).encode()
            for event in (
                EVENT | {"type": "keystrokes"},
                EVENT | {"type": None},
                EVENT | {"eventType": "session"},
                EVENT | {"id": "evt_short"},
                EVENT | {"timestamp": "2026-02-03T14:30:00"},
                EVENT | {"payload": []},
                EVENT | {"payload": {"sessionId": "not-a-uuid", "tool": "Read", "status": "completed"}},
                EVENT | {"payload": {"sessionId": SESSION}},
                {name: value for name, value in EVENT.items() if name != "id"},
                [EVENT, 1],
            )
        ),
    ],
)
async def test_not_an_event(relay: Relay, laptop: Sender, body: bytes) -> None:
    answer = await relay.send(laptop, body)
    assert (answer.status, answer.code) == (400, "invalid_format")


async def test_one_event_of_another_source_refuses_the_batch(relay: Relay, laptop: Sender) -> None:
    body = json.dumps([laptop.event(1), laptop.event(2, source="desktop")]).encode()
    answer = await relay.send(laptop, body)
    assert (answer.status, answer.code) == (400, "source_mismatch")
    assert await relay.held() == []


async def test_stream_out_of_reach(laptop: Sender, relay: Relay) -> None:
    relay.stream.failure = Unavailable()  # type: ignore[attr-defined]
    answer = await relay.send(laptop, laptop.body(1))
    assert (answer.status, answer.code) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert (await relay.send(laptop, b"[]")).status == 202


@pytest.mark.parametrize(("seconds", "told"), [(0.001, "1"), (1.0, "1"), (1.001, "2"), (60, "60")])
def test_retry_after_is_whole_seconds_and_long_enough(seconds: float, told: str) -> None:
    answer = Refusal(HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", "", retry=seconds).response()
    assert answer.headers["Retry-After"] == told


# order

ROWS = [
    (413, None),
    (401, "missing_source"),
    (401, "missing_signature"),
    (401, "unknown_source"),
    (401, "invalid_encoding"),
    (401, "invalid_signature"),
    (429, "rate_limited"),
    (400, "invalid_format"),
    (400, "source_mismatch"),
]


def faulty(sender: Sender, rows: tuple[int, ...], most: int) -> tuple[bytes, dict[str, str]]:
    """A request with the faults of these rows."""
    body = sender.body(1)
    if 8 in rows:
        body = json.dumps(sender.event(1, source="another")).encode()
    if 7 in rows:
        body += b"!"
    if 0 in rows:
        body += b" " * most
    headers = sender.headers(body)
    if 5 in rows:
        headers["X-Signature"] = sign(sender.seed, body + b"?")
    if 4 in rows:
        headers["X-Signature"] = headers["X-Signature"].rstrip("=")
    if 3 in rows:
        headers["X-Source-ID"] = "stranger"
    if 2 in rows:
        del headers["X-Signature"]
    if 1 in rows:
        del headers["X-Source-ID"]
    return body, headers


async def test_first_of_any_set_of_faults_wins() -> None:
    """All 511 sets of the table's nine faults."""
    sets = [rows for size in range(1, 10) for rows in combinations(range(9), size)]
    senders = [Sender(f"machine-{number}") for number in range(len(sets))]
    limits = Limits(
        **{name: getattr(NO_LIMITS, name) for name in ("address_burst", "claim_burst", "failure_burst")},
        body=4096,
        source_rate=1e-3,
        source_burst=1,
    )
    async with relaying(*senders, limits=limits) as relay:
        for sender, rows in zip(senders, sets, strict=True):
            if 6 in rows:
                assert (await relay.send(sender, b"[]")).status == 202
            answer = await relay.post(*faulty(sender, rows, 4096))
            assert (answer.status, answer.code) == ROWS[rows[0]], rows
        assert await relay.held() == []


# without authentication


async def test_unsafe_relay_still_checks_what_holds(laptop: Sender) -> None:
    async with relaying(unsafe_no_auth=True, limits=Limits(source_rate=1e-3, source_burst=4)) as relay:
        assert (await relay.post(laptop.body(1), {"X-Source-ID": "laptop"})).status == 202
        assert (await relay.post(laptop.body(1), {})).code == "missing_source"
        assert (await relay.post(b" " * (MIB + 1), {"X-Source-ID": "laptop"})).status == 413
        assert (await relay.post(b"?", {"X-Source-ID": "laptop"})).code == "invalid_format"
        assert (await relay.post(laptop.body(1), {"X-Source-ID": "another"})).code == "source_mismatch"
        assert [(await relay.post(b"[]", {"X-Source-ID": "laptop"})).status for _ in range(3)] == [202, 202, 429]
