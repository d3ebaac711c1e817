"""Events of the statistics, with all that the daemon derives of them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.datasette_plugins.conftest import SESSION

from vibetea_daemon.store import derived

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.datasette_plugins.conftest import Events

NOTHING = dict.fromkeys(("tool", "status", "outcome", "duration_ms", "model"))


@contextmanager
def derived_too(events: Events) -> Iterator[None]:
    """One commit of the events added meanwhile and of what the daemon derives of them."""
    events.connection.execute("begin")
    (before,) = events.connection.execute("select coalesce(max(seq), 0) from events").fetchone()
    yield
    derived.add(events.connection, before)
    events.connection.execute("commit")


def call(tool: str = "Bash", outcome: str | None = "ok", ms: int | None = 17, **columns: Any) -> dict[str, Any]:
    """A tool call that ended."""
    return {"type": "tool", "tool": tool, "status": "completed", "outcome": outcome, "duration_ms": ms, **columns}


def begun(tool: str = "Bash", **columns: Any) -> dict[str, Any]:
    """One that began."""
    return {**NOTHING, "type": "tool", "tool": tool, "status": "started", **columns}


def bill(
    model: str = "claude-opus-5-5", tokens: tuple[int, int, int, int, int] = (1, 2, 3, 4, 0), **columns: Any
) -> dict[str, Any]:
    """A message that was paid for: input, output, cache read, cache write, and those of the latter for an hour."""
    names = ("inputTokens", "outputTokens", "cacheReadTokens", "cacheCreationTokens", "cacheCreationHourTokens")
    payload = {"model": model, **{name: n for name, n in zip(names, tokens, strict=True) if n or name != names[-1]}}
    return {**NOTHING, "type": "token_usage", "model": model, "payload": json.dumps(payload), **columns}


def error(category: str = "rate_limit", **columns: Any) -> dict[str, Any]:
    """A turn that failed."""
    payload = json.dumps({"sessionId": SESSION, "category": category}, separators=(",", ":"))
    return {**NOTHING, "type": "error", "payload": payload, **columns}
