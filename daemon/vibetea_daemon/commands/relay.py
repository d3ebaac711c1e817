"""`vibetea relay`."""

from typing import Any

from vibetea_daemon.config import Config, ConfigError
from vibetea_daemon.logs import log_to_stderr
from vibetea_relay.config import load
from vibetea_relay.errors import RelayConfigError
from vibetea_relay.server import serve


def relay(_: Config, **options: Any) -> None:
    """Serve until a signal."""
    log_to_stderr()
    try:
        serve(load(**options))
    except RelayConfigError as error:
        raise ConfigError(str(error)) from None
