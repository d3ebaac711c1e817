"""The event and its fifteen payloads, as closed models.

Shapes: WIRE.md of the project's contract with older clients; fields marked *ours* are additions they ignore. Every
string is a closed vocabulary or a narrow pattern, so a model that validates holds no free text. Keys are camelCase on
the wire. Numbers are whole and below 2**53, which JavaScript keeps exact.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, StringConstraints, field_validator
from pydantic.alias_generators import to_camel
from pydantic_core.core_schema import ValidationInfo

from vibetea_protocol import vocabulary as v

EventType = Literal[
    "session",
    "activity",
    "tool",
    "agent",
    "summary",
    "error",
    "agent_spawn",
    "skill_invocation",
    "token_usage",
    "session_metrics",
    "activity_pattern",
    "model_distribution",
    "todo_progress",
    "file_change",
    "project_activity",
]

UUID_PATTERN: Final = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
NAME_PATTERN: Final = r"^[A-Za-z0-9_.][A-Za-z0-9._-]{0,63}$"
FILTERED: Final = "[filtered]"

Id = Annotated[str, StringConstraints(pattern=r"^evt_[a-z0-9]{20}$")]
Source = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Timestamp = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.(\d{3}){1,3})?Z$")]
SessionId = Annotated[str, StringConstraints(pattern=UUID_PATTERN)]
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Context = Name | Literal["[filtered]"]
AgentId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{1,64}$")]
Model = Annotated[str, StringConstraints(pattern=r"^(claude-[a-z0-9.-]{1,40}|other)$")]
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16,64}$")]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Hour = Annotated[str, StringConstraints(pattern=r"^([01]?\d|2[0-3])$")]


class Payload(BaseModel):
    """What every payload shares: closed, strict, frozen, camelCase on the wire."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel, validate_by_name=True)


class SessionPayload(Payload):
    """A session began or ended. `how` and `reason` are *ours*."""

    session_id: SessionId
    action: v.SessionAction
    project: Name
    how: v.SessionHow | None = None
    reason: v.SessionReason | None = None


class ActivityPayload(Payload):
    """Something happened that has no event of its own. `kind` and the models of a switch are *ours*."""

    session_id: SessionId
    project: Name | None = None
    kind: v.ActivityKind | None = None
    from_model: Model | None = None
    to_model: Model | None = None
    agent_id: AgentId | None = None


class ToolPayload(Payload):
    """A tool call started or completed. `outcome`, `duration_ms` (milliseconds) and `agent_id` are *ours*."""

    session_id: SessionId
    tool: Name
    status: v.ToolStatus
    context: Context | None = None
    project: Name | None = None
    outcome: v.Outcome | None = None
    duration_ms: Count | None = None
    agent_id: AgentId | None = None


class AgentPayload(Payload):
    """The agent, or with `agent_id` (*ours*, like `project`) a subagent, entered a state."""

    session_id: SessionId
    state: v.AgentState
    agent_id: AgentId | None = None
    project: Name | None = None


class SummaryPayload(Payload):
    """Older clients close a session on this fixed text."""

    session_id: SessionId
    summary: Literal["Session ended"] = "Session ended"
    project: Name | None = None


class ErrorPayload(Payload):
    """A turn failed, with a category of a closed list."""

    session_id: SessionId
    category: v.ErrorCategory
    project: Name | None = None
    agent_id: AgentId | None = None


class AgentSpawnPayload(Payload):
    """A subagent began. The description is always empty: a model wrote it."""

    session_id: SessionId
    agent_type: Name
    description: Literal[""] = ""
    timestamp: Timestamp
    agent_id: AgentId | None = None
    project: Name | None = None


class SkillInvocationPayload(Payload):
    """A skill or slash command ran."""

    session_id: SessionId
    skill_name: Name
    project: Name
    timestamp: Timestamp
    agent_id: AgentId | None = None


class TokenUsagePayload(Payload):
    """Tokens of one model message. `session_id`, `agent_id` and `project` are *ours*.

    So is `cache_creation_hour_tokens`: those of `cache_creation_tokens` that are kept for an hour, which cost more.
    """

    model: Model
    input_tokens: Count
    output_tokens: Count
    cache_read_tokens: Count
    cache_creation_tokens: Count
    cache_creation_hour_tokens: Count | None = None
    session_id: SessionId | None = None
    agent_id: AgentId | None = None
    project: Name | None = None


class SessionMetricsPayload(Payload):
    """Totals over a user's history."""

    total_sessions: Count
    total_messages: Count
    total_tool_usage: Count
    longest_session: Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{0,36}$")]


class ActivityPatternPayload(Payload):
    """Messages by hour of the day."""

    hour_counts: dict[Hour, Count]


class ModelTokens(Payload):
    """The four counts of one model."""

    input_tokens: Count
    output_tokens: Count
    cache_read_tokens: Count
    cache_creation_tokens: Count


class ModelDistributionPayload(Payload):
    """Tokens by model."""

    model_usage: dict[Model, ModelTokens]


class TodoProgressPayload(Payload):
    """How many tasks of a session are in which state."""

    session_id: SessionId
    completed: Count
    in_progress: Count
    pending: Count
    abandoned: Count
    project: Name | None = None


class FileChangePayload(Payload):
    """A tracked file got a new version; the file is named by a hash only."""

    session_id: SessionId
    file_hash: Hash
    version: Count
    lines_added: Count
    lines_removed: Count
    lines_modified: Count
    timestamp: Timestamp


class ProjectActivityPayload(Payload):
    """A project has or has no active session. `project_path` holds the project's name, never a path."""

    project_path: Name
    session_id: SessionId
    is_active: bool


PAYLOADS: Final[dict[str, type[Payload]]] = {
    "session": SessionPayload,
    "activity": ActivityPayload,
    "tool": ToolPayload,
    "agent": AgentPayload,
    "summary": SummaryPayload,
    "error": ErrorPayload,
    "agent_spawn": AgentSpawnPayload,
    "skill_invocation": SkillInvocationPayload,
    "token_usage": TokenUsagePayload,
    "session_metrics": SessionMetricsPayload,
    "activity_pattern": ActivityPatternPayload,
    "model_distribution": ModelDistributionPayload,
    "todo_progress": TodoProgressPayload,
    "file_change": FileChangePayload,
    "project_activity": ProjectActivityPayload,
}


Row = tuple[str, str, str, str, str]
"""Id, source, timestamp, type and payload."""


class Event(BaseModel):
    """One event, as it is stored, signed and sent.

    Raises `pydantic.ValidationError` on any field that is not exactly of the contract.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: Id
    source: Source
    timestamp: Timestamp
    type: EventType
    payload: SerializeAsAny[Payload]

    @field_validator("payload", mode="before")
    @classmethod
    def _payload_of_the_type(cls, value: Any, info: ValidationInfo) -> Payload:
        model = PAYLOADS.get(info.data.get("type", ""), Payload)
        if isinstance(value, Payload):
            if type(value) is not model:
                raise ValueError("the payload is not of the event's type")
            return value
        return model.model_validate(value)

    def row(self) -> Row:
        """Its fields as texts; the payload as it leaves: compact JSON, camelCase keys, absent fields left out."""
        payload = self.payload.model_dump_json(by_alias=True, exclude_none=True)
        return self.id, self.source, self.timestamp, self.type, payload

    def wire(self) -> bytes:
        """The exact bytes that leave."""
        return wire(self.row())


def wire(row: Sequence[str]) -> bytes:
    """The exact bytes that leave for an event's row."""
    event_id, source, timestamp, event_type, payload = row
    return (
        f'{{"id":"{event_id}","source":"{source}","timestamp":"{timestamp}","type":"{event_type}","payload":{payload}}}'
    ).encode()
