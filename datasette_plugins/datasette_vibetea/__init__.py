"""Datasette pages over `vibetea.db`: what Claude Code is doing, live.

Works under a plain `datasette serve vibetea.db`; `datasette_vibetea.serve` starts the same on a socket of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from datasette import Forbidden
from pluggy import HookimplMarker

from datasette_vibetea import (
    access,
    answers,
    database,
    descriptions,
    guard,
    heatmap,
    history,
    live,
    overview,
    pages,
    sessions,
    statistics,
    stream,
)
from datasette_vibetea.database import protect
from datasette_vibetea.tables import TABLES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable

hookimpl = HookimplMarker("datasette")  # Datasette's own marker, with its types


Routes = list[tuple[str, "Callable[..., Any]"]]
_routes: Final[WeakKeyDictionary[Any, Routes]] = WeakKeyDictionary()
"""By Datasette: 1.0 asks for them anew with every question of its own client, and what they keep is worth keeping."""


@hookimpl
def register_routes(datasette: Any) -> Routes:
    """The pages, their data and the stream."""
    if datasette not in _routes:
        _routes[datasette] = _made()
    return _routes[datasette]


def _made() -> Routes:
    board = sessions.Sessions()
    hours = heatmap.Heatmap()
    numbers = statistics.Statistics(hours)
    parts = overview.Overview(board, hours, numbers)
    past = history.History()
    return [
        *((rf"{page.path}$", pages.view(page)) for page in pages.PAGES),
        (rf"{pages.PATH}/overview\.json$", answers.view(parts.read, overview.Question.parse)),
        (rf"{pages.PATH}/sessions\.json$", answers.view(board.read)),
        (rf"{pages.PATH}/live\.json$", answers.view(live.read)),
        (rf"{pages.PATH}/older\.json$", answers.view(live.older, live.Older.parse)),
        (rf"{pages.PATH}/heatmap\.json$", answers.view(hours.read)),
        (rf"{pages.PATH}/history\.json$", answers.view(past.read, then=past.add)),
        (rf"{pages.PATH}/statistics\.json$", answers.view(numbers.read)),
        (rf"{stream.PATH}$", stream.view()),
    ]


@hookimpl
def menu_links(datasette: Any, actor: dict[str, Any] | None) -> Callable[[], Awaitable[list[dict[str, str]]]]:
    """A link to the page, for those who may see it."""

    async def links() -> list[dict[str, str]]:
        try:
            await access.require_events(datasette, actor, (await database.find(datasette)).name)
        except (database.NoDatabase, Forbidden):
            return []
        return [{"href": datasette.urls.path(pages.PATH), "label": "VibeTea"}]

    return links


@hookimpl
def extra_css_urls(datasette: Any, database: str | None, table: str | None) -> list[str]:
    """Datasette's pages of our tables have long descriptions."""
    is_ours = table in TABLES and descriptions.describes(datasette, database)
    return [datasette.urls.static_plugins("vibetea", "datasette.css")] if is_ours else []


@hookimpl
def asgi_wrapper(datasette: Any) -> Callable[[guard.App], guard.App]:
    """Only requests that name this machine, or a host of the configuration, get an answer."""
    guarded = guard.wrapper(database.config(datasette).get("hosts", ()))
    return lambda app: guarded(descriptions.wrapper(datasette, app))


@hookimpl
def get_metadata(datasette: Any) -> dict[str, Any]:
    """Datasette 0.65: what the tables hold, and the saved queries."""
    return descriptions.metadata(datasette)


@hookimpl(trylast=True)  # of several answers the last one counts
def permission_allowed(
    datasette: Any, actor: dict[str, Any] | None, action: str, resource: Any
) -> Awaitable[bool | None]:
    """Datasette 0.65: nothing that tells of events is for those who may not view them."""
    return access.refusal(datasette, actor, action, resource)


@hookimpl
def permission_resources_sql(datasette: Any, actor: dict[str, Any] | None, action: str) -> Awaitable[list[Any]]:
    """The same for Datasette 1.0."""
    return access.rules(datasette, actor, action)


@hookimpl
def prepare_connection(conn: sqlite3.Connection, database: str) -> None:
    """Bound what one SQL expression of a visitor may build in memory, and keep the daemon's own tables from it."""
    protect(conn, database)
