"""Who may see the events: whoever may see the table."""

from __future__ import annotations

from typing import Any

from datasette_vibetea.database import TABLE


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
