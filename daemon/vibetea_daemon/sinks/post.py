"""One signed request to a relay, and what its answer means."""

import json
import re
import socket
import ssl
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

from vibetea_protocol import freshness, signing

MAX_ANSWER: Final = 65_536
"""Bytes of an answer that are read; a relay's has a few dozen."""
MAX_RETRY_AFTER: Final = 900.0
TIMEOUT: Final = aiohttp.ClientTimeout(total=120, connect=10, sock_connect=10, sock_read=10)
_CODE: Final = re.compile(r"[a-z][a-z_]{0,39}\Z")
_SECONDS: Final = re.compile(r"[0-9]{1,9}\Z", re.ASCII)


class Verdict(Enum):
    """What to do next."""

    ACCEPTED = auto()
    REFUSED = auto()
    """It will never take these bytes."""
    LATER = auto()
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
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                answer = await _read(response)
                return judge(response.status, response.headers, answer, events)
        except (aiohttp.ClientError, OSError) as error:
            return Answer(Verdict.LATER, _told(error))


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
    said = _json(body)
    code = said.get("code") if isinstance(said, dict) else None
    code = code if isinstance(code, str) and _CODE.match(code) else ""
    told = f"{status} {code}".strip()
    match status:
        case 200 | 201 | 202:
            return _accepted(body, said, events)
        case 401 if code == "stale":
            return Answer(Verdict.STALE, "its clock and ours differ", code, clock=_date(headers.get("Date", "")))
        case 401 | 403:
            return Answer(Verdict.UNWELCOME, f"it does not accept this machine's signature ({told})", code)
        case 400 | 413 | 422:
            return Answer(Verdict.REFUSED, f"it refuses what we send ({told})", code or str(status))
        case 429 | 503:
            why = f"it asks us to wait ({told})"
        case 301 | 302 | 303 | 307 | 308:
            why = f"it redirects ({status}), which is not followed; set the address it has moved to"
        case _:
            why = f"it failed ({told})" if status >= 500 else f"there is no relay at this address ({told})"
    return Answer(Verdict.LATER, why, code, _wait(headers.get("Retry-After", "")))


def _accepted(body: bytes, said: Any, events: int) -> Answer:
    """Older relays answer with nothing; what is neither that nor JSON comes from somebody in between."""
    if body and not isinstance(said, dict):
        return Answer(Verdict.LATER, "something else answers in its place")
    counts = [said[name] for name in ("accepted", "duplicates") if name in said] if body else []
    if counts and (not all(type(count) is int for count in counts) or sum(counts) != events):
        return Answer(Verdict.LATER, "it took another number of events than was sent")
    return Answer(Verdict.ACCEPTED)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _wait(text: str) -> float | None:
    """Whole seconds, from one to the most we wait; None if it says anything else."""
    return min(max(float(text), 1.0), MAX_RETRY_AFTER) if _SECONDS.match(text) else None


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _told(error: Exception) -> str:
    for kinds, words in _WORDS:
        if isinstance(error, kinds):
            return words
    return "the connection broke"


_WORDS: Final[tuple[tuple[tuple[type[Exception], ...], str], ...]] = (
    ((aiohttp.ClientConnectorDNSError, socket.gaierror), "its name cannot be looked up"),
    ((aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError), "its certificate is not valid"),
    ((aiohttp.ClientSSLError, ssl.SSLError), "no secure connection comes about"),
    ((TimeoutError,), "it does not answer in time"),
    ((aiohttp.ClientPayloadError,), "its answer was cut short"),
    ((aiohttp.ClientConnectorError,), "it cannot be reached"),
)


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
    except OSError as error:
        addresses = error

    def tell() -> None:
        if found.done():  # the daemon ends, or it took too long
            return
        if isinstance(addresses, OSError):
            found.set_exception(addresses)
        else:
            found.set_result(addresses)

    with suppress(RuntimeError):  # the loop is gone
        loop.call_soon_threadsafe(tell)
