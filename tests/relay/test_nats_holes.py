"""What a shared stream no longer holds, or never could: watchers and senders are told."""

import asyncio
import json
from pathlib import Path

import nats
from tests.relay.nats_cluster import Node
from tests.relay.test_nats import relay, until
from tests.relay.watching import watching
from tests.relay.world import NO_LIMITS, Sender, relaying

from vibetea_protocol.wire import parse
from vibetea_relay.journal import Journal
from vibetea_relay.nats_stream import NatsStream


async def purge(node: Node) -> None:
    client = await nats.connect(node.url)
    await client.jetstream().purge_stream("vibetea")
    await client.close()


async def test_what_the_stream_dropped_while_a_relay_was_away_is_told(node: Node, tmp_path: Path) -> None:
    """1. Relay b reads 0 to 2 and goes. 2. Relay a takes 3 to 5, and the stream is purged. 3. b comes back, 6 comes.
    Result: watchers of b have what it holds, then a gap, then the rest; those who know what came before are not told;
    the same after another start; and at a nobody is told anything.
    """
    laptop = Sender("laptop")

    def shared(name: str) -> NatsStream:
        return NatsStream(node.url, Journal(tmp_path / name, NO_LIMITS), NO_LIMITS)

    def ids(*numbers: int) -> list[object]:
        return [laptop.event(number)["id"] for number in numbers]

    async with relaying(laptop, stream=shared("a.db")) as a:
        async with relaying(laptop, stream=shared("b.db")) as b, watching(b) as watch:
            for number in range(3):
                assert (await b.send(laptop, laptop.body(number))).status == 202
            seqs = [frame["seq"] for frame in await watch.take(3)]
        for number in range(3, 6):
            assert (await a.send(laptop, laptop.body(number))).status == 202
        await until(lambda: a.stream.last() > seqs[-1] + 2 * 2**14)
        await purge(node)
        for again in range(2):
            async with relaying(laptop, stream=shared("b.db")) as b:
                if not again:
                    assert (await a.send(laptop, laptop.body(6))).status == 202
                await until(lambda b=b: b.stream.last() == a.stream.last())  # type: ignore[misc]
                six = b.stream.last()
                for after in (0, seqs[0], seqs[2]):
                    async with watching(b, after=after) as watch:
                        known = [number for number in range(3) if seqs[number] > after]
                        assert [frame["id"] for frame in await watch.take(len(known))] == ids(*known)
                        assert await watch.next() == {"gap": {"after": seqs[2], "next": six}}
                        assert (await watch.next())["id"] == ids(6)[0]
        async with watching(a, after=seqs[2]) as watch:
            assert [frame["id"] for frame in await watch.take(4)] == ids(3, 4, 5, 6)


async def test_watchers_are_told_of_a_hole_as_it_comes(node: Node, tmp_path: Path) -> None:
    """1. A relay with watchers loses its server. 2. Another takes three events, and the stream is purged.
    3. The relay is back. Result: the watchers, live ones too, are told before the next event.
    """
    laptop = Sender("laptop")
    stream = NatsStream(node.url, Journal(tmp_path / "a.db", NO_LIMITS), NO_LIMITS)
    async with relaying(laptop, stream=stream) as a, watching(a) as live, watching(a, after=0) as resumed:
        assert (await a.send(laptop, laptop.body(0))).status == 202
        first = [(await watch.next())["seq"] for watch in (live, resumed)]
        node.kill()
        await until(lambda: stream.condition == "reconnecting")
        reading = stream._reader
        assert reading is not None
        reading.cancel()  # it stays away
        await asyncio.wait([reading])
        node.start()
        async with relay(node.url, tmp_path / "b.db") as other:
            for number in (1, 2, 3):
                await other.deliver(parse(laptop.body(number)))
            await until(lambda: len(other.heard) == 4)
            await purge(node)
            stream._reader = asyncio.create_task(stream._keep_reading())
            await until(lambda: stream.condition == "connected")
            await other.deliver(parse(laptop.body(4)))
            await until(lambda: len(other.heard) == 5)
        for watch in (live, resumed):
            assert await watch.next() == {"gap": {"after": first[0], "next": other.heard[-1].seq}}
            assert (await watch.next())["id"] == laptop.event(4)["id"]


async def test_an_event_larger_than_the_stream_can_hold_is_refused_for_good(node: Node, tmp_path: Path) -> None:
    """503 would make its sender try for ever, with everything else waiting behind it."""
    laptop = Sender("laptop")
    tokens = {"inputTokens": 1, "outputTokens": 1, "cacheReadTokens": 1, "cacheCreationTokens": 1}
    payload = {"modelUsage": {f"model{number:06d}": tokens for number in range(11_268)}}
    large = json.dumps(laptop.event(1, type="model_distribution", payload=payload), separators=(",", ":")).encode()
    assert 1_047_600 < len(large) <= 1_048_576
    stream = NatsStream(node.url, Journal(tmp_path / "a.db", NO_LIMITS), NO_LIMITS)
    async with relaying(laptop, stream=stream) as listening:
        assert (await listening.send(laptop, large)).status == 413
        assert (await listening.send(laptop, laptop.body(2))).status == 202
