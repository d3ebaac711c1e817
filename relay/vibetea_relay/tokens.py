"""Who may watch: named tokens, of which only digests are held."""

from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from http import HTTPStatus

from aiohttp import web

from vibetea_relay.refusals import Refusal, rate_limited
from vibetea_relay.state import CONFIG, LIMITER


def digest(token: str) -> bytes:
    """What is held of a token: SHA-256, which needs no stretching over 128 random bits."""
    return sha256(token.encode("utf-8", "surrogateescape")).digest()


def authorise(request: web.Request, address: str) -> None:
    """Return if the request brings a token that is known; guesses are limited by address. Raises Refusal."""
    failures = request.app[LIMITER].failures
    if wait := failures.wait(address):
        raise rate_limited(wait, close=True)
    token = offered(request)
    if not token:
        raise Refusal(HTTPStatus.UNAUTHORIZED, "missing_token", "a subscriber's token is required")
    if holder(request.app[CONFIG].tokens, token) is None:
        failures.take(address)
        raise Refusal(HTTPStatus.UNAUTHORIZED, "invalid_token", "the token is not known")


def offered(request: web.Request) -> str:
    """The token a request brings, in `Authorization: Bearer` or in the query, trimmed; "" if there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        token = request.query.get("token", "")
    return token.strip()


def holder(tokens: Mapping[str, bytes], token: str) -> str | None:
    """Whose token it is; None if nobody's. Takes the same time whichever it is."""
    wanted, found = digest(token), None
    for name, known in tokens.items():
        if compare_digest(known, wanted):
            found = name
    return found
