"""`relay.db`: the events of late in the order they came, and the ids of those seen before. It holds nothing else."""

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Final

from vibetea_protocol.wire import WireEvent
from vibetea_relay.config import Limits
from vibetea_relay.errors import NotNowError, RelayConfigError, is_setting
from vibetea_relay.stream import Entry, Wish

APPLICATION_ID: Final = 0x76627472  # "vbtr", so that another program's file is not taken for ours
VERSION: Final = 2
PATIENCE: Final = 0.05
"""Seconds the event loop may wait for another process that writes."""
STEP: Final = 200
"""Rows that are deleted in one go: about a millisecond."""
MOST_READ: Final = 1_048_576
"""Bytes after which a read ends early."""

_TABLES: Final = (
    """create table entries(
        seq integer primary key, at integer not null, -- at: seconds since the epoch, when it came
        id text not null, source text not null, timestamp text not null, type text not null, project text not null,
        raw blob not null
    )""",
    "create table seen(seq integer primary key, at integer not null, id text not null unique)",
    "create table position(highest integer not null, held integer not null)",
    "insert into position values (0, 0)",
    f"pragma application_id = {APPLICATION_ID}",
)
_SHARING: Final = (
    "alter table position add column shared integer",  # whether the numbers are a shared stream's
    "alter table position add column hole integer not null default 0",
)
_STEPS: Final = (_TABLES, _SHARING)
"""From each version to the next."""
_PASSING: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_NEWEST: Final = """select min(seq) from (
    select seq from entries where seq >= :first
    and (:source is null or source = :source) and (:type is null or type = :type)
    and (:project is null or project = :project)
    and (:session is null or instr(raw, :session)) and (:tool is null or instr(raw, :tool))
    order by seq desc limit :many
)"""
_OLDEST: Final = "seq in (select seq from (select seq, at from {table} order by seq limit ?) where at < ?)"


class JournalError(RelayConfigError):
    """`relay.db` cannot be used; the text says what to do."""


class Records:
    """The file. One thread writes, one reads, one tends; what the first and the last do is taken in turns.

    Attributes:
        highest: the highest seq ever given, that of an entry left out included; 0 if there never was one.
        first: the oldest entry's that is not too old; `highest + 1` if there is none.
        hole: the seq before which entries of a shared stream are missing; 0 if none are.
    """

    def __init__(self, path: Path, limits: Limits, *, shared: bool = False) -> None:
        """Open the file, made with mode 0600 if it is missing. Raises JournalError and NotNowError."""
        self._limits = limits
        self._turn = threading.Lock()
        self._open = ExitStack()
        try:
            lock = path.with_name(f"{path.name}.lock")
            for file in (path, lock):
                file.touch(mode=0o600)
                file.chmod(0o600)
            flock(self._open.enter_context(lock.open("w")), LOCK_EX | LOCK_NB)
        except BlockingIOError:
            self.close()
            raise NotNowError(f"{path} is in use by another relay; give each a state folder of its own") from None
        except OSError as error:
            self.close()
            text = f"{path} cannot be opened: {error.strerror}"
            raise (JournalError if is_setting(error) else NotNowError)(text) from None
        try:
            self._writer = self._connect(path)
            self._prepare(path, shared)
            self._reader, self._tender = self._connect(path), self._connect(path)
        except sqlite3.DatabaseError as error:
            self.close()
            if error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
                raise JournalError(
                    f"{path} is damaged ({error}). Move it away and start again: watchers are told of the gap, and "
                    "what is sent twice from before reaches them twice"
                ) from None
            passes = error.sqlite_errorcode & 0xFF in _PASSING
            raise (NotNowError if passes else JournalError)(f"{path} cannot be used: {error}") from None
        except JournalError:
            self.close()
            raise

    def _connect(self, path: Path) -> sqlite3.Connection:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=PATIENCE)
        self._open.enter_context(closing(db))
        # NORMAL survives the death of the process without a disk flush for every request; checkpoints, which do
        # flush, are the tending thread's
        for setting in ("journal_mode = wal", "synchronous = normal", "wal_autocheckpoint = 0"):
            db.execute(f"pragma {setting}")
        db.execute("pragma journal_size_limit = 16777216")
        return db

    def _prepare(self, path: Path, shared: bool) -> None:
        (application,) = self._writer.execute("pragma application_id").fetchone()
        (version,) = self._writer.execute("pragma user_version").fetchone()
        if application not in {0, APPLICATION_ID}:
            raise JournalError(f"{path} belongs to another program; set VIBETEA_RELAY_STATE to a folder of its own")
        if version > VERSION:
            raise JournalError(f"{path} was written by a newer VibeTea (schema {version}); pip install -U vibetea")
        self._writer.execute("begin immediate")
        for statement in [statement for step in _STEPS[version:] for statement in step]:
            self._writer.execute(statement)
        self.highest: int
        self._held: int
        self.hole: int
        found = self._writer.execute("select highest, held, hole, shared from position").fetchone()
        self.highest, self._held, self.hole, before = found
        if self.highest and before not in {None, shared}:
            raise JournalError(
                f"{path} was kept by a relay {'with' if before else 'without'} VIBETEA_NATS_URL, and its numbers mean "
                "something else; set VIBETEA_RELAY_STATE to a new folder"
            )
        if before != shared:
            self._writer.execute("update position set shared = ?", (shared,))
        if version != VERSION:
            self._writer.execute(f"pragma user_version = {VERSION}")
        self._writer.execute("commit")
        self.first = 0
        self.first = self._oldest(self._writer, time.time())

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is added inside is kept, or, if sqlite3.Error comes out, nothing."""
        before = (self.highest, self.first, self._held, self.hole)
        with self._turn:
            try:
                self._writer.execute("begin immediate")
                yield
                position = (self.highest, self._held, self.hole)
                self._writer.execute("update position set highest = ?, held = ?, hole = ?", position)
                self._writer.execute("commit")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("rollback")
                self.highest, self.first, self._held, self.hole = before
                raise

    def add(self, events: Iterable[WireEvent]) -> list[Entry]:
        """Number the events whose ids are new, and keep them; inside a transaction."""
        at = time.time()
        # a new file begins where an old one that was lost cannot have been, so that nobody resumes in the wrong place
        seq = self.highest or int(at * 1000)
        new = []
        for event in events:
            if self._is_new(seq + 1, at, event.id):
                seq += 1
                new.append(Entry(seq, event))
        self._keep([(entry, at) for entry in new])
        return new

    def append(self, entries: Sequence[Entry], times: Sequence[float]) -> list[Entry]:
        """Keep the entries that are new by seq and by id, as they are numbered; inside a transaction."""
        new = [
            (entry, at)
            for entry, at in zip(entries, times, strict=True)
            if entry.seq > self.highest and self._is_new(entry.seq, at, entry.event.id)
        ]
        self._keep(new)
        if entries:
            self.highest = max(self.highest, entries[-1].seq)
        return [entry for entry, _ in new]

    def _is_new(self, seq: int, at: float, name: str) -> bool:
        row = (seq, int(at), name)
        return self._writer.execute("insert into seen values (?, ?, ?) on conflict do nothing", row).rowcount == 1

    def _keep(self, new: list[tuple[Entry, float]]) -> None:
        if not new:
            return
        rows = ((seq, int(at), *event) for (seq, event), at in new)
        self._writer.executemany("insert into entries values (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        if self.first > self.highest:
            self.first = new[0][0].seq
        self.highest = new[-1][0].seq
        self._held += len(new)

    def is_known(self, name: str) -> bool:
        """Whether an event with this id was added before."""
        return self._writer.execute("select 1 from seen where id = ?", (name,)).fetchone() is not None

    def read(self, after: int, limit: int) -> list[Entry]:
        """The entries after a seq, oldest first; fewer than `limit` if they are large."""
        found, size = [], 0
        query = "select seq, id, source, timestamp, type, project, raw from entries where seq > ? order by seq limit ?"
        for seq, *event in self._reader.execute(query, (max(after, self.first - 1), limit)):
            found.append(Entry(seq, WireEvent(*event)))
            size += len(event[-1])
            if size > MOST_READ:
                break
        return found

    def newest(self, many: int, wish: Wish) -> int | None:
        """Of the newest so many entries that suit, the oldest one's seq; None if none suits."""
        values = {"first": self.first, "many": many, **wish._asdict()}
        (seq,) = self._reader.execute(_NEWEST, values).fetchone()
        return None if seq is None else int(seq)

    def checkpoint(self) -> None:
        """Move what was written into the file proper; whoever writes meanwhile does not wait."""
        self._tender.execute("pragma wal_checkpoint(passive)").fetchall()

    def trim(self) -> bool:
        """Forget a little of what is too old or too much; whether there may be more of it."""
        now = time.time()
        with self._turn:
            self._tender.execute("begin immediate")
            try:
                many = min(STEP, max(0, self._held - self._limits.history_entries))
                gone = self._delete("entries", "seq in (select seq from entries order by seq limit ?)", (many,))
                gone += self._delete("entries", _OLDEST, (STEP, int(now - self._limits.history_seconds)))
                known = self._delete("seen", _OLDEST, (STEP, int(now - self._limits.seen_seconds)))
                if gone:
                    self._tender.execute("update position set held = held - ?", (gone,))
                self._tender.execute("commit")
            except BaseException:
                if self._tender.in_transaction:
                    self._tender.execute("rollback")
                raise
            self._held -= gone
            if gone:
                self.first = self._oldest(self._tender, now)
        return gone >= STEP or known >= STEP

    def _oldest(self, db: sqlite3.Connection, now: float) -> int:
        query = "select seq from entries where seq >= ? and at >= ? order by seq limit 1"
        found = db.execute(query, (self.first, int(now - self._limits.history_seconds))).fetchone()
        return int(found[0]) if found else self.highest + 1

    def _delete(self, table: str, which: str, values: tuple[int, ...]) -> int:
        return self._tender.execute(f"delete from {table} where {which.format(table=table)}", values).rowcount

    def close(self) -> None:
        """Close; what was written is folded into the file."""
        self._open.close()
