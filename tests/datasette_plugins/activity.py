"""Events together with the sums the daemon keeps of them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.datasette_plugins.conftest import Events

SUMS = """
insert into activity
select strftime('%s', timestamp) / 900, source, coalesce(project, ''), type, coalesce(tool, ''), count(*)
from events where seq > ? group by 1, 2, 3, 4, 5
on conflict do update set n = n + excluded.n
"""


@contextmanager
def committed(events: Events) -> Iterator[None]:
    """One commit of the events added meanwhile and of their sums."""
    events.connection.execute("begin")
    (before,) = events.connection.execute("select coalesce(max(seq), 0) from events").fetchone()
    yield
    events.connection.execute(SUMS, (before,))
    events.connection.execute("commit")


def happened(events: Events, at: str, count: int = 1, **columns: Any) -> None:
    """Commit so many events of one moment, as RFC 3339 has it, and their sums."""
    with committed(events):
        events.add(count, timestamp=at, **columns)
