"""The sessions page's data: each session of the board, with its subagents and how busy its last half hour was."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from datasette_vibetea.filters import choices
from datasette_vibetea.minutes import Minutes

if TYPE_CHECKING:
    import sqlite3

    from datasette_vibetea.filters import Filters

MOST: Final = 200
MOST_AGENTS: Final = 20

_HAS_BOARD: Final = "select 1 from sqlite_master where type = 'view' and name = 'board'"
# A session without a client is live for half an hour, for a day if it asks something. Said here, it lets SQLite find
# the few by an index, where the view by itself looks at every session there ever was.
_LIVE: Final = """
    select session_id, source, project, model, state, reason, since, tool, tokens, prompts
    from board
    where live and session_id in (
        select session_id from sessions where last_at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-30 minutes')
        union all select session_id from clients
        union all select session_id from agents
            where reason in ('permission', 'question')
                and last_at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 day'))
    order by
        case state when 'needs_you' then 0 when 'working' then 1 when 'interrupted' then 2 when 'idle' then 3
            when 'dead' then 4 else 5 end,
        iif(state = 'needs_you', since, ''), since desc, session_id
"""
# Of a subagent that was killed nobody tells, so silence says it, as it does of sessions. `asking` are the places of
# sessions in which a permission is asked for: in others it has been granted, though nothing has come of it yet.
_AGENTS: Final = """
    with clock as (
        select strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 minutes') as a_minute_ago,
            strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-5 minutes') as minutes_ago,
            strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-30 minutes') as half_an_hour_ago
    ), present as (
        select agents.*, shown.key as session, shown.key in (select value from json_each(:asking)) as asking,
            count(*) over (partition by session_id) as present,
            row_number() over (partition by session_id order by first_at desc, agent_id) as place
        from clock cross join json_each(:sessions) as shown cross join agents on session_id = shown.value
        where agent_id <> '' and (
            state = 'ended' and at > a_minute_ago
            or state <> 'ended' and (last_at > minutes_ago
                or tool is not null and at > half_an_hour_ago
                or reason = 'permission' and asking))
    )
    select session, agent_id, type, iif(state = 'needs_you' and not asking, 'working', state) as state,
        reason, since, tool, present
    from present where place <= :most order by first_at, agent_id
"""


class Sessions:
    """The board, with the counts that are kept for it. May be asked from any thread."""

    def __init__(self) -> None:
        self._minutes = Minutes()

    def read(self, connection: sqlite3.Connection, filters: Filters) -> dict[str, Any]:
        """`sessions`, those who need somebody first, out of `live` on the board; the sources and projects to choose.

        Each has its `agents`, out of `present`, and `activity`, its events in each of the last MINUTES minutes, the
        running one last. `now` is the server's clock. `outdated` is a database no daemon of today has opened yet.
        """
        outdated = not connection.execute(_HAS_BOARD).fetchone()
        board = [] if outdated else _rows(connection, _LIVE)
        asked = [(name, value) for name, value in filters.columns if name in {"source", "project"}]
        live = [each for each in board if all((each[name] or "") == value for name, value in asked)]
        now = datetime.now(UTC)
        return {
            "outdated": outdated,
            "now": now.isoformat(timespec="milliseconds"),
            "live": len(live),
            "sessions": self._full(connection, live[:MOST], now) if live else [],
            "sources": choices(each["source"] or "" for each in board),
            "projects": choices(each["project"] or "" for each in board),
        }

    def _full(
        self, connection: sqlite3.Connection, sessions: list[dict[str, Any]], now: datetime
    ) -> list[dict[str, Any]]:
        """The same, with their agents and their activity."""
        activity = self._minutes.read(connection, [each["session_id"] for each in sessions], now)
        full = [
            {**each, "agents": [], "present": 0, "activity": counts}
            for each, counts in zip(sessions, activity, strict=True)
        ]
        going = [each for each in full if each["state"] not in {"dead", "ended"}]
        asking = [place for place, each in enumerate(going) if each["reason"] == "permission"]
        parameters = {
            "sessions": json.dumps([each["session_id"] for each in going]),
            "asking": json.dumps(asking),
            "most": MOST_AGENTS,
        }
        for agent in _rows(connection, _AGENTS, parameters):
            session = going[agent.pop("session")]
            session["present"] = agent.pop("present")
            session["agents"].append(agent)
        return full


def _rows(connection: sqlite3.Connection, sql: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    cursor = connection.execute(sql, parameters or {})
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
