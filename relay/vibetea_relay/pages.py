"""GET /health and GET /metrics."""

import time
from importlib.metadata import version
from typing import Any, Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from vibetea_relay.peers import is_loopback, peer
from vibetea_relay.state import CONFIG, HUB, METRICS, REGISTRY, STARTED, STREAM
from vibetea_relay.tokens import authorise

_FORWARDED: Final = ("Forwarded", "X-Forwarded-For")


async def health(request: web.Request) -> web.Response:
    """The contract's three fields, and what an operator must know."""
    app = request.app
    config, registry = app[CONFIG], app[REGISTRY]
    registry.look()
    told: dict[str, Any] = {
        "status": "ok",
        "connections": app[HUB].connections,
        "uptime_seconds": int(time.monotonic() - app[STARTED]),
        "relay": version("vibetea"),
        "keys": "stale" if registry.stale else "ok",
    }
    if condition := app[STREAM].condition:
        told["stream"] = condition
    if config.unsafe_no_auth:
        told["unsafe"] = True
    return web.json_response(told)


async def metrics(request: web.Request) -> web.Response:
    """Prometheus text, for this machine or with a subscriber's token. Raises Refusal."""
    # what a proxy on this machine passes on comes from elsewhere
    local = is_loopback(request.remote or "") and not any(name in request.headers for name in _FORWARDED)
    if not local:
        authorise(request, peer(request))
    return web.Response(body=request.app[METRICS].text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
