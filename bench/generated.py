"""Databases as large as years make them: events of 90 days with the daemon's own tables of them.

Sessions lie in working hours, on 12 projects, 3 machines and 20 tools, some more than others; each has prompts, tool
calls in pairs, bills and turns that end, some have subagents. The rows are made by SQL, a day at a time and in the
order in which they happened; the tables of them by the daemon's own statements. Only the ids rise, where real ones are
hashes: no page asks by them.
"""

from __future__ import annotations

import random
import time
import uuid
from typing import TYPE_CHECKING, Final

from vibetea_daemon.store import derived
from vibetea_daemon.store.schema import open_database

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

WEEKS: Final = 13
EVENTS_A_SESSION: Final = 400
PROJECTS: Final = (
    "shop",
    "api",
    "web",
    "docs",
    "infra",
    "mobile",
    "data",
    "auth",
    "billing",
    "search",
    "design",
    "lab",
)
SOURCES: Final = ("laptop", "workstation", "build-server")
TOOLS: Final = (
    *("Bash", "Read", "Edit", "Grep", "Write", "Glob", "Task", "WebFetch", "WebSearch", "TodoWrite", "NotebookEdit"),
    *("MultiEdit", "BashOutput", "KillShell", "Skill", "SlashCommand", "AskUserQuestion", "ExitPlanMode", "LS", "Mcp"),
)
MODELS: Final = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5")
HOURS: Final = (1, 1, 0, 0, 0, 0, 1, 3, 8, 14, 16, 15, 9, 12, 16, 17, 15, 11, 6, 4, 5, 5, 3, 2)
"""How likely a session begins in each."""
WEEKDAYS: Final = (10, 11, 11, 10, 9, 2, 2)
LIVE_EVENTS: Final = 300
"""Of a session that goes on now."""

Row = tuple[str, str, str, str, int, float, float, int, bool]
"""Of `plan`."""
_PLAN: Final = """
    create temp table plan(
        session_id text, source text, project text, model text, day integer, begin real, seconds real, n integer,
        ends integer);
    create temp table numbers(k integer primary key);
    create temp table tools(place integer primary key, tool text);
"""
# A turn is twenty events: a prompt, six calls with the bill of each, and its end. Every third turn of a session is a
# subagent's.
_EVENTS: Final = """
    insert into events(
        id, source, timestamp, type, session_id, project, tool, status, outcome, state, agent_id, model, duration_ms,
        payload, privacy)
    with made as (
        select plan.*, k, k % 20 as step, k / 20 as turn,
            abs(random() / 2) as chance, begin + seconds * k / n as at
        from plan cross join numbers on k < n where day = :day
    ), named as (
        select made.*,
            case
                when k = 0 or k = n - 1 and ends then 'session'
                when step = 0 then 'activity'
                when step = 19 then 'agent'
                when step = 1 and turn % 3 = 2 then 'agent_spawn'
                when step % 3 = 1 then 'token_usage'
                else 'tool'
            end as type,
            iif(turn % 3 = 2 and step between 1 and 18, printf('a%07d', turn), null) as agent_id
        from made
    ), called as (
        select named.*, iif(step % 3 = 2, 'started', 'completed') as status, tool
        from named cross join tools on place = (n * 31 + turn * 7 + step / 3) % 100
    )
    select printf('evt_%020d', :before + row_number() over (order by at)), source,
        strftime('%Y-%m-%dT%H:%M:%fZ', at, 'unixepoch'), type, session_id, project,
        iif(type = 'tool', tool, null), iif(type = 'tool', status, null),
        iif(type = 'tool' and status = 'completed', iif(chance % 100 < 6, 'failed', 'ok'), null),
        case type when 'activity' then 'prompt' when 'agent' then 'waiting_input' end,
        agent_id,
        iif(type = 'token_usage', model, null),
        iif(type = 'tool' and status = 'completed', 10 + chance % 90 * (chance % 97) * (chance % 11), null),
        case type
            when 'session' then printf('{"sessionId":"%s","project":"%s","action":"%s"}', session_id, project,
                iif(k, 'ended', 'started'))
            when 'token_usage' then printf('{"sessionId":"%s","project":"%s","model":"%s","inputTokens":%d,'
                || '"outputTokens":%d,"cacheReadTokens":%d,"cacheCreationTokens":%d}', session_id, project, model,
                chance % 40, chance % 1500, chance % 90000, chance % 3000)
            when 'tool' then printf('{"sessionId":"%s","project":"%s","tool":"%s","status":"%s","context":"file%d.ts",'
                || '"promptId":"p%d"}', session_id, project, tool, status, chance % 500, turn)
            when 'agent_spawn' then printf('{"sessionId":"%s","project":"%s","agentType":"Explore","agentId":"%s"}',
                session_id, project, agent_id)
            else printf('{"sessionId":"%s","project":"%s","promptId":"p%d"}', session_id, project, turn)
        end,
        'standard'
    from called order by at
"""
_CLIENTS: Final = """
    insert into clients
    select session_id, 1, case when rowid % 3 then 'busy' else 'idle' end, null,
        strftime('%Y-%m-%dT%H:%M:%fZ', begin, 'unixepoch')
    from plan where rowid % 2
"""


def generate(path: Path, events: int) -> None:
    """Make a database of about so many events, all of them over, and leave it as a daemon does."""
    chance = random.Random(7)
    now = time.time()
    connection = open_database(path)
    for pragma in ("journal_mode = off", "synchronous = off", "cache_size = -500000"):
        connection.execute(f"pragma {pragma}")
    _write(connection, chance, [_past(chance, now) for _ in range(max(1, events // EVENTS_A_SESSION))])
    connection.execute("pragma journal_mode = wal")
    connection.close()


def go_on(path: Path, sessions: int) -> None:
    """Add so many sessions that are at work now. Half an hour later nobody shows them any more."""
    chance = random.Random()
    now = time.time()
    connection = open_database(path)
    _write(connection, chance, [_present(chance, now) for _ in range(sessions)])
    connection.execute(_CLIENTS)
    connection.close()


def _write(connection: sqlite3.Connection, chance: random.Random, plan: list[Row]) -> None:
    connection.executescript(_PLAN)
    connection.executemany("insert into plan values (?, ?, ?, ?, ?, ?, ?, ?, ?)", plan)
    connection.execute("create index temp.plan_day on plan(day)")
    connection.executemany("insert into numbers values (?)", ((k,) for k in range(max(row[7] for row in plan))))
    tools = chance.choices(TOOLS, weights=range(2 * len(TOOLS), 0, -2), k=100)
    connection.executemany("insert into tools values (?, ?)", enumerate(tools))
    for day in sorted({row[4] for row in plan}):
        (before,) = connection.execute("select coalesce(max(seq), 0) from events").fetchone()
        connection.execute("begin")
        connection.execute(_EVENTS, {"day": day, "before": before})
        derived.add(connection, before)
        connection.execute("commit")


def _past(chance: random.Random, now: float) -> Row:
    """A session of the last 90 days, at most three hours long; it ended an hour ago or earlier."""
    (weekday,) = chance.choices(range(7), WEEKDAYS)
    (hour,) = chance.choices(range(24), HOURS)
    seconds = chance.uniform(600, 10_800)
    monday = now - now % 86_400 - ((time.gmtime(now).tm_wday) % 7) * 86_400
    begin = monday - chance.randrange(WEEKS) * 7 * 86_400 + weekday * 86_400 + hour * 3600 + chance.uniform(0, 3600)
    if begin + seconds > now - 3600:
        begin -= 7 * 86_400
    events = max(3, round(chance.lognormvariate(0, 0.6) * EVENTS_A_SESSION / 1.2))
    return (*_names(chance), int(begin // 86_400), begin, seconds, events, True)


def _present(chance: random.Random, now: float) -> Row:
    """A session of today that has not ended; its last event is at most ten minutes ago."""
    seconds = chance.uniform(60, 3600)
    begin = now - seconds - chance.uniform(0, 600)
    return (*_names(chance), int(now // 86_400), begin, seconds, LIVE_EVENTS + chance.randrange(20), False)


def _names(chance: random.Random) -> tuple[str, str, str, str]:
    (project,) = chance.choices(PROJECTS, weights=range(len(PROJECTS), 0, -1))
    (source,) = chance.choices(SOURCES, weights=(5, 3, 1))
    (model,) = chance.choices(MODELS, weights=(5, 3, 1))
    return str(uuid.UUID(int=chance.getrandbits(128))), source, project, model
