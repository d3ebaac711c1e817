"""The shared stream against real NATS servers: one, three, and some of them killed."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import StorageType, StreamConfig
from tests.relay.nats_cluster import Node
from tests.relay.nats_cluster import nats as servers
from tests.relay.watching import counted, watching
from tests.relay.world import NO_LIMITS, Sender, relaying
from tests.relay.world import Relay as Listening

from vibetea_protocol.wire import WireEvent, parse
from vibetea_relay import nats_stream, records
from vibetea_relay.config import Limits
from vibetea_relay.errors import RelayConfigError
from vibetea_relay.journal import Journal
from vibetea_relay.nats_stream import NatsStream
from vibetea_relay.stream import Entry, Receipt, Unavailable


def events(numbers: Sequence[int], source: str = "laptop", text: str = "x") -> list[WireEvent]:
    body = ",".join(
        f'{{"id":"evt_{number:08d}{sha256(source.encode()).hexdigest()[:12]}","source":"{source}","timestamp":"2026-02-03T14:30:00Z","type":"summary",'
        f'"payload":{{"sessionId":"550e8400-e29b-41d4-a716-446655440000","summary":"{text}"}}}}'
        for number in numbers
    )
    return parse(f"[{body}]".encode())


async def until(holds: Callable[[], bool], what: object = "", seconds: float = 60) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"never came: {what}") from None


@dataclass
class Relay:
    """A stream and what its listener heard."""

    stream: NatsStream
    heard: list[Entry] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [entry.event.id for entry in self.heard]

    async def deliver(self, batch: Sequence[WireEvent]) -> Receipt:
        """As a sender does: again until it is accepted."""
        async with asyncio.timeout(60):
            while True:
                try:
                    return await self.stream.publish(batch)
                except Unavailable:
                    await asyncio.sleep(0.1)


@asynccontextmanager
async def relay(url: str, state: Path, limits: Limits | None = None) -> AsyncIterator[Relay]:
    limits = limits or Limits()
    found = Relay(NatsStream(url, Journal(state, limits), limits))
    await found.stream.start(found.heard.extend)
    try:
        yield found
    finally:
        await found.stream.close()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start waits but a moment for a server that will not come."""
    monkeypatch.setattr(nats_stream, "START_SECONDS", 0.5)


@pytest.fixture
async def pair(node: Node, tmp_path: Path) -> AsyncIterator[tuple[Relay, Relay]]:
    """Two relays that share a server."""
    async with relay(node.url, tmp_path / "a.db") as one, relay(node.url, tmp_path / "b.db") as other:
        yield one, other


async def test_every_relay_hears_every_batch_once_in_one_order(pair: tuple[Relay, Relay]) -> None:
    one, other = pair
    for start in range(0, 50, 5):
        assert await one.stream.publish(events(range(start, start + 5))) == Receipt(5, 0)
        assert await other.stream.publish(events(range(start, start + 5), "office")) == Receipt(5, 0)
    await until(lambda: len(one.heard) == len(other.heard) == 100)
    assert one.heard == other.heard
    assert [entry.seq for entry in one.heard] == sorted({entry.seq for entry in one.heard})
    assert one.heard[-1].seq < 2**53
    assert one.heard[50:] == await other.stream.read(one.heard[49].seq, 100)
    assert (one.stream.first(), one.stream.last()) == (other.stream.first(), other.stream.last())


async def test_what_is_sent_again_anywhere_reaches_nobody_twice(pair: tuple[Relay, Relay]) -> None:
    one, other = pair
    batch = events(range(10))
    receipts = await asyncio.gather(*(found.stream.publish(batch) for found in (one, other, one, other)))
    assert sorted(receipts) == [(0, 10), (0, 10), (0, 10), (10, 0)]
    await until(lambda: len(other.heard) == 10)
    assert await other.stream.publish(events(range(5, 15))) == Receipt(5, 5)
    assert await other.stream.publish(events([20, 20])) == Receipt(1, 1)
    await until(lambda: len(one.heard) == len(other.heard) == 16)
    assert one.heard == other.heard
    assert len(set(one.ids)) == 16


async def test_a_message_lost_on_the_way_is_read_again(
    pair: tuple[Relay, Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = pair
    process = Client._process_msg
    lost: set[tuple[Client, bytes]] = set()

    async def lossy(client: Client, sid: int, subject: bytes, reply: bytes, body: bytes, *rest: bytes) -> None:
        name = (client, bytes(body[:24]))
        if name not in lost and re.search(rb"evt_000000(03|04|19)", name[1]):
            lost.add(name)
        else:
            await process(client, sid, subject, reply, body, *rest)

    monkeypatch.setattr(Client, "_process_msg", lossy)
    for number in range(20):
        assert await one.stream.publish(events([number])) == Receipt(1, 0)
    await until(lambda: len(one.heard) == len(other.heard) == 20)
    assert len(lost) == 6
    assert one.heard == other.heard
    assert [entry.event for entry in one.heard] == events(range(20))


async def test_a_large_batch_is_several_messages_and_stays_in_order(pair: tuple[Relay, Relay], node: Node) -> None:
    one, other = pair
    batch = events(range(400), text="x" * 3000)
    assert await one.stream.publish(batch) == Receipt(400, 0)
    await until(lambda: len(other.heard) == 400)
    assert [entry.event for entry in other.heard] == batch
    client = await nats.connect(node.url)
    assert (await client.jetstream().stream_info("vibetea")).state.messages == 3
    await client.close()


async def test_a_source_of_any_name_has_a_subject_of_its_own(pair: tuple[Relay, Relay]) -> None:
    one, other = pair
    for number, name in enumerate(("a.b", "*", ">", "two words", "ünï", "%2E", "x" * 256)):
        assert await one.stream.publish(events([number], name)) == Receipt(1, 0)
    await until(lambda: len(other.heard) == 7)
    assert other.stream.skipped == 0


async def test_a_relay_that_was_away_goes_on_from_its_journal(node: Node, tmp_path: Path) -> None:
    async with relay(node.url, tmp_path / "a.db") as one:
        async with relay(node.url, tmp_path / "b.db") as other:
            await one.stream.publish(events(range(5)))
            await until(lambda: len(other.heard) == 5)
        await one.stream.publish(events(range(3, 8)))
        async with relay(node.url, tmp_path / "b.db") as again:
            assert again.ids == [event.id for event in events(range(5, 8))]
            assert again.heard == await one.stream.read(other.heard[-1].seq, 10)


async def test_a_new_relay_has_the_history_before_anybody_watches(node: Node, tmp_path: Path) -> None:
    async with relay(node.url, tmp_path / "a.db") as one:
        for start in range(0, 1000, 10):
            await one.stream.publish(events(range(start, start + 10)))
        async with relay(node.url, tmp_path / "b.db") as fresh:
            assert len(fresh.heard) == 1000
            assert await fresh.stream.read(0, 1000) == await one.stream.read(0, 1000)


async def test_while_the_server_is_away_senders_are_asked_to_come_again(
    pair: tuple[Relay, Relay], node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = pair
    await one.stream.publish(events([1]))
    node.kill()
    await until(lambda: one.stream.condition == "reconnecting")
    with pytest.raises(Unavailable):
        await one.stream.publish(events([2]))
    await until(lambda: other.stream.condition == "reconnecting")
    node.start()
    assert await one.deliver(events([2])) == Receipt(1, 0)
    await until(lambda: len(one.heard) == len(other.heard) == 2)
    assert one.heard == other.heard
    assert one.stream.condition == other.stream.condition == "connected"
    assert str(node.port) not in caplog.text


@pytest.mark.usefixtures("hurried")
async def test_a_relay_starts_without_a_server_and_finds_it_later(node: Node, tmp_path: Path) -> None:
    node.kill()
    async with relay(node.url, tmp_path / "a.db") as early:
        assert early.stream.condition == "reconnecting"
        node.start()
        assert await early.deliver(events([1])) == Receipt(1, 0)
        await until(lambda: len(early.heard) == 1)


async def test_health_tells_whether_the_stream_is_there(node: Node, tmp_path: Path) -> None:
    stream = NatsStream(node.url, Journal(tmp_path / "a.db", Limits()), Limits())
    async with relaying(Sender("laptop"), stream=stream) as listening:
        assert (await listening.get("/health")).json["stream"] == "connected"
        node.kill()
        await until(lambda: stream.condition == "reconnecting")
        assert (await listening.get("/health")).json["stream"] == "reconnecting"
        refused = await listening.send(Sender("laptop"), Sender("laptop").body(1))
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")


async def test_a_strangers_message_is_counted_and_passed_over(pair: tuple[Relay, Relay], node: Node) -> None:
    one, _ = pair
    assert one.stream.skipped == 0
    client = await nats.connect(node.url)
    context = client.jetstream()
    (good,) = events([1])
    for body in (b"", b"{", b"[]", b"\xff", good.raw.replace(b"summary", b"unknown")):
        await context.publish("vibetea.events.laptop", body)
    await context.publish("vibetea.events.office", good.raw)
    await context.publish("vibetea.events.laptop", b"[" + good.raw + b"]")
    await client.close()
    await until(lambda: bool(one.heard))
    assert [entry.event for entry in one.heard] == [good]
    assert one.stream.skipped == 6


async def test_the_metrics_tell_how_many_messages_were_passed_over(node: Node, tmp_path: Path) -> None:
    stream = NatsStream(node.url, Journal(tmp_path / "a.db", Limits()), Limits())
    async with relaying(Sender("laptop"), stream=stream) as listening, watching(listening) as watch:
        assert await counted(listening, "skipped") == 0
        client = await nats.connect(node.url)
        for body in (b"{", b"[]", events([1], "office")[0].raw, b"[" + events([2])[0].raw + b"]"):
            await client.jetstream().publish("vibetea.events.laptop", body)
        await client.close()
        assert (await watch.next())["id"] == events([2])[0].id
        assert await counted(listening, "skipped") == 3


async def test_last_is_the_same_at_every_relay(node: Node, tmp_path: Path) -> None:
    """1. Two machines send, each to a relay of its own. 2. A relay joins. Result: the newest are the same at all."""
    laptop, desktop = Sender("laptop"), Sender("desktop")
    async with AsyncExitStack() as stack:

        async def start(name: str) -> Listening:
            stream = NatsStream(node.url, Journal(tmp_path / name, NO_LIMITS), NO_LIMITS)
            return await stack.enter_async_context(relaying(laptop, desktop, stream=stream))

        both = [await start("a.db"), await start("b.db")]
        for number in range(6):
            for place, sender in enumerate((laptop, desktop)):
                assert (await both[place].send(sender, sender.body(2 * number, 2 * number + 1))).status == 202
        relays = [*both, await start("c.db")]
        for here in both:
            await until(lambda here=here: here.stream.last() == relays[2].stream.last())  # type: ignore[misc]
        for query, many in (({}, 5), ({"source": "desktop"}, 3), ({"source": "desktop"}, 100)):
            held = [
                entry
                for entry in await both[0].stream.read(0, 100)
                if query.get("source") in {None, entry.event.source}
            ]
            for here in relays:
                async with watching(here, last=many, **query) as watch:
                    newest = held[-many:]
                    assert [event["seq"] for event in await watch.take(len(newest))] == [entry.seq for entry in newest]


async def test_an_entry_is_as_old_at_every_relay_as_its_message(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1. A relay joins eight days later, by its clock. 2. It starts anew. Result: all is too old for it."""
    async with relay(node.url, tmp_path / "a.db") as one:
        await one.stream.publish(events([1]))
        await until(lambda: bool(one.heard))
        monkeypatch.setattr(records, "time", SimpleNamespace(time=lambda: time.time() + 8 * 86_400))
        for _ in range(2):
            async with relay(node.url, tmp_path / "b.db") as other:
                await until(lambda: other.stream.last() == one.stream.last())
        assert other.stream.first() > other.stream.last()


async def test_the_stream_is_made_on_disk_and_bounded(pair: tuple[Relay, Relay], node: Node) -> None:
    client = await nats.connect(node.url)
    config = (await client.jetstream().stream_info("vibetea")).config
    await client.close()
    assert config.subjects == ["vibetea.events.*"]
    assert (config.storage, config.num_replicas, config.duplicate_window) == (StorageType.FILE, 1, 120)
    assert (config.max_age, config.max_bytes) == (Limits().history_seconds, Limits().history_entries * 1024)


async def test_a_stream_that_exists_is_left_as_it_is_and_its_weakness_told(
    node: Node, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = await nats.connect(node.url)
    context = client.jetstream()
    made = StreamConfig(name="vibetea", subjects=["vibetea.events.*"], storage=StorageType.MEMORY, max_age=60)
    before = (await context.add_stream(made)).config
    async with relay(node.url, tmp_path / "a.db") as one:
        assert await one.stream.publish(events([1])) == Receipt(1, 0)
    assert (await context.stream_info("vibetea")).config == before
    await client.close()
    told = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    weak = {"no file storage", "a shorter history", "a shorter duplicate window"}
    assert {text.rpartition("with ")[2] for text in told} == weak


async def test_a_stream_made_anew_goes_on_after_the_old_one(pair: tuple[Relay, Relay], node: Node) -> None:
    one, other = pair
    await one.stream.publish(events([1]))
    client = await nats.connect(node.url)
    await client.jetstream().delete_stream("vibetea")
    await client.close()
    await until(lambda: bool(one.heard and other.heard))
    assert await one.deliver(events([2])) == Receipt(1, 0)
    await until(lambda: len(one.heard) == len(other.heard) == 2)
    assert one.heard == other.heard
    assert one.heard[1].seq > one.heard[0].seq


@pytest.mark.usefixtures("hurried")
async def test_a_stream_that_ends_before_the_journal_is_not_taken_for_it(
    node: Node, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with relay(node.url, tmp_path / "a.db") as one:
        await one.stream.publish(events([1]))
        await until(lambda: bool(one.heard))
    client = await nats.connect(node.url)
    await client.jetstream().delete_stream("vibetea")
    await client.jetstream().add_stream(name="vibetea", subjects=["vibetea.events.*"])
    await client.close()
    async with relay(node.url, tmp_path / "a.db") as one:
        with pytest.raises(Unavailable):
            await one.stream.publish(events([2]))
    assert "new state folder" in caplog.text


@pytest.mark.usefixtures("hurried")
async def test_a_wrong_password_is_an_absent_server_and_never_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with servers(
        tmp_path / "nats", authorization='authorization { user: "relay", password: "a,b/c@secret" }'
    ) as cluster:
        port = cluster.nodes[0].port
        async with relay(f"nats://relay:wrong-secret@127.0.0.1:{port}", tmp_path / "a.db") as refused:
            with pytest.raises(Unavailable):
                await refused.stream.publish(events([1]))
        async with relay(f"nats://relay:a%2Cb%2Fc%40secret@127.0.0.1:{port}", tmp_path / "b.db") as one:
            assert await one.stream.publish(events([1])) == Receipt(1, 0)
    assert "away" in caplog.text
    assert not [word for word in ("secret", str(port), "127.0.0.1") if word in caplog.text]


@pytest.mark.parametrize("url", ["", ",", "http://host", "nats://", "nats://u:secret@host:port", "host:4222"])
def test_what_is_no_server_is_refused_without_being_repeated(url: str, tmp_path: Path) -> None:
    with pytest.raises(RelayConfigError) as refused:
        NatsStream(url, Journal(tmp_path / "a.db", Limits()), Limits())
    assert "secret" not in str(refused.value)
