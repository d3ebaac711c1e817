"""What comes before the live events when the newest are asked for, and what is too old to come at all."""

import asyncio
import json
import random
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.relay.watching import UPGRADE, counted, until, watching
from tests.relay.world import NO_LIMITS, SESSION, TOKEN, MemoryStream, Relay, Sender, relaying

from vibetea_relay import journal
from vibetea_relay.journal import Journal
from vibetea_relay.stream import Unavailable, Wish

DAY = 86_400


@pytest.fixture(params=[10_000, 3], ids=["from memory", "from the file"])
async def journaling_relay(
    laptop: Sender, desktop: Sender, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Relay]:
    """A relay with all it holds in memory, and one with next to nothing."""
    limits = replace(NO_LIMITS, ring=request.param)
    async with relaying(laptop, desktop, stream=Journal(tmp_path / "relay.db", limits), limits=limits) as relay:
        yield relay


async def send(relay: Relay, sender: Sender, *numbers: int, **changes: Any) -> None:
    body = json.dumps([sender.event(number, **changes) for number in numbers]).encode()
    assert (await relay.send(sender, body)).json["accepted"] == len(numbers)


def names(sender: Sender, *numbers: int) -> list[Any]:
    return [sender.event(number)["id"] for number in numbers]


def ids(frames: Sequence[dict[str, Any]]) -> list[Any]:
    return [frame.get("id", frame) for frame in frames]


@pytest.mark.parametrize(("last", "first"), [(0, 10), (1, 9), (4, 6), (10, 0), (11, 0), (10_000, 0)])
async def test_the_newest_come_first_then_the_live_ones(
    journaling_relay: Relay, laptop: Sender, last: int, first: int
) -> None:
    await send(journaling_relay, laptop, *range(10))
    async with watching(journaling_relay, last=last) as watch:
        await send(journaling_relay, laptop, 10, 11)
        assert ids(await watch.take(12 - first)) == names(laptop, *range(first, 12))


async def test_where_nothing_is_held_the_live_ones_come(journaling_relay: Relay, laptop: Sender) -> None:
    async with watching(journaling_relay, last=5) as watch, watching(journaling_relay, last=5, type="agent") as none:
        await send(journaling_relay, laptop, *range(7))
        await send(journaling_relay, laptop, 7, type="agent", payload={"sessionId": SESSION, "state": "working"})
        assert ids(await watch.take(8)) == names(laptop, *range(8))
        assert ids(await none.take(1)) == names(laptop, 7)


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({"source": "laptop"}, [6, 8]),
        ({"source": "desktop"}, [7, 9]),
        ({"source": "desktop", "type": "tool"}, [1, 5]),
        ({"type": "tool", "project": "till"}, [1, 5]),
        ({"source": "laptop", "project": "till"}, []),
        ({"type": "session"}, []),
        ({"tool": "Bash"}, [1, 5]),
        ({"session": "ffff", "tool": "Bash"}, []),
        ({"session": "550e"}, [4, 5]),
        ({"session": "ffff"}, [8, 9]),
        ({"source": "lap%"}, []),
    ],
    ids=str,
)
async def test_last_counts_what_suits(
    journaling_relay: Relay, laptop: Sender, desktop: Sender, query: dict[str, str], numbers: list[int]
) -> None:
    """Two at most are asked for: there are more of most kinds, and others lie between and after them."""
    other = "f" * 8 + SESSION[8:]
    for number in range(10):
        sender = (laptop, desktop)[number % 2]
        session = SESSION if number < 6 else other
        payload: dict[str, Any] = {"sessionId": session, "project": ("shop", "till")[number % 2]}
        if number in {0, 1, 4, 5}:
            payload |= {"tool": ("Read", "Bash")[number % 2], "status": "started"}
        kind = "tool" if "tool" in payload else "activity"
        await send(journaling_relay, sender, number, type=kind, payload=payload)
    async with watching(journaling_relay, last=2, **query) as watch:
        found = await watch.take(len(numbers))
    assert ids(found) == [names((laptop, desktop)[number % 2], number)[0] for number in numbers]


async def test_between_the_newest_and_the_live_nothing_is_missing_or_double(
    journaling_relay: Relay, laptop: Sender
) -> None:
    """1. Batches are sent without a pause. 2. Watchers come meanwhile.
    Result: so many of before as were asked for, and then everything, once and in order.
    """
    chance = random.Random(7)
    everything = names(laptop, *range(2000))
    begun = answered = 0

    async def come() -> None:
        last, before = chance.randrange(1, 60), answered
        async with watching(journaling_relay, last=last) as watch:
            after = begun
            found = [(await watch.next())["id"]]
            while found[-1] != everything[-1]:
                found.append((await watch.next())["id"])
        assert found == everything[-len(found) :]
        assert max(0, before - last) <= len(everything) - len(found) <= max(0, after - last)

    watchers = []
    for begun in range(10, 2010, 10):
        await send(journaling_relay, laptop, *range(begun - 10, begun))
        answered = begun
        if chance.random() < 0.1:
            watchers.append(asyncio.create_task(come()))
    assert len(watchers) > 10
    await asyncio.gather(*watchers)


async def test_the_newest_of_before_a_restart_come_too(laptop: Sender, tmp_path: Path) -> None:
    async with relaying(laptop, stream=Journal(tmp_path / "relay.db", NO_LIMITS)) as relay:
        await send(relay, laptop, *range(20))
    stream = Journal(tmp_path / "relay.db", NO_LIMITS)
    async with relaying(laptop, stream=stream) as relay, watching(relay, last=3) as watch:
        await send(relay, laptop, 20)
        assert ids(await watch.take(4)) == names(laptop, 17, 18, 19, 20)


async def test_history_that_cannot_be_read_is_asked_for_again(laptop: Sender) -> None:
    class Unreadable(MemoryStream):
        async def newest(self, many: int, wish: Wish) -> int | None:
            raise Unavailable

    async with relaying(laptop, stream=Unreadable()) as relay:
        answer = await relay.get(f"/ws?token={TOKEN}&last=1", headers=UPGRADE)
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "unavailable", "1")
        assert (await relay.get("/health")).json["connections"] == 0


async def test_memory_serves_nothing_that_is_too_old(
    laptop: Sender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1. A relay holds five events in memory. 2. Nothing comes for days, and three of them are over a week old.
    Result: those are sent to nobody, and who resumes among them is told.
    """
    monkeypatch.setattr(journal, "TEND_SECONDS", 0.05)
    file = tmp_path / "relay.db"
    async with relaying(laptop, stream=Journal(file, NO_LIMITS)) as relay:
        await send(relay, laptop, *range(5))
        first = relay.stream.first()
        with closing(sqlite3.connect(file)) as db:
            db.execute("update entries set at = at - ? where seq < ?", (8 * DAY, first + 3))
            db.commit()
        await until(lambda: relay.stream.first() == first + 3, "nothing grows too old")
        for query in ({"after": 0}, {"last": 5}):
            async with watching(relay, **query) as watch:
                assert ids(await watch.take(2)) == names(laptop, 3, 4)
        for after, told in ((first, True), (first + 1, True), (first + 2, False), (first + 3, False)):
            async with watching(relay, after=after) as watch:
                if told:
                    assert await watch.next() == {"gap": {"after": after, "next": first + 3}}
                    assert ids(await watch.take(2)) == names(laptop, 3, 4)
                else:
                    assert ids(await watch.take(1)) == names(laptop, after - first + 1)
        with closing(sqlite3.connect(file)) as db:
            db.execute("update entries set at = at - ?", (8 * DAY,))
            db.commit()
        await until(lambda: relay.stream.first() > relay.stream.last(), "nothing grows too old")
        async with watching(relay, after=0) as resuming, watching(relay, last=5) as asking:
            await send(relay, laptop, 5)
            for watch in (resuming, asking):
                assert ids(await watch.take(1)) == names(laptop, 5)
        assert await counted(relay, "gaps") == 2
