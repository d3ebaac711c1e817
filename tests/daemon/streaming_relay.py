"""A relay for watchers that does what a test tells it: it can fall silent, lie, break off and refuse."""

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSCloseCode, web
from tests.daemon.session import stamp

TOKEN = "canary-token-0123456789"
SESSION = "3f0c9b52-7c1e-4b7a-9a52-0d6f3c1e8b11"


def tool(number: int, **changes: Any) -> dict[str, Any]:
    """An event of the closed model; `changes` are of the envelope, or in `payload` of the payload."""
    payload = {"sessionId": SESSION, "tool": "Read", "status": "started", "context": "auth.ts", "project": "shop"}
    payload |= changes.pop("payload", {})
    event = {"id": f"evt_{number:020d}", "source": "laptop", "timestamp": stamp(), "type": "tool", "payload": payload}
    return event | changes


def wire(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()


def framed(seq: int, event: bytes) -> bytes:
    return event[:-1] + b',"seq":%d}' % seq


@dataclass
class StreamingRelay:
    """Serves `/ws`.

    Args:
        in_query: whether it looks for the token in the query only, as the old relay does.
        entries: what it holds, as (seq, event).
        answers: given to the next requests instead of a WebSocket.
        asked: the query and the Authorization header of every request.
        silent: whether it answers no ping.
    """

    token: str = ""
    in_query: bool = False
    entries: list[tuple[int, bytes]] = field(default_factory=list)
    answers: deque[Callable[[], web.Response]] = field(default_factory=deque)
    asked: list[tuple[dict[str, str], str]] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    silent: bool = False
    port: int = 0
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        application = web.Application()
        application.router.add_get("/ws", self._watch)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=tls, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self.close()
        if self._runner:
            await self._runner.cleanup()
        self._runner = None

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        authorization = request.headers.get("Authorization", "")
        self.asked.append((dict(request.query), authorization))
        if self.answers:
            return self.answers.popleft()()
        given = request.query.get("token", "") if self.in_query else authorization.removeprefix("Bearer ")
        if self.token and given != self.token:
            return refusal(401, "invalid_token" if given else "missing_token")
        socket = web.WebSocketResponse(autoping=not self.silent)
        await socket.prepare(request)
        many = int(request.query.get("last", 0))
        newest = [0, *(seq for seq, _ in self.entries)][-many - 1 :]  # the one before the newest so many, and they
        sent = int(request.query.get("after", newest[0]))
        with suppress(ConnectionError):
            while waiting := [entry for entry in self.entries if entry[0] > sent]:
                for sent, event in waiting:
                    await socket.send_str(framed(sent, event).decode())
        self.sockets.append(socket)
        if self.silent:
            await asyncio.Event().wait()
        async for _ in socket:
            pass
        return socket

    async def hold(self, *events: bytes, first: int = 0) -> None:
        """Take in events and pass them on to whoever watches."""
        seq = first or (self.entries[-1][0] + 1 if self.entries else 1)
        for number, event in enumerate(events, seq):
            self.entries.append((number, event))
            await self.send(framed(number, event))

    async def send(self, frame: bytes) -> None:
        for socket in self.sockets:
            with suppress(ConnectionError):
                await socket.send_str(frame.decode())

    async def watched(self, times: int) -> None:
        """Wait for so many WebSockets, in all."""
        await until(lambda: len(self.sockets) >= times)

    async def close(self) -> None:
        for socket in self.sockets:
            with suppress(ConnectionError):
                await socket.close(code=WSCloseCode.GOING_AWAY)

    def cut(self) -> None:
        """Break the connections off, as a dead network does."""
        for socket in self.sockets:
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()


def refusal(status: int, code: str, **headers: str) -> web.Response:
    return web.json_response({"error": "no", "code": code}, status=status, headers=headers)


@asynccontextmanager
async def streaming_relay(**options: Any) -> AsyncIterator[StreamingRelay]:
    relay = StreamingRelay(**options)
    await relay.start()
    try:
        yield relay
    finally:
        await relay.stop()


async def until(holds: Callable[[], object], what: Callable[[], str] = lambda: "it never came true") -> None:
    """Poll until it holds, within the deadline."""
    try:
        async with asyncio.timeout(60):
            while not holds():
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(what()) from None
