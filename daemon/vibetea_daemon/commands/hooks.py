"""`vibetea install-hooks` and `vibetea uninstall-hooks`."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import click

from vibetea_daemon.config import Config
from vibetea_hooks.settings import Change, SettingsError, settings_path
from vibetea_hooks.settings import install as install_into
from vibetea_hooks.settings import uninstall as uninstall_from

Scope = Literal["user", "project", "local"]

_SHARED = (
    "Warning: others who work on this project may share this file, and the hooks in it name this machine's Python and"
    " state folder. For them they do nothing, or show an error each time. To keep them to yourself: --scope local"
)


def install(config: Config, *, scope: Scope, settings: str | None, dry_run: bool) -> None:
    """Add our hooks."""
    if scope == "project" and settings is None:
        click.echo(_SHARED, err=True)
    _edit(install_into, config, scope, settings, dry_run)


def uninstall(config: Config, *, scope: Scope, settings: str | None, dry_run: bool) -> None:
    """Take our hooks out."""
    _edit(uninstall_from, config, scope, settings, dry_run)


def _edit(edit: Callable[..., Change], config: Config, scope: Scope, settings: str | None, dry_run: bool) -> None:
    path = Path(settings) if settings else settings_path(scope, config.claude_dir, Path.cwd())
    try:
        change = edit(path, config.home, dry_run=dry_run)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    if dry_run:
        click.echo(change.diff, nl=False)
    for message in change.messages:
        click.echo(message, err=dry_run)
