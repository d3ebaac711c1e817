"""`vibetea plugins`."""

import json
import sys
from dataclasses import asdict

import click

from vibetea_daemon.config import Config
from vibetea_daemon.plugins import Plugins


def plugins(config: Config, *, as_json: bool) -> None:
    """List what is loaded; exit 1 when something could not be."""
    loaded = Plugins(config.plugins).loaded
    if as_json:
        click.echo(json.dumps([asdict(plugin) for plugin in loaded], indent=2))
    else:
        for plugin in loaded:
            origin = "built in" if plugin.built_in else "from config.toml"
            click.echo(f"{plugin.name}  ({origin})  {plugin.error or ', '.join(plugin.hooks)}")
    if any(plugin.error for plugin in loaded):
        sys.exit(1)
