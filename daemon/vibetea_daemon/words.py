"""What an event says in a few words, for a terminal: the page's words. Values are read as text or numbers only."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

Tone = Literal["plain", "quiet", "good", "bad", "attention"]
Payload = Mapping[str, Any]
LONGEST: Final = 80


class Words(NamedTuple):
    """What happened, and how much it matters."""

    text: str
    tone: Tone = "plain"


STATES: Final[dict[str, Words]] = {
    "working": Words("Working", "quiet"),
    "waiting_permission": Words("Needs permission", "attention"),
    "waiting_input": Words("Turn finished", "good"),
    "interrupted": Words("Interrupted", "bad"),
    "compacting": Words("Compacting its context", "quiet"),
    "compacted": Words("Context compacted"),
    "finished": Words("Finished", "good"),
}
ACTIVITIES: Final[dict[str, Words]] = {
    "prompt": Words("Prompt"),
    "machine": Words("Woken by a task", "quiet"),
    "cwd_changed": Words("Changed directory", "quiet"),
    "config_changed": Words("Settings changed", "quiet"),
    "instructions_loaded": Words("Instructions loaded", "quiet"),
    "directory_added": Words("Directory added", "quiet"),
    "worktree_removed": Words("Worktree removed", "quiet"),
    "model_switched": Words("Switched model"),
    "setup": Words("Set up", "quiet"),
    "teammate_idle": Words("Teammate idle", "quiet"),
    "notification": Words("Notification"),
}
_OUTCOMES: Final[dict[str, Tone]] = {"failed": "bad", "interrupted": "bad", "refused": "attention"}


def describe(event_type: str, payload: Payload) -> Words:
    """The words for an event of this type."""
    say = _TYPES.get(event_type)
    return say(payload) if say else Words(_human(event_type))


def text(value: object) -> str:
    """A value as one short line without anything a terminal would obey; "" if it is neither text nor number."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    whole = "".join(letter for letter in str(value) if letter.isprintable())
    return whole if len(whole) <= LONGEST else f"{whole[:LONGEST]}…"


def _session(payload: Payload) -> Words:
    if payload.get("action") == "ended":
        return Words(_join("Session ended", _human(payload.get("reason"))))
    how = payload.get("how")
    return Words(_join("Session started", "" if how == "startup" else _human(how)), "good")


def _activity(payload: Payload) -> Words:
    kind = text(payload.get("kind"))
    known = ACTIVITIES.get(kind) or Words(_human(kind) or "Activity", "quiet")
    models = " to ".join(filter(None, (text(payload.get("fromModel")), text(payload.get("toModel")))))
    return Words(_join(known.text, models), known.tone)


def _tool(payload: Payload) -> Words:
    name, context = text(payload.get("tool")) or "Tool", text(payload.get("context"))
    if payload.get("status") == "started":
        return Words(_join(name, context or "started"), "quiet")
    outcome = text(payload.get("outcome"))
    tone = _OUTCOMES.get(outcome)
    return Words(_join(name, outcome if tone else "", context, _duration(payload.get("durationMs"))), tone or "plain")


def _agent(payload: Payload) -> Words:
    state = text(payload.get("state"))
    return STATES.get(state) or Words(_human(state) or "Agent")


def _tokens(payload: Payload) -> Words:
    told = f"{_count(payload.get('inputTokens'))} tokens in / {_count(payload.get('outputTokens'))} out"
    return Words(_join(f"{told},", text(payload.get("model"))), "quiet")


def _tasks(payload: Payload) -> Words:
    counts = [payload.get(name) for name in ("completed", "inProgress", "pending", "abandoned")]
    done, *_ = counts
    return Words(f"{_count(done)} of {_count(sum(n for n in counts if isinstance(n, int)))} tasks done")


_TYPES: Final[dict[str, Callable[[Payload], Words]]] = {
    "session": _session,
    "activity": _activity,
    "tool": _tool,
    "agent": _agent,
    "summary": lambda payload: Words(_join("Summary", text(payload.get("summary"))), "quiet"),
    "error": lambda payload: Words(_join("Error", _human(payload.get("category"))), "bad"),
    "agent_spawn": lambda payload: Words(_join("Subagent started", text(payload.get("agentType")))),
    "skill_invocation": lambda payload: Words(f"/{text(payload.get('skillName'))}"),
    "token_usage": _tokens,
    "session_metrics": lambda payload: Words(f"{_count(payload.get('totalSessions'))} sessions in all", "quiet"),
    "activity_pattern": lambda _: Words("Activity by hour counted", "quiet"),
    "model_distribution": lambda _: Words("Tokens by model counted", "quiet"),
    "todo_progress": _tasks,
    "file_change": lambda payload: Words(
        f"File changed +{_count(payload.get('linesAdded'))} -{_count(payload.get('linesRemoved'))}"
    ),
    "project_activity": lambda payload: Words("Project active" if payload.get("isActive") else "Project idle", "quiet"),
}


def _join(*parts: str) -> str:
    return " ".join(filter(None, parts))


def _human(value: object) -> str:
    return text(value).replace("_", " ")


def _count(value: object) -> str:
    """1.2k and 3.4M from a thousand and a million on."""
    number = value if isinstance(value, int) else 0
    if number < 1000:
        return str(number)
    return f"{number / 1000:.1f}k" if number < 999_950 else f"{number / 1_000_000:.1f}M"


def _duration(milliseconds: object) -> str:
    if not isinstance(milliseconds, int):
        return ""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    return f"{milliseconds // 60_000} min {milliseconds // 1000 % 60} s"
