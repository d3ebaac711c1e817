"""A request's body: bounded in bytes, in time, and in what all that come at once may hold."""

import asyncio
from http import HTTPStatus
from typing import Final

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import PayloadEncodingError

from vibetea_relay.config import Limits
from vibetea_relay.limits import Share
from vibetea_relay.refusals import Refusal, too_many
from vibetea_relay.state import CONFIG

LARGE: Final = 65_536
"""Bytes from which on a body is counted, and waits for its turn: the event loop is held for milliseconds."""


async def read_body(request: web.Request, share: Share) -> bytes:
    """The body; what it holds is counted as a share of what may be held. Raises Refusal."""
    return await _read(request, share)


async def discard_body(request: web.Request) -> None:
    """Take the body and keep nothing: its sender gets to read an answer that is known already. Raises Refusal."""
    await _read(request, None)


async def _read(request: web.Request, share: Share | None) -> bytes:
    limits, content = request.app[CONFIG].limits, request.content
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        text = "the body must not be compressed"
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", text, close=True)
    if (request.content_length or 0) > limits.body:
        raise _too_large(limits)
    try:
        # most bodies are there with their head, and counting and a timer cost more than their parsing
        if content.is_eof() and content.total_bytes < LARGE:
            return content.read_nowait()
        return await _gather(content, share, limits)
    except TimeoutError:
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "timeout", "the body took too long", close=True) from None
    except (web.RequestPayloadError, PayloadEncodingError):
        raise Refusal(HTTPStatus.BAD_REQUEST, "invalid_format", "the body is ill-formed HTTP", close=True) from None


async def _gather(content: StreamReader, share: Share | None, limits: Limits) -> bytes:
    time = asyncio.get_running_loop().time
    end, size, kept = time() + limits.body_seconds, 0, bytearray()
    async with asyncio.timeout(None) as timer:
        while True:
            timer.reschedule(min(end, time() + limits.silence_seconds))
            piece = await content.readany()
            if not piece:
                return bytes(kept)
            size += len(piece)
            if size > limits.body:
                raise _too_large(limits)
            if share is not None:
                if not share.grow(len(piece)):
                    raise too_many("bodies at once")
                kept += piece


def _too_large(limits: Limits) -> Refusal:
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "", f"the body is over {limits.body} bytes", close=True)
