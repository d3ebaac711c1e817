"""The Supabase sink: sends this machine's events to the functions of `VIBETEA_SUPABASE_URL`."""

from collections.abc import Sequence
from typing import Final

from vibetea_daemon.config import Config
from vibetea_daemon.hookspecs import Sink, hookimpl
from vibetea_daemon.sinks.outbox import Outbox
from vibetea_daemon.sinks.sender import Sender

SOON: Final = 3600
"""Seconds; what will be too old within them is so already: it may be under way for a while."""


@hookimpl
def vibetea_sinks(config: Config) -> Sequence[Sink]:
    """The sink, if there is a Supabase. Raises ConfigError without a usable key."""
    return [Sender("supabase", config, config.supabase_url, _send)] if config.supabase_url else []


def oldest(now: float, days: int) -> float:
    """When the oldest event may be of that is sent, if so many days are kept; like `now` in seconds since the epoch."""
    return now - days * 86_400 + SOON


def _send(config: Config, address: str, seed: bytes, outbox: Outbox) -> None:
    from vibetea_daemon.sinks import to_supabase

    to_supabase.run(config, address, seed, outbox)
