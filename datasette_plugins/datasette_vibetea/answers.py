"""Answers in JSON for the pages' scripts: one query on a read-only connection of ours, for those who may see it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from datasette import Response

from datasette_vibetea import access, database, guard
from datasette_vibetea.filters import BadFilter, Filters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

SECONDS: Final = 10.0
"""After which a query is given up."""
STEPS: Final = 10_000
"""SQLite's, between two looks at the clock: about a millisecond."""
HEADERS: Final = {"cache-control": "no-store"}


def view(
    read: Callable[[sqlite3.Connection, Any], dict[str, Any]],
    parse: Callable[[Any], Any] = Filters.parse,
    then: Callable[[Any, Any, dict[str, Any]], Awaitable[dict[str, Any]]] | None = None,
) -> Callable[..., Awaitable[Response]]:
    """A view that answers with what `read` finds for what `parse` makes of the address, and with the newest `seq`.

    Or with what `then` makes of it, given the application, for as long as that takes and without a connection.
    400 for a filter that means nothing, 403 for a page of another origin or one who may not see the events, 404
    without a database, 503 if it cannot be read now.
    """
    connections = _Connections()

    async def answered(datasette: Any, request: Any) -> Response:
        if guard.foreign(request.scope["headers"]):
            return _json({"error": "not for pages of another origin"}, 403)
        try:
            attached = await database.find(datasette)
        except database.NoDatabase as absent:
            await access.require_instance(datasette, request.actor)
            return _json({"state": absent.state}, 404)
        await access.require_events(datasette, request.actor, attached.name)
        try:
            question = parse(request.args)
        except BadFilter as bad:
            return _json({"error": str(bad)}, 400)
        try:
            found = await asyncio.to_thread(_found, connections, attached.path, read, question)
        except (sqlite3.Error, OSError):
            return _json({"error": "the events cannot be read now"}, 503)
        return _json(await then(datasette, question, found) if then else found)

    return answered


class _Connections:
    """Keeps a connection for the next question: to read the schema and to prepare takes longer than most queries."""

    def __init__(self) -> None:
        self._idle: list[tuple[tuple[int, int], sqlite3.Connection]] = []

    def __del__(self) -> None:
        for _, connection in self._idle:
            connection.close()

    @contextmanager
    def lent(self, path: Path) -> Iterator[sqlite3.Connection]:
        """A connection to the file that is there now. Raises sqlite3.Error and OSError."""
        identity = database.identity(path)
        connection = self._kept(identity) or database.connect(path)
        try:
            yield connection
            connection.rollback()
        except BaseException:
            connection.close()
            raise
        if self._idle:
            connection.close()
        else:
            self._idle.append((identity, connection))

    def _kept(self, identity: tuple[int, int]) -> sqlite3.Connection | None:
        try:
            known, connection = self._idle.pop()
        except IndexError:
            return None
        if known == identity:
            return connection
        connection.close()
        return None


def _found(
    connections: _Connections,
    path: Path,
    read: Callable[[sqlite3.Connection, Any], dict[str, Any]],
    question: Any,
) -> dict[str, Any]:
    with connections.lent(path) as connection:
        deadline = time.monotonic() + SECONDS
        connection.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
        connection.execute("begin")  # one state of the database for all that is asked
        return {"seq": database.newest(connection), **read(connection, question)}


def _json(value: dict[str, Any], status: int = 200) -> Response:
    body = json.dumps(value, separators=(",", ":"))
    return Response(body, status=status, headers=HEADERS, content_type="application/json; charset=utf-8")
