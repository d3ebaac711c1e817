"""Watchers that come back: nothing twice, nothing missing, and where something must be missing they are told."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.relay.watching import Watch, connected, until, watched_to_the_end, watching
from tests.relay.world import NO_LIMITS, SESSION, MemoryStream, Relay, Sender, relaying

from vibetea_relay.config import Limits
from vibetea_relay.journal import Journal
from vibetea_relay.stream import Entry, Unavailable

Start = Callable[..., AbstractAsyncContextManager[Relay]]


@pytest.fixture
def start(laptop: Sender, desktop: Sender, tmp_path: Path) -> Start:
    """Starts the relay, again and again with the same state."""

    def start(limits: Limits = NO_LIMITS) -> AbstractAsyncContextManager[Relay]:
        return relaying(laptop, desktop, stream=Journal(tmp_path / "relay.db", limits), limits=limits)

    return start


@pytest.fixture
async def journaling_relay(start: Start) -> AsyncIterator[Relay]:
    async with start() as relay:
        yield relay


async def send(relay: Relay, sender: Sender, *numbers: int) -> tuple[int, int]:
    answer = await relay.send(sender, sender.body(*numbers))
    assert answer.status == 202, answer
    return answer.json["accepted"], answer.json["duplicates"]


def names(sender: Sender, *numbers: int) -> list[Any]:
    return [sender.event(number)["id"] for number in numbers]


def ids(frames: Sequence[dict[str, Any]]) -> list[Any]:
    return [frame.get("id", frame) for frame in frames]


async def take(watch: Watch, many: int) -> list[Any]:
    return ids(await watch.take(many))


async def test_resume_goes_on_after_the_seq(journaling_relay: Relay, laptop: Sender) -> None:
    """First what was missed, then what comes."""
    async with watching(journaling_relay) as watch:
        await send(journaling_relay, laptop, 1, 2, 3)
        seqs = [event["seq"] for event in await watch.take(3)]
    for place, seq in enumerate(seqs):
        async with watching(journaling_relay, after=seq) as watch:
            await send(journaling_relay, laptop, 10 + place)
            missed = [*range(2 + place, 4), *range(10, 11 + place)]
            assert await take(watch, len(missed)) == names(laptop, *missed)


async def test_after_0_is_everything_held(journaling_relay: Relay, laptop: Sender) -> None:
    await send(journaling_relay, laptop, *range(600))
    async with watching(journaling_relay, after=0) as watch:
        assert await take(watch, 600) == names(laptop, *range(600))


async def test_resume_is_filtered(journaling_relay: Relay, laptop: Sender, desktop: Sender) -> None:
    await send(journaling_relay, laptop, 1, 2)
    await send(journaling_relay, desktop, 3)
    async with watching(journaling_relay, after=0, source="desktop") as watch:
        await send(journaling_relay, laptop, 4)
        await send(journaling_relay, desktop, 5)
        assert await take(watch, 2) == names(desktop, 3, 5)


async def test_resume_over_a_restart(start: Start, laptop: Sender) -> None:
    """1. Some events are seen, some missed. 2. The relay starts anew. Result: the missed ones, once, then new ones."""
    async with start() as relay:
        async with watching(relay) as watch:
            await send(relay, laptop, 1, 2)
            seq = (await watch.take(2))[-1]["seq"]
        await send(relay, laptop, 3, 4)
    async with start() as relay, watching(relay, after=seq) as watch:
        await send(relay, laptop, 5)
        found = await watch.take(3)
    assert ids(found) == names(laptop, 3, 4, 5)
    assert [event["seq"] for event in found] == [seq + 1, seq + 2, seq + 3]


async def test_replay_reaches_nobody_twice(start: Start, laptop: Sender) -> None:
    """Neither the live nor those who resume, neither before nor after a restart."""
    body = laptop.body(1, 2, 3)
    headers = laptop.headers(body)
    async with start() as relay:
        watcher = await watched_to_the_end(relay)
        for expected in ((3, 0), (0, 3), (0, 3)):
            answer = await relay.post(body, headers)
            assert (answer.json["accepted"], answer.json["duplicates"]) == expected
    assert ids((await watcher)[0]) == names(laptop, 1, 2, 3)
    async with start() as relay:
        live, resumed = await watched_to_the_end(relay), await watched_to_the_end(relay, after=0)
        assert (await relay.post(body, headers)).json == {"accepted": 0, "duplicates": 3}
        assert await send(relay, laptop, 2, 4) == (1, 1)
        await connected(relay, 2)
    assert ids((await live)[0]) == names(laptop, 4)
    assert ids((await resumed)[0]) == names(laptop, 1, 2, 3, 4)


async def test_watchers_that_come_and_go_miss_nothing(laptop: Sender, tmp_path: Path) -> None:
    """1. Batches are sent without a pause. 2. Watchers connect again and again, each after the seq it has.
    Result: each event once and in order for each of them, be it from memory or from the history.
    """
    limits = replace(NO_LIMITS, ring=50)
    chance = random.Random(5)
    async with relaying(laptop, stream=Journal(tmp_path / "relay.db", limits), limits=limits) as relay:

        async def come_and_go() -> list[Any]:
            found: list[dict[str, Any]] = []
            while len(found) < 3000:
                async with watching(relay, after=found[-1]["seq"] if found else 0) as watch:
                    found += await watch.take(min(chance.randrange(1, 400), 3000 - len(found)))
            return ids(found)

        watchers = [asyncio.create_task(come_and_go()) for _ in range(4)]
        for number in range(0, 3000, 10):
            await send(relay, laptop, *range(number, number + 10))
        for watcher in watchers:
            assert await watcher == names(laptop, *range(3000))


async def test_gap_is_told_when_the_history_is_gone(start: Start, laptop: Sender) -> None:
    """1. A watcher leaves after the first event. 2. Of a hundred more, only ten are still held. 3. It comes back."""
    async with start() as relay:
        async with watching(relay) as watch:
            await send(relay, laptop, 0)
            seq = (await watch.next())["seq"]
        await send(relay, laptop, *range(1, 101))
    async with start(replace(NO_LIMITS, history_entries=10)) as relay:
        await until(lambda: relay.stream.first() == seq + 91, "the history is not trimmed")
        for after, told in ((seq, True), (seq + 89, True), (seq + 90, False), (seq + 95, False), (0, False)):
            async with watching(relay, after=after) as watch:
                if told:
                    assert await watch.next() == {"gap": {"after": after, "next": seq + 91}}
                first = max(after, seq + 90) - seq + 1
                assert await take(watch, 101 - first) == names(laptop, *range(first, 101))


async def test_gap_is_told_when_nothing_is_held(start: Start, laptop: Sender) -> None:
    async with start() as relay:
        await send(relay, laptop, 1, 2)
        seq = relay.stream.first()
    async with start(replace(NO_LIMITS, history_entries=0)) as relay:
        await until(lambda: relay.stream.first() == seq + 2, "the history is not trimmed")
        async with watching(relay, after=seq) as watch:
            assert await watch.next() == {"gap": {"after": seq, "next": seq + 2}}
            await send(relay, laptop, 3)
            assert await take(watch, 1) == names(laptop, 3)


async def test_seq_of_a_lost_file_is_a_gap(start: Start, laptop: Sender, tmp_path: Path) -> None:
    async with start() as relay:
        await send(relay, laptop, 1)
        seq = relay.stream.last()
    for file in tmp_path.iterdir():
        file.unlink()
    async with start() as relay:
        await send(relay, laptop, 2)
        async with watching(relay, after=seq) as watch:
            assert await watch.next() == {"gap": {"after": seq, "next": relay.stream.first()}}
            assert await take(watch, 1) == names(laptop, 2)


async def test_seq_that_is_still_to_come_is_waited_for(laptop: Sender) -> None:
    """Another relay of the same stream was ahead: what the watcher has there it does not get again here."""
    async with relaying(laptop) as relay:
        await send(relay, laptop, 1)
        async with watching(relay, after=3) as watch:
            await send(relay, laptop, 2, 3)
            await send(relay, laptop, 4)
            assert [event["seq"] for event in await watch.take(1)] == [4]


async def test_seq_that_does_not_come_is_a_gap(laptop: Sender) -> None:
    """It is of another stream: the watcher gets all that is held."""
    async with relaying(laptop, limits=replace(NO_LIMITS, resume_seconds=0.1)) as relay:
        await send(relay, laptop, 1, 2)
        async with watching(relay, after=10**15) as watch:
            assert await watch.next() == {"gap": {"after": 10**15, "next": 1}}
            await send(relay, laptop, 3)
            assert await take(watch, 3) == names(laptop, 1, 2, 3)


async def test_watcher_is_asked_to_come_again_when_the_history_cannot_be_read(laptop: Sender) -> None:
    class Unreadable(MemoryStream):
        async def read(self, after: int, limit: int) -> Sequence[Entry]:
            raise Unavailable

    async with relaying(laptop, stream=Unreadable(), limits=replace(NO_LIMITS, ring=1)) as relay:
        await send(relay, laptop, 1, 2)
        async with watching(relay, after=0) as resuming, watching(relay) as live:
            assert await resuming.rest() == ([], 1013)
            await send(relay, laptop, 3)
            assert await take(live, 1) == names(laptop, 3)


async def test_state_holds_nothing_but_events(start: Start, laptop: Sender, tmp_path: Path) -> None:
    """No address, no header, no token, and nothing that was not passed on."""
    event = laptop.event(1, secret="canary-1")
    event["payload"] |= {"prompt": "canary-2", "sessionId": SESSION}
    async with start() as relay:
        body = json.dumps(event).encode()
        headers = {"User-Agent": "canary-3", "X-Forwarded-For": "192.0.2.77"}
        assert (await relay.send(laptop, body, **headers)).status == 202
        async with watching(relay, {"User-Agent": "canary-4"}, after=0) as watch:
            assert await take(watch, 1) == names(laptop, 1)
        during = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    after = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for state in (during, after):
        assert names(laptop, 1)[0].encode() in state
        for word in (b"canary", b"127.0.0.1", b"192.0.2", b"watcher-token", laptop.public.encode()):
            assert word not in state
