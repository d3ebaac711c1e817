"""What a relay is measured with: requests signed beforehand, raw senders and watchers, so that the load is cheap."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import statistics
import time
import urllib.request
from typing import TYPE_CHECKING, Final

from vibetea_protocol.signing import public_key, sign

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SEED: Final = bytes(range(32))
SOURCE: Final = "bench"
TOKEN: Final = "a-token-of-the-bench-only"
PING: Final = 0x89
PONG: Final = 0x8A
KEYS: Final = {SOURCE: (base64.b64decode(public_key(SEED)),)}
_EVENT: Final = (
    '{"id":"%s","source":"bench","timestamp":"%s","type":"tool","payload":{"sessionId":'
    '"550e8400-e29b-41d4-a716-446655440000","project":"shop","tool":"Read","status":"completed","context":"auth.ts"}}'
)


def event() -> tuple[str, str]:
    """A new event's id and JSON, 230 bytes."""
    name = "evt_" + secrets.token_hex(10)
    return name, _EVENT % (name, time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()))


def request(body: bytes, signature: str | None = None) -> bytes:
    """A whole POST /events, signed."""
    head = (
        f"POST /events HTTP/1.1\r\nHost: relay\r\nX-Source-ID: {SOURCE}\r\n"
        f"X-Signature: {signature or sign(SEED, body)}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def batches(number: int, size: int) -> list[bytes]:
    """So many signed requests of so many events each."""
    return [request(("[" + ",".join(event()[1] for _ in range(size)) + "]").encode()) for _ in range(number)]


class Sender:
    """One kept connection."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        self._port = port
        self._address = address

    async def __aenter__(self) -> Sender:
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port, local_addr=(self._address, 0)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def post(self, raw: bytes) -> int:
        """Send a request; the answer's status. Raises OSError or EOFError when the connection was closed."""
        self._writer.write(raw)
        head = await self._reader.readuntil(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                await self._reader.readexactly(int(line[15:]))
        return int(head[9:12])


async def pour(port: int, requests: Sequence[bytes], connections: int = 16) -> float:
    """Send them all over so many connections; requests a second. Fails unless each is answered 202."""
    left = iter(requests)

    async def one() -> None:
        async with Sender(port) as sender:
            for raw in left:
                status = await sender.post(raw)
                assert status == 202, f"answered {status}"

    begin = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    return len(requests) / (time.perf_counter() - begin)


class Watchers(dict[str, float]):
    """When each event was sent; how long every watcher waited for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []

    def quantile(self, percent: int) -> float:
        """Milliseconds."""
        return statistics.quantiles(self.waited, n=100)[percent - 1] * 1000


class Watcher(asyncio.Protocol):
    """One WebSocket that reads, and looks at nothing but the ids."""

    def __init__(self, watchers: Watchers) -> None:
        self._watchers = watchers
        self._buffer = b""
        self.open = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(
            f"GET /ws HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.open.done():
            self.open.set_exception(ConnectionError("refused"))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self._buffer += data
        if not self.open.done():
            head, end, self._buffer = self._buffer.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            assert head.startswith(b"HTTP/1.1 101"), head[:80]
            self.open.set_result(None)
        start, held = 0, len(self._buffer)
        while held - start >= 2:
            size, begin = self._buffer[start + 1], start + 2
            if size == 126:
                if held - start < 4:
                    break
                size, begin = int.from_bytes(self._buffer[start + 2 : start + 4], "big"), start + 4
            if begin + size > held:
                break
            if self._buffer[start] == 0x81 and (
                sent := self._watchers.get(self._buffer[begin + 7 : begin + 31].decode())
            ):
                self._watchers.waited.append(now - sent)
            elif self._buffer[start] == PING:  # who does not answer is closed; a mask of zeros is one
                self.transport.write(bytes((PONG, 0x80 | size, 0, 0, 0, 0)) + self._buffer[begin : begin + size])
            start = begin + size
        self._buffer = self._buffer[start:]


async def watch(port: int, number: int, watchers: Watchers) -> list[Watcher]:
    """Open so many watchers, at addresses of their own so that no limit by address is met."""
    loop = asyncio.get_running_loop()
    opened = []
    for index in range(number):
        local = (f"127.0.{1 + index // 30}.1", 0)
        _, watcher = await loop.create_connection(lambda: Watcher(watchers), "127.0.0.1", port, local_addr=local)
        await watcher.open
        opened.append(watcher)
    return opened


async def pace(port: int, watchers: Watchers, per_second: float, seconds: float) -> list[float]:
    """Send single events at a steady rate; seconds each answer took."""
    took = []
    async with Sender(port) as sender:
        begin = time.monotonic()
        for number in range(int(per_second * seconds)):
            await asyncio.sleep(max(0.0, begin + number / per_second - time.monotonic()))
            name, text = event()
            raw = request(text.encode())
            watchers[name] = sent = time.monotonic()
            assert await sender.post(raw) == 202
            took.append(time.monotonic() - sent)
    return took


async def arrived(watchers: Watchers, wanted: int, seconds: float = 20) -> None:
    """Wait until so many frames came. Raises AssertionError when they never do."""
    deadline = time.monotonic() + seconds
    while len(watchers.waited) < wanted:
        assert time.monotonic() < deadline, f"{wanted - len(watchers.waited)} of {wanted} frames never came"
        await asyncio.sleep(0.05)


def metric(port: int, name: str) -> int:
    """What the relay counts under this name."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(name):
                return int(float(line.rpartition(" ")[2]))
    return 0


async def counted(port: int, name: str, wanted: int, seconds: float = 30) -> None:
    """Wait until the relay has counted so many. Raises AssertionError when it never does."""
    deadline = time.monotonic() + seconds
    while (found := await asyncio.to_thread(metric, port, name)) < wanted:
        assert time.monotonic() < deadline, f"{name} is {found}, not {wanted}"
        await asyncio.sleep(0.2)


def close(watchers: Iterable[Watcher]) -> None:
    """End them all."""
    for watcher in watchers:
        watcher.transport.abort()
