"""`vibetea audit`: the very bytes that leave, and for one payload, what became of each of its parts."""

import contextlib
import copy
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import click

from vibetea_daemon.acts import Act, BadInput
from vibetea_daemon.claude_code.hooks import acts_of_hook
from vibetea_daemon.claude_code.transcripts import TranscriptReader
from vibetea_daemon.config import Config
from vibetea_daemon.daemon import rules
from vibetea_daemon.sanitise import sanitise
from vibetea_daemon.store import Store, wire
from vibetea_protocol import Rules

REPLACEMENTS: Final = ("0b5e7a52-7b1f-4a2c-9d53-7f2f1c3f8f10", "/other/place/file.py", "other", 7, 0, True, False, None)
"""What a value is exchanged for, to see whether anything comes out differently."""

Document = dict[str, Any]
Outputs = dict[str, object]


def audit(config: Config, *, limit: int, explain: BinaryIO | None) -> None:
    """Print recent bytes, or explain one payload."""
    if explain is None:
        for line in recent(config.database, limit):
            click.echo(line)
        return
    config.make_home()
    store = Store(config.database)
    try:
        _explain(explain.read(), rules(config, store))
    finally:
        store.close()


def recent(database: Path, limit: int) -> Iterator[bytes]:
    """The wire bytes of the latest events, oldest first. Raises ClickException without a database."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
            rows = db.execute(
                "select id, source, timestamp, type, payload from events order by seq desc limit ?", (limit,)
            ).fetchall()
    except sqlite3.Error:
        raise click.ClickException("there is no database yet; `vibetea up` makes one") from None
    return map(wire, reversed(rows))


def _explain(raw: bytes, rules: Rules) -> None:
    """Exchange every input in turn and see which outputs follow: the code is asked, not a list beside it."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise click.ClickException("not JSON: give one recorded hook payload or one transcript line") from None
    if not isinstance(document, dict):
        raise click.ClickException("not a JSON object: give one recorded hook payload or one transcript line")
    told = _teller(document, rules)
    outputs = told(document)
    for name, value in outputs.items():
        if name.endswith("bytes"):
            click.echo(f"leaves: {value}")
    if not outputs:
        click.echo("leaves: nothing")
    discarded = []
    for path in _leaves(document):
        followed = sorted({name for other in _exchanged(document, path) for name in _differences(outputs, told(other))})
        label = ".".join(map(str, path))
        if followed:
            click.echo(f"used: {label} -> {', '.join(followed)}")
        else:
            discarded.append(label)
    for label in discarded:
        click.echo(f"discarded: {label}")


def _teller(document: Document, rules: Rules) -> Callable[[Document], Outputs]:
    """What comes out of a document like this one, field by field."""
    stamp = time.time_ns()

    def acts(raw: bytes) -> list[Act]:
        if "hook_event_name" in document:
            return list(acts_of_hook(stamp, raw))
        reader = TranscriptReader(session="", slug="", at_start=False)
        return [*reader.acts(raw), *reader.settle(0)]

    def told(changed: Document) -> Outputs:
        try:
            events = [sanitise(act, rules) for act in acts(json.dumps(changed).encode())]
        except BadInput as bad:
            return {f"dropped: {bad.reason}": True}
        outputs: Outputs = {}
        for number, event in enumerate(events, 1):
            prefix = f"{number}." if len(events) > 1 else ""
            outputs[f"{prefix}bytes"] = event.wire().decode()
            fields = event.model_dump(mode="json", by_alias=True, exclude_none=True)
            outputs |= {f"{prefix}{name}": value for name, value in fields.items() if name != "payload"}
            outputs |= {f"{prefix}payload.{name}": value for name, value in fields["payload"].items()}
        return outputs

    return told


def _differences(before: Outputs, after: Outputs) -> set[str]:
    names = {name for name in before.keys() | after.keys() if not name.endswith("bytes")}
    return {name for name in names if before.get(name) != after.get(name)}


def _leaves(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path


def _exchanged(document: Document, path: tuple[str | int, ...]) -> Iterator[Document]:
    """The document with one value exchanged for each of several others."""
    for replacement in REPLACEMENTS:
        changed = copy.deepcopy(document)
        parent: Any = changed
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = replacement
        yield changed
