"""The tables, as migrations. Names that begin with `_` belong to the daemon and are hidden from the pages."""

import secrets
import sqlite3
import time
from pathlib import Path
from typing import Any, Final

from sqlite_utils import Database, Migrations

from vibetea_daemon.store import derived

APPLICATION_ID: Final = 0x76627465  # "vbte", so that another program's file is not taken for ours
VERSION: Final = 5
"""One more for every migration and every change of a view; a file with a higher one was written by a newer VibeTea."""
PATIENCE: Final = 5.0
"""Seconds to wait for another process that is just making or migrating the same database."""

migrations: Final = Migrations("vibetea")


class StoreError(Exception):
    """The database cannot be used; the text says what to do."""


def open_database(path: Path) -> sqlite3.Connection:
    """A connection to the migrated database, made with mode 0600 if it is missing. Raises StoreError."""
    try:
        path.touch(mode=0o600, exist_ok=True)
        path.chmod(0o600)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=PATIENCE)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path} cannot be opened: {error}") from None
    try:
        _prepare_in_turn(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise StoreError(
                f"{path} is damaged ({error}). Move it away, `mv {path} {path}.damaged`, and start again: what the "
                "transcripts still hold is imported anew, what only hooks told is lost"
            ) from None
        raise StoreError(f"{path} cannot be used now: {error}") from None
    except StoreError:
        connection.close()
        raise
    return connection


def _prepare_in_turn(connection: sqlite3.Connection) -> None:
    """SQLite does not wait when two switch to a WAL at once, so the waiting is done here."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return _prepare(connection)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _prepare(connection: sqlite3.Connection) -> None:
    _check(connection)
    # WAL lets the pages read while we write; NORMAL survives the death of the process, which is what an
    # acknowledgement promises, without a disk flush for every hook
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = normal")
    connection.execute("pragma journal_size_limit = 16777216")
    connection.execute("pragma temp_store = memory")
    connection.execute("begin immediate")
    try:
        (version,) = connection.execute("pragma user_version").fetchone()
        migrations.apply(Database(connection))
        if version < VERSION:
            derived.renew(connection)
        connection.execute(f"pragma application_id = {APPLICATION_ID}")
        connection.execute(f"pragma user_version = {VERSION}")
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _check(connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("pragma application_id").fetchone()
    (version,) = connection.execute("pragma user_version").fetchone()
    if application not in {0, APPLICATION_ID}:
        raise StoreError("the database belongs to another program; set VIBETEA_HOME to a folder of its own")
    if version > VERSION:
        raise StoreError(
            f"the database was written by a newer VibeTea (schema {version}); upgrade with pip install -U vibetea"
        )


_TABLES: Final = """
create table events(
    seq integer primary key autoincrement, -- a reader's cursor: never reused
    id text not null unique,
    source text not null,
    timestamp text not null,
    type text not null,
    session_id text,
    project text,
    tool text,
    status text,
    outcome text,
    state text, -- an agent's state or an activity's kind
    agent_id text,
    model text,
    duration_ms integer,
    payload text not null
);
create index events_timestamp on events(timestamp);
create table sessions(
    session_id text primary key,
    source text not null,
    project text,
    first_at text not null,
    last_at text not null,
    events integer not null
);
create table activity( -- slot: quarter hours since the epoch, exact in every time zone
    slot integer not null, source text not null, project text not null, type text not null, tool text not null,
    n integer not null, primary key (slot, source, project, type, tool)
);
create table usage(
    slot integer not null, source text not null, project text not null, model text not null,
    input_tokens integer not null, output_tokens integer not null,
    cache_read_tokens integer not null, cache_creation_tokens integer not null,
    messages integer not null, primary key (slot, source, project, model)
);
create table _offsets( -- a transcript is named by a keyed hash of its path
    file text primary key, device integer not null, inode integer not null, modified integer not null,
    size integer not null, offset integer not null, tail text not null
);
create table _counters(name text primary key, n integer not null);
create table _status(name text primary key, value text not null);
create table _secrets(name text primary key, value blob not null);
"""


@migrations()
def tables(db: Any) -> None:
    """The first schema."""
    for statement in _TABLES.split(";"):  # a script would be committed statement by statement
        db.execute(statement)
    db["_secrets"].insert({"name": "hashing_key", "value": secrets.token_bytes(32)})


_PRIVACY: Final = "alter table events add column privacy text"
"""The level a row was recorded at; null if that was not kept yet."""
_SINCE: Final = f"alter table _offsets add column since integer not null default {2**63 - 1}"
"""Acts before were left out; of older rows nobody knows."""
_OUTBOX: Final = """
create table _cursors( -- a destination is named by a keyed hash of its address
    destination text primary key, sink text not null,
    lanes text not null, -- JSON [[after, until], ...]: the rows still to be sent, the last lane has no end
    sent_at text -- when the other end last said yes
);
create table _quarantine( -- what a destination will never take, it stays in `events`
    destination text not null, event_id text not null, code text not null, at text not null,
    primary key (destination, event_id)
)
"""


@migrations()
def outbox(db: Any) -> None:
    """How far each sink is, what it had to leave out, how private a row is, and from when on a transcript was told."""
    for statement in (_PRIVACY, _SINCE, *_OUTBOX.split(";")):
        db.execute(statement)


_BOARD: Final = """
create index events_session_id on events(session_id, timestamp);
create table agents( -- '' is a session's main agent
    session_id text not null, agent_id text not null, type text,
    state text, reason text, since text, at text, -- null while no event has told a state
    tool text, -- that runs
    prompted_at text, first_at text not null, last_at text not null, events integer not null,
    primary key (session_id, agent_id)
);
create table clients( -- what is open on this machine now: never sent, and empty while no daemon runs
    session_id text primary key,
    alive integer, -- null if the process cannot be seen from here
    status text not null, waiting_for text, at text not null
);
alter table sessions add column model text;
alter table sessions add column input_tokens integer not null default 0;
alter table sessions add column output_tokens integer not null default 0;
alter table sessions add column cache_read_tokens integer not null default 0;
alter table sessions add column cache_creation_tokens integer not null default 0;
alter table sessions add column prompts integer not null default 0;
create index sessions_last_at on sessions(last_at)
"""


@migrations()
def board(db: Any) -> None:
    """What each agent does, what each session cost, and which clients are open."""
    for statement in _BOARD.split(";"):
        db.execute(statement)


_STATISTICS: Final = """
create table outcomes( -- how tool calls ended, and by which error a turn did (slots as in activity)
    slot integer not null, source text not null, project text not null, type text not null, tool text not null,
    outcome text not null, n integer not null, primary key (slot, source, project, type, tool, outcome)
) without rowid;
create table durations( -- day: days since the epoch by UTC, about_ms: a tool call's duration, within 5 %
    day integer not null, source text not null, project text not null, tool text not null,
    about_ms integer not null, n integer not null, primary key (day, source, project, tool, about_ms)
) without rowid;
alter table usage add column cache_creation_hour_tokens integer not null default 0
"""


@migrations()
def statistics(db: Any) -> None:
    """How tool calls ended and how long they took, and what was kept in the cache for an hour."""
    for statement in _STATISTICS.split(";"):
        db.execute(statement)


_ASKING: Final = "create index agents_asking on agents(last_at) where reason in ('permission', 'question')"


@migrations()
def asking(db: Any) -> None:
    """The few agents that ask, found without a look at all the others."""
    db.execute(_ASKING)
