"""The named fields of transcript lines; nothing else of a line is ever decoded.

Line types and fields: Claude Code 2.1.330, recorded. Most bytes of a transcript are in line types that nothing is
told of.
"""

from datetime import datetime
from typing import Final, cast, get_args

import msgspec

from vibetea_daemon.acts import BadInput
from vibetea_daemon.claude_code import fields
from vibetea_daemon.claude_code.fields import ABSENT, text, whole
from vibetea_protocol.vocabulary import ErrorCategory

TOLD: Final = frozenset({"user", "assistant", "queue-operation", "attachment"})
"""Line types that something is told of."""
KNOWN: Final = TOLD | frozenset(
    """
    ai-title api-request api-request-blob api-request-shape atis-latch cost-state custom-title
    file-history-snapshot last-prompt mode permission-mode progress summary system tag tools-used
    agent-name pr-link worktree-state
    """.split()
)
"""Line types of the recorded client; another one is counted, and nothing else is done with it."""

QUEUED: Final = b'"queued_command"'
"""The one kind of attachment that something is told of."""


class AnyLine(msgspec.Struct):
    """The one field that every line has."""

    type: str


class Line(msgspec.Struct):
    """The named fields of the lines that something is told of."""

    type: str
    timestamp: msgspec.Raw = ABSENT
    session: msgspec.Raw = msgspec.field(name="sessionId", default=ABSENT)
    cwd: msgspec.Raw = ABSENT
    uuid: msgspec.Raw = ABSENT
    message: msgspec.Raw = ABSENT
    prompt: msgspec.Raw = msgspec.field(name="promptId", default=ABSENT)
    meta: msgspec.Raw = msgspec.field(name="isMeta", default=ABSENT)
    compact_summary: msgspec.Raw = msgspec.field(name="isCompactSummary", default=ABSENT)
    interrupted: msgspec.Raw = msgspec.field(name="interruptedMessageId", default=ABSENT)
    denial: msgspec.Raw = msgspec.field(name="toolDenialKind", default=ABSENT)
    denied_before_run: msgspec.Raw = msgspec.field(name="toolDenialBeforeRun", default=ABSENT)
    forked_from: msgspec.Raw = msgspec.field(name="forkedFrom", default=ABSENT)  # on every line `/branch` copies
    made_in: msgspec.Raw = msgspec.field(name="requestSessionId", default=ABSENT)  # on answers any fork copies
    api_error: msgspec.Raw = msgspec.field(name="isApiErrorMessage", default=ABSENT)
    api_status: msgspec.Raw = msgspec.field(name="apiErrorStatus", default=ABSENT)
    error: msgspec.Raw = ABSENT
    operation: msgspec.Raw = ABSENT
    attachment: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT  # a queue operation's; its first characters tell a task notification


class Message(msgspec.Struct):
    """The named fields of `message`."""

    id: msgspec.Raw = ABSENT
    model: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT
    stop_reason: msgspec.Raw = ABSENT


class Block(msgspec.Struct):
    """The named fields of a content block."""

    type: msgspec.Raw = ABSENT
    text: msgspec.Raw = ABSENT  # its first characters tell an interruption
    id: msgspec.Raw = ABSENT
    name: msgspec.Raw = ABSENT
    input: msgspec.Raw = ABSENT
    tool_use_id: msgspec.Raw = ABSENT
    is_error: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT  # its first characters tell a call that was refused


class QueuedCommand(msgspec.Struct):
    """The named fields of an attachment that was typed while a turn ran."""

    commandMode: msgspec.Raw = ABSENT  # noqa: N815  Claude Code's name
    source_uuid: msgspec.Raw = ABSENT


class Origin(msgspec.Struct):
    """The named field of `forkedFrom`."""

    session: msgspec.Raw = msgspec.field(name="sessionId", default=ABSENT)


class Usage(msgspec.Struct):
    """The token counts of a message."""

    input_tokens: msgspec.Raw = ABSENT
    output_tokens: msgspec.Raw = ABSENT
    cache_read_input_tokens: msgspec.Raw = ABSENT
    cache_creation_input_tokens: msgspec.Raw = ABSENT
    cache_creation: msgspec.Raw = ABSENT


class CacheCreation(msgspec.Struct):
    """Of the tokens written to the cache, those that stay for an hour instead of five minutes."""

    ephemeral_1h_input_tokens: msgspec.Raw = ABSENT


_any_line: Final = msgspec.json.Decoder(AnyLine)
_line: Final = msgspec.json.Decoder(Line)
_message: Final = msgspec.json.Decoder(Message)
_blocks: Final = msgspec.json.Decoder(list[Block])
_queued: Final = msgspec.json.Decoder(QueuedCommand)
_origin: Final = msgspec.json.Decoder(Origin)
_usage: Final = msgspec.json.Decoder(Usage)
_cache_creation: Final = msgspec.json.Decoder(CacheCreation)


def nanoseconds(timestamp: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time with a zone. Raises BadInput (`timestamp`)."""
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        raise BadInput("timestamp") from None
    if moment.tzinfo is None:
        raise BadInput("timestamp")
    return round(moment.timestamp() * 1_000_000) * 1000


def blocks_of(message: Message) -> list[Block]:
    """The content blocks; none if the content is a plain string. Raises BadInput."""
    if not bytes(message.content).startswith(b"["):
        return []
    return fields.decode(_blocks, message.content)


def tokens_of(message: Message) -> tuple[int, int, int, int, int]:
    """Input, output, cache read and cache creation tokens, and those of the latter for an hour. Raises BadInput."""
    usage = fields.decode(_usage, message.usage)
    created = whole(usage.cache_creation_input_tokens) or 0
    return (
        whole(usage.input_tokens) or 0,
        whole(usage.output_tokens) or 0,
        whole(usage.cache_read_input_tokens) or 0,
        created,
        min(_for_an_hour(usage), created),
    )


def _for_an_hour(usage: Usage) -> int:
    """0 if the message does not say, as older clients' do not."""
    try:
        return whole(fields.decode(_cache_creation, usage.cache_creation).ephemeral_1h_input_tokens) or 0
    except BadInput:
        return 0


def category_of(line: Line) -> ErrorCategory:
    """What kind of API error a line tells."""
    named = text(line.error)
    if named in get_args(ErrorCategory):
        return cast("ErrorCategory", named)
    status = whole(line.api_status) or 0
    by_status: dict[int, ErrorCategory] = {
        401: "authentication_failed",
        403: "authentication_failed",
        402: "billing_error",
        429: "rate_limit",
        529: "overloaded",
    }
    if status in by_status:
        return by_status[status]
    return "server_error" if status >= 500 else "invalid_request" if status >= 400 else "unknown"


def line_of(raw: bytes) -> Line | None:
    """The line, or None if nothing is told of its type. Raises BadInput."""
    kind = fields.document(_any_line, raw).type
    if kind == "attachment" and QUEUED not in raw:  # most lines are attachments nothing is told of
        return None
    if kind in TOLD:
        return fields.decode(_line, raw)
    if kind not in KNOWN:
        raise BadInput("unknown_line")
    return None


def message_of(line: Line) -> Message:
    """The line's message. Raises BadInput."""
    return fields.decode(_message, line.message)


def queued_prompt_of(line: Line) -> str:
    """The id of a prompt that a running turn absorbed, or "" if the attachment is anything else. Raises BadInput."""
    if not bytes(line.attachment).startswith(b'{"type":' + QUEUED):
        return ""
    queued = fields.decode(_queued, line.attachment)
    return text(queued.source_uuid) if text(queued.commandMode) == "prompt" else ""


def origin_of(line: Line) -> str:
    """The session a line was copied from, or "" if the line does not say. Raises BadInput."""
    return "" if bytes(line.forked_from) == b"null" else text(fields.decode(_origin, line.forked_from).session)
