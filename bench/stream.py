"""From commit to browser, and what it costs to have the pages open.

`python bench/stream.py [--events N]` commits single rows at about ten a second, at uneven distances so that they do
not fall into step with the poller, and prints milliseconds until Chromium has, and has shown, each of them; the same
for 200 readers at once, each of whom must get every event; and what the server uses while nothing happens. There is a
past of a million events. All clocks are this machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from generated import generate, go_on
from measure import table
from playwright.sync_api import sync_playwright
from served import cpu_seconds, served

from vibetea_daemon.store.schema import open_database

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence

    import psutil
    from playwright.sync_api import Page

CHROMIUM: Final = "/usr/bin/chromium"
PER_SECOND: Final = 10
AIMS: Final = ("p50 15, p99 120", "1")
"""Milliseconds from commit to frame; percent of a core while nothing happens."""
READERS: Final = 200
PAST: Final = 1_000_000
IDLE_SECONDS: Final = 20
SESSIONS: Final = 5
"""At work while the overview is looked at."""
WATCH: Final = """
window.arrived = {};
window.painted = {};
const now = () => performance.timeOrigin + performance.now();
const Original = EventSource;
window.EventSource = class extends Original {
  constructor(...its) {
    super(...its);
    this.addEventListener("message", message => { arrived[message.lastEventId] = now(); });
  }
};
document.addEventListener("DOMContentLoaded", () => {
  new MutationObserver(changes => {
    const seqs = changes.flatMap(change => [...change.addedNodes]).map(row => row.dataset?.seq).filter(Boolean);
    const channel = new MessageChannel();
    channel.port1.onmessage = () => { for (const seq of seqs) painted[seq] = now(); };
    channel.port2.postMessage(0); // runs after the frame that shows them
  }).observe(document.querySelector("main"), { childList: true, subtree: true });
});
"""
INSERT: Final = (
    "insert into events(id, source, timestamp, type, session_id, project, tool, status, outcome, duration_ms, payload) "
    "values (?, 'laptop', strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), "
    "'tool', '3f0c9b52', 'shop', 'Read', 'completed', 'ok', 17, "
    '\'{"sessionId":"3f0c9b52","project":"shop","tool":"Read","status":"completed","context":"auth.ts"}\')'
)


def commit(connection: sqlite3.Connection, events: int) -> dict[int, float]:
    """Milliseconds since the epoch right after each commit, by seq."""
    committed = {}
    for _ in range(events):
        time.sleep(random.uniform(0.4, 1.6) / PER_SECOND)
        seq = connection.execute(INSERT, [f"evt_{uuid.uuid4().hex}"]).lastrowid
        assert seq is not None
        committed[seq] = time.time() * 1000
    return committed


def row(name: str, waited: Sequence[float], aim: str = "") -> tuple[object, ...]:
    """One row of the result."""
    hundredths = statistics.quantiles(waited, n=100)
    return name, hundredths[49], hundredths[94], hundredths[98], aim


def waited(committed: Mapping[int, float], seen: Mapping[str, float]) -> list[float]:
    """Milliseconds; fails if an event was lost."""
    return [seen[str(seq)] - at for seq, at in committed.items()]


@contextmanager
def opened(address: str) -> Iterator[Page]:
    """A page in Chromium, once it is live."""
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=CHROMIUM).new_page()
        page.add_init_script(WATCH)
        page.goto(address)
        page.wait_for_selector('[data-state="live"]')
        yield page


def browser(database: Path, connection: sqlite3.Connection, events: int) -> list[tuple[object, ...]]:
    """The live page in Chromium."""
    with served(database) as (address, _), opened(f"{address}/live") as page:
        commit(connection, 10)  # warm
        committed = commit(connection, events)
        page.wait_for_function("seq => painted[seq]", arg=max(committed), timeout=10_000)
        return [
            row("a browser has it", waited(committed, page.evaluate("arrived")), AIMS[0]),
            row("it is on the screen", waited(committed, page.evaluate("painted"))),
        ]


class Reader(asyncio.Protocol):
    """One stream that is read, with when each event came."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._rest = b""
        self.arrived: dict[str, float] = {}
        self.live = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(f"GET /-/vibetea/stream HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        now = time.time() * 1000
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line == b"event: live":
                self.live.set_result(None)
            elif line.startswith(b"id: "):
                self.arrived[line[4:].decode()] = now


@contextmanager
def used(process: psutil.Process, found: dict[str, float]) -> Iterator[None]:
    """Percent of a core meanwhile, and MiB at its end."""
    begin, before = time.monotonic(), cpu_seconds(process)
    yield
    found["cpu"] = 100 * (cpu_seconds(process) - before) / (time.monotonic() - begin)
    found["rss"] = process.memory_info().rss / 2**20


async def crowd(
    database: Path, connection: sqlite3.Connection, events: int
) -> tuple[tuple[object, ...], dict[str, float], dict[str, float]]:
    """Many readers: how long they waited, what the server used meanwhile, and what while nothing happened."""
    busy: dict[str, float] = {}
    idle: dict[str, float] = {}
    with served(database) as (address, process):
        place = urlsplit(address)
        assert place.hostname
        assert place.port
        host, port = place.hostname, place.port
        loop = asyncio.get_running_loop()
        readers = []
        for _ in range(READERS):
            _, reader = await loop.create_connection(lambda: Reader(place.netloc), host, port)
            readers.append(reader)
        await asyncio.gather(*(reader.live for reader in readers))
        with used(process, idle):
            await asyncio.sleep(IDLE_SECONDS)
        with used(process, busy):
            committed = await asyncio.to_thread(commit, connection, events)
        await asyncio.sleep(1)
        all_waited = [each for reader in readers for each in waited(committed, reader.arrived)]
    return row(f"each of {READERS} readers has it", all_waited, AIMS[0]), busy, idle


def idle(database: Path, path: str | None) -> dict[str, float]:
    """What the server uses while one page is open, or none, and nothing happens."""
    found: dict[str, float] = {}
    with served(database) as (address, process):
        if path is None:
            time.sleep(2)
            with used(process, found):
                time.sleep(IDLE_SECONDS)
        else:
            with opened(f"{address}{path}"):
                time.sleep(2)
                with used(process, found):
                    time.sleep(IDLE_SECONDS)
    return found


def main() -> None:
    """Serve, watch, commit, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300)
    events = parser.parse_args().events
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder, "vibetea.db")
        generate(database, PAST)
        connection = open_database(database)
        rows = browser(database, connection, events)
        last, busy, quiet = asyncio.run(crowd(database, connection, events))
        go_on(database, SESSIONS)
        print()
        print(table([*rows, last], ("ms from commit until", "p50", "p95", "p99", "aim")))
        uses = {
            "nobody looks": (idle(database, None), ""),
            "the overview is open": (idle(database, ""), AIMS[1]),
            "the live page is open": (idle(database, "/live"), AIMS[1]),
            f"{READERS} readers": (quiet, ""),
            f"{READERS} readers, {PER_SECOND} events a second": (busy, ""),
        }
        print()
        print(
            table(
                [(name, found["cpu"], found["rss"], aim) for name, (found, aim) in uses.items()],
                ("the server while", "% of a core", "MiB", "aim"),
            )
        )


if __name__ == "__main__":
    main()
