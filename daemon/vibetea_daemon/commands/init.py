"""`vibetea init`."""

import click

from vibetea_daemon import keys
from vibetea_daemon.config import Config
from vibetea_daemon.store import Store


def init(config: Config) -> None:
    """Make what is missing and print the registration line."""
    prepare(config)
    click.echo(
        "A relay or Supabase knows this machine by this line, its name and its public key. The name must be this "
        "machine's alone; VIBETEA_SOURCE_ID sets another one, here and for the daemon.",
        err=True,
    )
    click.echo(keys.registration(config))


def prepare(config: Config) -> None:
    """Make the state folder, the key and the database where they are missing; pages know by the lock that none runs."""
    config.make_home()
    config.lock.touch(mode=0o600)
    keys.seed(config)
    Store(config.database).close()
