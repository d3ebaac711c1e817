"""`vibetea plugins`."""

import json
from dataclasses import asdict

import click

from vibetea_daemon.config import Config
from vibetea_daemon.plugins import Plugins


def plugins(config: Config, *, as_json: bool) -> None:
    """List what is loaded."""
    loaded = Plugins(config.plugins).loaded
    if as_json:
        click.echo(json.dumps([asdict(plugin) for plugin in loaded], indent=2))
        return
    for plugin in loaded:
        origin = "built in" if plugin.built_in else "from config.toml"
        click.echo(f"{plugin.name}  ({origin})  {plugin.error or ', '.join(plugin.hooks)}")
