"""The Host guard: a web page that rebinds its name to this machine reads nothing.

Datasette answers any Host. A page of `attacker.example` whose name suddenly means 127.0.0.1 could read the whole
database, since its requests are plain GETs of one origin.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

THIS_MACHINE: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?", re.IGNORECASE)
_REFUSAL: Final = b"This address is not one of this server's names.\n"
_HEADERS: Final = ((b"x-content-type-options", b"nosniff"), (b"cross-origin-resource-policy", b"same-origin"))


def wrapper(extra_hosts: Iterable[str]) -> Callable[[App], App]:
    """An ASGI wrapper that answers 421 to any Host but this machine's and `extra_hosts`, on any port.

    It also tells browsers not to guess at content types and not to lend answers to other origins' pages.
    """
    allowed = THIS_MACHINE | {host.lower() for host in extra_hosts}

    def wrap(app: App) -> App:
        async def guarded(scope: Message, receive: Receive, send: Send) -> None:
            if scope["type"] not in {"http", "websocket"}:
                await app(scope, receive, send)
            elif _name(scope["headers"]) in allowed:
                await app(scope, receive, _careful(send))
            elif scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            else:
                await _refuse(send)

        return guarded

    return wrap


def foreign(headers: Headers) -> bool:
    """Whether a page of another origin than the one it asks sent this request."""
    origins = _values(headers, b"origin")
    if not origins:
        return False
    hosts = _values(headers, b"host")
    return len(origins) != 1 or len(hosts) != 1 or urlsplit(origins[0]).netloc.lower() != hosts[0].lower()


def _name(headers: Headers) -> str | None:
    hosts = _values(headers, b"host")
    match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    return match[1].lower() if match else None


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key.lower() == name]


def _careful(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            present = {bytes(key).lower() for key, _ in headers}
            headers += [header for header in _HEADERS if header[0] not in present]
            message = {**message, "headers": headers}
        await send(message)

    return with_headers


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"), *_HEADERS]
    await send({"type": "http.response.start", "status": 421, "headers": headers})
    await send({"type": "http.response.body", "body": _REFUSAL})
