"""What Datasette says of the tables and views: what each holds, what every column means, how it is sorted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from datasette_vibetea.database import TABLE


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view.

    Args:
        columns: what each means, by name; times are RFC 3339 in UTC.
        sort_desc: the column it is sorted by, highest first.
        facets: the columns whose commonest values are shown beside the rows.
    """

    description: str
    columns: dict[str, str]
    sort_desc: str
    facets: tuple[str, ...] = ()


_SESSION: Final = "Claude Code's id of the session."
_SOURCE: Final = "The machine it happened on."
_PROJECT: Final = "The folder the session was started in, by its name or an alias of it."
_SLOT: Final = "Quarter hours since 1970; datetime(slot * 900, 'unixepoch') is its beginning in UTC."
_STATE: Final = "working, needs_you, interrupted, idle, dead or ended."
_REASON: Final = "Why it is in that state: permission, question, turn_finished, tool, quiet, killed, ..."
_FIRST: Final = "When its first event happened."
_LAST: Final = "When its latest event happened."
_MODEL: Final = "The model that answered."
_TOKENS: Final = {
    "input_tokens": "Tokens read anew, without those of the cache.",
    "output_tokens": "Tokens the model wrote.",
    "cache_read_tokens": "Tokens read from the cache.",
    "cache_creation_tokens": "Tokens written to the cache.",
}

TABLES: Final = {
    TABLE: Table(
        "Everything VibeTea saw, in the order it was written down.",
        {
            "seq": "The place in that order, never used twice; the live stream goes by it.",
            "id": "The event's id, the same however often and by whomever it is reported.",
            "source": _SOURCE,
            "timestamp": "When it happened.",
            "type": "What kind of event: tool, agent, session, activity, token_usage, ...",
            "session_id": _SESSION,
            "project": _PROJECT,
            "tool": "The tool that was called: a built-in by its name, one of an MCP server as mcp__..., else other.",
            "status": "Of a tool call: started or completed.",
            "outcome": "Of a completed call: ok, failed, interrupted or refused.",
            "state": "What the agent came to be: working, waiting_permission, ...; of an activity, its kind.",
            "agent_id": "The subagent it was; empty for the main agent.",
            "model": "The model that used the tokens.",
            "duration_ms": "How long the tool call took, in milliseconds.",
            "payload": "The event as JSON, just as it would be sent.",
            "privacy": "The privacy level it was recorded at: standard or strict.",
        },
        "seq",
        ("type", "tool", "project", "status"),
    ),
    "board": Table(
        "What each session does now and why. Filter by live = 1 for those of the last half hour, at work or in want "
        "of you.",
        {
            "session_id": _SESSION,
            "source": _SOURCE,
            "project": _PROJECT,
            "model": _MODEL,
            "state": _STATE,
            "reason": _REASON,
            "since": "Since when.",
            "last_at": _LAST,
            "tool": "The tool that runs.",
            "waiting_seconds": "For how long it has been waiting for you.",
            "tokens": "All its tokens, those of the cache and of subagents too.",
            "prompts": "How often you wrote to it.",
            "events": "How many events it has.",
            "live": "1 for those you want to see: of the last half hour, at work or in want of you.",
        },
        "last_at",
        ("state", "source", "project"),
    ),
    "sessions": Table(
        "Claude Code's sessions, the latest first.",
        {
            "session_id": _SESSION,
            "source": _SOURCE,
            "project": _PROJECT,
            "first_at": _FIRST,
            "last_at": _LAST,
            "events": "How many events it has.",
            "model": "The model the main agent used last.",
            **_TOKENS,
            "prompts": "How often you wrote to it.",
        },
        "last_at",
        ("source", "project", "model"),
    ),
    "agents": Table(
        "Each session's main agent and its subagents, as events tell of them.",
        {
            "session_id": _SESSION,
            "agent_id": "The subagent; empty for the main agent.",
            "type": "The subagent's type, such as Explore; custom for your own.",
            "state": _STATE,
            "reason": _REASON,
            "since": "Since when.",
            "at": "When the event happened that told it.",
            "tool": "The tool that runs.",
            "prompted_at": "When somebody, or the agent above it, last spoke to it.",
            "first_at": _FIRST,
            "last_at": _LAST,
            "events": "How many events it has.",
        },
        "last_at",
        ("state", "type"),
    ),
    "states": Table(
        "The events that told an agent's state, and which.",
        {
            "seq": "The event's place in events.",
            "session_id": _SESSION,
            "agent_id": "The subagent; empty for the main agent.",
            "timestamp": "When it happened.",
            "state": _STATE,
            "reason": _REASON,
            "tool": "The tool that began to run.",
        },
        "seq",
    ),
    "clients": Table(
        "The Claude Code clients open on this machine, while the daemon runs.",
        {
            "session_id": _SESSION,
            "alive": "1 while its process lives, 0 once it is gone; null if it cannot be seen from here.",
            "status": "What the client says it is at: busy, idle or waiting.",
            "waiting_for": "What for: permission or question.",
            "at": "Since when.",
        },
        "at",
    ),
    "activity": Table(
        "How many events each quarter of an hour had; quick over years, exact in every time zone.",
        {
            "slot": _SLOT,
            "source": _SOURCE,
            "project": f"{_PROJECT[:-1]}, or empty.",
            "type": "What kind of event.",
            "tool": "The tool that was called, or empty.",
            "n": "How many events.",
        },
        "slot",
        ("type", "project", "source"),
    ),
    "outcomes": Table(
        "How tool calls ended, and by which error turns did, by quarter of an hour.",
        {
            "slot": _SLOT,
            "source": _SOURCE,
            "project": f"{_PROJECT[:-1]}, or empty.",
            "type": "tool or error.",
            "tool": "The tool that was called, or empty.",
            "outcome": "Of a call: ok, failed, interrupted or refused; of a turn, the error's category.",
            "n": "How many.",
        },
        "slot",
        ("outcome", "tool", "project"),
    ),
    "durations": Table(
        "How long tool calls took, by day.",
        {
            "day": "Days since 1970 by UTC; date(day * 86400, 'unixepoch') is its date.",
            "source": _SOURCE,
            "project": f"{_PROJECT[:-1]}, or empty.",
            "tool": "The tool that was called, or empty.",
            "about_ms": "How long it took, in milliseconds, within a twentieth.",
            "n": "How many calls took about that long.",
        },
        "day",
        ("tool", "project"),
    ),
    "usage": Table(
        "How many tokens each quarter of an hour took; every message counted once.",
        {
            "slot": _SLOT,
            "source": _SOURCE,
            "project": f"{_PROJECT[:-1]}, or empty.",
            "model": _MODEL,
            **_TOKENS,
            "messages": "How many messages the model answered.",
            "cache_creation_hour_tokens": "Those of the tokens written to the cache that are kept for an hour.",
        },
        "slot",
        ("model", "project", "source"),
    ),
}
"""By name."""
