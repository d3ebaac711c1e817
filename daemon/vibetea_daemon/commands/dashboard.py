"""`vibetea dashboard`: Datasette with our pages, over the database."""

import errno
from collections.abc import Callable

import click

from datasette_vibetea.serve import serve
from vibetea_daemon.config import Config

PORT = 8765
REFUSALS = {errno.EADDRINUSE: "is used by another program", errno.EACCES: "is not for this user"}


def dashboard(config: Config, *, no_open: bool, port: int | None) -> None:
    """Serve until Ctrl-C."""
    show(config, no_open=no_open, port=port, on_ready=announce)


def announce(address: str) -> None:
    """Say where the page is."""
    click.echo(f"VibeTea is at {address}  (Ctrl-C ends it)")


def show(
    config: Config, *, no_open: bool, port: int | None, on_ready: Callable[[str], None], invented: bool = False
) -> None:
    """Serve at a port asked for, or at ours, or at any that is free."""
    for attempt in (PORT, 0) if port is None else (port,):
        try:
            serve(
                config.database,
                port=attempt,
                on_ready=on_ready,
                open_browser=not no_open,
                supabase=config.supabase_url,
                invented=invented,
            )
        except OSError as error:
            if error.errno not in REFUSALS or attempt == 0:
                raise
            if port is not None:
                raise click.ClickException(
                    f"port {port} {REFUSALS[error.errno]}; name another with --port, or take any with --port 0"
                ) from None
            click.echo(f"Port {PORT} {REFUSALS[error.errno]}, so this takes one that is free")
        else:
            return
