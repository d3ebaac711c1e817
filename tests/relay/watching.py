"""Watchers over real sockets: one that reads, and one that does as it is told, frame by frame."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlencode

import aiohttp
from tests.relay.world import TOKEN, Relay

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
SECONDS = 20


class Watch:
    """A watcher that reads."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws

    async def next(self) -> dict[str, Any]:
        """The next frame; it must be one of text."""
        message = await self.ws.receive(timeout=SECONDS)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        found = json.loads(message.data)
        assert isinstance(found, dict)
        return found

    async def take(self, many: int) -> list[dict[str, Any]]:
        return [await self.next() for _ in range(many)]

    async def rest(self) -> tuple[list[dict[str, Any]], int | None]:
        """What comes until the relay ends it, and the close code; None if there was no farewell."""
        found = []
        async with asyncio.timeout(SECONDS):
            async for message in self.ws:
                assert message.type is aiohttp.WSMsgType.TEXT, message
                found.append(json.loads(message.data))
        return found, self.ws.close_code


@asynccontextmanager
async def watching(relay: Relay, headers: dict[str, str] | None = None, **query: Any) -> AsyncIterator[Watch]:
    """A watcher with the token and these query parameters."""
    async with relay.http.ws_connect(_url(relay, query), headers=headers) as ws:
        yield Watch(ws)


async def watched_to_the_end(relay: Relay, **query: Any) -> asyncio.Task[tuple[list[dict[str, Any]], int | None]]:
    """A watcher that is connected now; the task ends when the relay ends it, with all that came and the close code."""
    connected = asyncio.Event()

    async def follow() -> tuple[list[dict[str, Any]], int | None]:
        async with aiohttp.ClientSession() as http, http.ws_connect(_url(relay, query)) as ws:
            connected.set()
            return await Watch(ws).rest()

    task = asyncio.create_task(follow())
    async with asyncio.timeout(SECONDS):
        await connected.wait()
    return task


def _url(relay: Relay, query: dict[str, Any]) -> str:
    return f"{relay.url}/ws?{urlencode({'token': TOKEN} | query)}"


class Raw:
    """A watcher as bytes: it reads only when it is told to."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def read(self, many: int = 65_536) -> bytes:
        async with asyncio.timeout(SECONDS):
            return await asyncio.get_running_loop().sock_recv(self.sock, many)

    async def read_frames(self, last: bytes | None = None) -> list[tuple[int, bytes]]:
        """Opcode and payload of every whole frame until one holds `last`, or until the end of the connection."""
        data, found = b"", []
        with suppress(ConnectionResetError):
            while more := await self.read():
                data += more
                while (frame := _first_frame(data)) is not None:
                    found.append(frame[:2])
                    data = data[frame[2] :]
                if last is not None and any(last in payload for _, payload in found[-100:]):
                    break
        return found


def _first_frame(data: bytes) -> tuple[int, bytes, int] | None:
    """Opcode, payload and length of a server's frame, if it is all there."""
    size, start = (data[1], 2) if len(data) >= 2 else (0, len(data) + 1)
    if size >= 126:
        start = 4 if size == 126 else 10
        size = int.from_bytes(data[2:start], "big")
    return None if len(data) < start + size else (data[0] & 15, data[start : start + size], start + size)


@asynccontextmanager
async def raw_watcher(relay: Relay, **query: Any) -> AsyncIterator[Raw]:
    """A watcher whose system holds little for it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
    sock.setblocking(False)
    try:
        raw = Raw(sock)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", relay.port))
        lines = [
            f"GET {_url(relay, query).removeprefix(relay.url)} HTTP/1.1",
            "Host: relay",
            *(f"{name}: {text}" for name, text in UPGRADE.items()),
        ]
        await raw.send("\r\n".join([*lines, "", ""]).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await raw.read(1)
        assert head.startswith(b"HTTP/1.1 101 "), head
        yield raw
    finally:
        sock.close()


def client_frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """A client's frame: masked."""
    size, mask = len(payload), os.urandom(4)
    head = bytes([opcode | (0x80 if fin else 0)])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65_536:
        head += bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return head + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


async def until(condition: Callable[[], bool], told: str) -> None:
    """Poll until it holds."""
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.01)
    assert condition(), told


async def connected(relay: Relay, many: int) -> None:
    """Until the relay counts so many watchers."""
    async with asyncio.timeout(SECONDS):
        while (await relay.get("/health")).json["connections"] != many:
            await asyncio.sleep(0.02)


async def counted(relay: Relay, name: str) -> int:
    """One of the relay's counters."""
    text = (await relay.get("/metrics")).body.decode()
    (line,) = [line for line in text.splitlines() if line.startswith(f"vibetea_relay_{name}_total")]
    return int(float(line.split()[1]))
