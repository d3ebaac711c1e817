"""How the real `vibetea relay` ends under traffic: watchers are let go with 1001, and what they got has no hole."""

import asyncio
import signal
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from tests.daemon.world import Process
from tests.relay.watching import Watch, connected, raw_watcher, watching
from tests.relay.world import TOKEN, Machine, MemoryStream, Relay, Sender

LAPTOP = Sender("laptop")
ENV = {"VIBETEA_PUBLIC_KEYS": f"laptop:{LAPTOP.public}", "VIBETEA_SUBSCRIBER_TOKEN": TOKEN}
EACH = 100
"""Events a request holds."""
LEVEL, RESUMING, STUCK = 36, 16, 12
"""Watchers: 64 in all, as many as the relay takes from one address."""


Followed = asyncio.Task[tuple[list[dict[str, Any]], int | None]]
"""All frames that came, and the close code."""


@dataclass
class Burst:
    """Requests one after the other, until the relay takes none any more."""

    relay: Relay
    accepted: list[Any] = field(default_factory=list)
    """The ids of what was answered 202."""

    async def publish(self) -> None:
        first = len(self.accepted)
        numbers = range(first, first + EACH)
        assert (await self.relay.send(LAPTOP, LAPTOP.body(*numbers))).status == 202
        self.accepted += [LAPTOP.event(number)["id"] for number in numbers]

    async def go_on(self) -> None:
        try:
            while True:
                await self.publish()
                await asyncio.sleep(0.01)  # a source may send a hundred requests a second
        except aiohttp.ClientError:
            return


async def follow(relay: Relay, stopping: asyncio.Event, **query: Any) -> Followed:
    """Connect; the task ends when the relay ends it. From the signal on it also talks, as clients that ping do."""
    connected = asyncio.Event()

    async def talk(ws: aiohttp.ClientWebSocketResponse) -> None:
        await stopping.wait()
        with suppress(ConnectionError):
            for _ in range(40):
                await ws.ping()
                await asyncio.sleep(0.01)

    async def read() -> tuple[list[dict[str, Any]], int | None]:
        async with aiohttp.ClientSession() as http, http.ws_connect(f"{relay.url}/ws", params=query) as ws:
            talking = asyncio.create_task(talk(ws))
            connected.set()
            try:
                return await Watch(ws).rest()
            finally:
                talking.cancel()

    task = asyncio.create_task(read())
    async with asyncio.timeout(20):
        await connected.wait()
    return task


def start(machine: Machine, http: aiohttp.ClientSession) -> tuple[Process, Relay]:
    process, url = machine.start(**ENV)
    return process, Relay(url, http, MemoryStream())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_watchers_are_let_go_with_1001_in_the_middle_of_a_burst(machine: Machine, number: int) -> None:
    """1. Many watch, some resume, some read nothing. 2. Events come, and a signal. Result: all who read are told."""
    async with aiohttp.ClientSession() as http, AsyncExitStack() as stack:
        process, relay = start(machine, http)
        burst = Burst(relay)
        for _ in range(10):
            await burst.publish()
        before = len(burst.accepted)
        stopping = asyncio.Event()
        readers = [await follow(relay, stopping, token=TOKEN) for _ in range(LEVEL)]
        for _ in range(STUCK):
            await stack.enter_async_context(raw_watcher(relay, after=0))
        await connected(relay, LEVEL + STUCK)
        sending = asyncio.create_task(burst.go_on())
        readers += [await follow(relay, stopping, token=TOKEN, after=0) for _ in range(RESUMING)]
        seen = len(burst.accepted)
        process.popen.send_signal(number)
        stopping.set()
        found = await asyncio.gather(*readers)
        await sending
        assert await asyncio.to_thread(process.popen.wait, 30) == 0
    assert "Traceback" not in process.text
    assert " ERROR " not in process.text
    assert seen > before, "no burst was under way"
    assert [code for _, code in found] == [1001] * len(readers)

    history = await everything(machine)
    assert history[: len(burst.accepted)] == burst.accepted
    for place, (frames, _) in enumerate(found):
        after = before if place < LEVEL else 0
        assert [frame["id"] for frame in frames] == history[after : after + len(frames)]
    assert all(frames for frames, _ in found[:LEVEL])


async def everything(machine: Machine) -> list[Any]:
    """The ids another relay over the same state passes on, in their order."""
    async with aiohttp.ClientSession() as http:
        process, relay = start(machine, http)
        async with watching(relay, after=0) as watch:
            await relay.send(LAPTOP, LAPTOP.body(1_000_000))
            last = LAPTOP.event(1_000_000)["id"]
            found = await until_id(watch, last)
        process.stop()
    return found


async def until_id(watch: Watch, last: str) -> list[Any]:
    found: list[Any] = []
    while not found or found[-1] != last:
        found.append((await watch.next())["id"])
    return found[:-1]
