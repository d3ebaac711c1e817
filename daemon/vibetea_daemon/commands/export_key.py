"""`vibetea export-key`."""

import sys
from base64 import b64encode

import click

from vibetea_daemon import keys
from vibetea_daemon.config import Config


def export_key(config: Config) -> None:
    """Print the seed to standard output only. Raises ClickException if there is none."""
    seed = keys.existing(config)
    if seed is None:
        raise click.ClickException("there is no key yet; `vibetea init` makes one")
    if sys.stdout.isatty():
        click.echo("This is the private key: whoever reads it can send in this machine's name.", err=True)
    click.echo(b64encode(seed).decode())
