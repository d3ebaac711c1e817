"""The overview's data: what the other pages show, for one choice of project and machine, in one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from datasette_vibetea import rows

if TYPE_CHECKING:
    import sqlite3

    from datasette_vibetea.filters import Filters
    from datasette_vibetea.heatmap import Heatmap
    from datasette_vibetea.sessions import Sessions
    from datasette_vibetea.statistics import Statistics

LATEST: Final = 22
"""Events: as high as the heatmap of a week beside them."""


class Overview:
    """Puts the parts together. May be asked from any thread."""

    def __init__(self, sessions: Sessions, heatmap: Heatmap, statistics: Statistics) -> None:
        self._sessions = sessions
        self._heatmap = heatmap
        self._statistics = statistics

    def read(self, connection: sqlite3.Connection, filters: Filters) -> dict[str, Any]:
        """`sessions`, `figures` and `heatmap`, each as its own page has it, and the `latest` events of any time."""
        filters = filters.without("type", "tool")
        return {
            "sessions": self._sessions.read(connection, filters),
            "figures": self._statistics.figures(connection, filters),
            "latest": rows.latest(connection, filters, LATEST),
            "heatmap": self._heatmap.read(connection, filters),
        }
