"""`vibetea daemon`."""

import time
from dataclasses import replace

import click

from vibetea_daemon.config import Config
from vibetea_daemon.daemon import AlreadyRunning, Daemon, log_to_stderr
from vibetea_daemon.store import StoreError

DAY = 86_400_000_000_000


def daemon(config: Config, *, since: int | None, everything: bool) -> None:
    """Run until a signal."""
    log_to_stderr()
    if everything:
        config = replace(config, since=0)
    elif since is not None:
        config = replace(config, since=time.time_ns() - since * DAY)
    try:
        Daemon(config).run()
    except AlreadyRunning:
        click.echo("a daemon is already running", err=True)
    except StoreError as error:
        raise click.ClickException(str(error)) from None
