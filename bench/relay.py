"""The relay beside a do-nothing aiohttp server in the same minutes: what it takes in, and how soon watchers have it.

Both run as processes of their own; the load comes from this one. Limits by address and source are raised for the
bench, but not for the flood of bad signatures, which is what they are for.
"""

from __future__ import annotations

import asyncio
import dataclasses
import multiprocessing
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from measure import table
from relay_load import (
    KEYS,
    SEED,
    SOURCE,
    TOKEN,
    Watchers,
    arrived,
    batches,
    close,
    counted,
    event,
    pace,
    pour,
    request,
    watch,
)

from vibetea_protocol.signing import sign

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.sharedctypes import Synchronized

ROUNDS: Final = 3
SINGLES: Final = 4000
BATCHES: Final = 200
FLOOD_PER_SECOND: Final = 5000
FLOOD_SECONDS: Final = 12
FLOODERS: Final = 8
FAR: Final = 10**9


def serve_nothing(port: int, verifies: bool) -> None:
    """The floor: takes a body and says 202; the second floor looks at the signature, which nobody can do without."""
    from aiohttp import web

    from vibetea_protocol.signing import verify

    async def taken(request: web.Request) -> web.Response:
        body = await request.read()
        if verifies:
            verify(KEYS[SOURCE][0], body, request.headers["X-Signature"])
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/events", taken)
    web.run_app(app, host="127.0.0.1", port=port, print=lambda *_: None, access_log=None)


def serve_relay(port: int, state: str, raised: bool) -> None:
    """The relay as `vibetea relay` runs it."""
    from vibetea_relay.config import Limits, RelayConfig
    from vibetea_relay.server import serve
    from vibetea_relay.tokens import digest

    limits = Limits()
    if raised:
        names = [
            f"{what}_{measure}" for what in ("source", "event", "address", "claim") for measure in ("rate", "burst")
        ]
        limits = dataclasses.replace(limits, **dict.fromkeys(names, FAR))
    serve(RelayConfig(port=port, keys=KEYS, tokens={"bench": digest(TOKEN)}, state=Path(state), limits=limits))


@contextmanager
def server(name: str, *arguments: str) -> Iterator[int]:
    """A server in a process of its own; its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    with tempfile.TemporaryDirectory() as state:
        process = subprocess.Popen(
            [sys.executable, __file__, name, str(port), state, *arguments], stderr=subprocess.DEVNULL
        )
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    assert process.poll() is None, f"{name} did not start"
                    assert time.monotonic() < deadline, f"{name} does not answer"
                    time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait(30)


async def ingest(relay: int, nothing: int, verifying: int) -> None:
    """Requests and events a second, nobody watching."""
    rates: dict[str, list[float]] = {"nothing": [], "verifying": [], "single": [], "batch": []}
    for _ in range(ROUNDS):
        singles = batches(SINGLES, 1)
        rates["nothing"].append(await pour(nothing, singles))
        rates["verifying"].append(await pour(verifying, singles))
        rates["single"].append(await pour(relay, singles))
        rates["batch"].append(100 * await pour(relay, batches(BATCHES, 100)))
    floor, verified, single, batch = (statistics.median(values) for values in rates.values())
    rows = [
        ("do-nothing aiohttp, requests", floor, 1.0, "floor"),
        ("the same, with a signature verified", verified, verified / floor, ""),
        ("signed single events", single, single / floor, ">= 0.5 x"),
        ("events in batches of 100", batch, batch / floor, ">= 20000/s"),
    ]
    print(table(rows, ("16 connections", "a second", "x floor", "aim")))


async def latency(relay: int, nothing: int) -> None:
    """Milliseconds from sending an event until a watcher has it."""
    rows: list[tuple[object, ...]] = []
    floor = statistics.median(await pace(nothing, Watchers(), 100, 5)) * 1000
    rows.append(("do-nothing answer, 100/s", floor, "", "floor"))
    for number, rate, seconds, aim in ((1, 100, 5, "p50 <= floor + 1"), (200, 100, 5, ""), (500, 50, 10, "p99 < 250")):
        watchers = Watchers()
        opened = await watch(relay, number, watchers)
        await pace(relay, watchers, rate, seconds)
        await arrived(watchers, number * int(rate * seconds))
        close(opened)
        rows.append((f"{number} watchers, {rate}/s", watchers.quantile(50), watchers.quantile(99), aim))
    print(table(rows, ("ms to a watcher", "p50", "p99", "aim")))


async def stuck(relay: int) -> None:
    """One watcher that never reads must not be felt by the others."""
    p99: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(ROUNDS):
        for with_stuck in (False, True):
            watchers = Watchers()
            opened = await watch(relay, 20, watchers)
            if with_stuck:
                [deaf] = await watch(relay, 1, Watchers())
                deaf.transport.pause_reading()
                opened.append(deaf)
            fill = asyncio.create_task(pour(relay, batches(60, 100), 2)) if with_stuck else None
            if fill:
                await fill  # its socket is full now
                watchers.waited.clear()
            await pace(relay, watchers, 100, 5)
            await arrived(watchers, 20 * 500)
            if with_stuck:
                await counted(relay, "vibetea_relay_stuck_total", len(p99[True]) + 1)
            close(opened)
            p99[with_stuck].append(watchers.quantile(99))
    alone, beside = statistics.median(p99[False]), statistics.median(p99[True])
    rows = [("20 watchers", alone, 1.0, ""), ("and one that never reads", beside, beside / alone, "< 1.2 x")]
    print(table(rows, ("p99 ms, 100/s", "ms", "x", "aim")))


def flood(port: int, until: float, sent: Synchronized[int]) -> None:
    """Bad signatures from a few addresses, as many a second as are wanted if the machine can; counts them."""
    bad = [request(body := event()[1].encode(), sign(SEED, body + b" ")) for _ in range(200)]

    def one(address: str, share: float) -> None:
        begin, number = time.monotonic(), 0
        while time.time() < until:
            time.sleep(max(0.0, begin + number / share - time.monotonic()))
            number += 1
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5, (address, 0)) as connection:
                connection.sendall(bad[number % len(bad)])
                connection.recv(4096)
                with lock:
                    sent.value += 1

    lock = threading.Lock()
    with ThreadPoolExecutor(FLOODERS) as pool:
        for index in range(FLOODERS):
            pool.submit(one, f"127.0.0.{9 + index}", FLOOD_PER_SECOND / FLOODERS)


async def flooded() -> None:
    """Legitimate events while somebody sends signatures that are none."""
    with server("relay") as relay:
        context = multiprocessing.get_context("spawn")
        rows: list[tuple[object, ...]] = []
        for is_flooded in (False, True):
            watchers = Watchers()
            opened = await watch(relay, 5, watchers)
            sent = context.Value("i", 0)
            process = context.Process(target=flood, args=(relay, time.time() + FLOOD_SECONDS, sent))
            if is_flooded:
                process.start()
                await asyncio.sleep(3)
            await pace(relay, watchers, 50, 8)
            await arrived(watchers, 5 * 400)
            if is_flooded:
                process.join(30)
            close(opened)
            name = f"{sent.value / FLOOD_SECONDS:.0f} bad signatures a second"
            rows.append((name, watchers.quantile(50), watchers.quantile(99), "p99 < 500" if is_flooded else ""))
        print(table(rows, ("ms to a watcher, 50/s", "p50", "p99", "aim")))


async def run() -> None:
    with server("relay", "raised") as relay, server("nothing") as nothing, server("nothing", "verifies") as verifying:
        for part in (ingest(relay, nothing, verifying), latency(relay, nothing), stuck(relay)):
            print()
            await part
    print()
    await flooded()


if __name__ == "__main__":
    if sys.argv[1:2] == ["nothing"]:
        serve_nothing(int(sys.argv[2]), "verifies" in sys.argv)
    elif sys.argv[1:2] == ["relay"]:
        serve_relay(int(sys.argv[2]), sys.argv[3], "raised" in sys.argv)
    else:
        asyncio.run(run())
