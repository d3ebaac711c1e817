"""What is made from the events: tables kept in the events' own transaction, and the views over them.

Each statement takes `before`, a sequence number, and adds the events after it, which are just those really inserted.
In whatever order events arrive, the rows come out the same. What says *latest* goes by timestamp, then by sequence.
`not indexed` keeps SQLite from walking all sessions to find the few new rows.
"""

import sqlite3
from typing import Final

ACTIVITY: Final = """
    insert into activity
    select strftime('%s', timestamp) / 900, source, coalesce(project, ''), type, coalesce(tool, ''), count(*)
    from events where seq > :before group by 1, 2, 3, 4, 5
    on conflict do update set n = n + excluded.n
"""
# These two are also made from what is there already, where another program's payload and time may be none.
OUTCOMES: Final = """
    insert or ignore into outcomes
    select strftime('%s', timestamp) / 900, source, coalesce(project, ''), type, coalesce(tool, ''),
        coalesce(iif(type = 'error', iif(json_valid(payload), json_extract(payload, '$.category'), ''), outcome), ''),
        count(*)
    from events where seq > :before and (type = 'tool' and status = 'completed' or type = 'error')
    group by 1, 2, 3, 4, 5, 6
    on conflict do update set n = n + excluded.n
"""
# Two digits of a duration, the second one to a multiple of 1, 2 or 5: from 20 to 49 it is even, from 50 on 0 or 5.
# So half a step is at most a twentieth of it: 1 of 20, 2.5 of 50.
DURATIONS: Final = """
    with timed as (
        select strftime('%s', timestamp) / 86400 as day, source, coalesce(project, '') as project,
            coalesce(tool, '') as tool, duration_ms as ms,
            cast(substr('1000000000000000000', 1, max(length(duration_ms) - 1, 1)) as integer)
                * iif(duration_ms < 20, 1, substr('122255555', substr(duration_ms, 1, 1) + 0, 1)) as step
        from events where seq > :before and type = 'tool' and duration_ms >= 0 and typeof(duration_ms) = 'integer'
    )
    insert or ignore into durations
    select day, source, project, tool, (ms + step / 2) / step * step, count(*)
    from timed where true group by 1, 2, 3, 4, 5
    on conflict do update set n = n + excluded.n
"""
USAGE: Final = """
    insert into usage(slot, source, project, model, input_tokens, output_tokens, cache_read_tokens,
        cache_creation_tokens, messages, cache_creation_hour_tokens)
    select strftime('%s', timestamp) / 900, source, coalesce(project, ''), model,
        sum(json_extract(payload, '$.inputTokens')), sum(json_extract(payload, '$.outputTokens')),
        sum(json_extract(payload, '$.cacheReadTokens')), sum(json_extract(payload, '$.cacheCreationTokens')), count(*),
        coalesce(sum(json_extract(payload, '$.cacheCreationHourTokens')), 0)
    from events where seq > :before and type = 'token_usage' group by 1, 2, 3, 4
    on conflict do update set
        input_tokens = input_tokens + excluded.input_tokens,
        output_tokens = output_tokens + excluded.output_tokens,
        cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
        cache_creation_tokens = cache_creation_tokens + excluded.cache_creation_tokens,
        messages = messages + excluded.messages,
        cache_creation_hour_tokens = cache_creation_hour_tokens + excluded.cache_creation_hour_tokens
"""

# Tokens are its subagents' too; the model is the main agent's. A batch without tokens looks for no model.
_TOTALS: Final = """
    case when max(type = 'token_usage') then (
        select model from events as latest
        where latest.session_id = events.session_id and latest.type = 'token_usage' and latest.agent_id is null
        order by timestamp desc, seq desc limit 1) end,
    coalesce(sum(json_extract(payload, '$.inputTokens')) filter (where type = 'token_usage'), 0),
    coalesce(sum(json_extract(payload, '$.outputTokens')) filter (where type = 'token_usage'), 0),
    coalesce(sum(json_extract(payload, '$.cacheReadTokens')) filter (where type = 'token_usage'), 0),
    coalesce(sum(json_extract(payload, '$.cacheCreationTokens')) filter (where type = 'token_usage'), 0),
    count(*) filter (where type = 'activity' and state = 'prompt')
"""
_TOTALS_NAMES: Final = "model, input_tokens, output_tokens, cache_read_tokens, cache_creation_tokens, prompts"
SESSIONS: Final = f"""
    insert into sessions(session_id, source, project, first_at, last_at, events, {_TOTALS_NAMES})
    select session_id, source, max(project), min(timestamp), max(timestamp), count(*), {_TOTALS}
    from events not indexed where seq > :before and session_id is not null group by session_id
    on conflict do update set
        project = coalesce(project, excluded.project), first_at = min(first_at, excluded.first_at),
        last_at = max(last_at, excluded.last_at), events = events + excluded.events,
        model = coalesce(excluded.model, model),
        input_tokens = input_tokens + excluded.input_tokens,
        output_tokens = output_tokens + excluded.output_tokens,
        cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
        cache_creation_tokens = cache_creation_tokens + excluded.cache_creation_tokens,
        prompts = prompts + excluded.prompts
"""

STATES: Final = """
    create view states as -- the events that tell an agent's state, and which; '' is the main agent
    select seq, session_id, coalesce(agent_id, '') as agent_id, timestamp,
        case type
            when 'session' then case
                when json_extract(payload, '$.action') = 'started' then 'idle'
                when json_extract(payload, '$.reason') = 'killed' then 'dead'
                else 'ended' end
            when 'tool' then case
                when status = 'started' and tool = 'AskUserQuestion' then 'needs_you'
                when outcome = 'interrupted' then 'interrupted'
                else 'working' end
            when 'agent' then case
                when state like 'waiting%' then 'needs_you'
                when state = 'finished' then 'ended'
                else state end
            when 'error' then 'needs_you'
            else 'working'
        end as state,
        case type
            when 'session' then case
                when json_extract(payload, '$.action') = 'started' then 'started'
                else coalesce(json_extract(payload, '$.reason'), 'other') end
            when 'tool' then case
                when status = 'started' and tool = 'AskUserQuestion' then 'question'
                when outcome = 'interrupted' then 'interrupted'
                else 'tool' end
            when 'agent' then case state
                when 'working' then 'prompt'
                when 'waiting_permission' then 'permission'
                when 'waiting_input' then 'turn_finished'
                else state end
            when 'error' then 'turn_failed'
            when 'agent_spawn' then 'spawned'
            else 'prompt'
        end as reason,
        iif(type = 'tool' and status = 'started' and tool <> 'AskUserQuestion', tool, null) as tool
    from events
    where session_id is not null and (
        type in ('session', 'tool', 'error', 'agent_spawn')
        or type = 'activity' and state in ('prompt', 'machine')
        or type = 'agent' and state in ('working', 'waiting_permission', 'waiting_input', 'interrupted')
        or type = 'agent' and state = 'finished' and agent_id is not null)
"""

AGENTS: Final = """
    with touched as (
        select new.session_id, coalesce(new.agent_id, '') as agent_id,
            max(case new.type when 'agent_spawn' then json_extract(payload, '$.agentType') end) as type,
            max(case when new.type = 'agent_spawn' or new.type = 'activity' and new.state in ('prompt', 'machine')
                or new.type = 'agent' and new.state = 'working' then timestamp end) as prompted_at,
            min(timestamp) as first_at, max(timestamp) as last_at, count(*) as events
        from events as new not indexed where seq > :before and session_id is not null group by 1, 2
    ), told as ( -- `latest` is the event that tells the state
        select touched.*, nullif(max(coalesce(touched.prompted_at, ''), coalesce(known.prompted_at, '')), '') as prompt,
            min(touched.first_at, coalesce(known.first_at, touched.first_at)) as first,
            (select seq from states
                where session_id = touched.session_id and agent_id = touched.agent_id
                    and timestamp <= max(touched.last_at, coalesce(known.last_at, ''))
                order by timestamp desc, seq desc limit 1) as latest
        from touched left join agents as known using (session_id, agent_id)
    ), dated as ( -- `other` is the last event before it that told another state or another reason
        select told.*, now.state, now.reason, now.tool, now.timestamp as at,
            (select seq from states as other
                where now.state <> 'working' and session_id = told.session_id and agent_id = told.agent_id
                    and timestamp <= now.timestamp and (state, reason) <> (now.state, now.reason)
                order by timestamp desc, seq desc limit 1) as other
        from told left join states as now on now.seq = latest
    )
    insert into agents(
        session_id, agent_id, type, state, reason, since, at, tool, prompted_at, first_at, last_at, events)
    select dated.session_id, dated.agent_id, dated.type, dated.state, dated.reason,
        case dated.state
            when 'working' then coalesce(prompt, first) -- it works since its person, or who sent it, last spoke
            else (select min(timestamp) from states as same
                where session_id = dated.session_id and agent_id = dated.agent_id
                    and timestamp between coalesce(before.timestamp, '') and dated.at
                    and (timestamp, seq) > (coalesce(before.timestamp, ''), coalesce(before.seq, 0)))
        end,
        at,
        case dated.reason
            when 'permission' then ( -- for the tool that was told last, unless it has ended
                select tool from states as asked
                where session_id = dated.session_id and agent_id = dated.agent_id
                    and timestamp <= dated.at and reason = 'tool'
                order by timestamp desc, seq desc limit 1)
            else dated.tool
        end,
        prompt, first, last_at, dated.events
    from dated left join events as before on before.seq = other
    where true
    on conflict do update set
        type = coalesce(excluded.type, type), state = excluded.state, reason = excluded.reason,
        since = excluded.since, at = excluded.at, tool = excluded.tool, prompted_at = excluded.prompted_at,
        first_at = excluded.first_at, last_at = max(last_at, excluded.last_at), events = events + excluded.events
"""

BOARD: Final = """
    create view board as -- each session, what it does now and why; `live` are those a person wants to see
    with clock as (
        select strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-5 minutes') as minutes_ago,
            strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-30 minutes') as half_an_hour_ago,
            strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 day') as a_day_ago
    ), told as ( -- by events: the main agent's state, or that of a subagent that asks for a permission.
        -- A prompt typed, an interruption or an end after it says that nobody asks any more.
        select sessions.*, coalesce(asking.state, main.state, 'idle') as state,
            coalesce(asking.reason, main.reason, 'started') as reason,
            coalesce(asking.since, main.since, sessions.first_at) as since,
            coalesce(asking.at, main.at, '') as at, main.prompted_at,
            iif(asking.at is null, main.tool, asking.tool) as tool
        from sessions
        left join agents as main on main.session_id = sessions.session_id and main.agent_id = ''
        left join agents as asking on asking.session_id = sessions.session_id and asking.agent_id = (
            select agent_id from agents as one
            where one.session_id = sessions.session_id and one.agent_id <> '' and one.reason = 'permission'
                and one.at > coalesce(main.prompted_at, '')
                and not (main.state in ('interrupted', 'ended', 'dead') and main.at >= one.at)
            order by one.at desc limit 1)
    ), heard as ( -- by the client's own file: what it says that events did not, or not yet
        select told.*, clients.at as status_at, clients.alive = 1 and clients.status = 'busy' as busy,
            clients.alive = 1 as alive, clients.waiting_for,
            case
                when clients.alive = 0 and state <> 'ended' then 'died'
                when clients.alive = 0 then 'nothing'
                -- no event tells of a dialog sooner than the file, which is read twice a second
                when clients.status = 'waiting' then 'waits'
                -- else the newer of the two is believed
                when clients.at <= told.at then 'nothing'
                when clients.status = 'busy' and state <> 'working' then 'works'
                -- a compaction by hand, an Esc that nobody told, a dialog that was dismissed
                when clients.status = 'idle' and (state = 'working' or reason in ('permission', 'question'))
                    then 'finished'
                when clients.status = 'idle' and state in ('ended', 'dead') then 'resumed'
                else 'nothing'
            end as says
        from told left join clients using (session_id)
    ), fused as (
        select session_id, source, project, model, last_at, prompts, events, busy, alive, at,
            input_tokens + output_tokens + cache_read_tokens + cache_creation_tokens as tokens,
            max(last_at, coalesce(status_at, '')) as stirred_at,
            case says
                when 'died' then 'dead' when 'waits' then 'needs_you' when 'finished' then 'needs_you'
                when 'works' then 'working' when 'resumed' then 'idle' else state
            end as state,
            case says
                when 'died' then 'killed' when 'waits' then waiting_for when 'finished' then 'turn_finished'
                when 'works' then iif(reason in ('permission', 'question'), 'tool', 'prompt')
                when 'resumed' then 'started' else reason
            end as reason,
            case
                when says = 'nothing' or says = 'died' and state = 'dead' then since
                when says = 'died' then max(last_at, status_at)
                -- a permission was granted: it works on, since the prompt
                when says = 'works' and reason in ('permission', 'question') then coalesce(prompted_at, status_at)
                else status_at
            end as since,
            iif(says in ('nothing', 'works') or says = 'waits' and waiting_for = 'permission', tool, null) as tool
        from heard
    ), timed as ( -- five minutes without a sign of life are quiet, whatever was said before; a dialog stays open
        select fused.*, stirred_at < minutes_ago
            and (state in ('working', 'interrupted') or reason in ('turn_finished', 'turn_failed', 'started'))
            and not coalesce(busy, 0)
            -- of a client nobody knows: a long tool call says nothing while it runs
            and not (alive is null and tool is not null and at > half_an_hour_ago) as quiet
        from fused, clock
    )
    select session_id, source, project, model,
        iif(quiet, 'idle', state) as state,
        iif(quiet, 'quiet', reason) as reason,
        iif(quiet, last_at, since) as since,
        last_at,
        iif(quiet, null, tool) as tool,
        iif(state = 'needs_you' and not quiet,
            max(0, strftime('%s', 'now') - strftime('%s', since)), null) as waiting_seconds,
        tokens, prompts, events,
        cast(last_at > half_an_hour_ago or coalesce(busy, 0) -- so that Datasette's `live=1`, a text, finds it
            or reason in ('permission', 'question') and (coalesce(alive, 0) or since > a_day_ago) as integer) as live
    from timed, clock
"""


def add(connection: sqlite3.Connection, before: int) -> None:
    """Take in the events after `before`."""
    for statement in (ACTIVITY, OUTCOMES, DURATIONS, SESSIONS, USAGE, AGENTS):
        connection.execute(statement, {"before": before})


def renew(connection: sqlite3.Connection) -> None:
    """Make anew what needs nothing but the events that are there; for a database another version wrote."""
    for view in ("board", "states"):
        connection.execute(f"drop view if exists {view}")
    for statement in (STATES, BOARD, "delete from agents"):
        connection.execute(statement)
    connection.execute(AGENTS, {"before": 0})
    for table, statement in (("outcomes", OUTCOMES), ("durations", DURATIONS)):
        # sums outlive their events: they are made once, for a database that had none
        if not connection.execute(f"select 1 from {table} limit 1").fetchone():
            connection.execute(statement, {"before": 0})
    connection.execute(f"""
        update sessions set ({_TOTALS_NAMES}) = (select {_TOTALS} from events where session_id = sessions.session_id)
        where exists (select 1 from events where session_id = sessions.session_id)
    """)
