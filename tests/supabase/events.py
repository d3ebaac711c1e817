"""Batches as `ingest` hands them to the database, and what is in there."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

RECOUNT = """
    select coalesce(jsonb_object_agg(source || ' ' || hour, n), '{}') from (
        select source, date_trunc('hour', timestamp, 'UTC') as hour, count(*) as n from public.events group by 1, 2
    )
"""
ROLLUP = "select coalesce(jsonb_object_agg(source || ' ' || hour, event_count), '{}') from vibetea.hourly"


@dataclass(frozen=True)
class Row:
    """What counts about an event."""

    id: str
    source: str = "laptop"
    at: datetime = datetime(2026, 11, 1, 10, tzinfo=UTC)
    type: str = "tool"

    @property
    def sent(self) -> dict[str, Any]:
        at = self.at.isoformat()
        return {"id": self.id, "source": self.source, "timestamp": at, "eventType": self.type, "payload": {}}


def insert(connection: psycopg.Connection[Any], rows: Iterable[Row]) -> int:
    """How many of them were new."""
    batch = json.dumps([row.sent for row in rows])
    found = connection.execute("select inserted_count from public.bulk_insert_events(%s)", [batch]).fetchone()
    assert found is not None
    return int(found[0])
