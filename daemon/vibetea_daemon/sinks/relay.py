"""The relay sink: sends this machine's events to the relay of `VIBETEA_SERVER_URL`."""

from collections.abc import Sequence

from vibetea_daemon.config import Config
from vibetea_daemon.hookspecs import Sink, hookimpl
from vibetea_daemon.sinks.outbox import Outbox
from vibetea_daemon.sinks.sender import Sender


@hookimpl
def vibetea_sinks(config: Config) -> Sequence[Sink]:
    """The sink, if there is a relay. Raises ConfigError without a usable key."""
    return [Sender("relay", config, config.server_url, _send)] if config.server_url else []


def _send(config: Config, address: str, seed: bytes, outbox: Outbox) -> None:
    from vibetea_daemon.sinks import to_relay

    to_relay.run(config, address, seed, outbox)
