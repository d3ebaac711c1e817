"""`vibetea audit`: the very bytes that leave, and for one payload, what became of each of its parts."""

import contextlib
import copy
import json
import re
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final, NamedTuple

import click

from vibetea_daemon.acts import Act, BadInput
from vibetea_daemon.claude_code.hooks import acts_of_hook
from vibetea_daemon.claude_code.transcripts import TranscriptReader
from vibetea_daemon.commands import counted, status
from vibetea_daemon.config import Config
from vibetea_daemon.daemon import rules
from vibetea_daemon.sanitise import sanitise
from vibetea_daemon.sinks.cursor import comparable
from vibetea_daemon.sinks.supabase import oldest
from vibetea_daemon.store import Store, wire, wire_to_supabase
from vibetea_protocol import Rules
from vibetea_protocol.events import Row

REPLACEMENTS: Final = (
    "0b5e7a52-7b1f-4a2c-9d53-7f2f1c3f8f10",
    "/other/place/file.py",
    "other",
    "2001-02-03T04:05:06.789Z",
    "<task-notification><task-id>x</task-id>",
    "<tool_use_error>x",
    "<command-name>/clear</command-name>",
    "<command-message>x</command-message>\n<command-name>/x</command-name>",
    "[Request interrupted by user]",
    7,
    0,
    True,
    False,
    None,
)
"""What a value is exchanged for, to see whether anything comes out differently; some decide by how they begin."""

Document = dict[str, Any]
Outputs = dict[str, object]


class Destination(NamedTuple):
    """A server that events leave for.

    Args:
        form: the bytes of a row.
        oldest: the oldest timestamp that still leaves, in so far as it can be compared.
    """

    server: str
    form: Callable[[Sequence[str]], bytes]
    oldest: str = ""


def audit(config: Config, *, limit: int, explain: BinaryIO | None) -> None:
    """Print recent bytes, or explain one payload."""
    config = status.of_daemon(config)
    if explain is None:
        _recent(config, limit)
        return
    document = _document(explain.read())
    config.make_home()
    store = Store(config.database)
    try:
        _explain(document, rules(config, store), _destinations(config))
    except RecursionError:
        raise click.ClickException("nested too deep to explain") from None
    finally:
        store.close()


def recorded_at_standard(db: sqlite3.Connection, source: str) -> int:
    """How many of this machine's events may tell more than `strict` would: those that sinks leave out under it."""
    query = "select count(*) from events where source = ? and privacy is not 'strict'"
    return int(db.execute(query, (source,)).fetchone()[0])


def _recent(config: Config, limit: int) -> None:
    """Print the wire bytes of this machine's latest events, oldest first. Raises ClickException without a database."""
    if not config.database.exists():
        raise click.ClickException("there is no database yet; `vibetea up` makes one")
    try:
        with contextlib.closing(status.open_read_only(config)) as db:
            rows = db.execute(
                """select id, source, timestamp, type, payload from events
                where source = ? and (? or privacy = 'strict') order by seq desc limit ?""",
                (config.source, config.privacy != "strict", limit),
            ).fetchall()
            (others,) = db.execute(
                "select coalesce(sum(n), 0) from activity where source <> ?", (config.source,)
            ).fetchone()
            told_more = recorded_at_standard(db, config.source) if config.privacy == "strict" else 0
    except sqlite3.Error as error:
        raise click.ClickException(f"{config.database} cannot be read: {error}; see `vibetea doctor`") from None
    destinations = _destinations(config)
    too_old = 0
    for row in reversed(rows):
        for destination in destinations:
            if row[2] < destination.oldest:
                too_old += 1
            else:
                click.echo(f"{destination.server}: ".encode() * (len(destinations) > 1) + destination.form(row))
    if too_old:
        kept = counted(config.retention_days, "day")
        click.echo(
            f"{counted(too_old, 'event')} left out for supabase: it keeps {kept} (VIBETEA_RETENTION_DAYS)", err=True
        )
    if told_more:
        click.echo(f"{counted(told_more, 'event')} recorded at `standard`, not sent under `strict`", err=True)
    if others:
        click.echo(f"{counted(others, 'event')} of other machines, mirrored here and never sent", err=True)


def _destinations(config: Config) -> list[Destination]:
    """To which servers events leave; as to a relay where there is none yet."""
    destinations = [Destination("relay", wire)] if config.server_url or not config.supabase_url else []
    if config.supabase_url:
        destinations.append(
            Destination("supabase", wire_to_supabase, comparable(oldest(time.time(), config.retention_days)))
        )
    return destinations


def _document(raw: bytes) -> Document:
    """The one payload or line given. Raises ClickException."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        if getattr(error, "msg", "") == "Extra data":
            raise click.ClickException("more than one line: give a single one, as `tail -n 1` does") from None
        raise click.ClickException("not JSON: give one recorded hook payload or one transcript line") from None
    if not isinstance(document, dict):
        raise click.ClickException("not a JSON object: give one recorded hook payload or one transcript line")
    return document


def _explain(document: Document, rules: Rules, destinations: list[Destination]) -> None:
    """Exchange every input in turn and see which outputs follow: the code is asked, not a list beside it."""
    told = _teller(document, rules, destinations)
    outputs = told(document) or {}
    origins: defaultdict[str, list[str]] = defaultdict(list)
    discarded = []
    for path in _leaves(document):
        label = json.dumps(".".join(map(str, path)))[1:-1]  # a key may hold anything, terminal commands too
        followed = _followed(outputs, (told(other) for other in _exchanged(document, path)))
        for name in followed:
            origins[name].append(label)
        if not followed:
            discarded.append(label)
    sent = [str(value) for name, value in outputs.items() if name.endswith("bytes")]
    for line in sent:
        click.echo(line)
    if not sent:
        click.echo("nothing leaves")
    # an output that is not there now could come of another value: only a name of an output, nothing of this payload
    for name in sorted(origins, key=lambda name: list(outputs).index(name) if name in outputs else len(outputs)):
        click.echo(f"{name}  <- {', '.join(origins[name])}")
    for label in discarded:
        click.echo(f"discarded: {label}")


def _followed(before: Outputs, others: Iterator[Outputs | None]) -> set[str]:
    """The outputs that some exchange changes; `type` for other kinds of events, or none at all."""
    found: set[str] = set()
    dropped = False
    for after in others:
        if after is None:
            dropped = True
        elif _types(after) != _types(before):
            found.add("type")
        else:
            found |= {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    found = {name for name in found if not name.endswith("bytes")}
    return found or ({"type"} if dropped and before else set())


def _types(outputs: Outputs) -> list[object]:
    return [value for name, value in outputs.items() if name.rpartition(".")[2] == "type"]


def _teller(document: Document, rules: Rules, destinations: list[Destination]) -> Callable[[Document], Outputs | None]:
    """What comes out of a document like this one, field by field; None for one that is dropped."""
    stamp = time.time_ns()

    def acts(raw: bytes) -> list[Act]:
        if "hook_event_name" in document:
            return list(acts_of_hook(stamp, raw))
        reader = TranscriptReader(session="", slug="", at_start=False)
        return [*reader.acts(raw), *reader.settle(0, hooked=False)]

    def told(changed: Document) -> Outputs | None:
        try:
            events = [sanitise(act, rules) for act in acts(json.dumps(changed).encode())]
        except BadInput:
            return None
        outputs: Outputs = {}
        for number, event in enumerate(events, 1):
            prefix = f"{number}." if len(events) > 1 else ""
            outputs |= {
                f"{prefix}{destination.server} bytes": _leaving(event.row(), destination, destinations)
                for destination in destinations
            }
            fields = event.model_dump(mode="json", by_alias=True, exclude_none=True)
            outputs |= {f"{prefix}{name}": value for name, value in fields.items() if name != "payload"}
            outputs |= {f"{prefix}payload.{name}": value for name, value in fields["payload"].items()}
        return outputs

    return told


def _leaving(row: Row, destination: Destination, destinations: list[Destination]) -> str:
    """The line that says what leaves for a destination."""
    if row[2] < destination.oldest:
        return f"too old for {destination.server}"
    return f"leaves{f' for {destination.server}' * (len(destinations) > 1)}: {destination.form(row).decode()}"


def _leaves(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    elif path:
        yield path


def _exchanged(document: Document, path: tuple[str | int, ...]) -> Iterator[Document]:
    """The document with one value exchanged for each of several others."""
    for replacement in (*REPLACEMENTS, *_above(document)):
        changed = copy.deepcopy(document)
        parent: Any = changed
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = replacement
        yield changed


def _above(document: Document) -> Iterator[str]:
    """A transcript's path that says the session was started one folder further up."""
    if isinstance(cwd := document.get("cwd"), str):
        yield f"/{re.sub('[^A-Za-z0-9]', '-', str(PurePosixPath(cwd).parent))}/x.jsonl"
