"""Datasette with our pages, on a socket of its own, and a stop that does not wait for open streams."""

from __future__ import annotations

import socket
import sqlite3
import threading
import webbrowser
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from datasette.app import Datasette

from datasette_vibetea.database import CONFIG, TABLE
from datasette_vibetea.page import PATH
from datasette_vibetea.quiet import hush

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STOP_SECONDS: Final = 2
SETTINGS: Final = {"suggest_facets": False, "allow_download": False}
SLOTS: Final = "slot: quarter hours since the epoch; datetime(slot * 900, 'unixepoch') is its beginning in UTC."
TABLES: Final = {
    TABLE: {
        "description": "Everything VibeTea saw, in the order it was written down.",
        "sort_desc": "seq",
        "facets": ["type", "tool", "project", "status"],
        "label_column": "type",
    },
    "sessions": {"description": "Claude Code's sessions, the latest first.", "sort_desc": "last_at"},
    "activity": {"description": f"Events by time, project, type and tool. {SLOTS}", "sort_desc": "slot"},
    "usage": {"description": f"Tokens by time, project and model. {SLOTS}", "sort_desc": "slot"},
}


def serve(
    database: Path,
    *,
    host: str = "127.0.0.1",
    port: int,
    on_ready: Callable[[str], None],
    open_browser: bool = False,
) -> None:
    """Serve the pages over this database until SIGINT or SIGTERM.

    Port 0 takes any free one. `on_ready` gets the live page's address once requests are answered. A database that is
    not there yet is waited for by the live page. Raises OSError if the address cannot be bound.
    """
    hush()
    # uvicorn raises the signal that stopped it once more when all is done
    with _bind(host, port) as bound, suppress(KeyboardInterrupt):
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{bound.getsockname()[1]}{PATH}"

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                on_ready(address)
                if open_browser:
                    # some browsers hold their caller up until they are closed
                    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

        app = Datasette([str(database)], settings=SETTINGS, metadata=_metadata(database, name)).app()
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=STOP_SECONDS
        )
        Server(config).run(sockets=[bound])


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def _metadata(database: Path, host: str) -> dict[str, Any]:
    closed = {name: {"hidden": True, "allow": False} for name in _internal_tables(database)}
    return {
        "title": "VibeTea",
        "databases": {database.stem: {"tables": {**TABLES, **closed}}},
        "plugins": {CONFIG: {"database": database.stem, "hosts": [host]}},
    }


def _internal_tables(database: Path) -> list[str]:
    """The daemon's own tables and SQLite's, which are nobody's reading."""
    sql = r"select name from sqlite_master where type = 'table' and (name like '\_%' escape '\' or name like 'sqlite%')"
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return [name for (name,) in connection.execute(sql)]
    except sqlite3.Error:
        return []
