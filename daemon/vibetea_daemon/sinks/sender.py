"""A sink that sends to a server."""

import threading
from collections.abc import Callable

from vibetea_daemon import keys
from vibetea_daemon.config import Config
from vibetea_daemon.sinks.outbox import Outbox

Work = Callable[[Config, str, bytes, Outbox], None]


class Sender:
    """Signs with this machine's key. Raises ConfigError without a usable one.

    Args:
        work: delivers to an address, signing with a seed, until the daemon ends. It runs an event loop, and only then
            imports what that takes.
    """

    def __init__(self, name: str, config: Config, address: str, work: Work) -> None:
        self.name = name
        self._config = config
        self._address = address
        self._seed = keys.seed(config)
        self._work = work

    def run(self, outbox: Outbox, stop: threading.Event) -> None:
        """Send until `stop` is set."""
        if not stop.is_set():
            self._work(self._config, self._address, self._seed, outbox)
