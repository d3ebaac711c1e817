"""Drives a Datasette application's stream through bare ASGI: its own client waits for a body that never ends."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DEADLINE = 60.0


@dataclass
class Message:
    """One message of the stream; `id` is None if it had none and "" if it emptied it."""

    id: str | None = None
    event: str = "message"
    data: Any = None


@dataclass
class Answer:
    """What came back so far. `paused` holds the server up, as a client does that does not read."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    chunks: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    async def message(self) -> Message | None:
        """The next message, or None at the stream's end."""
        async with asyncio.timeout(DEADLINE):  # over heartbeats too
            while True:
                head, found, rest = self.body.partition(b"\n\n")
                if found:
                    self.body = rest
                    if message := _parsed(head.decode()):
                        return message
                elif chunk := await self.chunks.get():
                    self.body += chunk
                else:
                    return None

    async def until(self, event: str) -> list[Message]:
        """The messages before the next one of this kind."""
        messages = []
        while (message := await self.message()) and message.event != event:
            messages.append(message)
        assert message is not None, f"the stream ended before {event}"
        return messages

    async def seqs(self, count: int) -> list[int]:
        """The seqs of the next `count` events."""
        found: list[int] = []
        while len(found) < count:
            message = await self.message()
            assert message is not None, f"the stream ended after {found}"
            if message.event == "message":
                assert message.id in {None, str(message.data["seq"])}  # the first ones are no place
                found.append(message.data["seq"])
        return found

    async def rest(self) -> list[Message]:
        """Every message up to the end."""
        messages = []
        while message := await self.message():
            messages.append(message)
        return messages


def _parsed(text: str) -> Message | None:
    message = Message()
    lines = [line for line in text.split("\n") if not line.startswith((":", "retry:"))]
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            message.data = json.loads(value)
        elif name == "event":
            message.event = value
        elif name == "id":
            message.id = value
        else:
            raise AssertionError(f"a stray line: {line!r}")
    return message if lines else None


@asynccontextmanager
async def opened(
    app: Any, query: str = "", *, method: str = "GET", headers: dict[str, str] | None = None, path: str | None = None
) -> AsyncIterator[Answer]:
    """A request for the stream, which is closed by the client at the end."""
    path = path or "/-/vibetea/stream"
    sent = {"host": "127.0.0.1:8001", **(headers or {})}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8001),
    }
    answer = Answer()
    answer.reading.set()
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    incoming.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    async def send(message: dict[str, Any]) -> None:
        await answer.reading.wait()
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {bytes(name).decode().lower(): bytes(value).decode() for name, value in message["headers"]}
            answer.started.set()
            return
        if message.get("body"):
            answer.chunks.put_nowait(message["body"])
        if not message.get("more_body"):
            answer.finished.set()
            answer.chunks.put_nowait(b"")

    task = asyncio.create_task(app(scope, incoming.get, send))
    try:
        await asyncio.wait_for(answer.started.wait(), DEADLINE)
        yield answer
    finally:
        answer.reading.set()
        incoming.put_nowait({"type": "http.disconnect"})
        await asyncio.wait_for(task, DEADLINE)
