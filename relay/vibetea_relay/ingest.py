"""POST /events: the contract's checks in the contract's order, with limits of ours before the costly ones."""

import asyncio
import time
from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import web

from vibetea_protocol.freshness import HEADER, Stale, origin, verify_fresh
from vibetea_protocol.signing import InvalidEncoding, InvalidSignature, SigningError, verify
from vibetea_protocol.wire import WireError, WireEvent, parse
from vibetea_relay.bodies import LARGE, discard_body, read_body
from vibetea_relay.config import Limits
from vibetea_relay.limits import Share
from vibetea_relay.peers import peer
from vibetea_relay.refusals import Refusal, rate_limited, too_many
from vibetea_relay.state import BODIES, CONFIG, LIMITER, METRICS, REGISTRY, REQUESTS, STREAM, TURN
from vibetea_relay.stream import Receipt, TooLarge, Unavailable

UNAUTHORIZED = HTTPStatus.UNAUTHORIZED
HELD_SECONDS = 2.0
"""How long an answer may be held back."""


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
    limiter, address = request.app[LIMITER], peer(request)
    if wait := limiter.failures.wait(address) or limiter.addresses.take(address):
        raise rate_limited(wait, close=True)
    with Share(request.app[REQUESTS], address) as under_way:
        if not under_way.grow():
            raise too_many("requests at once")
        try:
            events = await _receive(request, address)
        except Refusal as refusal:
            if refusal.status is UNAUTHORIZED:
                limiter.failures.take(address)
            raise
        try:
            receipt = await request.app[STREAM].publish(events) if events else Receipt(0, 0)
        except TooLarge:
            text = "an event is larger than the stream of the relays can hold"
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "", text) from None
        except Unavailable:
            text = "the events could not be stored; try again"
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", text, retry=1) from None
        # who sent a little too much hears of it later, which costs less than a refusal of what comes next
        if events and (owed := limiter.events.wait(events[0].source)) <= HELD_SECONDS:
            await asyncio.sleep(owed)
        return receipt


async def _receive(request: web.Request, address: str) -> list[WireEvent]:
    """The events, once every check has passed. Raises Refusal."""
    try:
        source = _source(request)
    except Refusal:
        await discard_body(request)  # nobody known sent it; one that is too large is told so first
        raise
    with Share(request.app[BODIES], address) as share:
        body = await read_body(request, share)
        if len(body) < LARGE:
            return _check(request, address, source, body)
        async with request.app[TURN]:
            await asyncio.sleep(0)  # whoever else is ready comes between two of them
            return _check(request, address, source, body)


def _source(request: web.Request) -> str:
    """Whose request it says it is, as far as the head tells. Raises Refusal."""
    source = request.headers.get("X-Source-ID", "")
    if not source or not source.isascii():
        raise Refusal(UNAUTHORIZED, "missing_source", "X-Source-ID must name the source")
    if not request.app[CONFIG].unsafe_no_auth:
        if not request.headers.get("X-Signature"):
            raise Refusal(UNAUTHORIZED, "missing_signature", "X-Signature must hold the body's signature")
        _keys(request, source)
    return source


def _keys(request: web.Request, source: str) -> Sequence[bytes]:
    keys = request.app[REGISTRY].keys(source)
    if not keys:
        raise Refusal(UNAUTHORIZED, "unknown_source", "the source is not registered")
    return keys


def _check(request: web.Request, address: str, source: str, body: bytes) -> list[WireEvent]:
    config, limiter = request.app[CONFIG], request.app[LIMITER]
    if not config.unsafe_no_auth:
        _authenticate(request, source, address, body)
    if wait := limiter.sources.take(source) or limiter.events.wait(source):
        raise rate_limited(wait)
    events = _events(body, source, config.limits)
    limiter.events.take(source, many=len(events))
    return events


def _authenticate(request: web.Request, source: str, address: str, body: bytes) -> None:
    """Return if one of the source's keys signed the body, and the header of freshness too if there is one."""
    keys = _keys(request, source)  # again: they may have changed while the body came
    if wait := request.app[LIMITER].claims.take(address, source):
        raise rate_limited(wait)
    try:
        _verify_any(keys, body, request.headers["X-Signature"])
    except InvalidEncoding:
        raise Refusal(UNAUTHORIZED, "invalid_encoding", "X-Signature is not standard base64 with padding") from None
    except SigningError:
        raise Refusal(UNAUTHORIZED, "invalid_signature", "the signature does not verify") from None
    fresh = request.headers.get(HEADER)
    if fresh is not None:
        _verify_fresh(request, keys, body, fresh)
    elif request.app[CONFIG].require_fresh:
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
        raise Refusal(HTTPStatus.BAD_REQUEST, "clock_skew", "an event lies more than a day in the future")
    if any(event.source != source for event in events):
        raise Refusal(HTTPStatus.BAD_REQUEST, "source_mismatch", "an event's source is not that of X-Source-ID")
    return events
