"""POST /events: the contract's checks in the contract's order, with limits of ours before the costly ones."""

import asyncio
import time
from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import web
from aiohttp.http_exceptions import PayloadEncodingError

from vibetea_protocol.freshness import HEADER, Stale, origin, verify_fresh
from vibetea_protocol.signing import InvalidEncoding, InvalidSignature, SigningError, verify
from vibetea_protocol.wire import WireError, WireEvent, parse
from vibetea_relay.config import Limits
from vibetea_relay.peers import peer
from vibetea_relay.refusals import Refusal
from vibetea_relay.state import CONFIG, LIMITER, METRICS, REGISTRY, STREAM
from vibetea_relay.stream import Receipt, Unavailable

UNAUTHORIZED = HTTPStatus.UNAUTHORIZED


async def post_events(request: web.Request) -> web.Response:
    """Take one event or an array of events; 202 with how many were new. Raises Refusal."""
    metrics = request.app[METRICS]
    try:
        receipt = await _accept(request)
    except Refusal as refusal:
        metrics.refused(refusal.code or str(int(refusal.status)))
        raise
    metrics.accepted(receipt)
    body = b'{"accepted": %d, "duplicates": %d}' % receipt
    return web.Response(body=body, status=HTTPStatus.ACCEPTED, content_type="application/json")


async def _accept(request: web.Request) -> Receipt:
    config, limiter = request.app[CONFIG], request.app[LIMITER]
    address = peer(request)
    if wait := limiter.failures.wait(address) or limiter.addresses.take(address):
        raise _too_many(wait, close=True)
    body = await _body(request, config.limits)
    source = request.headers.get("X-Source-ID", "")
    if not source or not source.isascii():
        raise Refusal(UNAUTHORIZED, "missing_source", "X-Source-ID must name the source")
    if not config.unsafe_no_auth:
        try:
            _authenticate(request, source, address, body)
        except Refusal as refusal:
            if refusal.status is UNAUTHORIZED:
                limiter.failures.take(address)
            raise
    if wait := limiter.sources.take(source):
        raise _too_many(wait)
    events = _events(body, source, config.limits)
    try:
        return await request.app[STREAM].publish(events) if events else Receipt(0, 0)
    except Unavailable:
        raise Refusal(
            HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "the events could not be stored; try again", retry=1
        ) from None


async def _body(request: web.Request, limits: Limits) -> bytes:
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", "the body must not be compressed", close=True
        )
    if (request.content_length or 0) > limits.body:
        raise _too_large(limits)
    try:
        # most bodies are there with their head, and a timer costs more than their parsing
        async with asyncio.timeout(None if request.content.is_eof() else limits.body_seconds):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(limits) from None
    except TimeoutError:
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "timeout", "the body took too long", close=True) from None
    except (web.RequestPayloadError, PayloadEncodingError):
        raise Refusal(HTTPStatus.BAD_REQUEST, "invalid_format", "the body is ill-formed HTTP", close=True) from None


def _authenticate(request: web.Request, source: str, address: str, body: bytes) -> None:
    """Return if one of the source's keys signed the body, and the header of freshness too if there is one."""
    config = request.app[CONFIG]
    signature = request.headers.get("X-Signature")
    if not signature:
        raise Refusal(UNAUTHORIZED, "missing_signature", "X-Signature must hold the body's signature")
    keys = request.app[REGISTRY].keys(source)
    if not keys:
        raise Refusal(UNAUTHORIZED, "unknown_source", "the source is not registered")
    if wait := request.app[LIMITER].claims.take(address, source):
        raise _too_many(wait)
    try:
        _verify_any(keys, body, signature)
    except InvalidEncoding:
        raise Refusal(UNAUTHORIZED, "invalid_encoding", "X-Signature is not standard base64 with padding") from None
    except SigningError:
        raise Refusal(UNAUTHORIZED, "invalid_signature", "the signature does not verify") from None
    fresh = request.headers.get(HEADER)
    if fresh is not None:
        _verify_fresh(request, keys, body, fresh)
    elif config.require_fresh:
        raise Refusal(UNAUTHORIZED, "missing_signature", f"this relay requires the {HEADER} header")


def _verify_any(keys: Sequence[bytes], body: bytes, signature: str) -> None:
    for key in keys[:-1]:
        try:
            return verify(key, body, signature)
        except InvalidSignature:
            continue
    return verify(keys[-1], body, signature)


def _verify_fresh(request: web.Request, keys: Sequence[bytes], body: bytes, header: str) -> None:
    for audience in _audiences(request):
        try:
            return verify_fresh(list(keys), audience, int(time.time()), body, header)
        except Stale:
            text = "the request is too old or from the future; see the Date header"
            raise Refusal(UNAUTHORIZED, "stale", text) from None
        except InvalidSignature:
            continue
    text = f"{HEADER} does not verify; was it signed for this relay's public address?"
    raise Refusal(UNAUTHORIZED, "invalid_signature", text)


def _audiences(request: web.Request) -> Sequence[str]:
    """The relay's address; if it was not told, the name it was called by, and TLS may end at a proxy."""
    if public := request.app[CONFIG].public_url:
        return [public]
    try:
        return [origin(f"{scheme}://{request.host}") for scheme in ("https", "http")]
    except ValueError:
        return []


def _events(body: bytes, source: str, limits: Limits) -> list[WireEvent]:
    try:
        events = parse(body)
    except WireError as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, "invalid_format", str(error)) from None
    latest = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + limits.ahead_seconds))
    if any(event.timestamp[: len(latest)] > latest for event in events):
        raise Refusal(HTTPStatus.BAD_REQUEST, "invalid_format", "an event lies more than a day in the future")
    if any(event.source != source for event in events):
        raise Refusal(HTTPStatus.BAD_REQUEST, "source_mismatch", "an event's source is not that of X-Source-ID")
    return events


def _too_large(limits: Limits) -> Refusal:
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "", f"the body is over {limits.body} bytes", close=True)


def _too_many(wait: float, *, close: bool = False) -> Refusal:
    return Refusal(
        HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", "too many requests; see Retry-After", retry=wait, close=close
    )
