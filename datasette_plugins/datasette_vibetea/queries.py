"""The saved queries: what people ask of their sessions, in SQL to read, run and change.

Days and hours are those of the clock of the machine that serves. `:days` and the like may be left empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Query:
    """A saved query; its named parameters may all be left empty."""

    title: str
    description: str
    sql: str


def _ago(days: int) -> str:
    """So many days ago, or `:days`, as timestamps have it."""
    return f"strftime('%Y-%m-%dT%H:%M', 'now', '-' || coalesce(nullif(:days, ''), {days}) || ' days')"


def _slot_ago(days: int) -> str:
    """The same as a quarter hour since 1970."""
    return f"strftime('%s', 'now', '-' || coalesce(nullif(:days, ''), {days}) || ' days') / 900"


QUERIES: Final = {
    "who_needs_me": Query(
        "Who needs me now?",
        "Sessions that wait for a permission, an answer or your next prompt; who waits longest comes first.",
        """
select project, source, reason, since, waiting_seconds / 60 as waiting_minutes, session_id
from board
where live and state = 'needs_you'
  -- the rest of the board is history
  and (last_at > strftime('%Y-%m-%dT%H:%M', 'now', '-1 day') or session_id in (select session_id from clients))
order by since
""",
    ),
    "today_by_session": Query(
        "What did each session do today?",
        "Since midnight: prompts, tool calls and how many failed, tokens. The latest session comes first.",
        """
select project, source, min(timestamp) as first_at, max(timestamp) as last_at,
  count(*) filter (where type = 'activity' and state = 'prompt') as prompts,
  count(*) filter (where type = 'tool' and status = 'completed') as calls,
  count(*) filter (where type = 'tool' and outcome = 'failed') as failed,
  count(*) filter (where type = 'agent_spawn') as subagents,
  coalesce(sum(json_extract(payload, '$.outputTokens')) filter (where type = 'token_usage'), 0) as output_tokens,
  session_id
from events
where timestamp >= strftime('%Y-%m-%dT%H:%M', 'now', 'localtime', 'start of day', 'utc') and session_id is not null
group by +session_id -- the sign keeps SQLite from going through all events by session
order by last_at desc
""",
    ),
    "month_by_day": Query(
        "This month, day by day",
        "The last 31 days (change days below): sessions begun, messages the models answered, and their tokens.",
        f"""
with days as (
  select date(slot * 900, 'unixepoch', 'localtime') as day, 0 as sessions, messages,
    input_tokens, output_tokens, cache_read_tokens, cache_creation_tokens
  from usage
  where slot >= {_slot_ago(31)}
    and (:project = '' or project = :project)
  union all
  select date(first_at, 'localtime'), 1, 0, 0, 0, 0, 0
  from sessions
  where first_at >= {_ago(31)}
    and (:project = '' or project = :project)
)
select day, sum(sessions) as sessions, sum(messages) as messages, sum(input_tokens) as input_tokens,
  sum(output_tokens) as output_tokens, sum(cache_read_tokens) as cache_read_tokens,
  sum(cache_creation_tokens) as cache_creation_tokens
from days
group by day
order by day desc
""",
    ),
    "failures_by_tool": Query(
        "Which tools fail?",
        "Completed calls of the last 7 days (change days below), by tool: how many failed, were refused by you or "
        "interrupted.",
        f"""
select tool, sum(n) as calls,
  coalesce(sum(n) filter (where outcome = 'failed'), 0) as failed,
  coalesce(sum(n) filter (where outcome = 'refused'), 0) as refused,
  coalesce(sum(n) filter (where outcome = 'interrupted'), 0) as interrupted,
  round(100.0 * coalesce(sum(n) filter (where outcome = 'failed'), 0) / sum(n), 1) as failed_percent
from outcomes
where type = 'tool' and (:project = '' or project = :project)
  and slot >= {_slot_ago(7)}
group by tool
order by failed desc, calls desc
""",
    ),
    "slowest_calls": Query(
        "What took longest?",
        "The hundred slowest tool calls of the last 7 days (change days below); seq leads to the row in events.",
        f"""
select round(duration_ms / 1000.0, 1) as seconds, tool, outcome, project, source, timestamp, session_id, seq
from events
where duration_ms is not null and (:tool = '' or tool = :tool)
  and timestamp >= {_ago(7)}
order by duration_ms desc
limit 100
""",
    ),
    "durations_by_tool": Query(
        "How long do tools take?",
        "Half of a tool's calls took no longer than p50, 19 of 20 no longer than p95; each is right within 5 %. The "
        "last 7 days (change days below), by UTC and whole.",
        f"""
with counted as (
  select tool, about_ms, sum(n) as n
  from durations
  where (:project = '' or project = :project)
    and day >= {_slot_ago(7)} / 96
  group by tool, about_ms
), placed as (
  select tool, about_ms, n,
    sum(n) over (partition by tool order by about_ms) as place,
    sum(n) over (partition by tool) as calls
  from counted
)
select tool, calls,
  min(about_ms) filter (where place >= (calls + 1) / 2) as p50_ms,
  min(about_ms) filter (where place >= (calls * 95 + 99) / 100) as p95_ms,
  max(about_ms) as longest_ms,
  round(sum(about_ms * n) / 3600000.0, 2) as hours
from placed
group by tool
order by hours desc, tool
""",
    ),
    "running_tools": Query(
        "What runs now, and since when?",
        "Tools that a session of the last day started and that have not come back, the oldest first: a build, a hung "
        "command, a subagent.",
        """
select agents.tool, round((julianday('now') - julianday(agents.at)) * 1440, 1) as minutes,
  sessions.project, sessions.source, agents.at as started_at, agents.agent_id, agents.session_id
from sessions join agents using (session_id)
where agents.tool is not null and sessions.last_at > strftime('%Y-%m-%dT%H:%M', 'now', '-1 day')
order by started_at
""",
    ),
    "permission_waits": Query(
        "How long do permissions wait for me?",
        "Each dialog of the last 7 days (change days below), until the agent that asked did anything again. Without "
        "an answer minutes stay empty.",
        f"""
with asked as (
  select timestamp, session_id, coalesce(agent_id, '') as agent, project, source, (
    select min(timestamp) from events as next
    where next.session_id = asked.session_id and next.timestamp > asked.timestamp
      and coalesce(next.agent_id, '') = coalesce(asked.agent_id, '')
      and next.type <> 'token_usage' and next.state is not 'waiting_permission') as answered_at
  from events as asked
  where type = 'agent' and state = 'waiting_permission' and (:project = '' or project = :project)
    and timestamp >= {_ago(7)}
)
-- Claude Code reminds of an open dialog once: the first request counts
select round((julianday(answered_at) - julianday(min(timestamp))) * 1440, 1) as minutes,
  project, source, min(timestamp) as asked_at, answered_at, agent as agent_id, session_id
from asked
group by session_id, agent, answered_at
order by asked_at desc
""",
    ),
    "tokens_by_model_and_day": Query(
        "Tokens by model and day",
        "The last 31 days (change days below). Every message counts once; what was read from the cache is cheap, so "
        "it stands apart.",
        f"""
select date(slot * 900, 'unixepoch', 'localtime') as day, model, sum(messages) as messages,
  sum(input_tokens) as input_tokens, sum(output_tokens) as output_tokens,
  sum(cache_read_tokens) as cache_read_tokens, sum(cache_creation_tokens) as cache_creation_tokens
from usage
where slot >= {_slot_ago(31)}
  and (:project = '' or project = :project)
group by day, model
order by day desc, output_tokens desc
""",
    ),
    "tokens_by_project": Query(
        "Tokens by project",
        "Where the tokens of the last 31 days (change days below) went; the project whose models wrote most comes "
        "first.",
        f"""
select project, sum(messages) as messages, sum(input_tokens) as input_tokens, sum(output_tokens) as output_tokens,
  sum(cache_read_tokens) as cache_read_tokens, sum(cache_creation_tokens) as cache_creation_tokens,
  round(100.0 * sum(output_tokens) / nullif(sum(sum(output_tokens)) over (), 0), 1) as output_percent
from usage
where slot >= {_slot_ago(31)}
group by project
order by output_tokens desc
""",
    ),
    "tokens_by_session": Query(
        "Which sessions took most tokens?",
        "The hundred largest sessions that were active in the last 31 days (change days below), subagents included.",
        f"""
select project, source, model, prompts, output_tokens, input_tokens, cache_read_tokens, cache_creation_tokens,
  first_at, last_at, session_id
from sessions
where last_at >= {_ago(31)}
  and (:project = '' or project = :project)
order by output_tokens desc
limit 100
""",
    ),
    "most_edited_files": Query(
        "Which files are edited most?",
        "Edits and writes that succeeded in the last 7 days (change days below), by the file's name; a name that may "
        "not be told is [filtered], at the level strict its language stands here.",
        f"""
select project, json_extract(payload, '$.context') as file, count(*) as edits,
  count(distinct session_id) as sessions, max(timestamp) as last_at
from events
where type = 'tool' and outcome = 'ok' and tool in ('Edit', 'MultiEdit', 'Write', 'NotebookEdit')
  and (:project = '' or project = :project)
  and timestamp >= {_ago(7)}
group by project, file
order by edits desc, project, file
limit 100
""",
    ),
    "subagents_by_type": Query(
        "What do subagents do?",
        "Subagents that began in the last 7 days (change days below), by type: how many, how long they lived, how "
        "much they did.",
        f"""
select coalesce(agents.type, '') as type, count(*) as subagents, count(distinct session_id) as sessions,
  sum(agents.events) as events,
  round(avg(julianday(agents.last_at) - julianday(agents.first_at)) * 1440, 1) as average_minutes,
  round(max(julianday(agents.last_at) - julianday(agents.first_at)) * 1440, 1) as longest_minutes
from sessions join agents using (session_id)
where agents.agent_id <> '' and (:project = '' or sessions.project = :project)
  and sessions.last_at >= {_ago(7)}
  and agents.first_at >= {_ago(7)}
group by 1
order by subagents desc
""",
    ),
    "busiest_hours": Query(
        "When am I busiest?",
        "Events by hour of the day and day of the week over the last 31 days (change days below), without token "
        "counts and totals.",
        f"""
select cast(strftime('%H', slot * 900, 'unixepoch', 'localtime') as integer) as hour, sum(n) as events,
  sum(n) filter (where strftime('%w', slot * 900, 'unixepoch', 'localtime') = '1') as monday,
  sum(n) filter (where strftime('%w', slot * 900, 'unixepoch', 'localtime') = '2') as tuesday,
  sum(n) filter (where strftime('%w', slot * 900, 'unixepoch', 'localtime') = '3') as wednesday,
  sum(n) filter (where strftime('%w', slot * 900, 'unixepoch', 'localtime') = '4') as thursday,
  sum(n) filter (where strftime('%w', slot * 900, 'unixepoch', 'localtime') = '5') as friday,
  sum(n) filter (where strftime('%w', slot * 900, 'unixepoch', 'localtime') = '6') as saturday,
  sum(n) filter (where strftime('%w', slot * 900, 'unixepoch', 'localtime') = '0') as sunday
from (
  select slot, sum(n) as n
  from activity
  where slot >= {_slot_ago(31)}
    and (:project = '' or project = :project)
    and type in ('session', 'activity', 'tool', 'agent', 'error', 'agent_spawn', 'skill_invocation', 'todo_progress')
  group by slot
)
group by hour
order by hour
""",
    ),
    "died_or_interrupted": Query(
        "Which sessions died or were interrupted?",
        "Sessions of the last 7 days (change days below), whose client was killed, or whose last word was Esc.",
        f"""
select agents.state, sessions.project, sessions.source, agents.at, sessions.prompts, sessions.events, session_id
from sessions join agents using (session_id)
where agents.agent_id = '' and agents.state in ('dead', 'interrupted')
  and sessions.last_at >= {_ago(7)}
order by agents.at desc
""",
    ),
    "errors_by_category": Query(
        "What ends turns with an error?",
        "Turns of the last 31 days (change days below) that the API ended: rate limits, overload, billing, by day.",
        f"""
select date(slot * 900, 'unixepoch', 'localtime') as day, outcome as category, sum(n) as errors
from outcomes
where type = 'error'
  and slot >= {_slot_ago(31)}
group by day, category
order by day desc, errors desc
""",
    ),
    "refusals": Query(
        "What do I refuse?",
        "Tool calls of the last 31 days (change days below) that were denied, by project and tool: what is refused "
        "often may want a rule in Claude Code's permissions.",
        f"""
select project, tool, sum(n) as refused, datetime(max(slot) * 900, 'unixepoch', 'localtime') as last_quarter_hour
from outcomes
where type = 'tool' and outcome = 'refused'
  and slot >= {_slot_ago(31)}
group by project, tool
order by refused desc, project, tool
""",
    ),
    "compactions": Query(
        "Which sessions ran out of context?",
        "How often a session's context was compacted in the last 31 days (change days below); a task that is "
        "compacted often may be better as several.",
        f"""
select events.project, events.source, count(*) as compactions, max(timestamp) as last_at, sessions.prompts,
  events.session_id
from events join sessions using (session_id)
where type = 'agent' and state = 'compacted'
  and timestamp >= {_ago(31)}
group by +events.session_id -- the sign keeps SQLite from going through all events by session
order by compactions desc, last_at desc
""",
    ),
    "quiet_gaps": Query(
        "When did nothing happen?",
        "Gaps of an hour and more in the last 7 days (change hours and days below), to a quarter of an hour: a night, "
        "a holiday, or a daemon that did not run.",
        f"""
with busy as (
  select slot, lead(slot) over (order by slot) as next
  from (
    select distinct slot from activity
    where slot >= {_slot_ago(7)}
      and (:source = '' or source = :source)
  )
)
select datetime((slot + 1) * 900, 'unixepoch', 'localtime') as quiet_from,
  datetime(next * 900, 'unixepoch', 'localtime') as until, (next - slot - 1) / 4.0 as hours
from busy
where next - slot - 1 >= 4 * coalesce(nullif(:hours, ''), 1)
order by quiet_from desc
""",
    ),
    "machines": Query(
        "Which machines report?",
        "Each machine, when it was last heard of, and how much it did in the last 7 days (change days below).",
        f"""
select source, max(last_at) as last_at, sum(recent) as sessions, sum(recent * events) as events,
  sum(recent * prompts) as prompts, sum(recent * output_tokens) as output_tokens
from (
  select sessions.*,
    last_at >= {_ago(7)} as recent
  from sessions
)
group by source
order by last_at desc
""",
    ),
}
"""By name, which is its address too."""
