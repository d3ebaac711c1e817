"""What a normaliser hands to the sanitiser: one act, its natural key, and the named inputs it may be told by."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vibetea_protocol.events import EventType
from vibetea_protocol.vocabulary import (
    ActivityKind,
    AgentState,
    ErrorCategory,
    Outcome,
    SessionAction,
    SessionHow,
    SessionReason,
    ToolStatus,
)


class BadInput(Exception):
    """An input that becomes no event; `reason` is a counter's name and holds nothing of the input."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True, kw_only=True)  # not frozen: an import makes a million, and freezing doubles the price
class Act:
    """One act. The `str` fields without a closed type are raw: only the sanitiser may turn them into output.

    Args:
        type: the event it becomes.
        key: the natural key, the same in every report of this act.
        session: the session's id as Claude Code wrote it.
        at: when, in nanoseconds since the epoch.
        cwd: the session's working directory.
        path: the file a tool touched.
        tokens: input, output, cache read, cache creation, and those of the latter that are kept for an hour.
        todo: completed, in progress, pending and abandoned.
    """

    type: EventType
    key: tuple[str, ...]
    session: str
    at: int
    cwd: str
    agent: str = ""
    action: SessionAction | None = None
    how: SessionHow | None = None
    reason: SessionReason | None = None
    kind: ActivityKind | None = None
    state: AgentState | None = None
    category: ErrorCategory | None = None
    tool: str = ""
    status: ToolStatus | None = None
    outcome: Outcome | None = None
    path: str = ""
    duration_ms: int | None = None
    agent_type: str = ""
    skill: str = ""
    model: str = ""
    to_model: str = ""
    tokens: tuple[int, int, int, int, int] = field(default=(0, 0, 0, 0, 0))
    todo: tuple[int, int, int, int] = field(default=(0, 0, 0, 0))


class Reader(Protocol):
    """Turns the lines of one transcript into acts; it may keep what earlier lines said."""

    resumable: bool
    """Whether a new reader could go on from the line just read: nothing of what was said before is needed."""
    session: str
    """Whose hooks may report the same acts."""

    def acts(self, raw: bytes) -> Sequence[Act]:
        """The acts of one line. Raises BadInput."""
        ...

    def settle(self, now: int, *, hooked: bool) -> Sequence[Act]:
        """Acts of earlier lines that need not wait for a later one any more.

        Args:
            now: nanoseconds since the epoch.
            hooked: whether the session's hooks report; then an act that only they can be sure of is left to them.
        """
        ...

    def unsettled(self) -> bool:
        """Whether acts wait."""
        ...
