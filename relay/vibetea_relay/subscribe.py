"""GET /ws: who may watch, what they ask for, and how much they may say."""

import asyncio
import re
from contextlib import suppress
from http import HTTPStatus
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from vibetea_protocol.freshness import origin
from vibetea_relay.config import Limits
from vibetea_relay.hub import Watcher
from vibetea_relay.limits import Buckets
from vibetea_relay.peers import peer
from vibetea_relay.refusals import Refusal, too_many
from vibetea_relay.state import CONFIG, HUB, WATCHERS
from vibetea_relay.stream import Unavailable, Wish
from vibetea_relay.tokens import authorise

BURST_SECONDS: Final = 6
"""For so long a watcher may have been silent and say it all at once."""
_NUMBER: Final = re.compile(r"[0-9]{1,16}", re.ASCII)


async def subscribe(request: web.Request) -> web.WebSocketResponse:
    """Send events as they come, before them those after `?after=` or the newest `?last=`, until either side closes.

    Raises Refusal.
    """
    address = peer(request)
    if not request.app[CONFIG].unsafe_no_auth:
        authorise(request, address)
    page = request.headers.get("Origin")
    if page is not None and not _is_allowed(request, page):
        raise Refusal(HTTPStatus.FORBIDDEN, "invalid_origin", "pages of this origin may not watch")
    wish, after, last = _wish(request), _after(request), _last(request)
    watchers = request.app[WATCHERS]
    if not watchers.enter(address):
        raise too_many("watchers")
    try:
        if last:
            after = await _before(request, last, wish)
        return await _serve(request, wish, after)
    finally:
        watchers.leave(address)


def _is_allowed(request: web.Request, page: str) -> bool:
    """Whether a browser's page is one of ours or one that was named; other programs send no Origin."""
    config = request.app[CONFIG]
    own = {config.public_url} if config.public_url else {f"{scheme}://{request.host}" for scheme in ("http", "https")}
    try:
        return origin(page) in config.allowed_origins | {origin(url) for url in own}
    except ValueError:
        return False


def _wish(request: web.Request) -> Wish:
    query = request.query
    session, tool = query.get("session"), query.get("tool")
    return Wish(
        query.get("source") or None,
        query.get("type") or None,
        query.get("project") or None,
        b'"sessionId":' + msgspec.json.encode(session)[:-1] if session else None,  # its beginning
        b'"tool":' + msgspec.json.encode(tool) if tool else None,
    )


def _after(request: web.Request) -> int | None:
    text = request.query.get("after")
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise Refusal(HTTPStatus.BAD_REQUEST, "invalid_after", "after must be a whole number: an event's seq")
    return int(text)


def _last(request: web.Request) -> int:
    """How many events are to come before the live ones."""
    text, most = request.query.get("last"), request.app[CONFIG].limits.last
    if text is None:
        return 0
    if "after" in request.query:
        raise Refusal(HTTPStatus.BAD_REQUEST, "invalid_last", "last and after exclude each other")
    if not _NUMBER.fullmatch(text) or int(text) > most:
        raise Refusal(HTTPStatus.BAD_REQUEST, "invalid_last", f"last must be a whole number, {most} at most")
    return int(text)


async def _before(request: web.Request, last: int, wish: Wish) -> int:
    try:
        return await request.app[HUB].before(last, wish)
    except Unavailable:
        text = "the history cannot be read now; try again"
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", text, retry=1) from None


async def _serve(request: web.Request, wish: Wish, after: int | None) -> web.WebSocketResponse:
    limits, hub = request.app[CONFIG].limits, request.app[HUB]
    if "Sec-WebSocket-Protocol" in request.headers:  # a browser would not go on without, and aiohttp would log it
        raise Refusal(HTTPStatus.BAD_REQUEST, "invalid_protocol", "there are no sub-protocols here")
    socket = web.WebSocketResponse(
        timeout=limits.farewell_seconds,
        heartbeat=limits.ping_seconds,
        autoping=False,
        compress=False,
        max_msg_size=limits.message,
    )
    if not socket.can_prepare(request):
        raise Refusal(HTTPStatus.BAD_REQUEST, "invalid_upgrade", "this is a WebSocket")
    writer = await socket.prepare(request)
    transport = request.transport
    if transport is None:
        return socket
    # the system would take megabytes for a watcher that reads slowly, and pings would come after all of them
    transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_SNDBUF, limits.socket)
    hearing = asyncio.create_task(_hear(socket, limits))
    watcher = Watcher(socket, transport, writer, hearing, wish, after)
    hub.enter(watcher)
    try:
        await asyncio.wait([hearing])
    finally:
        hearing.cancel()
        await hub.leave(watcher)
    return socket


async def _hear(socket: web.WebSocketResponse, limits: Limits) -> None:
    """Answer pings and wait for the end; whoever talks too much is closed."""
    rate = limits.messages_per_second
    allowance = Buckets(rate, rate * BURST_SECONDS, most=1, idle=float("inf"))
    while True:
        message = await socket.receive()
        if message.type in {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR}:
            return
        if allowance.take():
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, drain=False)
            return
        if message.type is WSMsgType.PING:
            with suppress(ConnectionError):
                await socket.pong(message.data)
