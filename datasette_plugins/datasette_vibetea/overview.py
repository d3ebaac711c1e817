"""The overview's data: what the other pages show, for one choice of project and machine, in one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3

    from datasette_vibetea.filters import Filters
    from datasette_vibetea.heatmap import Heatmap
    from datasette_vibetea.sessions import Sessions


class Overview:
    """Puts the parts together. May be asked from any thread."""

    def __init__(self, sessions: Sessions, heatmap: Heatmap) -> None:
        self._sessions = sessions
        self._heatmap = heatmap

    def read(self, connection: sqlite3.Connection, filters: Filters) -> dict[str, Any]:
        """`sessions` and `heatmap`, each as its own page has it."""
        return {
            "sessions": self._sessions.read(connection, filters),
            "heatmap": self._heatmap.read(connection, filters),
        }
