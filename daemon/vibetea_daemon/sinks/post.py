"""One signed request to a relay, and what its answer means."""

import socket
import threading
import time
from asyncio import AbstractEventLoop, Future, get_running_loop
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Any, Final, NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from vibetea_daemon import relay_answers
from vibetea_protocol import freshness, signing

MAX_ANSWER: Final = 65_536
"""Bytes of an answer that are read; a relay's has a few dozen."""
TIMEOUT: Final = aiohttp.ClientTimeout(total=30, connect=10, sock_connect=10, sock_read=10)
QUICK: Final = 4.0
"""Seconds of a request after which twice as much would be too much at once."""


class Verdict(Enum):
    """What to do next."""

    ACCEPTED = auto()
    REFUSED = auto()
    """It will never take these bytes."""
    AHEAD = auto()
    """It will take them once its clock has come closer to their timestamps."""
    LATER = auto()
    SLOW = auto()
    """Fewer bytes may get through."""
    UNWELCOME = auto()
    """It does not know us; asking again soon is useless."""
    STALE = auto()
    """Our clock and the relay's differ."""


class Answer(NamedTuple):
    """What came back.

    Args:
        why: for people, fixed words and numbers only.
        code: the relay's own word, or the HTTP status.
        wait: seconds the relay asked us to wait.
        clock: the relay's, in seconds since the epoch.
    """

    verdict: Verdict
    why: str = ""
    code: str = ""
    wait: float | None = None
    clock: float | None = None


class Relay:
    """Posts to one relay. Use it as a context, on an event loop."""

    def __init__(self, url: str, source: str, seed: bytes) -> None:
        self._url = f"{url}/events"
        self._audience = freshness.origin(url)
        self._source = source
        self._seed = seed
        self._key = signing.decode_key(signing.public_key(seed))
        self._session: aiohttp.ClientSession
        self.ahead = 0.0
        """Seconds the relay's clock is ahead of ours, as far as we know."""

    async def __aenter__(self) -> "Relay":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, resolver=_Resolver()),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=TIMEOUT,
            trust_env=False,
            auto_decompress=False,
            headers={"User-Agent": "vibetea", "Accept-Encoding": "identity", "Content-Type": "application/json"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def post(self, body: bytes, events: int) -> Answer:
        """Send a body of so many events; it is signed anew."""
        headers = {
            "X-Source-ID": self._source,
            "X-Signature": signing.sign(self._seed, body),
            freshness.HEADER: freshness.fresh_header(
                self._seed, self._key, self._audience, int(time.time() + self.ahead), body
            ),
        }
        begun = time.monotonic()
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                answer = await _read(response)
                return judge(response.status, response.headers, answer, events)
        except (aiohttp.ClientError, OSError) as error:
            reached = not isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
            why = relay_answers.told(error)
            if reached and time.monotonic() - begun > QUICK:
                return Answer(Verdict.SLOW, f"{why}, or the uplink is too slow")
            return Answer(Verdict.LATER, why)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The whole answer, up to a limit; what is cut short raises ClientPayloadError."""
    found = b""
    async for chunk in response.content.iter_chunked(8192):
        found += chunk
        if len(found) > MAX_ANSWER:
            break
    return found


def judge(status: int, headers: Mapping[str, str], body: bytes, events: int) -> Answer:
    """What an answer to so many events means."""
    code = relay_answers.code(body)
    told = f"{status} {code}".strip()
    verdict = Verdict.LATER
    match status:
        case 200 | 201 | 202:
            return _accepted(status, body, events)
        case 401 if code == "stale":
            return Answer(Verdict.STALE, "its clock and ours differ", code, clock=_date(headers))
        case 401 | 403:
            return Answer(Verdict.UNWELCOME, _unwelcome(told, code), code)
        case 400 if code == "clock_skew":
            why = f"it refuses events from more than a day ahead of its clock ({told}); they wait, check the clock"
            return Answer(Verdict.AHEAD, why, code, clock=_date(headers))
        case 400 | 413 | 422:
            return Answer(Verdict.REFUSED, f"it refuses what we send ({told})", code or str(status))
        case 408:
            verdict, why = Verdict.SLOW, f"the uplink is too slow for so much at once ({told})"
        case 429 | 503:
            why = f"it asks us to wait ({told})"
        case 301 | 302 | 303 | 307 | 308:
            why = f"it redirects ({status}), which is not followed; set the address it has moved to"
        case 404 | 405:
            why = f"there is no relay at this address ({told}); check VIBETEA_SERVER_URL, its path too"
        case _:
            why = f"it failed ({told})" if status >= 500 else f"it answers {told}, which no relay does"
    return Answer(verdict, why, code, relay_answers.retry_after(headers))


def _accepted(status: int, body: bytes, events: int) -> Answer:
    """A yes is true counts, or from older relays nothing at all; anything else comes from somebody in between."""
    if not body:
        return Answer(Verdict.ACCEPTED)
    said = relay_answers.said(body)
    counts = [said[name] for name in ("accepted", "duplicates") if type(said.get(name)) is int]
    if status != 202 or len(counts) < 2:
        return Answer(Verdict.LATER, f"something else answers in its place ({status}), such as a login page")
    if min(counts) < 0 or sum(counts) != events:
        return Answer(Verdict.LATER, "it took another number of events than was sent")
    return Answer(Verdict.ACCEPTED)


def _unwelcome(told: str, code: str) -> str:
    why = f"it does not accept this machine's signature ({told})"
    if code == "invalid_signature":
        why += "; it knows another key of this machine, or itself by another address (--public-url)"
    return why


def _date(headers: Mapping[str, str]) -> float | None:
    """The relay's clock, in seconds since the epoch."""
    try:
        return parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (ValueError, OverflowError):
        return None


class _Resolver(AbstractResolver):
    """Looks names up on threads nobody waits for: a name server that is silent must not delay the daemon's end."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = get_running_loop()
        found: Future[Any] = loop.create_future()
        threading.Thread(target=_look_up, args=(loop, found, host, port, family), daemon=True).start()
        return [
            ResolveResult(
                hostname=host,
                host=address[0],
                port=address[1],
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in await found
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _look_up(loop: AbstractEventLoop, found: "Future[Any]", host: str, port: int, family: int) -> None:
    try:
        addresses: Any = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # a name that cannot be written in IDNA is none
        addresses = error

    def tell() -> None:
        if found.done():  # the daemon ends, or it took too long
            return
        if isinstance(addresses, Exception):
            found.set_exception(addresses)
        else:
            found.set_result(addresses)

    with suppress(RuntimeError):  # the loop is gone
        loop.call_soon_threadsafe(tell)
