"""One signed request to a server, and what comes back."""

import socket
import threading
import time
from abc import ABC, abstractmethod
from asyncio import AbstractEventLoop, Future, get_running_loop
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum, auto
from typing import Any, ClassVar, Final, NamedTuple, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from vibetea_daemon import answers
from vibetea_protocol import signing

MAX_ANSWER: Final = 65_536
"""Bytes of an answer that are read; it has a few dozen."""
QUICK: Final = 4.0
"""Seconds of a request after which twice as much would be too much at once."""


class Verdict(Enum):
    """What to do next."""

    ACCEPTED = auto()
    REFUSED = auto()
    """It will never take these bytes."""
    FORBIDDEN = auto()
    """Something before it takes none of ours, or never these bytes."""
    AHEAD = auto()
    """It will take them once its clock has come closer to their timestamps."""
    LATER = auto()
    SLOW = auto()
    """Fewer bytes may get through."""
    UNWELCOME = auto()
    """It does not know us; asking again soon is useless."""
    STALE = auto()
    """Our clock and the server's differ."""


class Answer(NamedTuple):
    """What came back.

    Args:
        why: for people, fixed words and numbers only.
        code: the server's own word, or the HTTP status.
        wait: seconds the server asked us to wait.
        clock: the server's, in seconds since the epoch.
    """

    verdict: Verdict
    why: str = ""
    code: str = ""
    wait: float | None = None
    clock: float | None = None


class Server(ABC):
    """Posts to one server. Use it as a context, on an event loop.

    Args:
        address: as the settings have it; `url` is where its events go.
    """

    name: ClassVar[str]
    """In `vibetea status`."""
    title: ClassVar[str]
    """In sentences."""
    timeout: ClassVar[aiohttp.ClientTimeout]

    def __init__(self, address: str, url: str, source: str, seed: bytes) -> None:
        self.address = address
        self._url = url
        self._source = source
        self._seed = seed
        self._session: aiohttp.ClientSession
        self.ahead = 0.0
        """Seconds its clock is ahead of ours, as far as we know."""
        self.heard = False
        """Whether it has said what its clock is."""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, resolver=_Resolver()),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self.timeout,
            trust_env=False,
            auto_decompress=False,
            headers={"User-Agent": "vibetea", "Accept-Encoding": "identity", "Content-Type": "application/json"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def post(self, body: bytes, events: int) -> Answer:
        """Send a body of so many events; it is signed anew."""
        signature = {"X-Source-ID": self._source, "X-Signature": signing.sign(self._seed, body)}
        headers = signature | self._headers(body)
        begun = time.monotonic()
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                answer = await _read(response)
                return self._judge(response.status, response.headers, answer, events)
        except (aiohttp.ClientError, OSError) as error:
            reached = not isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
            why = answers.told(error)
            if reached and time.monotonic() - begun > QUICK:
                return Answer(Verdict.SLOW, f"{why}, or the uplink is too slow")
            return Answer(Verdict.LATER, why)

    def _headers(self, body: bytes) -> dict[str, str]:
        """What a request has beside its signature."""
        return {}

    @abstractmethod
    def _judge(self, status: int, headers: Mapping[str, str], body: bytes, events: int) -> Answer:
        """What an answer to so many events means."""


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The whole answer, up to a limit; what is cut short raises ClientPayloadError."""
    found = b""
    async for chunk in response.content.iter_chunked(8192):
        found += chunk
        if len(found) > MAX_ANSWER:
            break
    return found


def judge_any(status: int, headers: Mapping[str, str], code: str, *, what: str, setting: str) -> Answer:
    """What an answer means that any server may give, or none of ours.

    `code` is its own word, if it said one; `setting` has the address of what should be a `what`.
    """
    told = f"{status} {code}".strip()
    verdict = Verdict.LATER
    match status:
        case 400 | 413 | 422:
            return Answer(Verdict.REFUSED, f"it refuses what we send ({told})", code or str(status))
        case 408:
            verdict, why = Verdict.SLOW, f"the uplink is too slow for so much at once ({told})"
        case 429 | 503:
            why = f"it asks us to wait ({told})"
        case 301 | 302 | 303 | 307 | 308:
            why = f"it redirects ({status}), which is not followed; set the address it has moved to"
        case 404 | 405:
            why = f"there is no {what} at this address ({told}); check {setting}, its path too"
        case _:
            why = f"it failed ({told})" if status >= 500 else f"it answers {told}, which no {what} does"
    return Answer(verdict, why, code, answers.retry_after(headers))


def something_else(status: int) -> Answer:
    """A yes that is not the server's own."""
    return Answer(Verdict.LATER, f"something else answers in its place ({status}), such as a login page")


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
