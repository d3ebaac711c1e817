"""The live stream: Server-Sent Events, one per row of `events`, with the row's seq as the event's id.

Only the latest, with which a reader without a place begins, have none: whoever loses the connection among them begins
anew. Beside the rows it sends `live` once the past has been told, `beat` when it has been silent for a while, both with
the place to go on after as their id; `reset` when the reader's place is gone; and `state` with
`{"state": "missing" | "ambiguous"}` when there is no database to read, or with `{"state": "no_daemon"}` as long as
nobody writes to it, which another `live` ends.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from datasette import Response

from datasette_vibetea import access, database, guard, rows
from datasette_vibetea.filters import BadFilter, Filters
from datasette_vibetea.hub import RESET, Client, Hub

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

PATH: Final = "/-/vibetea/stream"
FIRST_EVENTS: Final = 200
HEARTBEAT_SECONDS: Final = 15.0
RETRY: Final = b"retry: 1000\n\n"
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


def view() -> Callable[..., Awaitable[Response | None]]:
    """The view, with a hub for each database file it comes to read.

    The header Last-Event-ID, or else `?since=`, names the seq to resume after; without either the latest
    FIRST_EVENTS events by their own time come first. Of all these only those come that match the filters.
    """
    hubs: dict[Path, Hub] = {}

    async def stream(datasette: Any, request: Any, send: guard.Send, receive: guard.Receive) -> Response | None:
        if request.method != "GET":
            return Response.text("Only GET.\n", status=405, headers={"allow": "GET"})
        if guard.foreign(request.scope["headers"]):
            return Response.text("Not for pages of another origin.\n", status=403)
        resume = request.headers.get("last-event-id") or request.args.get("since") or ""
        if resume and not _SEQ.fullmatch(resume):
            return Response.text("since is a whole number.\n", status=400)
        try:
            filters = Filters.parse(request.args)
        except BadFilter as bad:
            return Response.text(f"{bad}.\n", status=400)
        try:
            attached = await database.find(datasette)
        except database.NoDatabase as absent:
            await access.require_instance(datasette, request.actor)
            chunks = _absent(absent.state)
        else:
            await access.require_events(datasette, request.actor, attached.name)
            hub = hubs.setdefault(attached.path, Hub(attached.path))
            chunks = _chunks(hub, attached.path, filters, int(resume) if resume else None)
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


async def _chunks(hub: Hub, path: Path, filters: Filters, since: int | None) -> AsyncGenerator[bytes]:
    """Join the hub first, tell the past second, then what the hub brings and was not told: no gap, no double."""
    yield RETRY
    seq = since or 0
    try:
        async with hub.join() as client, aclosing(_past(client, path, filters, since)) as past:
            async for place, chunk in past:
                seq = place
                if chunk:
                    yield chunk
            yield _place(seq, b"live")
            async with aclosing(_live(client, filters, seq)) as live:
                async for chunk in live:
                    yield chunk
    except database.Replaced:
        yield RESET
    except (sqlite3.Error, OSError):
        yield _state("missing")


async def _past(client: Client, path: Path, filters: Filters, since: int | None) -> AsyncGenerator[tuple[int, bytes]]:
    """Places with what is committed up to there, on a connection of its own: a long past holds nobody else up."""
    with await asyncio.to_thread(database.Reader, path) as reader:
        if since is None:
            newest, first = await asyncio.to_thread(reader.ask, partial(_first, filters=filters))
            seq = newest
            yield seq, first
        else:
            newest, seq = await asyncio.to_thread(reader.newest), since
            if since > newest:
                raise database.Replaced
        more = True
        while more and not client.ended:
            events = await asyncio.to_thread(reader.ask, partial(rows.after, filters=filters, seq=seq))
            more = len(events) == database.PAGE_ROWS
            seq = events[-1]["seq"] if events else seq
            # whatever matches up to the newest of then is told
            yield seq if more else max(seq, newest), b"".join(database.frame(event).data for event in events)


def _first(connection: sqlite3.Connection, filters: Filters) -> tuple[int, bytes]:
    """The newest seq, and the latest matching events by their own time, which is not that of imports, oldest first.

    They have no id: none of them is the place to go on after before all of them were told.
    """
    newest = database.newest(connection)
    latest = rows.latest(connection, filters, FIRST_EVENTS)
    return newest, b"".join(database.frame(event, placed=False).data for event in reversed(latest))


async def _live(client: Client, filters: Filters, seq: int) -> AsyncGenerator[bytes]:
    clock = asyncio.get_running_loop().time
    due = clock() + HEARTBEAT_SECONDS
    while True:
        ended = False
        try:
            async with asyncio.timeout_at(due):
                item = await client.next()
        except TimeoutError:
            chunk = _place(seq, b"beat")
        else:
            ended = client.ended
            if isinstance(item, bytes):
                chunk = item
            else:
                chunk = b"".join(frame.data for frame in item if frame.seq > seq and filters.match(frame.names))
                seq = max(seq, item[-1].seq)
        if chunk:
            yield chunk
            due = clock() + HEARTBEAT_SECONDS
        if ended:
            return


def _place(seq: int, name: bytes) -> bytes:
    return b"id: %d\nevent: %b\ndata: {}\n\n" % (seq, name)


async def _absent(state: str) -> AsyncGenerator[bytes]:
    yield RETRY
    yield _state(state)


def _state(state: str) -> bytes:
    return f'event: state\ndata: {{"state":"{state}"}}\n\n'.encode()
