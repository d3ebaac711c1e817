"""What a hook payload becomes.

Only the fields named in `HookPayload` are ever decoded; the rest of the bytes is skipped unread. Events and fields:
Claude Code 2.1.330, recorded.
"""

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Final, cast, get_args

import msgspec

from vibetea_daemon.acts import Act, BadInput
from vibetea_daemon.claude_code import fields
from vibetea_daemon.claude_code.fields import ABSENT, text, whole
from vibetea_daemon.claude_code.project import session_root
from vibetea_daemon.claude_code.report import FILE_TOOLS, Report
from vibetea_protocol.vocabulary import ActivityKind, ErrorCategory, Outcome, SessionHow, SessionReason


class HookPayload(msgspec.Struct):
    """The named fields of every hook event; a private one is read for a prefix only, where a comment says so."""

    hook_event_name: str
    session_id: str
    cwd: msgspec.Raw = ABSENT
    transcript_path: msgspec.Raw = ABSENT  # its folder tells where the session was started
    prompt_id: msgspec.Raw = ABSENT
    agent_id: msgspec.Raw = ABSENT
    agent_type: msgspec.Raw = ABSENT
    source: msgspec.Raw = ABSENT
    reason: msgspec.Raw = ABSENT
    prompt: msgspec.Raw = ABSENT  # its first characters tell whether a person typed it
    tool_name: msgspec.Raw = ABSENT
    tool_use_id: msgspec.Raw = ABSENT
    tool_input: msgspec.Raw = ABSENT
    tool_calls: msgspec.Raw = ABSENT
    is_interrupt: msgspec.Raw = ABSENT
    duration_ms: msgspec.Raw = ABSENT
    notification_type: msgspec.Raw = ABSENT
    stop_hook_active: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT
    command_name: msgspec.Raw = ABSENT
    from_model: msgspec.Raw = ABSENT
    to_model: msgspec.Raw = ABSENT


class ToolCall(msgspec.Struct):
    """One call of a PostToolBatch."""

    tool_name: msgspec.Raw = ABSENT
    tool_use_id: msgspec.Raw = ABSENT
    tool_response: msgspec.Raw = ABSENT  # its first characters tell a call that was refused


_payload: Final = msgspec.json.Decoder(HookPayload)
_calls: Final = msgspec.json.Decoder(list[ToolCall])

MACHINE_PROMPT: Final = "<task-notification>"
REFUSED: Final = "<tool_use_error>"
DENIED: Final = "Permission to use "


def acts_of_hook(stamp: int, raw: bytes) -> Sequence[Act]:
    """The acts of one hook payload, `stamp` nanoseconds after the epoch. Raises BadInput."""
    payload = fields.document(_payload, raw)
    if not payload.session_id:
        raise BadInput("shape")
    handler = _HANDLERS.get(payload.hook_event_name)
    cwd = text(payload.cwd)
    slug = PurePosixPath(text(payload.transcript_path)).parent.name
    where = Report(payload.session_id, stamp, session_root(cwd, slug), text(payload.agent_id))
    if handler is None:
        return [where.activity("other", payload.hook_event_name, str(stamp))]
    return handler(payload, where)


def _session_start(payload: HookPayload, where: Report) -> Sequence[Act]:
    source = text(payload.source)
    if source == "compact":  # the same session goes on
        return []
    how = cast("SessionHow", source if source in get_args(SessionHow) else "other")
    return [where.session_started(how, *(() if how in {"startup", "clear", "fork"} else (str(where.at),)))]


def _session_end(payload: HookPayload, where: Report) -> Sequence[Act]:
    reason = text(payload.reason)
    return where.session_ended(
        cast("SessionReason", reason if reason in get_args(SessionReason) else "other"), "ended", str(where.at)
    )


def _user_prompt(payload: HookPayload, where: Report) -> Sequence[Act]:
    prompt = text(payload.prompt)
    if prompt.startswith(MACHINE_PROMPT):
        return [where.activity("machine", "machine", machine_task(prompt))]
    return where.prompted(text(payload.prompt_id) or str(where.at))


def _expansion(payload: HookPayload, where: Report) -> Sequence[Act]:
    return [where.skill_invoked(text(payload.command_name), text(payload.prompt_id) or str(where.at))]


def _tool_start(payload: HookPayload, where: Report) -> Sequence[Act]:
    call, tool = text(payload.tool_use_id), text(payload.tool_name)
    acts = [where.tool_started(call, tool)]
    if tool == "Skill":
        acts.append(where.skill_invoked(text(fields.tool_input(payload.tool_input).skill), call))
    return acts


def _tool_end(payload: HookPayload, where: Report) -> Sequence[Act]:
    call, tool = text(payload.tool_use_id), text(payload.tool_name)
    inputs = fields.tool_input(payload.tool_input)
    path = text(getattr(inputs, FILE_TOOLS[tool])) if tool in FILE_TOOLS else ""
    return [where.tool_completed(call, tool, "ok", path, whole(payload.duration_ms))]


def _tool_failure(payload: HookPayload, where: Report) -> Sequence[Act]:
    outcome: Outcome = "interrupted" if bytes(payload.is_interrupt) == b"true" else "failed"
    duration = whole(payload.duration_ms)
    return [where.tool_completed(text(payload.tool_use_id), text(payload.tool_name), outcome, duration_ms=duration)]


def _tool_batch(payload: HookPayload, where: Report) -> Sequence[Act]:
    calls = fields.decode(_calls, payload.tool_calls)
    return [
        where.tool_completed(text(call.tool_use_id), text(call.tool_name), "refused")
        for call in calls
        if text(call.tool_response).startswith((REFUSED, DENIED))
    ]


def _permission_denied(payload: HookPayload, where: Report) -> Sequence[Act]:
    return [where.tool_completed(text(payload.tool_use_id), text(payload.tool_name), "refused")]


def _permission_request(_: HookPayload, where: Report) -> Sequence[Act]:
    return [where.state("waiting_permission", str(where.at))]


def _elicitation(_: HookPayload, where: Report) -> Sequence[Act]:
    return [where.state("waiting_input", str(where.at))]


def _notification(payload: HookPayload, where: Report) -> Sequence[Act]:
    match text(payload.notification_type):
        case "permission_prompt":
            return [where.state("waiting_permission", str(where.at))]
        case "idle_prompt":
            return [where.state("waiting_input", str(where.at))]
        case _:
            return [where.activity("notification", "notification", str(where.at))]


def _subagent_start(payload: HookPayload, where: Report) -> Sequence[Act]:
    return [where.spawned(text(payload.agent_type))]


def _subagent_stop(payload: HookPayload, where: Report) -> Sequence[Act]:
    if not text(payload.agent_type):  # compaction's own helper, which nobody started
        return []
    return [where.finished()]


def _stop(payload: HookPayload, where: Report) -> Sequence[Act]:
    again = ("again", str(where.at)) if bytes(payload.stop_hook_active) == b"true" else ()
    return [where.state("waiting_input", "done", text(payload.prompt_id) or str(where.at), *again)]


def _stop_failure(payload: HookPayload, where: Report) -> Sequence[Act]:
    error = text(payload.error)
    category = cast("ErrorCategory", error if error in get_args(ErrorCategory) else "unknown")
    return [where.failed(category, text(payload.prompt_id) or str(where.at))]


def _pre_compact(payload: HookPayload, where: Report) -> Sequence[Act]:
    return [where.state("compacting", text(payload.prompt_id) or str(where.at))]


def _post_compact(payload: HookPayload, where: Report) -> Sequence[Act]:
    return [where.state("compacted", text(payload.prompt_id) or str(where.at))]


def _model_switch(payload: HookPayload, where: Report) -> Sequence[Act]:
    return [
        where.activity(
            "model_switched",
            "model",
            str(where.at),
            model=text(payload.from_model),
            to_model=text(payload.to_model),
        )
    ]


def _silent(_: HookPayload, __: Report) -> Sequence[Act]:
    return []


def _kind(kind: ActivityKind) -> Callable[[HookPayload, Report], Sequence[Act]]:
    return lambda _, where: [where.activity(kind, kind, str(where.at))]


def machine_task(prompt: str) -> str:
    """The id of the task whose notification this prompt is."""
    return prompt.partition("<task-id>")[2].partition("</task-id>")[0][:64]


_HANDLERS: Final[dict[str, Callable[[HookPayload, Report], Sequence[Act]]]] = {
    "SessionStart": _session_start,
    "SessionEnd": _session_end,
    "Setup": _kind("setup"),
    "UserPromptSubmit": _user_prompt,
    "UserPromptExpansion": _expansion,
    "PreToolUse": _tool_start,
    "PostToolUse": _tool_end,
    "PostToolUseFailure": _tool_failure,
    "PostToolBatch": _tool_batch,
    "PermissionRequest": _permission_request,
    "PermissionDenied": _permission_denied,
    "Notification": _notification,
    "Elicitation": _elicitation,
    "ElicitationResult": _silent,
    "TaskCreated": _silent,  # the task list itself is read, see sources/tasks.py
    "TaskCompleted": _silent,
    "SubagentStart": _subagent_start,
    "SubagentStop": _subagent_stop,
    "Stop": _stop,
    "StopFailure": _stop_failure,
    "PreCompact": _pre_compact,
    "PostCompact": _post_compact,
    "PreModelSwitch": _silent,
    "PostModelSwitch": _model_switch,
    "CwdChanged": _kind("cwd_changed"),
    "DirectoryAdded": _kind("directory_added"),
    "WorktreeRemove": _kind("worktree_removed"),
    "ConfigChange": _kind("config_changed"),
    "InstructionsLoaded": _kind("instructions_loaded"),
    "TeammateIdle": _kind("teammate_idle"),
}
