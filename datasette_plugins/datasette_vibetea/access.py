"""Who may see the events: whoever may view the table. All that is made from them, and SQL over them, is for those only.

Datasette checks a table's rules for that table; its views, the sums kept beside it, saved queries and SQL would still
tell of it. And nobody sees the daemon's own tables, or downloads the file they are in.
"""

from __future__ import annotations

import json
from contextvars import ContextVar
from typing import Any, Final, Literal

from datasette import Forbidden

from datasette_vibetea.database import TABLE, of_events

DOWNLOAD: Final = "view-database-download"
NOBODYS: Final = ("_", "sqlite_")
"""How the names of the daemon's own tables and of SQLite's begin."""
_NOBODYS_SQL: Final = rf"""
select theirs.database_name as parent, theirs.table_name as child, 0 as allow, 'it belongs to the daemon' as reason
from catalog_tables as theirs join catalog_columns as ours on ours.database_name = theirs.database_name
where ours.table_name = '{TABLE}' and ours.name = 'seq'
    and (theirs.table_name like '\_%' escape '\' or theirs.table_name like 'sqlite\_%' escape '\')
"""
_FILES_SQL: Final = """
select value as parent, null as child, 0 as allow, 'it holds the key of the ids' as reason
from json_each(:vibetea_files)
"""
_ALL_SQL: Final = """
select value as parent, null as child, 0 as allow, 'it tells of events' as reason from json_each(:vibetea_closed)
"""
_CLOSED_SQL: Final = {
    "view-table": f"""{_ALL_SQL}
union all
select value, table_name, 0, 'it tells of events' from json_each(:vibetea_closed) join catalog_tables
    on database_name = value where table_name <> '{TABLE}'
union all
select value, view_name, 0, 'it tells of events' from json_each(:vibetea_closed) join catalog_views
    on database_name = value
""",
    "view-query": f"""{_ALL_SQL}
union all
select value, name, 0, 'it tells of events' from json_each(:vibetea_closed) join queries on database_name = value
""",
    "execute-sql": _ALL_SQL,
}
"""Rules for Datasette 1.0 by action; `vibetea_closed` is a JSON list of databases.

A rule for a database is beaten by one for a table, so there are both; the catalogue may be a second behind.
"""
_asking: Final[ContextVar[bool]] = ContextVar("asking", default=False)


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


async def require_instance(datasette: Any, actor: dict[str, Any] | None) -> None:
    """Raise Forbidden unless the actor may look at this Datasette at all."""
    if hasattr(datasette, "ensure_permissions"):
        await datasette.ensure_permissions(actor, ["view-instance"])
    else:
        await datasette.ensure_permission(action="view-instance", actor=actor)


async def refusal(datasette: Any, actor: dict[str, Any] | None, action: str, resource: Any) -> Literal[False] | None:
    """For Datasette 0.65: False if this is nobody's to see, or tells of events the actor may not view."""
    if action == DOWNLOAD:
        return False if await of_events(datasette, [resource]) else None
    if action not in _CLOSED_SQL:
        return None
    database, child = (resource, "") if action == "execute-sql" else resource
    if action == "view-table":
        if child == TABLE:
            return None
        if child.startswith(NOBODYS) and await of_events(datasette, [database]):
            return False
    return False if database in await _closed(datasette, actor, [database]) else None


async def rules(datasette: Any, actor: dict[str, Any] | None, action: str) -> list[Any]:
    """For Datasette 1.0: the same as PermissionSQL."""
    from datasette.permissions import PermissionSQL

    if action == DOWNLOAD:
        files = json.dumps(await of_events(datasette, datasette.databases))
        return [PermissionSQL(sql=_FILES_SQL, params={"vibetea_files": files})]
    found = [PermissionSQL(sql=_NOBODYS_SQL)] if action == "view-table" else []
    if action in _CLOSED_SQL and not _asking.get():  # whether one may view the events is asked right here
        token = _asking.set(True)
        try:
            closed = await _closed(datasette, actor, datasette.databases)
        finally:
            _asking.reset(token)
        if closed:
            found.append(PermissionSQL(sql=_CLOSED_SQL[action], params={"vibetea_closed": json.dumps(closed)}))
    return found


async def _closed(datasette: Any, actor: dict[str, Any] | None, names: Any) -> list[str]:
    """Which of these databases tell of events the actor may not view; `--crossdb` attaches all of them to _memory."""
    crossing = datasette.crossdb and "_memory" in names
    closed = []
    for name in await of_events(datasette, datasette.databases if crossing else names):
        try:
            await require_events(datasette, actor, name)
        except Forbidden:
            closed.append(name)
    return [*closed, "_memory"] if crossing and closed else closed
