"""One TCP connection: counted, and quiet about what it carries."""

import asyncio
import logging
from typing import Any, Final

from aiohttp import web

from vibetea_relay.config import RelayConfig
from vibetea_relay.limits import Crowd
from vibetea_relay.peers import counted_as, is_trusted

LINGER_SECONDS: Final = 2.0
"""A refused body is read on for so long, so that its sender gets to read the answer."""
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Type: application/json; charset=utf-8\r\nContent-Length: 55\r\n\r\n"
    b'{"error": "too many connections", "code": "too_many"}\r\n'
)

logger = logging.getLogger(__name__)


class Connection(web.RequestHandler):
    """aiohttp's connection, refused with 503 when there are too many, whose errors never quote what was sent."""

    __slots__ = ("_address", "_config", "_crowd")

    def __init__(self, server: web.Server, config: RelayConfig, crowd: Crowd) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=config.limits.keepalive_seconds,
            lingering_time=LINGER_SECONDS,
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type]  # the documented way to have none
        )
        self._config = config
        self._crowd = crowd
        self._address: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, or turn it away."""
        assert isinstance(transport, asyncio.Transport)
        address = str((transport.get_extra_info("peername") or [""])[0])
        key = counted_as(address)
        if not self._crowd.enter(key, counted=not is_trusted(address, self._config.trusted_proxies)):
            transport.write(_FULL)
            transport.close()
            return
        self._address = key
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count it out."""
        if self._address is None:
            return
        self._crowd.leave(self._address)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is not HTTP, or when an answer broke off."""
        if request.writer.output_size:
            logger.error("an answer broke off: %s", type(exc).__name__)
            raise ConnectionError
        text, code = ("internal error", "internal_error") if status >= 500 else ("not valid HTTP", "bad_request")
        answer = web.json_response({"error": text, "code": code}, status=status)
        answer.force_close()
        return answer

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """The type alone: the text may quote the request."""
        logger.error("a connection failed: %s", type(kw.get("exc_info")).__name__)
