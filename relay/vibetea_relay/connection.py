"""One connection: counted, and quiet about what it carries."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from vibetea_relay.config import RelayConfig

LINGER_SECONDS: Final = 2.0
"""A refused body is read on for so long, so that its sender gets to read the answer."""

logger = logging.getLogger(__name__)


class Connection(web.RequestHandler):
    """aiohttp's connection, whose errors never quote what was sent.

    Args:
        leave: is called once, when it is over.
    """

    __slots__ = ("_leave",)

    def __init__(self, server: web.Server, config: RelayConfig, leave: Callable[[], None]) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=config.limits.keepalive_seconds,
            lingering_time=LINGER_SECONDS,
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type]  # the documented way to have none
        )
        self._leave: Callable[[], None] | None = leave

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count it out."""
        self.count_out()
        super().connection_lost(exc)

    def count_out(self) -> None:
        """It is over, or never came to be."""
        if self._leave is not None:
            self._leave()
            self._leave = None

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
