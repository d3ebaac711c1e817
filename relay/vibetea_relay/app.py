"""The application: what it is made of, and what becomes of errors."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from vibetea_relay import pages, state
from vibetea_relay.config import RelayConfig
from vibetea_relay.errors import NotNowError, RelayConfigError, is_setting
from vibetea_relay.hub import Hub
from vibetea_relay.ingest import post_events
from vibetea_relay.journal import Journal
from vibetea_relay.keys import Registry
from vibetea_relay.limits import Crowd, Limiter
from vibetea_relay.metrics import Metrics
from vibetea_relay.refusals import Refusal
from vibetea_relay.stream import Stream
from vibetea_relay.subscribe import subscribe

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(config: RelayConfig, stream: Stream | None = None) -> web.Application:
    """The relay as an aiohttp application. Raises RelayConfigError and NotNowError.

    Args:
        config: its settings.
        stream: what holds the events; by default a journal in the state folder, fed from NATS if that is configured.
    """
    stream = stream or _stream(config)
    hub = Hub(stream, config.limits)
    app = web.Application(middlewares=[_answer_errors], client_max_size=config.limits.body)
    app[state.CONFIG] = config
    app[state.STREAM] = stream
    app[state.HUB] = hub
    app[state.REGISTRY] = Registry(config.keys, config.keys_file)
    app[state.LIMITER] = Limiter(config.limits)
    app[state.WATCHERS] = Crowd(config.limits.watchers, config.limits.watchers_per_address)
    app[state.REQUESTS] = Crowd(config.limits.connections, config.limits.requests_per_address)
    app[state.BODIES] = Crowd(config.limits.bodies, config.limits.bodies_per_address)
    app[state.TURN] = asyncio.Lock()
    app[state.METRICS] = Metrics(hub, stream)
    app[state.STARTED] = time.monotonic()
    app.router.add_post("/events", post_events)
    app.router.add_get("/ws", subscribe, allow_head=False)
    app.router.add_get("/health", pages.health)
    app.router.add_get("/metrics", pages.metrics)
    app.cleanup_ctx.append(_run)
    app.on_shutdown.append(_dismiss)
    return app


async def _run(app: web.Application) -> AsyncIterator[None]:
    await app[state.HUB].start()
    yield
    await app[state.STREAM].close()


async def _dismiss(app: web.Application) -> None:
    await app[state.HUB].close()


def _stream(config: RelayConfig) -> Stream:
    try:
        config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        text = f"the state folder cannot be used: {error.strerror}; name another with --state or VIBETEA_RELAY_STATE"
        raise (RelayConfigError if is_setting(error) else NotNowError)(text) from None
    journal = Journal(config.state / "relay.db", config.limits)
    if config.nats_url is None:
        return journal
    try:
        from vibetea_relay.nats_stream import NatsStream
    except ImportError:
        raise RelayConfigError("VIBETEA_NATS_URL needs an extra: pip install 'vibetea[nats]'") from None
    return NatsStream(config.nats_url, journal, config.limits)


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        return refusal.response()
    except web.HTTPException as error:
        answer = Refusal(HTTPStatus(error.status), error.reason.lower().replace(" ", "_"), error.reason).response()
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer
    except ConnectionError:  # the client is gone; nobody is left to answer
        raise
    except Exception as error:
        if request.writer.output_size:  # too late for another answer; the connection is closed
            raise
        logger.error("a request failed: %s", type(error).__name__)
        return Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "internal error").response()
