"""Datasette with our pages, on a socket of its own, and a stop that does not wait for open streams."""

from __future__ import annotations

import socket
import threading
import webbrowser
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from datasette import Response
from datasette.app import Datasette
from datasette.database import Database

from datasette_vibetea.database import CONFIG
from datasette_vibetea.pages import PATH
from datasette_vibetea.quiet import hush

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from datasette_vibetea.guard import App, Message, Receive, Send

HOST: Final = "127.0.0.1"
STOP_SECONDS: Final = 2
TOKEN: Final = "VIBETEA_SUBSCRIBER_TOKEN"  # noqa: S105  the variable's name
SETTINGS: Final = {"suggest_facets": False, "allow_download": False}


def serve(
    database: Path,
    *,
    port: int,
    on_ready: Callable[[str], None],
    open_browser: bool = False,
    supabase: str | None = None,
    invented: bool = False,
) -> None:
    """Serve the pages over this database on this machine until SIGINT or SIGTERM.

    Port 0 takes any free one. `on_ready` gets the first page's address once requests are answered. A database that is
    not there yet is waited for by that page. `supabase` is the address of the functions that know of hours before
    it; their token is in the environment. If the sessions are `invented`, the pages say so. Raises OSError if the port
    cannot be bound.
    """
    hush()
    # uvicorn raises the signal that stopped it once more when all is done
    with socket.create_server((HOST, port)) as bound, suppress(KeyboardInterrupt):
        address = f"http://{HOST}:{bound.getsockname()[1]}{PATH}"

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                on_ready(address)
                if open_browser:
                    # some browsers hold their caller up until they are closed
                    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

        config = uvicorn.Config(
            _application(database, _metadata(database, supabase, invented=invented)),
            log_level="warning",
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        Server(config).run(sockets=[bound])


def _application(database: Path, metadata: dict[str, Any]) -> App:
    """Datasette. As long as there is no database, its pages lead to ours, which wait for one."""
    # Datasette 1.0 does not start over a file that is missing, and without any it would offer one in memory
    files = [str(database)] if database.exists() else []
    datasette = Datasette(files, settings=SETTINGS, metadata=metadata)
    if not files:
        datasette.remove_database("_memory")
    app: App = datasette.app()

    async def waiting(scope: Message, receive: Receive, send: Send) -> None:
        exists = database.exists()
        if exists and database.stem not in datasette.databases:
            datasette.add_database(Database(datasette, path=str(database), is_mutable=True), name=database.stem)
        if scope["type"] == "http" and not scope["path"].startswith("/-/") and not exists:
            await Response.redirect(PATH, headers={"cache-control": "no-store"}).asgi_send(send)
        else:
            await app(scope, receive, send)

    return waiting


def _metadata(database: Path, supabase: str | None, *, invented: bool) -> dict[str, Any]:
    # Datasette shows its configuration to visitors, so the token is only named in it
    history = {"history": {"url": supabase, "token": {"$env": TOKEN}}} if supabase else {}
    return {
        "title": "VibeTea",
        "plugins": {CONFIG: {"database": database.stem, "invented": invented, **history}},
    }
