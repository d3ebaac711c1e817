"""What is not a request, or never becomes one; each beside a sender who must not notice."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network

import pytest
from tests.relay.world import NO_LIMITS, Relay, Sender, relaying

HEAD = b"POST /events HTTP/1.1\r\nHost: relay\r\n"
QUICK = replace(NO_LIMITS, body_seconds=0.2, keepalive_seconds=0.3)


@pytest.fixture
async def impatient(laptop: Sender) -> AsyncIterator[Relay]:
    """A relay that waits for little; it must still serve its sender when the test is over."""
    async with relaying(laptop, limits=QUICK) as relay:
        yield relay
        assert (await relay.send(laptop, laptop.body(1))).status == 202


def signed(sender: Sender, body: bytes) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in sender.headers(body).items()).encode()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


# bodies


async def test_body_that_stops_coming(impatient: Relay, laptop: Sender) -> None:
    answer = await impatient.raw(HEAD + signed(laptop, b"[]") + b"Content-Length: 3\r\n\r\n[]")
    assert status(answer) == 408
    assert b"Connection: close" in answer


async def test_body_byte_by_byte(impatient: Relay) -> None:
    """Every byte comes in time; all of them would take for ever."""
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
    writer.write(HEAD + b"Content-Length: 1000\r\n\r\n")
    answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
    async with asyncio.timeout(20):
        while not answer.done():
            writer.write(b" ")
            await asyncio.sleep(0.02)
    assert status(await answer) == 408
    writer.close()


async def test_chunks_without_end(laptop: Sender) -> None:
    async with relaying(laptop, limits=replace(QUICK, body_seconds=20, body=65_536)) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
        async with asyncio.timeout(20):
            while not answer.done():
                writer.write(b"1000\r\n" + b" " * 4096 + b"\r\n")
                await asyncio.sleep(0)
        assert status(await answer) == 413
        writer.close()


async def test_chunks_that_stop(impatient: Relay) -> None:
    assert status(await impatient.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n")) == 408


@pytest.mark.parametrize(
    "rest",
    [
        b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n[]\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
        b"Transfer-Encoding: gzip, chunked, x\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n[]",
        b"Content-Length: -2\r\n\r\n[]",
        b"Content-Length: 2x\r\n\r\n[]",
        b"Content-Length : 2\r\n\r\n[]",
        b"X-A: b\x00c\r\nContent-Length: 2\r\n\r\n[]",
        b"X-Long: " + b"a" * 20_000 + b"\r\nContent-Length: 2\r\n\r\n[]",
        b"".join(b"X-%d: a\r\n" % number for number in range(500)) + b"Content-Length: 2\r\n\r\n[]",
    ],
    ids=["bad chunk", "TE and CL", "odd TE", "two CL", "negative", "not a number", "space", "NUL", "long", "many"],
)
async def test_ill_formed_requests_are_refused_and_cut_off(
    impatient: Relay, rest: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await impatient.raw(HEAD + rest)
    assert status(answer) == 400
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] in {"bad_request", "invalid_format"}
    assert not caplog.records


async def test_chunk_that_is_none_after_the_body_began(impatient: Relay) -> None:
    """aiohttp's fast parser does not tell the reader of the body, so the deadline does; its slow one does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"ZZ\r\n[]\r\n")
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    assert status(answer) in {400, 408}
    assert b"Connection: close" in answer


async def test_length_that_is_too_much_is_refused_before_the_body_comes(relay: Relay) -> None:
    assert status(await relay.raw(HEAD + b"Content-Length: 1048577\r\n\r\n")) == 413


async def test_sender_of_too_much_gets_to_read_why(relay: Relay) -> None:
    """It writes all of it before it reads: a connection cut at once would look like a fault to try again after."""
    size = 4_000_000
    head = HEAD + b"Content-Length: %d\r\n\r\n" % size
    assert status(await relay.raw(head, *[b" " * 100_000] * (size // 100_000))) == 413


async def test_more_body_than_told_is_no_second_request(impatient: Relay, laptop: Sender) -> None:
    """The rest is not HTTP, so the connection is closed, whether or not it came with the first."""
    first = HEAD + signed(laptop, b"[]") + b"Content-Length: 2\r\n\r\n[]"
    assert status(await impatient.raw(first + b"!!!!!!\r\n\r\n")) == 400
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
    writer.write(first)
    assert status(await reader.readuntil(b"\r\n\r\n")) == 202
    writer.write(b"!!!!!!\r\n\r\n")
    assert b" 400 Bad Request" in await reader.read()
    writer.close()


async def test_less_body_than_told_then_the_end(impatient: Relay, laptop: Sender) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
    writer.write(HEAD + signed(laptop, b"[]") + b"Content-Length: 20\r\n\r\n[]")
    writer.write_eof()
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    assert not answer or status(answer) in {400, 408}
    assert await impatient.held() == []


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "identity, gzip"])
async def test_compressed_body_is_not_opened(impatient: Relay, laptop: Sender, encoding: str) -> None:
    bomb = gzip.compress(b" " * 50_000_000, 9)
    answer = await impatient.send(laptop, bomb, **{"Content-Encoding": encoding})
    assert (answer.status, answer.code) == (415, "unsupported_encoding")


@pytest.mark.parametrize("name", ["identity", "Identity"])
async def test_identity_is_no_compression(impatient: Relay, laptop: Sender, name: str) -> None:
    assert (await impatient.send(laptop, b"[]", **{"Content-Encoding": name})).status == 202


BOMBS = {
    "depth": b"[" * 200_000 + b"]" * 200_000,
    "objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "digits": b"[" + b"9" * 500_000 + b"]",
    "keys": b"{" + b",".join(b'"k%d":1' % number for number in range(60_000)) + b"}",
    "same key": b"{" + b",".join([b'"id":1'] * 100_000) + b"}",
    "NaN": b"[NaN]",
    "infinity": b"[1e400]",
    "surrogate": b'["\\ud800"]',
    "not UTF-8": b'["\xff"]',
    "BOM": b"\xef\xbb\xbf[]",
    "NUL": b"[]\x00",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
async def test_json_bombs(impatient: Relay, laptop: Sender, bomb: bytes) -> None:
    answer = await impatient.send(laptop, bomb)
    assert (answer.status, answer.code) == (400, "invalid_format")


@pytest.mark.parametrize("bomb", [b"[" * 200_000, b"9" * 500_000, b'"' + b"a" * 500_000 + b'"', b'{"a":{"b":[1e400]}}'])
async def test_json_bombs_in_a_payload(impatient: Relay, laptop: Sender, bomb: bytes) -> None:
    event = json.dumps(laptop.event() | {"payload": "@"}).encode()
    answer = await impatient.send(laptop, event.replace(b'"@"', bomb))
    assert (answer.status, answer.code) == (400, "invalid_format")


# connections


async def test_head_that_never_ends_is_cut_off(impatient: Relay) -> None:
    assert await impatient.raw(HEAD + b"X-Slow: ") == b""


async def test_silent_connection_is_cut_off(impatient: Relay) -> None:
    assert await impatient.raw() == b""


async def test_many_idle_connections_of_one_address(laptop: Sender) -> None:
    """One address may hold so many; the next is told, an open one still works, and room comes back."""
    async with relaying(laptop, limits=replace(NO_LIMITS, connections_per_address=20)) as relay:
        assert (await relay.send(laptop, b"[]")).status == 202  # its connection stays open
        idle = [await asyncio.open_connection("127.0.0.1", relay.port) for _ in range(19)]
        answer = await relay.raw()
        assert (status(answer), json.loads(answer.partition(b"\r\n\r\n")[2])["code"]) == (503, "too_many")
        assert b"Retry-After" in answer
        assert (await relay.send(laptop, b"[]")).status == 202
        for _, writer in idle:
            writer.close()
            await writer.wait_closed()
        async with asyncio.timeout(20):
            while status(await relay.raw(b"GET /health HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n")) != 200:
                await asyncio.sleep(0.01)


async def test_a_trusted_proxys_connections_are_everybodys(laptop: Sender) -> None:
    limits = replace(NO_LIMITS, connections_per_address=2)
    async with relaying(laptop, limits=limits, trusted_proxies=(ip_network("127.0.0.1"),)) as relay:
        idle = [await asyncio.open_connection("127.0.0.1", relay.port) for _ in range(5)]
        assert (await relay.send(laptop, b"[]")).status == 202
        for _, writer in idle:
            writer.close()


async def test_too_many_connections_in_all(laptop: Sender) -> None:
    async with relaying(laptop, limits=replace(NO_LIMITS, connections=5)) as relay:
        idle = [await asyncio.open_connection("127.0.0.1", relay.port) for _ in range(5)]
        assert status(await relay.raw()) == 503
        for _, writer in idle:
            writer.close()


# paths and methods


@pytest.mark.parametrize(
    ("method", "path", "wanted", "code"),
    [
        ("GET", "/events", 405, "method_not_allowed"),
        ("PUT", "/events", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("GET", "/", 404, "not_found"),
        ("GET", "/events/../ws", 404, "not_found"),
        ("POST", "/ws", 405, "method_not_allowed"),
    ],
)
async def test_what_there_is_not(relay: Relay, method: str, path: str, wanted: int, code: str) -> None:
    from yarl import URL

    async with relay.http.request(method, URL(relay.url + path, encoded=True)) as answer:
        assert (answer.status, (await answer.json())["code"]) == (wanted, code)
        assert answer.headers.get("Allow") if wanted == 405 else True


# time


@pytest.mark.parametrize(
    ("timestamp", "wanted"),
    [
        ("1970-01-01T00:00:00Z", None),
        ("2016-12-31T23:59:60Z", None),
        ("2026-02-03T14:30:00.123456789Z", None),
        ("2126-02-03T14:30:00Z", "clock_skew"),
        ("9999-12-31T23:59:59Z", "clock_skew"),
        ("2026-02-03T14:30:00+14:00", "invalid_format"),
        ("2026-02-03T14:30:00+00:00", "invalid_format"),
        ("2026-02-03T14:30:00", "invalid_format"),
        ("2026-02-03 14:30:00Z", "invalid_format"),
        ("2026-13-03T14:30:00Z", "invalid_format"),
        ("2026-02-03T14:30:00.12Z", "invalid_format"),
        ("٢٠٢٦-02-03T14:30:00Z", "invalid_format"),
    ],
)
async def test_timestamps(relay: Relay, laptop: Sender, timestamp: str, wanted: str | None) -> None:
    answer = await relay.send(laptop, json.dumps(laptop.event(timestamp=timestamp)).encode())
    assert (answer.status, answer.code) == (400 if wanted else 202, wanted)
