"""Senders, events, and relays on real loopback sockets: one in this process, or the real `vibetea relay`."""

import asyncio
import json
import os
import re
import signal
import subprocess
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
from tests.daemon.world import Process, wait_until
from tests.tools.forked import begun, completed

from vibetea_protocol.signing import public_key, sign
from vibetea_protocol.wire import WireEvent
from vibetea_relay.config import Limits, RelayConfig
from vibetea_relay.ring import framed
from vibetea_relay.server import running
from vibetea_relay.stream import Entry, Receipt, Stream, Wish
from vibetea_relay.tokens import digest

SESSION = "550e8400-e29b-41d4-a716-446655440000"
TOKEN = "watcher-token-0123456789abcdef"
UNBOUNDED: dict[str, Any] = {
    f"{what}_{measure}": 1e9
    for what in ("source", "event", "address", "claim", "failure")
    for measure in ("rate", "burst")
}
NO_LIMITS = Limits(**UNBOUNDED)


class Sender:
    """A source and its key, both made of its name."""

    def __init__(self, source: str = "laptop", seed: bytes | None = None) -> None:
        self.source = source
        self.seed = seed or sha256(source.encode()).digest()
        self.public = public_key(self.seed)
        self.key = b64decode(self.public)

    def headers(self, body: bytes, **others: str) -> dict[str, str]:
        return {"X-Source-ID": self.source, "X-Signature": sign(self.seed, body), **others}

    def event(self, number: int = 0, **changes: Any) -> dict[str, Any]:
        """A tool event; its id is made of source and number."""
        event = {
            "id": "evt_" + sha256(f"{self.source}{number}".encode()).hexdigest()[:20],
            "source": self.source,
            "timestamp": "2026-02-03T14:30:00.123Z",
            "type": "tool",
            "payload": {"sessionId": SESSION, "tool": "Read", "status": "completed", "project": "shop"},
        }
        return event | changes

    def body(self, *numbers: int) -> bytes:
        return json.dumps([self.event(number) for number in numbers]).encode()


@dataclass
class Answer:
    """Status, headers and body of an answer."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        return self.json.get("code") if self.body else None

    def __repr__(self) -> str:
        return f"{self.status} {self.body!r}"


@dataclass
class Relay:
    """A relay that listens.

    Args:
        url: without a trailing slash.
        http: a client of its own.
    """

    url: str
    http: aiohttp.ClientSession
    stream: Stream

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def post(self, body: bytes, headers: dict[str, str] | None = None, **options: Any) -> Answer:
        async with self.http.post(f"{self.url}/events", data=BytesIO(body), headers=headers, **options) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def send(self, sender: Sender, body: bytes, **headers: str) -> Answer:
        """A body as its sender signs it."""
        return await self.post(body, sender.headers(body, **headers))

    async def get(self, path: str, **options: Any) -> Answer:
        async with self.http.get(f"{self.url}{path}", **options) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def held(self) -> list[WireEvent]:
        """Everything the stream holds."""
        return [entry.event for entry in await self.stream.read(0, 1_000_000)]

    async def raw(self, *pieces: bytes, seconds: float = 60) -> bytes:
        """Write pieces to a connection of its own, and read until the relay closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            async with asyncio.timeout(seconds):
                return await reader.read()
        finally:
            writer.close()


class MemoryStream:
    """A stream in a list."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.failure: Exception | None = None
        self.closed = False
        self._listen: Callable[[Sequence[Entry]], None] = lambda _: None

    condition = ""
    skipped = 0

    async def start(self, listen: Callable[[Sequence[Entry]], None]) -> None:
        self._listen = listen

    async def publish(self, events: Sequence[WireEvent]) -> Receipt:
        if self.failure:
            raise self.failure
        seen = {entry.event.id for entry in self.entries}
        fresh = list({event.id: event for event in events if event.id not in seen}.values())
        entries = [Entry(number, event) for number, event in enumerate(fresh, self.last() + 1)]
        self.entries += entries
        self._listen(entries)
        return Receipt(len(entries), len(events) - len(entries))

    def last(self) -> int:
        return self.entries[-1].seq if self.entries else 0

    def first(self) -> int:
        return 1

    def hole(self) -> int:
        return 0

    async def read(self, after: int, limit: int) -> Sequence[Entry]:
        return self.entries[after : after + limit]

    async def newest(self, many: int, wish: Wish) -> int | None:
        return min([entry.seq for entry in self.entries if framed(entry).suits(wish)][-many:], default=None)

    async def close(self) -> None:
        self.closed = True


def config_of(*senders: Sender, **changes: Any) -> RelayConfig:
    """A config that knows these senders and one token."""
    known: dict[str, Any] = {
        "port": 0,
        "keys": {sender.source: (sender.key,) for sender in senders},
        "tokens": {"default": digest(TOKEN)},
        "limits": NO_LIMITS,
        "state": Path("/nonexistent"),
    }
    return RelayConfig(**known | changes)


@asynccontextmanager
async def relaying(*senders: Sender, stream: Stream | None = None, **changes: Any) -> AsyncIterator[Relay]:
    """A relay in this process, its events in memory unless another stream is given."""
    stream = stream or MemoryStream()
    async with running(config_of(*senders, **changes), stream) as url, aiohttp.ClientSession() as http:
        yield Relay(url, http, stream)


@dataclass
class Machine:
    """A throw-away machine that runs `vibetea relay`."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.env = {
            "HOME": str(self.root / "home"),
            "PATH": os.environ["PATH"],
            "VIBETEA_HOME": str(self.root / "state"),
            "PYTHONWARNINGS": "error",
        } | self.env

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end: for starts that are refused."""
        done = completed("relay", *arguments, environment=self.env | variables)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *arguments: str, **variables: str) -> tuple[Process, str]:
        """Start it, wait until it is ready, and tell its address."""
        log = self.root / f"relay-{len(self.processes)}.log"
        with log.open("wb") as stderr:
            environment = self.env | variables
            popen = begun("relay", "--port", "0", *arguments, environment=environment, output=stderr.fileno())
        process = Process(popen, log)
        self.processes.append(process)
        process.wait_ready()
        wait_until(lambda: "ready at" in process.text, lambda: process.text)
        found = re.search(r"ready at (\S+)", process.text)
        assert found
        return process, found[1]

    def end(self) -> None:
        for process in self.processes:
            if process.popen.poll() is None:
                process.stop(signal.SIGTERM)
