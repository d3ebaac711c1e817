"""The relay sink: sends this machine's events to the relay of `VIBETEA_SERVER_URL`."""

import threading
from collections.abc import Sequence

from vibetea_daemon import keys
from vibetea_daemon.config import Config
from vibetea_daemon.hookspecs import Sink, hookimpl
from vibetea_daemon.sinks.outbox import Outbox


class RelaySink:
    """Runs an event loop on its thread; only then is aiohttp imported."""

    name = "relay"

    def __init__(self, config: Config, url: str, seed: bytes) -> None:
        self._config = config
        self._url = url
        self._seed = seed

    def run(self, outbox: Outbox, stop: threading.Event) -> None:
        """Send until `stop` is set."""
        from vibetea_daemon.sinks import delivery

        if not stop.is_set():
            delivery.run(self._config, self._url, self._seed, outbox)


@hookimpl
def vibetea_sinks(config: Config) -> Sequence[Sink]:
    """The sink, if there is a relay. Raises ConfigError without a usable key."""
    return [RelaySink(config, config.server_url, keys.seed(config))] if config.server_url else []
