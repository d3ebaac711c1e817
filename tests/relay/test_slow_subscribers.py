"""Watchers that do not read, do not answer, or talk too much: they are told, closed, and harm nobody else."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.relay.watching import Raw, Watch, client_frame, connected, counted, raw_watcher, watching
from tests.relay.world import NO_LIMITS, SESSION, Relay, Sender, relaying

from vibetea_protocol.wire import parse
from vibetea_relay.journal import Journal

CLOSE, PING, PONG, TEXT, CONTINUATION = 8, 9, 10, 1, 0
BULK = 100
QUICK = replace(NO_LIMITS, stuck_seconds=2, farewell_seconds=0.5, socket=32_768)
"""Little is held by the system, and a watcher that takes nothing for two seconds is closed."""
SLEEPY = replace(QUICK, stuck_seconds=10, queue=50)
"""A live watcher that takes nothing for a second may lag 50 entries."""


@pytest.fixture
async def quick_relay(laptop: Sender) -> AsyncIterator[Relay]:
    async with relaying(laptop, limits=QUICK) as relay:
        yield relay


def bulk(sender: Sender, start: int) -> bytes:
    """A batch of 400 kB."""
    payload = {"sessionId": SESSION, "summary": "x" * 4000}
    return json.dumps(
        [sender.event(number, type="summary", payload=payload) for number in range(start, start + BULK)]
    ).encode()


async def publish(relay: Relay, sender: Sender, start: int) -> None:
    receipt = await relay.stream.publish(parse(bulk(sender, start)))
    assert receipt.accepted == BULK


def names(sender: Sender, *numbers: int) -> list[Any]:
    return [sender.event(number)["id"] for number in numbers]


def codes(frames: list[tuple[int, bytes]]) -> list[int]:
    return [struct.unpack("!H", payload[:2])[0] for opcode, payload in frames if opcode == CLOSE]


def told(frames: list[tuple[int, bytes]]) -> list[dict[str, Any]]:
    return [json.loads(payload) for opcode, payload in frames if opcode == TEXT]


async def test_watcher_that_never_reads_is_closed_and_the_others_get_everything(
    quick_relay: Relay, laptop: Sender
) -> None:
    """1. Three watch, one of them reads nothing. 2. Far more than its socket holds is sent.
    Result: it is closed within the limit, nothing having been kept for it; the others have each event once, in order.
    """
    async with raw_watcher(quick_relay) as silent, watching(quick_relay) as one, watching(quick_relay) as two:
        for batch in range(10):
            readers = [asyncio.create_task(watch.take(BULK)) for watch in (one, two)]
            await publish(quick_relay, laptop, batch * BULK)
            for reader in readers:
                assert [event["id"] for event in await reader] == names(
                    laptop, *range(batch * BULK, (batch + 1) * BULK)
                )
        await connected(quick_relay, 2)
        assert await counted(quick_relay, "stuck") == 1
        assert len(told(await silent.read_frames())) < BULK
        assert await counted(quick_relay, "gaps") == 0


async def test_watcher_that_reads_on_while_it_is_being_closed_is_told_why(laptop: Sender) -> None:
    async with relaying(laptop, limits=replace(QUICK, farewell_seconds=20)) as relay, raw_watcher(relay) as silent:
        await publish(relay, laptop, 0)
        while not await counted(relay, "stuck"):
            await asyncio.sleep(0.01)
        frames = await silent.read_frames(last=struct.pack("!H", 1013))
    assert codes(frames) == [1013]
    found = told(frames)
    assert [event["id"] for event in found] == names(laptop, *range(len(found)))
    assert len(found) < BULK


async def test_watcher_that_slept_is_moved_forward_and_told(laptop: Sender) -> None:
    """1. It reads nothing while a thousand entries come. 2. It reads again, before it counts as stuck.
    Result: what its socket held, one notice, and then the newest entries up to the last: no other is missing.
    """
    async with relaying(laptop, limits=SLEEPY) as relay, raw_watcher(relay) as sleepy:
        for batch in range(10):
            await publish(relay, laptop, batch * BULK)
        await asyncio.sleep(1.2)  # it takes nothing for longer than a busy watcher may
        found = told(await sleepy.read_frames(last=names(laptop, 10 * BULK - 1)[0].encode()))
        assert await counted(relay, "gaps") == 1
        assert await counted(relay, "dropped") == 10 * BULK - len(found) + 1
    place = next(place for place, frame in enumerate(found) if "gap" in frame)
    before, gap, after = found[:place], found[place]["gap"], found[place + 1 :]
    assert [event["id"] for event in before] == names(laptop, *range(place))
    assert gap == {"after": before[-1]["seq"], "next": after[0]["seq"]}
    assert [event["id"] for event in after] == names(laptop, *range(10 * BULK - SLEEPY.queue, 10 * BULK))


async def test_watcher_that_resumes_is_not_moved_forward(laptop: Sender, tmp_path: Path) -> None:
    """It gets everything, from the history where memory is too short."""
    limits = replace(SLEEPY, ring=200)
    stream = Journal(tmp_path / "relay.db", limits)
    async with relaying(laptop, stream=stream, limits=limits) as relay, raw_watcher(relay, after=0) as sleepy:
        for batch in range(10):
            await publish(relay, laptop, batch * BULK)
        await asyncio.sleep(1.2)
        found = told(await sleepy.read_frames(last=names(laptop, 10 * BULK - 1)[0].encode()))
    assert [event.get("id") for event in found] == names(laptop, *range(10 * BULK))


async def test_burst_is_not_lost_on_a_watcher_that_reads(laptop: Sender) -> None:
    """More entries at once than a live watcher may lag, and more bytes than its socket holds."""
    limits = replace(NO_LIMITS, queue=10, socket=131_072)
    async with relaying(laptop, limits=limits) as relay, watching(relay) as watch:
        await asyncio.gather(*(publish(relay, laptop, batch * BULK) for batch in range(10)))
        assert [event["id"] for event in await watch.take(10 * BULK)] == names(laptop, *range(10 * BULK))
        assert [await counted(relay, name) for name in ("gaps", "dropped", "stuck")] == [0, 0, 0]


async def test_half_open_connection_is_closed(laptop: Sender) -> None:
    """It takes what comes, so its socket never fills, but it answers no ping."""
    limits = replace(QUICK, ping_seconds=0.2)
    async with relaying(laptop, limits=limits) as relay, raw_watcher(relay) as dead, watching(relay) as alive:
        answering = asyncio.create_task(alive.next())
        frames = await dead.read_frames()
        assert [opcode for opcode, _ in frames] == [PING]
        await relay.send(laptop, laptop.body(1))
        assert (await answering)["id"] == names(laptop, 1)[0]
        assert (await relay.get("/health")).json["connections"] == 1


@pytest.mark.parametrize("opcode", [PING, PONG, TEXT])
async def test_flood_is_ended(quick_relay: Relay, laptop: Sender, opcode: int) -> None:
    async with raw_watcher(quick_relay) as flooding, watching(quick_relay) as calm:
        await flood(flooding, client_frame(opcode, b"x") * 2_000)
        frames = await flooding.read_frames()
        assert len([1 for opcode, _ in frames if opcode == PONG]) <= 60
        assert set(codes(frames)) <= {1008}
        await harmless(quick_relay, laptop, calm)


@pytest.mark.parametrize("whole", [True, False], ids=["one frame", "fragments"])
async def test_message_of_five_mebibytes_is_refused(quick_relay: Relay, laptop: Sender, whole: bool) -> None:
    piece = b"x" * 1024
    data = (
        client_frame(TEXT, piece * 5 * 1024)
        if whole
        else client_frame(TEXT, piece, fin=False) + client_frame(CONTINUATION, piece, fin=False) * 5 * 1024
    )
    async with raw_watcher(quick_relay) as loud, watching(quick_relay) as calm:
        await flood(loud, data)
        assert set(codes(await loud.read_frames())) <= {1009}
        await harmless(quick_relay, laptop, calm)


async def test_message_too_large_is_closed_with_1009(quick_relay: Relay) -> None:
    async with watching(quick_relay) as watch:
        await watch.ws.send_str("x" * 4096)
        await watch.ws.send_str("x" * 4097)
        assert await watch.rest() == ([], 1009)


async def test_flood_of_messages_is_closed_with_1008(quick_relay: Relay) -> None:
    async with watching(quick_relay) as watch:
        for _ in range(61):
            await watch.ws.send_str("x")
        assert await watch.rest() == ([], 1008)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(client_frame(3), id="unknown opcode"),
        pytest.param(client_frame(CONTINUATION, b"x"), id="continuation of nothing"),
        pytest.param(client_frame(PING, b"x" * 126), id="long ping"),
        pytest.param(b"\xc1\x80\0\0\0\0", id="reserved bit"),
        pytest.param(client_frame(TEXT, b"\xff"), id="no utf-8"),
        pytest.param(client_frame(CLOSE, b"\x00\x00"), id="close code 0"),
    ],
)
async def test_what_is_no_websocket_message_ends_the_connection(
    quick_relay: Relay, laptop: Sender, data: bytes
) -> None:
    async with raw_watcher(quick_relay) as broken, watching(quick_relay) as calm:
        await broken.send(data)
        assert set(codes(await broken.read_frames())) <= {1002, 1007}
        await harmless(quick_relay, laptop, calm)


async def test_watcher_that_says_goodbye_and_does_not_read_is_gone(quick_relay: Relay, laptop: Sender) -> None:
    async with raw_watcher(quick_relay) as rude:
        await publish(quick_relay, laptop, 0)
        await rude.send(client_frame(CLOSE, b"\x03\xe8"))
        await connected(quick_relay, 0)
        assert await counted(quick_relay, "stuck") == 0


async def test_stop_waits_for_nobody_who_does_not_answer(laptop: Sender) -> None:
    """Neither who never reads nor who never answers the farewell keeps the relay from its end."""
    limits = replace(QUICK, stuck_seconds=60, farewell_seconds=3)
    async with asyncio.timeout(20), AsyncExitStack() as stack:
        async with relaying(laptop, limits=limits) as relay:
            _, mute = [await stack.enter_async_context(raw_watcher(relay)) for _ in range(2)]
            reading = asyncio.create_task(mute.read_frames())
            await publish(relay, laptop, 0)
        assert codes(await reading) == [1001]


async def flood(raw: Raw, data: bytes) -> None:
    """Send it all, or as much as the relay takes."""
    with suppress(ConnectionError):
        await asyncio.wait_for(raw.send(data), 20)


async def harmless(relay: Relay, sender: Sender, calm: Watch) -> None:
    """Another watcher still gets what is sent, and the first is gone."""
    assert (await relay.send(sender, sender.body(1))).status == 202
    assert (await calm.next())["id"] == names(sender, 1)[0]
    await connected(relay, 1)
