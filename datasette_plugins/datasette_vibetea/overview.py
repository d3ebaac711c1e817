"""The overview's data: what the other pages show, for one choice of project and machine, in one answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from datasette_vibetea import database, rows
from datasette_vibetea.filters import BadFilter, Filters

if TYPE_CHECKING:
    import sqlite3

    from datasette_vibetea.heatmap import Heatmap
    from datasette_vibetea.sessions import Sessions
    from datasette_vibetea.statistics import Statistics

LATEST: Final = 22
"""Events: as high as the heatmap of a week beside them."""
NOW: Final = "now"
_SINCE: Final = re.compile(rf"{NOW}|[0-9]{{1,18}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for.

    Args:
        since: the `seq` of an answer to the same filters that is still at hand, or NOW if only sessions are wanted.
    """

    filters: Filters
    since: str

    @classmethod
    def parse(cls, arguments: Any) -> Self:
        """The filters of an address and `since`. Raises BadFilter."""
        since = arguments.get("since") or ""
        if since and not _SINCE.fullmatch(since):
            raise BadFilter(f"since is the seq of an answer, or {NOW}")
        return cls(Filters.parse(arguments), since)


class Overview:
    """Puts the parts together. May be asked from any thread."""

    def __init__(self, sessions: Sessions, heatmap: Heatmap, statistics: Statistics) -> None:
        self._sessions = sessions
        self._heatmap = heatmap
        self._statistics = statistics

    def read(self, connection: sqlite3.Connection, question: Question) -> dict[str, Any]:
        """`sessions`, `figures` and `heatmap`, each as its own page has it, and the `latest` events of any time.

        Sessions change as time passes; the rest, which is left out then, only with the events.
        """
        filters = question.filters.without("type", "tool")
        changing = {"sessions": self._sessions.read(connection, filters)}
        if question.since in {NOW, str(database.newest(connection))}:
            return changing
        return {
            **changing,
            "figures": self._statistics.figures(connection, filters),
            "latest": rows.latest(connection, filters, LATEST),
            "heatmap": self._heatmap.read(connection, filters),
        }
