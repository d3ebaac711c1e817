"""One transaction for events, what is derived from them, and where they came from."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vibetea_daemon.store import derived
from vibetea_daemon.store.schema import open_database
from vibetea_protocol import Event
from vibetea_protocol.vocabulary import ClientStatus, WaitingFor


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


@dataclass(slots=True, frozen=True)
class Client:
    """What a client on this machine says of the session it has open.

    Args:
        alive: whether its process lives; None if that cannot be seen from here.
        at: when it came to be in this status, RFC 3339.
    """

    alive: bool | None
    status: ClientStatus
    waiting_for: WaitingFor | None
    at: str


@dataclass(slots=True)
class Batch:
    """What belongs together: all of it is written at once or not at all.

    Args:
        privacy: the level the events were recorded at.
        clients: what is new of each session's client; None if it has none any more.
        position: where a sink is from now on; `refusals` are the events it left out on the way.
        then: called on the writer's thread with True after the commit, with False if there was none.
    """

    events: Sequence[Event] = ()
    offsets: Sequence[Offset] = ()
    counts: Counter[str] = field(default_factory=Counter)
    status: dict[str, object] = field(default_factory=dict)
    privacy: str | None = None
    clients: dict[str, Client | None] = field(default_factory=dict)
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
        """Begin with a clean `vibetea status`; what was dropped stays counted, and a mirror's line is its own."""
        self._db.execute("delete from _status where name <> 'mirror'")

    def forget_clients(self) -> None:
        """Nobody watches the clients any more, or not yet."""
        self._db.execute("delete from clients")

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
                self._set_clients(batch.clients)
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
            derived.add(self._db, before)
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

    def _set_clients(self, clients: dict[str, Client | None]) -> None:
        for session, client in clients.items():
            if client is None:
                self._db.execute("delete from clients where session_id = ?", (session,))
            else:
                row = (session, client.alive, client.status, client.waiting_for, client.at)
                self._db.execute("insert or replace into clients values (?, ?, ?, ?, ?)", row)

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


def wire_to_supabase(row: Sequence[str]) -> bytes:
    """The bytes that leave for Supabase, where the type has another name: both are in it."""
    event_id, source, timestamp, event_type, payload = row
    return (
        f'{{"id":"{event_id}","source":"{source}","timestamp":"{timestamp}","type":"{event_type}",'
        f'"eventType":"{event_type}","payload":{payload}}}'
    ).encode()


def _row(event: Event, privacy: str | None) -> tuple[object, ...]:
    told = event.payload.__dict__
    values = [told.get(column) for column in _COLUMNS]
    if event.type == "activity":
        values[_COLUMNS.index("state")] = told.get("kind")
    return (*event.row(), privacy, *values)
