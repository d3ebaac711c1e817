"""`vibetea mirror`: a relay's stream in a local `vibetea.db`, with the place in the stream in the same transaction."""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from yarl import URL

from vibetea_daemon import relay_stream
from vibetea_daemon.commands import counted, identity
from vibetea_daemon.config import Config
from vibetea_daemon.daemon import AlreadyRunning, locked
from vibetea_daemon.relay_stream import Frame, Gap, Item, Offline, RelayStream, told
from vibetea_daemon.store import Batch, Position, Store, StoreError
from vibetea_protocol import Event
from vibetea_protocol.ids import keyed_hash
from vibetea_protocol.wire import parse

ROWS: Final = 500
"""Events of one transaction, at most."""
GATHER_SECONDS: Final = 0.02
LOOK_SECONDS: Final = 1.0
"""How often a silent stream's database is looked for."""
RETRY: Final = 1.0


class _Replaced(Exception):
    """The database we write to is no longer the one in the folder."""


def mirror(config: Config, *, relay: str) -> None:
    """Write until a signal."""
    url, token = relay_stream.address(relay), relay_stream.token(os.environ)
    os.umask(0o077)
    config.make_home()
    try:
        with locked(config.home / "mirror.lock"):
            asyncio.run(Mirror(config, url, token).run())
    except AlreadyRunning:
        raise click.ClickException(
            "a mirror writes into this folder already; for another relay set VIBETEA_HOME to a folder of its own"
        ) from None
    except relay_stream.RelayRefused as error:
        raise click.ClickException(str(error)) from None


def admitted(data: bytes) -> Event | None:
    """The event of a frame; None for what the pages must never show: only the closed model's words get in."""
    try:
        (event,) = parse(data)
        found = Event.model_validate_json(event.raw)
        datetime.fromisoformat(found.timestamp)  # its form was checked, but not that there is such a day
    except ValueError:
        return None
    return found


class Mirror:
    """Fills one folder from one relay."""

    def __init__(self, config: Config, url: URL, token: str) -> None:
        self._config = config
        self._url = url
        self._token = token
        self._stop = asyncio.Event()
        self._inserted = 0
        self._terminal = sys.stderr.isatty()

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises RelayRefused and StoreError."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        while not self._stop.is_set():
            self._config.make_home()
            try:
                await self._fill()
            except _Replaced:
                self.say("The database was taken away: beginning a new one.")
        self.say(f"Mirrored {counted(self._inserted, 'new event')}.")

    def say(self, text: str) -> None:
        """A line on standard error, in place of the running count."""
        click.echo(f"\r\x1b[K{text}" if self._terminal else text, err=True)

    def wrote(self, inserted: int) -> None:
        """Count what was new."""
        self._inserted += inserted
        if self._terminal:
            click.echo(f"\r\x1b[K{counted(self._inserted, 'new event')}", nl=False, err=True)

    async def _fill(self) -> None:
        with closing(Store(self._config.database)) as store:
            filling = _Filling(self, store, self._config.database, self._url)
            stream = RelayStream(self._url, self._token, after=filling.place)
            tasks = [
                asyncio.create_task(filling.read(stream)),
                asyncio.create_task(filling.keep_writing()),
                asyncio.create_task(self._stop.wait()),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            with contextlib.suppress(sqlite3.Error, _Replaced):  # what cannot be written is asked for again
                filling.write()
            for task in tasks:
                if not task.cancelled():
                    task.result()


class _Filling:
    """One opened database and what is on its way into it."""

    def __init__(self, mirror: Mirror, store: Store, path: Path, url: URL) -> None:
        self._mirror = mirror
        self._store = store
        self._path = path
        self._file = identity(path)
        self._relay = str(url).removesuffix("/ws")
        self._destination = keyed_hash(store.hashing_key(), "mirror", str(url)).hex()
        self._items: list[Item] = []
        self._some = asyncio.Event()
        self._turn = asyncio.Lock()
        self.place, self._status = self._read()

    async def read(self, stream: RelayStream) -> None:
        """Take in the stream; a database that cannot keep up holds it back. Raises RelayRefused."""
        async with aclosing(stream.items()) as items:
            async for item in items:
                if not isinstance(item, Frame):
                    self._mirror.say(told(item))
                self._items.append(item)
                self._some.set()
                if len(self._items) >= ROWS:
                    await self._write_at_last()

    async def keep_writing(self) -> None:
        """Write what came in, a moment later, with what came in meanwhile. Raises StoreError and _Replaced."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._some.wait()
                await asyncio.sleep(GATHER_SECONDS)
            self._some.clear()
            await self._write_at_last()

    async def _write_at_last(self) -> None:
        """Write, and while a full disk or another program hinders it, try again."""
        async with self._turn:
            hindered = False
            while True:
                try:
                    return self.write()
                except sqlite3.Error as error:
                    if not isinstance(error, sqlite3.OperationalError):
                        raise StoreError(f"{self._path} cannot be written: {error}; see `vibetea doctor`") from None
                    if not hindered:
                        self._mirror.say(f"Nothing can be written now ({error}); trying on.")
                    hindered = True
                await asyncio.sleep(RETRY)

    def write(self) -> None:
        """Write what is here, in one transaction with the place it ends at. Raises sqlite3.Error and _Replaced."""
        if identity(self._path) != self._file:
            raise _Replaced
        items = self._items[:]
        if not items:
            return
        events, counts, place = [], Counter[str](), self.place
        for item in items:
            match item:
                case Frame(seq, data):
                    event = admitted(data)
                    if event is None:
                        counts["mirror_refused"] += 1
                    else:
                        events.append(event)
                    place = place if seq is None else seq
                case Gap(_, following):
                    counts["mirror_gap"] += 1
                    place = following - 1
        position = Position(self._destination, "mirror", ((place, None),), None)
        status = self._status_after(items, events)
        batch = Batch(events, counts=counts, status={"mirror": status}, position=position)
        self._mirror.wrote(self._store.write([batch]))
        self.place, self._status = place, status
        del self._items[: len(items)]

    def _status_after(self, items: Sequence[Item], events: Sequence[Event]) -> dict[str, Any]:
        """What `vibetea status` tells of this mirror once these are written."""
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        status = dict(self._status)
        if events:
            status["last_event"] = events[-1].timestamp
        if not all(isinstance(item, Offline) for item in items):
            status |= {"heard": now, "why": "", "since": None}
        if isinstance(items[-1], Offline):
            status |= {"why": items[-1].reason, "since": status["since"] or now}
        return status

    def _read(self) -> tuple[int, dict[str, Any]]:
        """Where this relay's stream was left, 0 for its beginning, and what `vibetea status` tells of it."""
        with closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            row = db.execute("select lanes from _cursors where destination = ?", (self._destination,)).fetchone()
            said = db.execute("select value from _status where name = 'mirror'").fetchone()
        status = json.loads(said[0]) if said else {}
        if status.get("destination") != self._destination:
            status = {"relay": self._relay, "destination": self._destination}
            status |= dict.fromkeys(("last_event", "heard", "since")) | {"why": ""}
        return int(json.loads(row[0])[0][0]) if row else 0, status
