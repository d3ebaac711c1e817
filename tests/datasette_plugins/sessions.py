"""Sessions as the daemon writes them down: events through its store, which keeps what the board is made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from vibetea_daemon.store import Batch, Client, Store
from vibetea_protocol import Event

if TYPE_CHECKING:
    from pathlib import Path


def ago(minutes: float) -> str:
    """That moment, RFC 3339."""
    return f"{(datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()[:23]}Z"


def named(number: int) -> str:
    """The id of a session."""
    return f"{number:04d}9b52-7c1e-4b7a-9a52-0d6f3c1e8b11"


class Sessions:
    """Writes what happened in sessions, named by a number, so many minutes ago; each call is a commit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._store = Store(path)
        self._number = 0

    def prompt(self, session: int, minutes: float = 0, **more: Any) -> None:
        self.add("activity", session, minutes, kind="prompt", **more)

    def tool(self, session: int, minutes: float = 0, tool: str = "Bash", **more: Any) -> None:
        self.add("tool", session, minutes, tool=tool, status="started", **more)

    def agent(self, session: int, state: str, minutes: float = 0, **more: Any) -> None:
        self.add("agent", session, minutes, state=state, **more)

    def spawn(self, session: int, agent: str, kind: str, minutes: float = 0, **more: Any) -> None:
        self.add("agent_spawn", session, minutes, agentId=agent, agentType=kind, timestamp=ago(minutes), **more)

    def start(self, session: int, minutes: float = 0, **more: Any) -> None:
        self.add("session", session, minutes, action="started", how="startup", **more)

    def end(self, session: int, reason: str, minutes: float = 0, **more: Any) -> None:
        self.add("session", session, minutes, action="ended", reason=reason, **more)

    def add(
        self,
        what: str,
        session: int,
        minutes: float = 0,
        /,
        *,
        source: str = "laptop",
        project: str = "shop",
        **more: Any,
    ) -> None:
        """Commit one event."""
        self._number += 1
        event = {
            "id": f"evt_{self._number:020d}",
            "source": source,
            "timestamp": ago(minutes),
            "type": what,
            "payload": {"sessionId": named(session), "project": project} | more,
        }
        self._store.write([Batch([Event.model_validate(event)])])

    def client(self, session: int, status: Any, minutes: float = 0, waiting_for: Any = None) -> None:
        """Commit what the session's client says of it."""
        client = Client(alive=True, status=status, waiting_for=waiting_for, at=ago(minutes))
        self._store.write([Batch(clients={named(session): client})])

    def close(self) -> None:
        self._store.close()
