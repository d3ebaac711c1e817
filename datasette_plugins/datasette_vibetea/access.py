"""Who may see the events: whoever may see the table. And what nobody sees: the daemon's own tables."""

from __future__ import annotations

from typing import Any, Final

from datasette_vibetea.database import TABLE

NOBODYS: Final = ("_", "sqlite_")
"""How the names of the daemon's own tables and of SQLite's begin."""
NOBODYS_SQL: Final = rf"""
select theirs.database_name as parent, theirs.table_name as child, 0 as allow, 'it belongs to the daemon' as reason
from catalog_tables as theirs join catalog_columns as ours on ours.database_name = theirs.database_name
where ours.table_name = '{TABLE}' and ours.name = 'seq'
    and (theirs.table_name like '\_%' escape '\' or theirs.table_name like 'sqlite\_%' escape '\')
"""
"""The same as rules for Datasette 1.0, over its catalogue."""


async def require_events(datasette: Any, actor: dict[str, Any] | None, database: str) -> None:
    """Raise Forbidden unless the actor may view the events of this database."""
    if hasattr(datasette, "ensure_permissions"):
        # Datasette 0.65 looks at the level it is asked about and no other, so all three are named
        await datasette.ensure_permissions(
            actor, [("view-table", (database, TABLE)), ("view-database", database), "view-instance"]
        )
    else:
        from datasette.resources import TableResource

        resource = TableResource(database, TABLE)
        await datasette.ensure_permission(action="view-table", resource=resource, actor=actor)


async def is_nobodys(datasette: Any, database: str, table: str) -> bool:
    """Whether this is a table of the daemon's own, or of SQLite's, in a database of events."""
    if not table.startswith(NOBODYS) or not (attached := datasette.databases.get(database)):
        return False
    return "seq" in await attached.table_columns(TABLE)


async def require_instance(datasette: Any, actor: dict[str, Any] | None) -> None:
    """Raise Forbidden unless the actor may look at this Datasette at all."""
    if hasattr(datasette, "ensure_permissions"):
        await datasette.ensure_permissions(actor, ["view-instance"])
    else:
        await datasette.ensure_permission(action="view-instance", actor=actor)
