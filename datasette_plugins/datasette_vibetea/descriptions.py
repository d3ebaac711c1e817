"""Puts what `tables` and `queries` say of a database of events beneath what Datasette's owner says of it.

Datasette 0.65 asks for it with every question; 1.0 keeps it in its configuration and its own database. A file may come
to hold events at any time, so this is done before an answer, not at the start.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from datasette_vibetea import database
from datasette_vibetea.queries import QUERIES
from datasette_vibetea.tables import TABLES, Table

if TYPE_CHECKING:
    from datasette_vibetea.guard import App, Message, Receive, Send

SOURCE: Final = "vibetea"
"""Whose queries ours are, in Datasette 1.0's own table of them."""

_TABLE: Final = """
    insert or ignore into metadata_resources(database_name, resource_name, key, value)
    values (?, ?, 'description', ?)
"""
_COLUMN: Final = """
    insert or ignore into metadata_columns(database_name, resource_name, column_name, key, value)
    values (?, ?, ?, 'description', ?)
"""
_described: Final[WeakKeyDictionary[Any, set[str]]] = WeakKeyDictionary()
"""By Datasette: the databases it has been told of."""
_turns: Final[WeakKeyDictionary[Any, asyncio.Lock]] = WeakKeyDictionary()


def wrapper(datasette: Any, app: App) -> App:
    """An ASGI application that knows of every database of events before it shows one."""

    async def describing(scope: Message, receive: Receive, send: Send) -> None:
        # our own pages and everybody's scripts and styles need none of it
        if scope["type"] == "http" and not scope["path"].startswith(("/-/static", "/-/vibetea")):
            await _describe(datasette)
        await app(scope, receive, send)

    return describing


def describes(datasette: Any, name: str | None) -> bool:
    """Whether it knows of a database of that name, so that its tables are described."""
    return name in _described.get(datasette, ())


def metadata(datasette: Any) -> dict[str, Any]:
    """For Datasette 0.65, which writes into what it is given: so it is made anew each time."""
    owners = datasette._metadata_local.get("databases") or {}  # noqa: SLF001 nobody else tells them from ours
    return {
        "databases": {
            name: {"tables": _tables((owners.get(name) or {}).get("tables") or {}), "queries": _queries()}
            for name in _described.get(datasette, ())
        }
    }


def _tables(owners: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {
            "description": table.description,
            "columns": dict(table.columns),
            "facets": list(table.facets),
            **_order(table, owners.get(name) or {}),
        }
        for name, table in TABLES.items()
    }


def _order(table: Table, owners: dict[str, Any]) -> dict[str, str]:
    """A table that is sorted both ways is an error to Datasette."""
    return {} if "sort" in owners else {"sort_desc": table.sort_desc}


def _queries() -> dict[str, Any]:
    return {
        name: {"title": query.title, "description": query.description, "sql": query.sql.strip()}
        for name, query in QUERIES.items()
    }


async def _describe(datasette: Any) -> None:
    known = _described.setdefault(datasette, set())
    if known.issuperset(datasette.databases):
        return
    async with _turns.setdefault(datasette, asyncio.Lock()):
        for name in await database.of_events(datasette, set(datasette.databases) - known):
            if hasattr(datasette, "set_resource_metadata"):
                await _write(datasette, name)
            known.add(name)


async def _write(datasette: Any, name: str) -> None:
    """For Datasette 1.0: whatever is there already stays, but for queries of an older version of ours."""
    configured = datasette.config.setdefault("databases", {}).setdefault(name, {}).setdefault("tables", {})
    for table, told in TABLES.items():
        owners = configured.get(table) or {}
        configured[table] = {"facets": list(told.facets), **_order(told, owners), **owners}
    internal = datasette.get_internal_database()
    # one by one, Datasette's own functions for this would take a quarter of a second
    await internal.execute_write_many(_TABLE, [(name, table, told.description) for table, told in TABLES.items()])
    await internal.execute_write_many(
        _COLUMN, [(name, table, *column) for table, told in TABLES.items() for column in told.columns.items()]
    )
    await internal.execute_write("delete from queries where database_name = ? and source = ?", [name, SOURCE])
    for query, asks in QUERIES.items():
        if not await datasette.get_query(name, query):
            await datasette.add_query(
                name,
                query,
                asks.sql.strip(),
                title=asks.title,
                description=asks.description,
                is_trusted=True,  # whoever may see the events may run it, see `access`
                source=SOURCE,
            )
