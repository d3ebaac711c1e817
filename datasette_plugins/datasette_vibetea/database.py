"""The database of events: which of the attached files it is, and a reader with a connection of its own.

Datasette's own connections share a small thread pool with every page; under slow SQL a stream on that pool waits
for seconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar
from weakref import WeakKeyDictionary

from datasette_vibetea import filters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Found = TypeVar("Found")

CONFIG: Final = "datasette-vibetea"
TABLE: Final = "events"
COLUMNS: Final = (
    "seq",
    "id",
    "source",
    "timestamp",
    "type",
    "session_id",
    "project",
    "tool",
    "status",
    "outcome",
    "state",
    "agent_id",
    "model",
    "duration_ms",
    "payload",
)
NAMES: Final = (*filters.COLUMNS, filters.SESSION)
PAGE_ROWS: Final = 500
MAX_VALUE_BYTES: Final = 1_000_000

_PAGE: Final = f"select {', '.join(COLUMNS)} from {TABLE} where seq > ? order by seq limit {PAGE_ROWS}"
_NEWEST: Final = f"select coalesce(max(seq), 0) from {TABLE}"
_OTHERS: Final = r"select 1 from sqlite_master where name not like '\_%' escape '\'"
_of_events: Final[WeakKeyDictionary[Any, set[str]]] = WeakKeyDictionary()
"""By Datasette: the databases found to hold events, since every page asks many times."""


class NoDatabase(Exception):
    """No attached file, or more than one, is the database of events."""

    def __init__(self, state: Literal["missing", "ambiguous"]) -> None:
        super().__init__(state)
        self.state = state


class Replaced(Exception):
    """Another file has taken the place of the one being read."""


@dataclass(frozen=True, slots=True)
class Attached:
    """A database by the name Datasette gave it, and its file."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Frame:
    """One event as bytes of the stream, ready for every reader, and what readers choose by."""

    seq: int
    data: bytes
    names: dict[str, Any]


def config(datasette: Any) -> dict[str, Any]:
    """The plugin's configuration.

    `database` (a name), `hosts` (host names besides this machine's), `history` (`url` and `token` of a Supabase) and
    `invented` (whether the pages say that the sessions are).
    """
    return datasette.plugin_config(CONFIG) or {}


async def find(datasette: Any) -> Attached:
    """The one attached database of events, or the one of the configuration. Raises NoDatabase."""
    wanted = config(datasette).get("database")
    found = await _holding_events(datasette, [wanted] if wanted else datasette.databases)
    if len(found) == 1:
        return found[0]
    raise NoDatabase("ambiguous" if found else "missing")


async def of_events(datasette: Any, names: Iterable[str]) -> list[str]:
    """Which of the attached databases of these names hold events, or once did; a file may come to at any time."""
    known = _of_events.setdefault(datasette, set())
    if unknown := [name for name in names if name not in known]:
        known.update(each.name for each in await _holding_events(datasette, unknown))
    return [name for name in names if name in known]


async def _holding_events(datasette: Any, names: Iterable[str]) -> list[Attached]:
    databases = {name: datasette.databases.get(name) for name in names}
    candidates = [Attached(name, Path(db.path)) for name, db in databases.items() if db and db.path]
    return await asyncio.to_thread(lambda: [each for each in candidates if _has_events(each.path)])


def protect(connection: sqlite3.Connection, name: str) -> None:
    """In a database of events: no value longer than a megabyte, and null for all that is in the daemon's own tables."""
    events = _is_events(connection)
    if events:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    # a file may get its tables later, and --crossdb attaches files to _memory later
    if events or name == "_memory" or not connection.execute(_OTHERS).fetchone():
        connection.set_authorizer(_authorize)


def _authorize(action: int, table: str | None, column: str | None, *_: object) -> int:
    # the hashing key is in there. SQLite puts null in a value's place: Datasette counts the rows of every table, and
    # 1.0 names the columns in that, so that an error would be told of seven tables with every page
    reads = action == sqlite3.SQLITE_READ and column
    return sqlite3.SQLITE_IGNORE if reads and (table or "").startswith("_") else sqlite3.SQLITE_OK


class Reader:
    """A read-only connection. Its methods block and may be called from any thread, one at a time.

    They raise sqlite3.Error and OSError when the file cannot be read, and Replaced when it is not the one opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection = connect(path)
        self._identity = identity(path)

    def page(self, after: int) -> list[Frame]:
        """Up to PAGE_ROWS events whose seq is above `after`, in order."""
        rows = self.ask(lambda connection: connection.execute(_PAGE, (after,)).fetchall())
        return [frame(event(row)) for row in rows]

    def newest(self) -> int:
        """The highest seq, 0 in an empty table."""
        return self.ask(newest)

    def ask(self, question: Callable[[sqlite3.Connection], Found]) -> Found:
        """What the question finds, in one state of the database."""
        with self._lock:
            if identity(self._path) != self._identity:
                raise Replaced
            self._connection.execute("begin")
            try:
                return question(self._connection)
            finally:
                self._connection.execute("rollback")

    def close(self) -> None:
        """Give the file back; what another thread still reads ends early, for nobody waits for it."""
        self._connection.interrupt()
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def newest(connection: sqlite3.Connection) -> int:
    """The highest seq, 0 in an empty table."""
    return int(connection.execute(_NEWEST).fetchone()[0])


def connect(path: Path) -> sqlite3.Connection:
    """A read-only connection. Raises sqlite3.Error."""
    uri = f"{path.resolve().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=1)
    connection.text_factory = lambda value: value.decode(errors="replace")
    return connection


def identity(path: Path) -> tuple[int, int]:
    """What tells the file from another in its place. Raises OSError."""
    status = os.stat(path)  # noqa: PTH116 ten times a second: half the price of Path.stat
    return status.st_dev, status.st_ino


def _has_events(path: Path) -> bool:
    try:
        connection = connect(path)
    except sqlite3.Error:
        return False
    try:
        return _is_events(connection)
    except sqlite3.Error:
        return False
    finally:
        connection.close()


def _is_events(connection: sqlite3.Connection) -> bool:
    return any(row[1] == "seq" for row in connection.execute(f"pragma table_info({TABLE})"))


def event(row: tuple[Any, ...]) -> dict[str, Any]:
    """A row of COLUMNS by their names, its payload parsed."""
    named = dict(zip(COLUMNS, row, strict=True))
    named["payload"] = _payload(named["payload"])
    return named


def frame(event: dict[str, Any], *, placed: bool = True) -> Frame:
    """An event's frame. Not `placed`, it has no id, for it says nothing of the reader's place in the stream."""
    # ASCII with escapes: no byte of a value can end a line of the stream
    place = f"id: {event['seq']}\n" if placed else ""
    data = f"{place}data: {json.dumps(event, separators=(',', ':'))}\n\n".encode()
    return Frame(event["seq"], data, {name: event[name] for name in NAMES})


def _payload(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
    except (ValueError, TypeError, RecursionError):
        return None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if abs(number) != float("inf") else None
