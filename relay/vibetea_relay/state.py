"""Where the relay's handlers find their things: typed keys of the application."""

from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from asyncio import Lock

    from vibetea_relay.config import RelayConfig
    from vibetea_relay.hub import Hub
    from vibetea_relay.keys import Registry
    from vibetea_relay.limits import Crowd, Limiter
    from vibetea_relay.metrics import Metrics
    from vibetea_relay.stream import Stream

CONFIG: Final["web.AppKey[RelayConfig]"] = web.AppKey("config")
STREAM: Final["web.AppKey[Stream]"] = web.AppKey("stream")
HUB: Final["web.AppKey[Hub]"] = web.AppKey("hub")
REGISTRY: Final["web.AppKey[Registry]"] = web.AppKey("registry")
LIMITER: Final["web.AppKey[Limiter]"] = web.AppKey("limiter")
WATCHERS: Final["web.AppKey[Crowd]"] = web.AppKey("watchers")
"""How many watchers there are, in all and per address: `enter(address)` tells whether there is room, then `leave`."""
REQUESTS: Final["web.AppKey[Crowd]"] = web.AppKey("requests")
"""Likewise requests to POST /events that are under way."""
BODIES: Final["web.AppKey[Crowd]"] = web.AppKey("bodies")
"""Likewise bytes of their bodies, until they are verified."""
TURN: Final["web.AppKey[Lock]"] = web.AppKey("turn")
"""Whose large body is being checked."""
STARTED: Final["web.AppKey[float]"] = web.AppKey("started")
"""By the monotonic clock."""
METRICS: Final["web.AppKey[Metrics]"] = web.AppKey("metrics")
