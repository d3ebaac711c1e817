"""Serves the application: sockets, TLS, signals, and an orderly end."""

import asyncio
import logging
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

from vibetea_relay.app import create_app
from vibetea_relay.config import RelayConfig
from vibetea_relay.connection import Connection
from vibetea_relay.errors import RelayConfigError
from vibetea_relay.limits import Crowd
from vibetea_relay.peers import is_loopback
from vibetea_relay.stream import Stream

HANDSHAKE_SECONDS: Final = 10.0
BACKLOG: Final = 1024

logger = logging.getLogger(__name__)


def serve(config: RelayConfig) -> None:
    """Serve until SIGTERM or Ctrl-C, then let watchers go with 1001 and finish what is under way.

    Raises RelayConfigError, and OSError when the address cannot be had.
    """
    config.refuse_if_open()
    asyncio.run(_serve(config))


async def _serve(config: RelayConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_type)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(config) as address:
        if config.unsafe_no_auth:
            logger.warning("UNSAFE: anyone may send and watch; for trials on a closed network only")
        if config.tls_certificate is None and not _is_local(config.host):
            logger.warning("plain HTTP beyond this machine: put a proxy that speaks TLS before it")
        logger.info("ready at %s", address)
        await stop.wait()
        logger.info("stopping")


@asynccontextmanager
async def running(config: RelayConfig, stream: Stream | None = None) -> AsyncIterator[str]:
    """The relay on its socket; yields its address. Raises as `serve` does, but takes a config without keys."""
    context = _tls(config)
    app = create_app(config, stream)
    runner = web.AppRunner(app, shutdown_timeout=config.limits.drain_seconds)
    await runner.setup()
    try:
        site = _Site(runner, config, context)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"{'https' if context else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
        await site.stop()
        # before the runner's own end, which no longer reads: a watcher's farewell would wait in vain
        await app.shutdown()
    finally:
        await runner.cleanup()


def _log_type(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The type alone: asyncio's own text would quote what was received."""
    logger.error("the event loop caught: %s", type(context.get("exception")).__name__)


class _Site(web.BaseSite):
    """Where connections of ours come in; aiohttp's own TCPSite cannot count them."""

    __slots__ = ("_config", "_crowd")

    def __init__(self, runner: web.AppRunner, config: RelayConfig, context: ssl.SSLContext | None) -> None:
        super().__init__(runner, ssl_context=context, backlog=BACKLOG)
        self._config = config
        self._crowd = Crowd(config.limits.connections, config.limits.connections_per_address)

    @property
    def name(self) -> str:
        """What aiohttp would log."""
        return "relay"

    async def start(self) -> None:
        """Listen."""
        await super().start()
        server = self._runner.server
        assert server is not None
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(server, self._config, self._crowd),
            self._config.host,
            self._config.port,
            ssl=self._ssl_context,
            backlog=self._backlog,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if self._ssl_context else None,
        )


def _tls(config: RelayConfig) -> ssl.SSLContext | None:
    if config.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.tls_certificate, config.tls_key)
    except (OSError, ssl.SSLError):
        raise RelayConfigError("the TLS certificate or its key cannot be used: both must be PEM files") from None
    return context


def _is_local(host: str) -> bool:
    return host == "localhost" or is_loopback(host)
