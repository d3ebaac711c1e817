"""Serves the application: sockets, TLS, signals, and an orderly end."""

import asyncio
import errno
import logging
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

from vibetea_relay.app import create_app
from vibetea_relay.config import RelayConfig
from vibetea_relay.errors import RelayConfigError
from vibetea_relay.listener import Listener
from vibetea_relay.peers import is_loopback
from vibetea_relay.stream import Stream

QUIET_SECONDS: Final = 60.0

logger = logging.getLogger(__name__)


def serve(config: RelayConfig) -> None:
    """Serve until SIGTERM or Ctrl-C, then let watchers go with 1001 and finish what is under way.

    Raises RelayConfigError, and OSError when the address cannot be had, with words for people.
    """
    config.refuse_if_open()
    asyncio.run(_serve(config))


async def _serve(config: RelayConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_ErrorLog())
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
        site = Listener(runner, config, context)
        try:
            await site.start()
        except OSError as error:
            raise _in_words(error, config) from None
        host, port = site.address
        yield f"{'https' if context else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
        await site.stop()
        # before the runner's own end, which no longer reads: a watcher's farewell would wait in vain
        await app.shutdown()
    finally:
        await runner.cleanup()


def _in_words(error: OSError, config: RelayConfig) -> OSError:
    """The same error about the address, with what to do."""
    match error:
        case socket.gaierror() | OSError(errno=errno.EADDRNOTAVAIL):
            text = f"--host: {config.host} is no address of this machine; 0.0.0.0 means all it has"
        case OSError(errno=errno.EADDRINUSE):
            text = f"port {config.port} is used by another program; name another with --port or PORT"
        case OSError(errno=errno.EACCES):
            text = f"port {config.port} is not for this user; name another with --port or PORT"
        case _:
            return error
    return OSError(error.errno, text)


class _ErrorLog:
    """What the event loop caught, by its type alone, since asyncio's own text would quote what was received; each type
    once a minute, since nobody may fill the disk with it.
    """

    def __init__(self) -> None:
        self._quiet_until: dict[str, float] = {}

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        name = type(context.get("exception")).__name__
        if loop.time() >= self._quiet_until.get(name, 0.0):
            self._quiet_until[name] = loop.time() + QUIET_SECONDS
            logger.error("the event loop caught: %s", name)


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
