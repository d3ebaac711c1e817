"""`vibetea tail`: what happens, a line an event, from the local database or from a relay."""

import asyncio
import errno
import io
import json
import os
import select
import sqlite3
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, get_args

import click

from vibetea_daemon import relay_stream
from vibetea_daemon.commands import identity
from vibetea_daemon.commands.status import mirroring, open_read_only, running
from vibetea_daemon.config import Config
from vibetea_daemon.store import wire
from vibetea_daemon.words import Tone, describe, text
from vibetea_protocol.events import EventType
from vibetea_protocol.wire import WireError, parse

POLL_SECONDS: Final = 0.05
PROBE_SECONDS: Final = 2.0
ROWS: Final = 500
_COLUMNS: Final = "seq, id, source, timestamp, type, payload"
_COLOURS: Final[dict[Tone, dict[str, Any]]] = {
    "plain": {},
    "quiet": {"dim": True},
    "good": {"fg": "green"},
    "bad": {"fg": "red"},
    "attention": {"fg": "yellow", "bold": True},
}
Payload = dict[str, Any]


@dataclass(slots=True, frozen=True)
class Filters:
    """What an event must be to be shown; "" lets everything pass. `session` is the beginning of a session's id."""

    source: str
    project: str
    type: str
    session: str
    tool: str

    def sql(self) -> tuple[str, list[str]]:
        """Conditions on the table of events, and their parameters."""
        exact = {"source": self.source, "project": self.project, "type": self.type, "tool": self.tool}
        named = {name: value for name, value in exact.items() if value}
        conditions = [f"{name} = ?" for name in named]
        parameters = [*named.values()]
        if self.session:
            conditions.append("substr(session_id, 1, length(?)) = ?")
            parameters += [self.session, self.session]
        return "".join(f" and {condition}" for condition in conditions), parameters

    def of_relay(self) -> dict[str, str]:
        """What the relay filters by itself."""
        return {name: value for name, value in asdict(self).items() if value}

    def take(self, payload: Payload) -> bool:
        """What an older relay does not filter."""
        session = str(payload.get("sessionId", ""))
        return session.startswith(self.session) and self.tool in {"", payload.get("tool")}


def tail(config: Config, *, relay: str | None, lines: int, as_json: bool, **wanted: str) -> None:
    """Print until Ctrl-C; `wanted` are Filters."""
    filters = Filters(**wanted)
    _check_type(filters.type)
    try:
        if relay is None:
            _local(config, filters, lines, Printer(as_json=as_json))
        else:
            asyncio.run(_relay(relay, filters, lines, Printer(as_json=as_json, with_source=True)))
    except KeyboardInterrupt:
        pass
    except relay_stream.RelayRefused as error:
        raise click.ClickException(str(error)) from None


class Printer:
    """Writes events to standard output, each at once; with the machine's name where there may be several."""

    def __init__(self, *, as_json: bool, with_source: bool = False) -> None:
        self.with_source = with_source
        terminal = sys.stdout.isatty()
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a letter that its encoding lacks
        self._write = self._plainly if as_json else self._in_words
        self._terminal = terminal
        self._colours = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._pipe = select.poll() if stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode) else None
        if self._pipe:
            self._pipe.register(sys.stdout.fileno(), 0)

    def event(self, line: bytes) -> None:
        """Print one, given as its wire bytes. Raises BrokenPipeError."""
        self._write(line)

    def check_reader(self) -> None:
        """Raises BrokenPipeError once nobody reads any more, for there may be nothing to print for hours."""
        if self._pipe and self._pipe.poll(0):
            raise BrokenPipeError(errno.EPIPE, "nobody reads")

    def _plainly(self, line: bytes) -> None:
        if self._terminal:
            # JSON leaves some letters as they are that a terminal obeys, or shows as nothing
            line = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line.decode()).encode()
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()

    def _in_words(self, line: bytes) -> None:
        event = json.loads(line)
        payload = event["payload"]
        words = describe(event["type"], payload)
        project = payload.get("project") or payload.get("projectPath")
        columns = [
            *([f"{text(event['source']):12}"] if self.with_source else []),
            f"{text(project) or '-':16}",
            f"{text(payload.get('sessionId'))[:4] or '-':4}",
        ]
        when, where = _clock(event["timestamp"]), "  ".join(columns)
        if self._colours:
            click.echo(f"{click.style(when, dim=True)}  {where}  {click.style(words.text, **_COLOURS[words.tone])}")
        else:
            click.echo(f"{when}  {where}  {words.text}")


def _local(config: Config, filters: Filters, lines: int, printer: Printer) -> None:
    """Poll the database, as the page does: a commit becomes visible after its bytes are written."""
    if not config.database.exists():
        raise click.ClickException("there is no database yet; `vibetea up` makes one")
    try:
        with closing(open_read_only(config)) as db:
            others = db.execute("select exists(select 1 from activity where source != ?)", (config.source,))
            printer.with_source = others.fetchone() == (1,)
            for row in _rows(config, db, filters, lines, printer.check_reader):
                printer.event(wire(row))
    except sqlite3.Error as error:
        raise click.ClickException(f"{config.database} cannot be read: {error}; see `vibetea doctor`") from None


def _rows(
    config: Config, db: sqlite3.Connection, filters: Filters, lines: int, between: Callable[[], None]
) -> Iterator[Sequence[str]]:
    """The latest so many rows by their own time, then every new one, for ever."""
    where, parameters = filters.sql()
    file = identity(config.database)
    newest = _newest(db)
    latest = f"select {_COLUMNS} from events where seq <= ?{where} order by timestamp desc, seq desc limit ?"
    for row in reversed(db.execute(latest, (newest, *parameters, lines)).fetchall()):
        yield row[1:]
    page = f"select {_COLUMNS} from events where seq > ? and seq <= ?{where} order by seq limit {ROWS}"
    probe, fed = 0.0, True
    while True:
        if time.monotonic() >= probe:
            fed = _say_if_unfed(config, before=fed)
            probe = time.monotonic() + PROBE_SECONDS
            if identity(config.database) != file:
                raise click.ClickException("the database was replaced by another one; start again")
        top = _newest(db)
        found = db.execute(page, (newest, top, *parameters)).fetchall() if top > newest else []
        for row in found:
            yield row[1:]
        newest = top if len(found) < ROWS else found[-1][0]
        between()
        if newest == top:
            time.sleep(POLL_SECONDS)


def _newest(db: sqlite3.Connection) -> int:
    return int(db.execute("select coalesce(max(seq), 0) from events").fetchone()[0])


def _say_if_unfed(config: Config, *, before: bool) -> bool:
    """Tell when nobody writes to the database, and when somebody does again."""
    fed = running(config) or mirroring(config)
    if before and not fed:
        click.echo("No daemon runs, so nothing new will come; start it with `vibetea up`.", err=True)
    elif fed and not before:
        click.echo("A daemon runs again.", err=True)
    return fed


async def _relay(relay: str, filters: Filters, lines: int, printer: Printer) -> None:
    """Follow the stream; what is about the connection goes to standard error."""
    url, token = relay_stream.address(relay), relay_stream.token(os.environ)
    stream = relay_stream.RelayStream(url, token, last=lines, filters=filters.of_relay())
    tasks = {asyncio.create_task(_follow(stream, filters, printer)), asyncio.create_task(_check_reader(printer))}
    ended, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    for task in ended:
        task.result()


async def _follow(stream: relay_stream.RelayStream, filters: Filters, printer: Printer) -> None:
    async with aclosing(stream.items()) as items:
        async for item in items:
            _show(item, filters, printer)


def _show(item: relay_stream.Item, filters: Filters, printer: Printer) -> None:
    if isinstance(item, relay_stream.Frame):
        try:
            (event,) = parse(item.data)
        except (WireError, ValueError):
            return
        if filters.take(json.loads(event.raw)["payload"]):
            # a program resumes after the last it had
            printer.event(event.raw if item.seq is None else event.raw[:-1] + b',"seq":%d}' % item.seq)
    else:
        click.echo(relay_stream.told(item), err=True)


async def _check_reader(printer: Printer) -> None:
    while True:
        printer.check_reader()
        await asyncio.sleep(PROBE_SECONDS / 4)


def _check_type(name: str) -> None:
    known = get_args(EventType)
    if name and name not in known:
        raise click.BadParameter(f"there is no type {name!r}; there are: {', '.join(known)}", param_hint="--type")


def _clock(timestamp: str) -> str:
    """The time on this machine's clock, with the date unless it is today's."""
    try:
        at = datetime.fromisoformat(timestamp).astimezone()
    except (ValueError, OverflowError, OSError):
        return text(timestamp)
    return f"{at:%H:%M:%S}" if at.date() == datetime.now().astimezone().date() else f"{at:%Y-%m-%d %H:%M:%S}"
