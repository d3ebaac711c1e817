"""A relay's live stream: a WebSocket that comes back by itself and goes on where it left off."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, suppress
from typing import Annotated, Final, NamedTuple

import aiohttp
import msgspec
from yarl import URL

from vibetea_daemon import answers
from vibetea_daemon.backoff import backoff
from vibetea_daemon.config import ConfigError, Setting, server_address

TOKEN: Final = "VIBETEA_SUBSCRIBER_TOKEN"  # noqa: S105  the setting's name
HANDSHAKE_SECONDS: Final = 20.0
HEARTBEAT_SECONDS: Final = 20.0
"""A ping after so much silence; without an answer in half of it the connection is given up."""
FAREWELL_SECONDS: Final = 1.0
"""A relay that does not answer our good-bye must not keep anybody waiting."""
MAX_FRAME: Final = 2 * 1024 * 1024
"""Bytes; a relay takes no event of more than one MiB."""
SETTLED: Final = 60.0
"""Seconds after which a connection that brought nothing counts as a good one."""
_PASSING: Final = frozenset({408, 425, 429})


class RelayRefused(Exception):
    """The relay will not serve us, now or later; the text says what to do and holds no token."""


class Online(NamedTuple):
    """Connected. `missed`: it was lost before, and there is no place to go on from."""

    missed: bool


class Offline(NamedTuple):
    """Not connected, for this reason; the next attempt is in so many seconds."""

    reason: str
    wait: float


class Gap(NamedTuple):
    """The relay no longer has what came between these two places in the stream."""

    after: int
    next: int


class Frame(NamedTuple):
    """What the relay sent, with its place in the stream; an older relay names none. It may be no event at all."""

    seq: int | None
    data: bytes


Item = Online | Offline | Gap | Frame


def told(item: Online | Offline | Gap) -> str:
    """What became of the connection, in words."""
    match item:
        case Online(missed=True):
            return "Connected again; what happened meanwhile may be missing."
        case Online():
            return "Connected to the relay."
        case Offline(reason, wait):
            return f"No connection to the relay: {reason}; trying again in {wait:.0f} s."
        case Gap(after, following):
            return f"A gap: the relay no longer has what came between {after} and {following}."


_Place = Annotated[int, msgspec.Meta(ge=0, lt=10**16)]


class _Gap(msgspec.Struct):
    after: _Place
    next: Annotated[int, msgspec.Meta(ge=1, lt=10**16)]


class _Head(msgspec.Struct):
    """The keys of a frame that are about the stream."""

    seq: _Place | None = None
    gap: _Gap | None = None


class _Answer(Exception):
    """Something other than a WebSocket: the status, the error's code, and the seconds of `Retry-After`."""

    def __init__(self, status: int, code: str, retry_after: float) -> None:
        super().__init__(status)
        self.status = status
        self.code = code
        self.retry_after = retry_after


def address(relay: str) -> URL:
    """Where a relay's stream is. Raises ConfigError unless it is a plain https address, or http on this machine."""
    base = server_address(Setting("--relay", re.sub(r"\Aws(?=s?://)", "http", relay, flags=re.IGNORECASE)))
    try:
        if base:
            return URL(f"{base.removesuffix('/ws')}/ws")
    except ValueError:  # the stricter of two readers
        pass
    raise ConfigError("--relay is no address; it must look like https://relay.example")


def token(environ: Mapping[str, str]) -> str:
    """The subscriber token of the environment, "" if there is none. Raises ConfigError."""
    found = environ.get(TOKEN, "").strip()
    if not (found.isascii() and found.isprintable()) or " " in found:
        raise ConfigError(f"{TOKEN} holds a character that no token has")
    return found


class RelayStream:
    """The stream from a place on, for ever.

    Args:
        url: of `address`.
        token: "" for a relay that asks for none.
        after: the place; None begins with what happens from now on.
        last: without a place, so many of the newest events come first, if the relay knows how.
        filters: source, type, project, tool, exact, and the beginning of a session; all of them must hold.
        pauses: seconds to wait before each attempt, from the last good connection on.
    """

    def __init__(
        self,
        url: URL,
        token: str,
        *,
        after: int | None = None,
        last: int = 0,
        filters: Mapping[str, str] | None = None,
        pauses: Callable[[], Iterator[float]] = backoff,
    ) -> None:
        self.after = after
        self._last = last
        self._url = url.with_query(filters or {})
        self._token = token
        self._token_in_query = False
        self._pauses = pauses

    async def items(self) -> AsyncGenerator[Item]:
        """Frames in order, each place once, and what becomes of the connection. Raises RelayRefused."""
        pauses = self._pauses()
        missed = False
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(middlewares=(_expect_websocket,), timeout=timeout) as session:
            while True:
                begun, heard, wait, reason = time.monotonic(), False, 0.0, "the connection ended"
                try:
                    async with await self._connect(session) as socket:
                        yield Online(missed and self.after is None)
                        missed = True
                        async with aclosing(self._read(socket)) as frames:
                            async for item in frames:
                                heard = True
                                yield item
                except _Answer as answer:
                    if self._try_older_way(answer):
                        continue
                    wait, reason = _judge(answer), f"it answers {answer.status}"
                except aiohttp.ClientConnectorCertificateError:
                    raise RelayRefused(
                        "the relay's certificate is not good for this address; if a private authority signed it, "
                        "name that authority's file in SSL_CERT_FILE"
                    ) from None
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    reason = answers.told(error)
                if heard or time.monotonic() - begun > SETTLED:
                    pauses = self._pauses()
                wait = max(wait, next(pauses))
                yield Offline(reason, wait)
                await asyncio.sleep(wait)

    async def _connect(self, session: aiohttp.ClientSession) -> "aiohttp.ClientWebSocketResponse[bool]":
        url = self._url
        if self.after is not None:
            url = url.update_query(after=str(self.after))
        elif self._last:
            url = url.update_query(last=str(self._last))
        headers = {}
        if self._token and self._token_in_query:
            url = url.update_query(token=self._token)
        elif self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            return await session.ws_connect(
                url,
                headers=headers,
                heartbeat=HEARTBEAT_SECONDS,
                max_msg_size=MAX_FRAME,
                decode_text=False,
                timeout=aiohttp.ClientWSTimeout(ws_close=FAREWELL_SECONDS),
            )

    async def _read(self, socket: "aiohttp.ClientWebSocketResponse[bool]") -> AsyncGenerator[Frame | Gap]:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT and (item := self._item(message.data)):
                yield item

    def _item(self, data: bytes) -> Frame | Gap | None:
        """What a frame is; None if it came before."""
        try:
            head = _decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return Frame(None, data)
        if head.gap is not None:
            self.after = head.gap.next - 1
            return Gap(head.gap.after, head.gap.next)
        if head.seq is not None:
            if self.after is not None and head.seq <= self.after:
                return None
            self.after = head.seq
        return Frame(head.seq, data)

    def _try_older_way(self, answer: _Answer) -> bool:
        """A relay that did not see our token may be an older one, which looks for it in the query only."""
        if answer.code != "missing_token" or not self._token or self._token_in_query:
            return False
        self._token_in_query = True
        return True


async def _expect_websocket(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Stop at any other answer, before a redirect is followed. Raises _Answer."""
    response = await handler(request)
    if response.status == 101:
        return response
    body = b""
    with suppress(aiohttp.ClientError):
        body = await response.content.read(4096)
    response.close()
    raise _Answer(response.status, answers.code(body), answers.retry_after(response.headers) or 0.0)


def _judge(answer: _Answer) -> float:
    """The least seconds to wait. Raises RelayRefused if waiting does not help."""
    status = answer.status
    if status >= 500 or status in _PASSING:
        return answer.retry_after
    if status == 401 and answer.code == "missing_token":
        raise RelayRefused(f"the relay asks for a token; set {TOKEN} to one of its subscriber tokens")
    if status == 401:
        raise RelayRefused(f"the relay does not take this token; set {TOKEN} to one of its subscriber tokens")
    if 300 <= status < 400:
        raise RelayRefused("the address leads elsewhere, and redirects are not followed; give the relay's own address")
    if status == 403:
        raise RelayRefused("the relay refuses this client (403)")
    if answer.code == "invalid_last":
        raise RelayRefused("the relay does not send so many recent ones; ask for fewer with --lines")
    if 400 <= status < 500 and status not in {404, 405}:
        raise RelayRefused(f"the relay refuses the request ({f'{status} {answer.code}'.strip()})")
    raise RelayRefused(f"there is no VibeTea relay at this address (it answers {status})")


_decode: Final = msgspec.json.Decoder(_Head).decode
