"""What is held before anybody is known: requests and their bodies are bounded by address and in all, and take turns."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network

import pytest
from tests.relay.test_hostile_requests import HEAD, signed, status
from tests.relay.world import NO_LIMITS, Answer, Relay, Sender, relaying

LOOPBACK = (ip_network("127.0.0.0/8"),)


def unfinished(size: int, address: str, headers: bytes = b"") -> bytes:
    """A request whose last byte never comes."""
    head = HEAD + headers + b"X-Forwarded-For: %b\r\nContent-Length: %d\r\n\r\n" % (address.encode(), size)
    return head + b" " * (size - 1)


@asynccontextmanager
async def under_way(relay: Relay, many: int, request: bytes) -> AsyncIterator[list[asyncio.StreamReader]]:
    """So many connections on which it was sent."""
    opened = [await asyncio.open_connection("127.0.0.1", relay.port) for _ in range(many)]
    try:
        for _, writer in opened:
            writer.write(request)
            await writer.drain()
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.close()


async def test_a_clients_requests_are_counted_behind_a_proxy_too(laptop: Sender) -> None:
    """One client may have so many under way; the next is told, others are not concerned, and room comes back."""
    limits = replace(NO_LIMITS, requests_per_address=3)
    async with relaying(laptop, limits=limits, trusted_proxies=LOOPBACK) as relay:
        one, other = ({"X-Forwarded-For": address} for address in ("192.0.2.1", "192.0.2.2"))
        async with under_way(relay, 3, unfinished(9, "192.0.2.1")):
            refused = await eventually(relay, laptop, 503, **one)
            assert (refused.code, refused.headers["Connection"]) == ("too_many", "close")
            assert int(refused.headers["Retry-After"]) >= 1
            assert (await relay.send(laptop, b"[]", **other)).status == 202
        await eventually(relay, laptop, 202, **one)


async def eventually(relay: Relay, sender: Sender, status: int, **headers: str) -> Answer:
    async with asyncio.timeout(20):
        while (answer := await relay.send(sender, b"[]", **headers)).status != status:
            await asyncio.sleep(0.01)
    return answer


async def test_bodies_that_are_not_verified_are_bounded_by_address_and_in_all(laptop: Sender) -> None:
    """In a known source's name: 1. One client's hold all it may. 2. Two more hold all there is.
    Result: the next large body is told to come again, small ones that come at once pass.
    """
    limits = replace(NO_LIMITS, bodies=700_000, bodies_per_address=300_000)
    name = b"X-Source-ID: laptop\r\nX-Signature: x\r\n"
    large = b" " * 200_000 + laptop.body(1)
    async with relaying(laptop, limits=limits, trusted_proxies=LOOPBACK) as relay, AsyncExitStack() as stack:

        async def hold(address: str, size: int) -> None:
            await stack.enter_async_context(under_way(relay, 1, unfinished(size, address, name)))

        async def refuses(address: str) -> None:
            async with asyncio.timeout(20):
                while (answer := await relay.send(laptop, large, **{"X-Forwarded-For": address})).status != 503:
                    await asyncio.sleep(0.01)
            assert answer.code == "too_many"

        await hold("192.0.2.1", 290_000)
        await refuses("192.0.2.1")
        assert (await relay.send(laptop, large, **{"X-Forwarded-For": "192.0.2.9"})).status == 202
        for address in ("192.0.2.2", "192.0.2.3"):
            await hold(address, 200_000)
        await refuses("192.0.2.9")
        for address in ("192.0.2.1", "192.0.2.9"):
            assert (await relay.send(laptop, laptop.body(1), **{"X-Forwarded-For": address})).status == 202


async def test_large_bodies_let_others_come_between(relay: Relay, laptop: Sender, desktop: Sender) -> None:
    """1. Large bodies come, all but their last byte. 2. Their last bytes come, and a small one behind them.
    Result: it does not wait until all of them are checked.
    """
    large = [b" " * 100_000 + laptop.body(number) for number in range(6)]
    connections = [await asyncio.open_connection("127.0.0.1", relay.port) for _ in range(7)]
    for body, (_, writer) in zip(large, connections, strict=False):
        writer.write(HEAD + signed(laptop, body) + b"Content-Length: %d\r\n\r\n" % len(body) + body[:-1])
        await writer.drain()
    assert (await relay.get("/health")).status == 200  # all of it has been read
    small = desktop.body(1)
    rest = [b"]"] * 6 + [HEAD + signed(desktop, small) + b"Content-Length: %d\r\n\r\n" % len(small) + small]
    for data, (_, writer) in zip(rest, connections, strict=True):
        writer.write(data)
    for reader, writer in connections:
        assert status(await reader.readuntil(b"\r\n\r\n")) == 202
        writer.close()
    assert [event.source for event in await relay.held()].index("desktop") < 3


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_source"),
        ({"X-Source-ID": "laptop"}, "missing_signature"),
        ({"X-Source-ID": "nobody", "X-Signature": "x"}, "unknown_source"),
    ],
)
async def test_body_of_nobody_known_is_not_held(laptop: Sender, headers: dict[str, str], code: str) -> None:
    """However large it is it takes no room, and its sender gets to read the answer; too large is told first."""
    async with relaying(laptop, limits=replace(NO_LIMITS, bodies=100, bodies_per_address=100)) as relay:
        answer = await relay.post(bytes(1_048_576), headers)
        assert (answer.status, answer.code) == (401, code)

        async def chunks(many: int) -> AsyncIterator[bytes]:
            for _ in range(many):
                yield bytes(65_536)

        for many, status in ((16, 401), (17, 413)):
            async with relay.http.post(f"{relay.url}/events", data=chunks(many), headers=headers) as chunked:
                assert chunked.status == status
        assert (await relay.send(laptop, laptop.body(1))).status == 202


async def test_slow_body_is_waited_for_as_long_as_it_grows(laptop: Sender) -> None:
    """All of it takes longer than it may pause."""
    body = laptop.body(1)
    async with relaying(laptop, limits=replace(NO_LIMITS, silence_seconds=2)) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(HEAD + signed(laptop, body) + b"Content-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), len(body) // 30):
            writer.write(body[start : start + len(body) // 30])
            await asyncio.sleep(0.1)
        assert status(await reader.readuntil(b"\r\n\r\n")) == 202
        writer.close()


async def test_body_that_pauses(laptop: Sender) -> None:
    async with relaying(laptop, limits=replace(NO_LIMITS, silence_seconds=0.2)) as relay:
        assert status(await relay.raw(HEAD + signed(laptop, b"[]") + b"Content-Length: 3\r\n\r\n[]")) == 408
