"""The live stream: Server-Sent Events, one per row of `events`, with the row's seq as the event's id.

Beside the rows it sends `live` once the past has been told, `reset` when the reader's place is gone, and `state` with
`{"state": "missing" | "ambiguous"}` when there is no database to read, or with `{"state": "no_daemon"}` as long as
nobody writes to it, which another `live` ends.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from datasette import Response

from datasette_vibetea import access, database, guard
from datasette_vibetea.hub import LIVE, RESET, Batch, Client, Hub

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

PATH: Final = "/-/vibetea/stream"
FIRST_EVENTS: Final = 200
HEARTBEAT_SECONDS: Final = 15.0
RETRY: Final = b"retry: 1000\n\n"
HEARTBEAT: Final = b":\n\n"
_SEQ: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_START: Final = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),
    ],
}


def view(datasette: Any) -> Callable[..., Awaitable[Response | None]]:
    """The view of one Datasette application, with a hub for each database file it comes to read.

    The header Last-Event-ID, or else `?since=`, names the seq to resume after; without either the latest
    FIRST_EVENTS events by their own time come first.
    """
    hubs: dict[Path, Hub] = {}

    async def stream(request: Any, send: guard.Send, receive: guard.Receive) -> Response | None:
        if request.method != "GET":
            return Response.text("Only GET.\n", status=405, headers={"allow": "GET"})
        if guard.foreign(request.scope["headers"]):
            return Response.text("Not for pages of another origin.\n", status=403)
        resume = request.headers.get("last-event-id") or request.args.get("since") or ""
        if resume and not _SEQ.fullmatch(resume):
            return Response.text("since is a whole number.\n", status=400)
        try:
            attached = await database.find(datasette)
        except database.NoDatabase as absent:
            await access.require_instance(datasette, request.actor)
            chunks = _absent(absent.state)
        else:
            await access.require_events(datasette, request.actor, attached.name)
            hub = hubs.setdefault(attached.path, Hub(attached.path))
            chunks = _chunks(hub, attached.path, int(resume) if resume else None)
        await _send(chunks, send, receive)
        return None

    return stream


async def _send(chunks: AsyncGenerator[bytes], send: guard.Send, receive: guard.Receive) -> None:
    """Answer with these chunks until they end or the reader goes; a silent reader's going shows only in `receive`."""
    told = asyncio.create_task(_tell(chunks, send))
    gone = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait((told, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()
        gone.cancel()
        await asyncio.gather(told, gone, return_exceptions=True)


async def _tell(chunks: AsyncGenerator[bytes], send: guard.Send) -> None:
    await send(_START)
    async with aclosing(chunks):
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _disconnected(receive: guard.Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _chunks(hub: Hub, path: Path, since: int | None) -> AsyncGenerator[bytes]:
    """Join the hub first, tell the past second, then what the hub brings and was not told: no gap, no double."""
    yield RETRY
    seq = since or 0
    try:
        async with hub.join() as client, aclosing(_past(client, path, since)) as past:
            async for batch in past:
                seq = batch[-1].seq
                yield b"".join(frame.data for frame in batch)
            yield LIVE
            async with aclosing(_live(client, seq)) as live:
                async for chunk in live:
                    yield chunk
    except database.Replaced:
        yield RESET
    except (sqlite3.Error, OSError):
        yield _state("missing")


async def _past(client: Client, path: Path, since: int | None) -> AsyncGenerator[Batch]:
    """What is committed already, on a connection of its own: a long past holds nobody else up."""
    with await asyncio.to_thread(database.Reader, path) as reader:
        newest = await asyncio.to_thread(reader.newest)
        if since is None:
            seq = newest
            if latest := await asyncio.to_thread(reader.latest, FIRST_EVENTS, newest):
                yield latest
        elif since > newest:
            raise database.Replaced
        else:
            seq = since
        more = True
        while more and not client.ended:
            batch = await asyncio.to_thread(reader.page, seq)
            more = len(batch) == database.PAGE_ROWS
            if batch:
                seq = batch[-1].seq
                yield batch


async def _live(client: Client, seq: int) -> AsyncGenerator[bytes]:
    while True:
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                item = await client.next()
        except TimeoutError:
            yield HEARTBEAT
            continue
        if isinstance(item, bytes):
            last = client.ended
            yield item
            if last:
                return
            continue
        fresh = [frame.data for frame in item if frame.seq > seq]
        if fresh:
            seq = item[-1].seq
            yield b"".join(fresh)


async def _absent(state: str) -> AsyncGenerator[bytes]:
    yield RETRY
    yield _state(state)


def _state(state: str) -> bytes:
    return f'event: state\ndata: {{"state":"{state}"}}\n\n'.encode()
