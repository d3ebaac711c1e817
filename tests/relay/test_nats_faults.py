"""Three NATS servers, two real relays; one of each is killed while events come in. Nothing is lost or doubled."""

import asyncio
import itertools
import json
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import nats
import pytest
from tests.daemon.world import Process
from tests.relay.nats_cluster import Cluster
from tests.relay.nats_cluster import nats as servers
from tests.relay.world import TOKEN, Machine, Sender

SOURCES = ("laptop", "desktop", "office", "ci.runner")


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Cluster]:
    with servers(tmp_path / "nats", 3) as cluster:
        yield cluster


@dataclass
class Watcher:
    """Follows relays, the first that answers, and goes on after the last seq it has."""

    urls: list[str]
    after: int = 0
    frames: list[dict[str, Any]] = field(default_factory=list)
    connections: int = 0

    async def watch(self) -> None:
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as http:
            for url in itertools.cycle(self.urls):
                with suppress(aiohttp.ClientError, ConnectionError):
                    async with http.ws_connect(f"{url}/ws", params={"after": str(self.after)}) as socket:
                        self.connections += 1
                        async for message in socket:
                            self.frames.append(json.loads(message.data))
                            self.after = self.frames[-1].get("seq", self.after)
                await asyncio.sleep(0.1)

    @property
    def ids(self) -> list[str]:
        return [frame["id"] for frame in self.frames]


@dataclass
class Senders:
    """One task a source; a batch is sent again, to the next relay, until one answers 202."""

    urls: list[str]
    each: int
    accepted: int = 0
    refused: int = 0

    async def send_all(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as http, asyncio.TaskGroup() as group:
            for number, source in enumerate(SOURCES):
                group.create_task(self._send(http, Sender(source), itertools.cycle(self.urls), random.Random(number)))

    async def _send(
        self, http: aiohttp.ClientSession, sender: Sender, urls: Iterator[str], chance: random.Random
    ) -> None:
        url, start = next(urls), 0
        while start < self.each:
            end = min(self.each, start + chance.randint(1, 40))
            body = sender.body(*range(start, end))
            while not await self._post(http, f"{url}/events", sender, body):
                self.refused += 1
                url = next(urls)
                await asyncio.sleep(0.1)
            self.accepted += end - start
            start = end
            if chance.random() < 0.2:
                url = next(urls)

    async def _post(self, http: aiohttp.ClientSession, url: str, sender: Sender, body: bytes) -> bool:
        with suppress(aiohttp.ClientError, ConnectionError, TimeoutError):
            async with http.post(url, data=body, headers=sender.headers(body)) as answer:
                assert answer.status in {202, 429, 503}, await answer.text()
                return answer.status == 202
        return False


async def until(holds: Callable[[], bool], told: Callable[[], object], seconds: float = 60) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(told()) from None


def start_relay(machine: Machine, name: str, cluster: Cluster) -> tuple[Process, str]:
    return machine.start(
        VIBETEA_RELAY_STATE=str(machine.root / name),
        VIBETEA_NATS_URL=cluster.url,
        VIBETEA_PUBLIC_KEYS=",".join(f"{source}:{Sender(source).public}" for source in SOURCES),
        VIBETEA_SUBSCRIBER_TOKEN=TOKEN,
    )


@pytest.mark.parametrize("events", [3_000, pytest.param(20_000, marks=pytest.mark.soak)])
async def test_a_dead_server_and_a_dead_relay_lose_nothing_and_double_nothing(
    events: int, three: Cluster, machine: Machine
) -> None:
    """The server is the stream's leader; the first watcher's relay is the one that dies."""
    relays = [await asyncio.to_thread(start_relay, machine, name, three) for name in ("one", "other")]
    urls = [url for _, url in relays]
    watchers = [Watcher(urls), Watcher(urls[::-1]), Watcher(urls)]
    watching = [asyncio.create_task(watcher.watch()) for watcher in watchers]
    senders = Senders(urls, events // len(SOURCES))
    sending = asyncio.create_task(senders.send_all())

    def told() -> str:
        logs = "\n".join(process.text for process, _ in relays)
        return f"{senders}\n{[(len(set(w.ids)), w.connections) for w in watchers]}\n{logs}"

    try:
        await until(lambda: senders.accepted > events // 3, told)
        name = await leader(three)
        next(node for node in three.nodes if node.folder.name == name).kill()
        await until(lambda: senders.accepted > 2 * events // 3, told)
        assert not sending.done(), "too late to kill anything"
        relays[0][0].kill()
        async with asyncio.timeout(120):
            await sending
        await until(lambda: all(len(set(watcher.ids)) == events for watcher in watchers), told)
        late = Watcher(urls[1:])
        watching.append(asyncio.create_task(late.watch()))
        await until(lambda: len(late.frames) == events, told)
    finally:
        for task in (sending, *watching):
            task.cancel()
        await asyncio.gather(sending, *watching, return_exceptions=True)

    assert watchers[0].connections > 1
    assert senders.refused > 0
    for source in SOURCES:
        sent = [Sender(source).event(number)["id"] for number in range(senders.each)]
        for watcher in (*watchers, late):
            assert [frame["id"] for frame in watcher.frames if frame["source"] == source] == sent
    assert watchers[0].frames == watchers[1].frames == watchers[2].frames == late.frames
    assert [frame["seq"] for frame in late.frames] == sorted({frame["seq"] for frame in late.frames})


async def leader(cluster: Cluster) -> str:
    client = await nats.connect(cluster.url.split(","))
    try:
        info = await client.jetstream().stream_info("vibetea")
    finally:
        await client.close()
    assert info.config.num_replicas == 3
    assert info.cluster is not None
    assert info.cluster.leader is not None
    return info.cluster.leader
