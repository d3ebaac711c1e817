"""A real daemon, a real `vibetea relay` and a watcher, while the relay stands still or a clock jumps."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import psutil
import pytest
from tests.daemon.frames import frame, send
from tests.daemon.scripted_relay import ScriptedRelay, code
from tests.daemon.sending import (
    ACK,
    WAITS,
    expect_settled,
    expect_why,
    fill,
    hooks,
    in_database,
    numbered,
    scripted_relay,
    settled,
    status,
)
from tests.daemon.session import Session, tool_hook
from tests.daemon.shims import Clock
from tests.daemon.world import Process, World, wait_until
from tests.relay.world import TOKEN, Machine

from vibetea_daemon.config import Config
from vibetea_daemon.keys import registration

DAY = 86_400


@dataclass
class Watched:
    """A relay of its own process, and who watches it."""

    process: Process
    url: str
    watcher: "asyncio.Task[tuple[list[dict[str, Any]], int | None]]"

    async def counted(self, name: str) -> int:
        """One of the relay's counters, labels and all; 0 if it has not counted yet."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/metrics") as answer:
            found = re.search(rf"^{re.escape(name)} (\S+)$", await answer.text(), re.MULTILINE)
        return int(float(found[1])) if found else 0

    async def end(self) -> list[str]:
        """Stop the relay, which first sends what it has; the ids its watcher was sent, in order."""
        await asyncio.to_thread(self.process.stop)
        frames, closed = await self.watcher
        assert closed == 1001
        return [frame["id"] for frame in frames]


@asynccontextmanager
async def watched_relay(world: World, *arguments: str, **env: str) -> AsyncIterator[Watched]:
    """A relay that knows this machine, whose next daemon will send to it; it is watched from before that on."""
    (world.root / "server").mkdir()
    machine = Machine(world.root / "server")
    known = {"VIBETEA_PUBLIC_KEYS": registration(Config.load(world.env)), "VIBETEA_SUBSCRIBER_TOKEN": TOKEN}
    try:
        process, url = await asyncio.to_thread(machine.start, *arguments, **known, **env)
        world.env["VIBETEA_SERVER_URL"] = url
        async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/ws?token={TOKEN}") as ws:
            watcher = asyncio.create_task(_watch(ws))
            yield Watched(process, url, watcher)
    finally:
        for process in machine.processes:
            if process.popen.poll() is None:
                process.kill()


async def _watch(ws: aiohttp.ClientWebSocketResponse) -> tuple[list[dict[str, Any]], int | None]:
    """Everything until the relay ends it, and the close code."""
    found = [message.json() async for message in ws]
    return found, ws.close_code


# a relay that stands still


async def test_relay_that_stands_still(world: World) -> None:
    """1. SIGSTOP. 2. Events, until the sender gives up waiting. 3. More. 4. SIGCONT. Result: all, in order, once."""
    world.expected_log = [WAITS]
    session = Session()
    async with watched_relay(world) as relay:
        still = psutil.Process(relay.process.popen.pid)

        def story() -> None:
            world.start()
            hooks(world, session, 3)
            expect_settled(world)
            still.send_signal(signal.SIGSTOP)
            wait_until(lambda: still.status() == psutil.STATUS_STOPPED, still.status)
            hooks(world, session, 3)
            expect_why(world, "it does not answer in time")
            hooks(world, session, 20)
            fill(world, numbered(300))
            assert not settled(world)
            assert status(world)["waiting"] == 323
            still.send_signal(signal.SIGCONT)
            expect_settled(world, 60)

        await asyncio.to_thread(story)
        assert status(world)["why"] == ""
        assert await relay.counted('vibetea_relay_events_total{result="accepted"}') == 326
        came = await relay.end()
    assert came == in_database(world)
    assert set(came) == session.ids(world.key()) | {one.id for one in numbered(300)}


# clocks that jump


def report(world: World, session: Session, count: int, ahead: int = 0) -> None:
    """So many hooks of a machine whose clock is ahead."""
    for _ in range(count):
        raw = frame(tool_hook(session, f"t{len(session.keys)}"))
        stamp = time.time_ns() + ahead * 1_000_000_000
        assert send(world, raw[:1] + stamp.to_bytes(8, "big") + raw[9:]) == ACK


@pytest.mark.parametrize("whose", ["daemon", "relay"])
async def test_clock_that_jumps(world: World, whose: str) -> None:
    """A day on, two back, and right again: each jump costs one refusal, and the relay's clock is learnt from it."""
    clock = Clock(world.root / "clock")
    session = Session()
    async with watched_relay(world, **(clock.env if whose == "relay" else {})) as relay:

        def story() -> None:
            world.start(env=clock.env if whose == "daemon" else None)
            for ahead in (0, DAY, -DAY, 0):
                clock.jump(ahead)
                report(world, session, 3, ahead if whose == "daemon" else 0)
                expect_settled(world)
                learnt = ahead if whose == "relay" else -ahead
                assert abs(status(world)["clock_seconds"] - learnt) < 60

        await asyncio.to_thread(story)
        assert await relay.counted('vibetea_relay_requests_total{code="stale"}') == 3
        came = await relay.end()
    assert came == in_database(world)
    assert set(came) == session.ids(world.key())


@pytest.fixture
def relay(world: World) -> Iterator[ScriptedRelay]:
    world.expected_log = [WAITS]
    with scripted_relay(world) as relay:
        yield relay


@pytest.fixture
def clock(world: World) -> Clock:
    """The daemon's."""
    return Clock(world.root / "clock")


def ahead_at(relay: ScriptedRelay) -> list[int]:
    """How many days each request was signed ahead of the true time."""
    signed = [int(request.headers["vibetea-signature"].split(".")[2]) for request in relay.requests]
    return [round((at - time.time()) / DAY) for at in signed]


@pytest.mark.parametrize("ahead", [DAY, -DAY])
def test_pause_is_as_long_as_asked_while_the_clock_jumps(
    world: World, relay: ScriptedRelay, clock: Clock, ahead: int
) -> None:
    relay.script = [code(429, "rate_limited", **{"Retry-After": "3"})]
    world.start(env=clock.env)
    session = Session()
    report(world, session, 1)
    expect_why(world, "it asks us to wait")
    clock.jump(ahead)
    report(world, session, 5, ahead)
    expect_settled(world)
    first, second, *_ = relay.requests
    assert second.at - first.at >= 3
    assert relay.verdicts[:3] == [429, 401, 202]
    assert ahead_at(relay)[:3] == [0, ahead // DAY, 0]
    assert relay.verdicts.count(401) == 1
    assert relay.duplicates == 0
    assert set(relay.ids) == session.ids(world.key())


@pytest.mark.parametrize("ahead", [DAY, -DAY])
def test_wrong_clock_that_cannot_be_learnt_is_told_and_hammers_nobody(
    world: World, relay: ScriptedRelay, clock: Clock, ahead: int
) -> None:
    """1. The daemon's clock jumps; the relay tells no time. 2. It is right again. Result: one question, then all."""
    answer = relay.answer
    relay.answer = lambda request: replace(answer(request), headers={"Date": ""})  # type: ignore[method-assign]
    daemon = world.start(env=clock.env)
    session = Session()
    report(world, session, 1)
    expect_settled(world)
    clock.jump(ahead)
    report(world, session, 1, ahead)
    expect_why(world, "its clock and ours differ")
    report(world, session, 20, ahead)
    assert "its clock and ours differ" in world.run("status").stdout.decode()
    assert relay.verdicts == [202, 401]
    assert ahead_at(relay) == [0, ahead // DAY]
    clock.jump(0)
    daemon.stop()
    world.start(env=clock.env)
    expect_settled(world)
    assert relay.duplicates == 0
    assert set(relay.ids) == session.ids(world.key())
