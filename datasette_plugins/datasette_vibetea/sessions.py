"""The sessions page's data: each session of the board, with its subagents and how busy its last half hour was."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from datasette_vibetea.database import TABLE
from datasette_vibetea.filters import MOST_CHARACTERS

if TYPE_CHECKING:
    import sqlite3

    from datasette_vibetea.filters import Filters

MOST: Final = 200
MOST_AGENTS: Final = 20
MINUTES: Final = 30
CHOICES: Final = 100

_HAS_BOARD: Final = "select 1 from sqlite_master where type = 'view' and name = 'board'"
# A session without a client is live for a day at most. Said here, it lets SQLite find the few by an index, where the
# view by itself looks at every session there ever was.
_LIVE: Final = """
    select session_id, source, project, model, state, reason, since, tool, tokens, prompts
    from board
    where live and (
        last_at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 day') or session_id in (select session_id from clients))
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
# Thirty short looks into the index are cheaper than to group whatever a busy half hour holds. A time begins with its
# minute.
_MINUTES: Final = f"""
    select shown.key, minute.key, (
        select count(*) from {TABLE}
        where session_id = shown.value and timestamp >= minute.value and timestamp < minute.value || '~')
    from json_each(:sessions) as shown cross join json_each(:minutes) as minute
"""


def read(connection: sqlite3.Connection, filters: Filters) -> dict[str, Any]:
    """`sessions`, those who need somebody first, out of `live` on the board; the sources and projects to choose.

    Each has its `agents`, out of `present`, and `activity`, its events in each of the last MINUTES minutes, the running
    one last. `now` is the server's clock. `outdated` is a database no daemon of today has opened yet.
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
        "sessions": _full(connection, live[:MOST], now) if live else [],
        "sources": _choices(board, "source"),
        "projects": _choices(board, "project"),
    }


def _full(connection: sqlite3.Connection, sessions: list[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """The same, with their agents and their activity."""
    full = [{**each, "agents": [], "present": 0, "activity": [0] * MINUTES} for each in sessions]
    going = [each for each in full if each["state"] not in {"dead", "ended"}]
    asking = [place for place, each in enumerate(going) if each["reason"] == "permission"]
    parameters = {"sessions": _ids(going), "asking": json.dumps(asking), "most": MOST_AGENTS}
    for agent in _rows(connection, _AGENTS, parameters):
        session = going[agent.pop("session")]
        session["present"] = agent.pop("present")
        session["agents"].append(agent)
    minutes = [(now - timedelta(minutes=back)).isoformat()[:16] for back in reversed(range(MINUTES))]
    parameters = {"sessions": _ids(full), "minutes": json.dumps(minutes)}
    for place, minute, n in connection.execute(_MINUTES, parameters):
        full[place]["activity"][minute] = n
    return full


def _ids(sessions: list[dict[str, Any]]) -> str:
    return json.dumps([each["session_id"] for each in sessions])


def _rows(connection: sqlite3.Connection, sql: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    cursor = connection.execute(sql, parameters or {})
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _choices(board: list[dict[str, Any]], column: str) -> list[str]:
    """The names to choose from, without those that cannot be asked for."""
    return sorted({each[column] for each in board if 0 < len(each[column] or "") <= MOST_CHARACTERS})[:CHOICES]
