"""Where connections come in: each is counted from its first moment, before TLS, and turned away if it is too many."""

import asyncio
import logging
import resource
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from aiohttp import web

from vibetea_relay.config import RelayConfig
from vibetea_relay.connection import Connection
from vibetea_relay.limits import Crowd
from vibetea_relay.peers import counted_as, is_trusted

HANDSHAKE_SECONDS: Final = 10.0
BACKLOG: Final = 1024
AGAIN_SECONDS: Final = 1.0
"""After a connection could not be taken: the system is short of something."""
OTHER_FILES: Final = 64
"""Open files that are no connections: the journal's, the log, the listening sockets."""
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Type: application/json; charset=utf-8\r\nContent-Length: 55\r\n\r\n"
    b'{"error": "too many connections", "code": "too_many"}\r\n'
)

logger = logging.getLogger(__name__)


class Listener(web.BaseSite):
    """An aiohttp site that accepts by itself: asyncio's servers show a connection only after its handshake.

    Attributes:
        address: host and port, the first if the host has several; once started.
    """

    __slots__ = ("_arriving", "_config", "_crowd", "_sockets", "address")

    def __init__(self, runner: web.AppRunner, config: RelayConfig, context: ssl.SSLContext | None) -> None:
        super().__init__(runner, ssl_context=context, backlog=BACKLOG)
        self._config = config
        self._crowd = Crowd(room(config.limits.connections), config.limits.connections_per_address)
        self._sockets: list[socket.socket] = []
        self._arriving: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """What aiohttp would log."""
        return "relay"

    async def start(self) -> None:
        """Listen. Raises OSError if an address cannot be had."""
        await super().start()
        config = self._config
        found = await asyncio.get_running_loop().getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, _, _, _, address in found:
            self._sockets.append(socket.create_server(address[:2], family=family, backlog=BACKLOG))
        self.address: tuple[str, int] = self._sockets[0].getsockname()[:2]
        for sock in self._sockets:
            sock.setblocking(False)
            self._watch(sock)

    async def stop(self) -> None:
        """Take no more; who is still at its handshake is let go."""
        await super().stop()
        for sock in self._sockets:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        self._sockets.clear()
        await asyncio.sleep(0)  # a task that never began would leave its socket open
        for task in self._arriving:
            task.cancel()
        if self._arriving:
            await asyncio.wait(self._arriving)

    def _watch(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        """Take one connection; those there are come first, then the next."""
        try:
            sock, address = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):  # gone again
            return
        except OSError as error:
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": "no connection can be taken", "exception": error})
            loop.remove_reader(listening)
            loop.call_later(AGAIN_SECONDS, self._watch, listening)
            return
        sock.setblocking(False)
        self._admit(sock, str(address[0]))

    def _admit(self, sock: socket.socket, address: str) -> None:
        """Count it, or turn it away."""
        key = counted_as(address)
        if self._crowd.enter(key, counted=not is_trusted(address, self._config.trusted_proxies)):
            task = asyncio.create_task(self._connect(sock, partial(self._crowd.leave, key)))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)
            return
        with sock, suppress(OSError):
            if self._ssl_context is None:
                sock.send(_FULL)

    async def _connect(self, sock: socket.socket, leave: Callable[[], None]) -> None:
        server = self._runner.server
        assert server is not None
        connection = Connection(server, self._config, leave)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                sock,
                ssl=self._ssl_context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if self._ssl_context else None,
            )
        except OSError:  # no TLS, or not in time
            connection.count_out()


def room(wanted: int) -> int:
    """So many connections, or as many as the system gives open files: as far as it may, its soft limit is raised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        logger.warning("%d open files are allowed: there is room for fewer connections than %d", allowed, wanted)
    return max(1, allowed - OTHER_FILES)
