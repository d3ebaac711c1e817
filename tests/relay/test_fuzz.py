"""Any request, valid or broken: told as a model tells it, never a 500, never in a log, and nobody else notices."""

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.relay.world import SESSION, Relay, Sender, relaying

from vibetea_protocol.signing import sign

LAPTOP, DESKTOP = Sender("laptop"), Sender("desktop")
CANARY = "canary" + secrets.token_hex(8)
"""Stands in every body and header that is sent; it may stand in no log."""

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | texts
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


@dataclass(frozen=True)
class Attempt:
    """A request and what the contract says to it; None where only the parser can know."""

    body: bytes
    headers: dict[str, str]
    wanted: tuple[int, str | None] | None


events = st.builds(
    lambda number, context, extra: LAPTOP.event(
        number,
        payload={"sessionId": SESSION, "tool": CANARY, "status": "completed", "context": context, "note": CANARY}
        | {f"x{name}": value for name, value in extra.items()},
    ),
    st.integers(0, 10**6),
    texts | st.none(),
    st.dictionaries(texts, st.integers(0, 9), max_size=2),
)


@st.composite
def broken_events(draw: st.DrawFn) -> dict[str, Any]:
    """An event with one of its keys gone, or holding something else."""
    event = draw(events)
    name = draw(st.sampled_from(sorted(event)))
    if draw(st.booleans()):
        del event[name]
    else:
        event[name] = draw(documents)
    return event | {"canary": CANARY}


def _dumped(document: Any) -> bytes:
    return json.dumps(document).encode()


@st.composite
def attempts(draw: st.DrawFn) -> Attempt:
    kind = draw(st.sampled_from(["good", "broken", "document", "bytes", "cut", "source", "auth", "header"]))
    good = draw(st.lists(events, max_size=5))
    body, wanted = _dumped(good), (202, None)
    headers = LAPTOP.headers(body)
    if kind == "good":
        return Attempt(body, headers, wanted)
    if kind == "source":
        body = _dumped([*good, LAPTOP.event(1, source=CANARY)])
        return Attempt(body, LAPTOP.headers(body), (400, "source_mismatch"))
    if kind == "auth":
        name, value, code = draw(
            st.sampled_from(
                [
                    ("X-Source-ID", "", "missing_source"),
                    ("X-Source-ID", CANARY, "unknown_source"),
                    ("X-Source-ID", CANARY + "é", "missing_source"),
                    ("X-Signature", "", "missing_signature"),
                    ("X-Signature", CANARY, "invalid_encoding"),
                    ("X-Signature", sign(LAPTOP.seed, body + b" "), "invalid_signature"),
                    ("VibeTea-Signature", CANARY, "invalid_signature"),
                ]
            )
        )
        return Attempt(body, headers | {name: value}, (401, code))
    if kind == "header":
        odd = draw(st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40))
        name = draw(st.sampled_from(["X-Source-ID", "X-Signature", "VibeTea-Signature", "Content-Encoding"]))
        return Attempt(body, headers | {name: odd.strip() + CANARY}, None)
    if kind == "broken":
        body = _dumped([*good, draw(broken_events())])
    elif kind == "document":
        body = _dumped([draw(documents), CANARY])
    elif kind == "bytes":
        body = draw(st.binary(max_size=300)) + CANARY.encode()
    else:
        body = body[: draw(st.integers(0, len(body) - 1))]
    known = {"broken": None, "cut": (400, "invalid_format")}
    return Attempt(body, LAPTOP.headers(body), known.get(kind, (400, "invalid_format")))


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    async with relaying(LAPTOP, DESKTOP) as relay:
        yield relay


def examples(strategy: st.SearchStrategy[Any], play: Callable[[Any], Awaitable[None]]) -> Callable[[], None]:
    """Hypothesis calls plain functions: each example runs on the loop that the relay runs on."""
    loop = asyncio.get_running_loop()

    @settings(max_examples=300)
    @given(strategy)
    def run(example: Any) -> None:
        asyncio.run_coroutine_threadsafe(_awaited(play, example), loop).result(30)

    return run


async def _awaited(play: Callable[[Any], Awaitable[None]], example: Any) -> None:
    await play(example)


async def test_any_request_is_answered_as_the_contract_says(relay: Relay, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    number = 0

    async def play(attempt: Attempt) -> None:
        nonlocal number
        number += 1
        before = len(await relay.held())
        answer = await relay.post(attempt.body, attempt.headers)
        assert answer.status in {202, 400, 401, 415}
        if attempt.wanted:
            assert (answer.status, answer.code) == attempt.wanted
        if answer.status != 202:
            assert len(await relay.held()) == before
            assert CANARY not in answer.body.decode()
        assert (await relay.send(DESKTOP, DESKTOP.body(number))).json == {"accepted": 1, "duplicates": 0}

    await asyncio.to_thread(examples(attempts(), play))
    assert CANARY not in caplog.text
    assert not [
        record
        for record in caplog.records
        if record.name.startswith(("vibetea", "aiohttp.server", "asyncio")) and record.levelno >= logging.WARNING
    ]


async def test_any_bytes_on_the_wire(relay: Relay, caplog: pytest.LogCaptureFixture) -> None:
    """A request cut, spliced or overwritten anywhere, head included."""
    caplog.set_level(logging.DEBUG)
    body = LAPTOP.body(1)
    lines = [f"{name}: {value}" for name, value in LAPTOP.headers(body, **{"X-Note": CANARY}).items()]
    head = ["POST /events HTTP/1.1", "Host: relay", *lines, "Connection: close", f"Content-Length: {len(body)}"]
    request = "\r\n".join([*head, "", ""]).encode() + body
    spots = st.integers(0, len(request) - 1)

    async def play(change: tuple[int, int, bytes]) -> None:
        start, end, middle = change
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(request[:start] + middle + request[end:])
        writer.write_eof()
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
        assert b" 500 " not in answer.partition(b"\r\n")[0]
        assert (await relay.send(DESKTOP, b"[]")).status == 202

    await asyncio.to_thread(examples(st.tuples(spots, spots, st.binary(max_size=30)), play))
    assert CANARY not in caplog.text


async def test_a_failing_stream_gives_a_bare_500(relay: Relay, caplog: pytest.LogCaptureFixture) -> None:
    relay.stream.failure = ValueError(CANARY)  # type: ignore[attr-defined]
    answer = await relay.send(LAPTOP, LAPTOP.body(1))
    assert (answer.status, answer.json) == (500, {"error": "internal error", "code": "internal_error"})
    assert "ValueError" in caplog.text
    assert CANARY not in caplog.text


async def test_client_that_goes_away_in_the_middle(relay: Relay, caplog: pytest.LogCaptureFixture) -> None:
    for end in (b"", b"Content-Length: 10\r\n\r\n", b"Content-Length: 10\r\n\r\n[", b"Content-Length: 2\r\n\r\n[]"):
        _, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"POST /events HTTP/1.1\r\nHost: r\r\n" + end)
        writer.transport.abort()
    async with aiohttp.ClientSession() as another, another.get(f"{relay.url}/health") as answer:
        assert answer.status == 200
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
