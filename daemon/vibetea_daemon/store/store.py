"""One transaction for events, what is derived from them, and where they came from."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vibetea_daemon.store.schema import open_database
from vibetea_protocol import Event


@dataclass(slots=True, frozen=True)
class Offset:
    """How far a transcript has been read.

    Args:
        file: a keyed hash of its path.
        offset: where reading goes on after a restart; `tail` is a hash of the bytes before it.
        size: how far it has been read, in bytes, or 0 while something read waits for a later line; `modified` is
            its time of change in nanoseconds.
        since: nanoseconds since the epoch; what happened before was left out.
    """

    file: str
    device: int
    inode: int
    modified: int
    size: int
    offset: int
    tail: str
    since: int


@dataclass(slots=True, frozen=True)
class Position:
    """How far a sink is.

    Args:
        destination: a keyed hash of the sink's name and where it sends to.
        lanes: pairs of (after, until), sequence numbers: rows in between are still to be sent. The last has no end.
        sent_at: when the other end last said yes, RFC 3339.
    """

    destination: str
    sink: str
    lanes: tuple[tuple[int, int | None], ...]
    sent_at: str | None


@dataclass(slots=True, frozen=True)
class Refusal:
    """An event that a destination will never take, and the word it said."""

    destination: str
    event_id: str
    code: str
    at: str


@dataclass(slots=True)
class Batch:
    """What belongs together: all of it is written at once or not at all.

    Args:
        privacy: the level the events were recorded at.
        position: where a sink is from now on; `refusals` are the events it left out on the way.
        then: called on the writer's thread with True after the commit, with False if there was none.
    """

    events: Sequence[Event] = ()
    offsets: Sequence[Offset] = ()
    counts: Counter[str] = field(default_factory=Counter)
    status: dict[str, object] = field(default_factory=dict)
    privacy: str | None = None
    position: Position | None = None
    refusals: Sequence[Refusal] = ()
    then: Callable[[bool], None] | None = None


_COLUMNS: Final = (
    "session_id",
    "project",
    "tool",
    "status",
    "outcome",
    "state",
    "agent_id",
    "model",
    "duration_ms",
)
_INSERT: Final = f"""
    insert into events(id, source, timestamp, type, payload, privacy, {", ".join(_COLUMNS)})
    values {{}} on conflict(id) do nothing
"""
_ROW: Final = f"({', '.join('?' * (6 + len(_COLUMNS)))})"
_ROWS: Final = 1000
"""Rows of one statement: SQLite lets other threads work while it runs, not between two."""
# Derived rows are made from the rows with a higher seq than before, which are just those really inserted.
_ACTIVITY: Final = """
    insert into activity
    select strftime('%s', timestamp) / 900, source, coalesce(project, ''), type, coalesce(tool, ''), count(*)
    from events where seq > ? group by 1, 2, 3, 4, 5
    on conflict do update set n = n + excluded.n
"""
_SESSIONS: Final = """
    insert into sessions
    select session_id, source, project, min(timestamp), max(timestamp), count(*)
    from events where seq > ? and session_id is not null group by session_id
    on conflict do update set
        project = coalesce(project, excluded.project), first_at = min(first_at, excluded.first_at),
        last_at = max(last_at, excluded.last_at), events = events + excluded.events
"""
_USAGE: Final = """
    insert into usage
    select strftime('%s', timestamp) / 900, source, coalesce(project, ''), model,
        sum(json_extract(payload, '$.inputTokens')), sum(json_extract(payload, '$.outputTokens')),
        sum(json_extract(payload, '$.cacheReadTokens')), sum(json_extract(payload, '$.cacheCreationTokens')), count(*)
    from events where seq > ? and type = 'token_usage' group by 1, 2, 3, 4
    on conflict do update set
        input_tokens = input_tokens + excluded.input_tokens,
        output_tokens = output_tokens + excluded.output_tokens,
        cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
        cache_creation_tokens = cache_creation_tokens + excluded.cache_creation_tokens,
        messages = messages + excluded.messages
"""


class Store:
    """The write side of `vibetea.db`. One thread uses it at a time."""

    def __init__(self, path: Path) -> None:
        """Open and migrate. Raises StoreError."""
        self._db = open_database(path)

    def close(self) -> None:
        """Close; the WAL is folded into the file."""
        self._db.close()

    def hashing_key(self) -> bytes:
        """The 32 bytes that ids and aliases are keyed with."""
        row = self._db.execute("select value from _secrets where name = 'hashing_key'").fetchone()
        return bytes(row[0])

    def forget_status(self) -> None:
        """Begin with a clean `vibetea status`; what was dropped stays counted."""
        self._db.execute("delete from _status")

    def count(self) -> int:
        """How many events there are."""
        return int(self._db.execute("select count(*) from events").fetchone()[0])

    def offsets(self) -> dict[str, Offset]:
        """How far every transcript has been read."""
        rows = self._db.execute("select file, device, inode, modified, size, offset, tail, since from _offsets")
        return {row[0]: Offset(*row) for row in rows}

    def write(self, batches: Sequence[Batch]) -> int:
        """Write all or nothing; the number of events that were new. Raises sqlite3.Error after a rollback."""
        self._db.execute("begin immediate")
        try:
            inserted = self._insert([_row(event, batch.privacy) for batch in batches for event in batch.events])
            self._offsets([offset for batch in batches for offset in batch.offsets])
            self._count(sum((batch.counts for batch in batches), Counter()))
            self._set_status({name: value for batch in batches for name, value in batch.status.items()})
            for batch in batches:
                self._move(batch)
            self._db.execute("commit")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise
        return inserted

    def _insert(self, rows: Sequence[tuple[object, ...]]) -> int:
        (before,) = self._db.execute("select coalesce(max(seq), 0) from events").fetchone()
        inserted = 0
        for start in range(0, len(rows), _ROWS):
            chunk = rows[start : start + _ROWS]
            statement = _INSERT.format(", ".join([_ROW] * len(chunk)))
            inserted += self._db.execute(statement, [value for row in chunk for value in row]).rowcount
        if inserted:
            self._db.execute(_ACTIVITY, (before,))
            self._db.execute(_SESSIONS, (before,))
            self._db.execute(_USAGE, (before,))
        return inserted

    def _offsets(self, offsets: Sequence[Offset]) -> None:
        self._db.executemany(
            "insert or replace into _offsets values (?, ?, ?, ?, ?, ?, ?, ?)",
            ((o.file, o.device, o.inode, o.modified, o.size, o.offset, o.tail, o.since) for o in offsets),
        )

    def _count(self, counts: Counter[str]) -> None:
        self._db.executemany(
            "insert into _counters values (?, ?) on conflict do update set n = n + excluded.n", counts.items()
        )

    def _set_status(self, status: dict[str, object]) -> None:
        self._db.executemany(
            "insert or replace into _status values (?, ?)",
            ((name, json.dumps(value)) for name, value in status.items()),
        )

    def _move(self, batch: Batch) -> None:
        if at := batch.position:
            self._db.execute(
                "insert or replace into _cursors values (?, ?, ?, ?)",
                (at.destination, at.sink, json.dumps(at.lanes), at.sent_at),
            )
        self._db.executemany(
            "insert or ignore into _quarantine values (?, ?, ?, ?)",
            ((r.destination, r.event_id, r.code, r.at) for r in batch.refusals),
        )


def wire(row: Sequence[str]) -> bytes:
    """The exact bytes that leave for a row of (id, source, timestamp, type, payload)."""
    event_id, source, timestamp, event_type, payload = row
    return (
        f'{{"id":"{event_id}","source":"{source}","timestamp":"{timestamp}","type":"{event_type}","payload":{payload}}}'
    ).encode()


def _row(event: Event, privacy: str | None) -> tuple[object, ...]:
    payload = event.payload
    told = payload.__dict__
    values = [told.get(column) for column in _COLUMNS]
    if event.type == "activity":
        values[_COLUMNS.index("state")] = told.get("kind")
    return (
        event.id,
        event.source,
        event.timestamp,
        event.type,
        payload.model_dump_json(by_alias=True, exclude_none=True),
        privacy,
        *values,
    )
