"""`vibetea daemon`."""

import os
import threading
import time
from collections.abc import Callable

import click

from vibetea_daemon.config import Config
from vibetea_daemon.daemon import AlreadyRunning, Daemon
from vibetea_daemon.logs import log_to_stderr

DAY = 86_400_000_000_000
LIFELINE = "VIBETEA_LIFELINE"
"""Set by `vibetea up`, whose daemon ends with its standard input."""


def daemon(config: Config, *, since: int | None, everything: bool) -> None:
    """Run until a signal."""
    log_to_stderr()
    if everything:
        config = config._replace(since=0)
    elif since is not None:
        config = config._replace(since=time.time_ns() - since * DAY)
    running = Daemon(config)
    if os.environ.get(LIFELINE):
        threading.Thread(target=_until_end_of_input, args=(running.stop,), daemon=True).start()
    try:
        running.run()
    except AlreadyRunning:
        click.echo("a daemon is already running", err=True)


def _until_end_of_input(stop: Callable[[], None]) -> None:
    while os.read(0, 1):
        pass
    stop()
