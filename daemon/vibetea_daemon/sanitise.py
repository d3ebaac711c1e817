"""From an act to the event that may leave: built field by field, each through its rule. Nothing else is copied."""

from collections.abc import Callable
from typing import Final

from pydantic import ValidationError

from vibetea_daemon.acts import Act, BadInput
from vibetea_protocol import Event, Payload, Rules, event_id
from vibetea_protocol import events as e


def sanitise(act: Act, rules: Rules) -> Event:
    """The one event of an act. Raises BadInput when a named input cannot be told (`timestamp`, `event`)."""
    try:
        timestamp = rules.timestamp(act.at)
    except (OverflowError, OSError, ValueError):
        raise BadInput("timestamp") from None
    try:
        return Event(
            id=event_id(rules.key, act.type, *act.key),
            source=rules.source,
            timestamp=timestamp,
            type=act.type,
            payload=_PAYLOADS[act.type](act, rules, timestamp),
        )
    except ValidationError:
        raise BadInput("event") from None


def _session(act: Act, rules: Rules, _: str) -> Payload:
    assert act.action
    return e.SessionPayload(
        session_id=rules.session(act.session),
        action=act.action,
        project=rules.project(act.cwd),
        how=act.how,
        reason=act.reason,
    )


def _activity(act: Act, rules: Rules, _: str) -> Payload:
    return e.ActivityPayload(
        session_id=rules.session(act.session),
        project=rules.project(act.cwd),
        kind=act.kind,
        from_model=rules.model(act.model) if act.model else None,
        to_model=rules.model(act.to_model) if act.to_model else None,
        agent_id=rules.agent(act.agent),
    )


def _tool(act: Act, rules: Rules, _: str) -> Payload:
    assert act.status
    return e.ToolPayload(
        session_id=rules.session(act.session),
        tool=rules.tool(act.tool),
        status=act.status,
        context=rules.basename(act.path) if act.path else None,
        project=rules.project(act.cwd),
        outcome=act.outcome,
        duration_ms=None if act.duration_ms is None else rules.count(act.duration_ms),
        agent_id=rules.agent(act.agent),
    )


def _agent(act: Act, rules: Rules, _: str) -> Payload:
    assert act.state
    return e.AgentPayload(
        session_id=rules.session(act.session),
        state=act.state,
        agent_id=rules.agent(act.agent),
        project=rules.project(act.cwd),
    )


def _summary(act: Act, rules: Rules, _: str) -> Payload:
    return e.SummaryPayload(session_id=rules.session(act.session), project=rules.project(act.cwd))


def _error(act: Act, rules: Rules, _: str) -> Payload:
    assert act.category
    return e.ErrorPayload(
        session_id=rules.session(act.session),
        category=act.category,
        project=rules.project(act.cwd),
        agent_id=rules.agent(act.agent),
    )


def _agent_spawn(act: Act, rules: Rules, timestamp: str) -> Payload:
    return e.AgentSpawnPayload(
        session_id=rules.session(act.session),
        agent_type=rules.agent_type(act.agent_type),
        timestamp=timestamp,
        agent_id=rules.agent(act.agent),
        project=rules.project(act.cwd),
    )


def _skill_invocation(act: Act, rules: Rules, timestamp: str) -> Payload:
    return e.SkillInvocationPayload(
        session_id=rules.session(act.session),
        skill_name=rules.skill(act.skill),
        project=rules.project(act.cwd),
        timestamp=timestamp,
        agent_id=rules.agent(act.agent),
    )


def _token_usage(act: Act, rules: Rules, _: str) -> Payload:
    read, written, cache_read, cache_creation, hour = map(rules.count, act.tokens)
    return e.TokenUsagePayload(
        model=rules.model(act.model),
        input_tokens=read,
        output_tokens=written,
        cache_read_tokens=cache_read,
        cache_creation_tokens=cache_creation,
        cache_creation_hour_tokens=hour or None,
        session_id=rules.session(act.session),
        agent_id=rules.agent(act.agent),
        project=rules.project(act.cwd),
    )


def _todo_progress(act: Act, rules: Rules, _: str) -> Payload:
    completed, in_progress, pending, abandoned = map(rules.count, act.todo)
    return e.TodoProgressPayload(
        session_id=rules.session(act.session),
        completed=completed,
        in_progress=in_progress,
        pending=pending,
        abandoned=abandoned,
        project=rules.project(act.cwd) if act.cwd else None,
    )


_PAYLOADS: Final[dict[str, Callable[[Act, Rules, str], Payload]]] = {
    "session": _session,
    "activity": _activity,
    "tool": _tool,
    "agent": _agent,
    "summary": _summary,
    "error": _error,
    "agent_spawn": _agent_spawn,
    "skill_invocation": _skill_invocation,
    "token_usage": _token_usage,
    "todo_progress": _todo_progress,
}
