"""What a transcript line becomes.

Only the fields named here are ever decoded. Line types and fields: Claude Code 2.1.330, recorded. Most bytes of a
transcript are in line types that nothing is told of; those are dropped by their `type` alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, cast, get_args

import msgspec

from vibetea_daemon.acts import Act, BadInput
from vibetea_daemon.claude_code import fields
from vibetea_daemon.claude_code.fields import ABSENT, text, whole
from vibetea_daemon.claude_code.hooks import MACHINE_PROMPT, REFUSED, machine_task
from vibetea_daemon.claude_code.project import session_root
from vibetea_daemon.claude_code.report import FILE_TOOLS, Report, Todo
from vibetea_protocol.vocabulary import ErrorCategory, SessionHow

REFUSAL_NS: Final = 250_000_000
"""Nanoseconds a call waits for its refusal, which is written within a few milliseconds."""
TOLD: Final = frozenset({"user", "assistant", "queue-operation"})
"""Line types that something is told of."""
KNOWN: Final = TOLD | frozenset(
    """
    ai-title api-request api-request-blob api-request-shape atis-latch attachment cost-state custom-title
    file-history-snapshot last-prompt mode permission-mode progress queue-operation summary system tag tools-used
    agent-name pr-link worktree-state
    """.split()
)
"""Line types of the recorded client; another one is counted, and nothing else is done with it."""


class Line(msgspec.Struct):
    """The named fields of every line."""

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
    api_error: msgspec.Raw = msgspec.field(name="isApiErrorMessage", default=ABSENT)
    api_status: msgspec.Raw = msgspec.field(name="apiErrorStatus", default=ABSENT)
    error: msgspec.Raw = ABSENT
    operation: msgspec.Raw = ABSENT
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
    id: msgspec.Raw = ABSENT
    name: msgspec.Raw = ABSENT
    input: msgspec.Raw = ABSENT
    tool_use_id: msgspec.Raw = ABSENT
    is_error: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT  # its first characters tell a call that was refused


class Usage(msgspec.Struct):
    """The token counts of a message."""

    input_tokens: msgspec.Raw = ABSENT
    output_tokens: msgspec.Raw = ABSENT
    cache_read_input_tokens: msgspec.Raw = ABSENT
    cache_creation_input_tokens: msgspec.Raw = ABSENT


_line: Final = msgspec.json.Decoder(Line)
_message: Final = msgspec.json.Decoder(Message)
_blocks: Final = msgspec.json.Decoder(list[Block])
_usage: Final = msgspec.json.Decoder(Usage)


@dataclass(slots=True)
class OpenCall:
    """A tool call without its result yet; `start` holds what its start becomes until it is known not to be refused."""

    tool: str
    path: str
    todo: Todo | None
    start: list[Act]

    def started(self) -> list[Act]:
        """The start, told once."""
        acts, self.start = self.start, []
        return acts


@dataclass(slots=True)
class TranscriptReader:
    """Reads one transcript's lines in order.

    Args:
        session: the session's id, for lines that do not say it.
        slug: the name of the project folder.
        agent: the subagent's id if the file is a subagent's, and `agent_type` its type.
        at_start: whether the first line it will see is the file's first.
    """

    session: str
    slug: str
    agent: str = ""
    agent_type: str = ""
    at_start: bool = True
    prompt: str = ""
    cwd: str = ""
    calls: dict[str, OpenCall] = field(default_factory=dict)
    first_at: int = 0

    def acts(self, raw: bytes) -> Sequence[Act]:
        """The acts of one line. Raises BadInput."""
        line = fields.document(_line, raw)
        if line.type not in TOLD:
            if line.type not in KNOWN:
                raise BadInput("unknown_line")
            return ()
        at = nanoseconds(text(line.timestamp))
        if self.first_at == 0:
            self.first_at = at
        if cwd := text(line.cwd):
            self.cwd = session_root(cwd, self.slug)
        where = Report(text(line.session) or self.session, at, self.cwd, self.agent)
        match line.type:
            case "assistant":
                return self._assistant(line, where)
            case "user":
                return self._user(line, where)
            case _:
                return self._queued(line, where)

    def _queued(self, line: Line, where: Report) -> Sequence[Act]:
        content = text(line.content)
        if text(line.operation) == "enqueue" and content.startswith(MACHINE_PROMPT):
            return [where.activity("machine", "machine", machine_task(content))]
        return ()

    def _assistant(self, line: Line, where: Report) -> Sequence[Act]:
        if bytes(line.api_error) == b"true":
            return [where.failed(_category(line), self.prompt)]
        message = fields.decode(_message, line.message)
        acts: list[Act] = []
        for block in _content(message):
            if text(block.type) == "tool_use":
                self._call(block, where)
        model = text(message.model)
        if model and model != "<synthetic>":
            usage = fields.decode(_usage, message.usage)
            acts.append(where.used(text(message.id), model, _tokens(usage)))
        if text(message.stop_reason) == "end_turn":
            acts.append(where.finished() if self.agent else where.state("waiting_input", "done", self.prompt))
        return acts

    def settle(self, now: int) -> list[Act]:
        """The starts of calls that no refusal can follow any more."""
        return self._started(lambda start: not 0 <= now - start.at < REFUSAL_NS)

    def _started(self, which: Callable[[Act], bool]) -> list[Act]:
        settled = [call for call in self.calls.values() if call.start and which(call.start[0])]
        return [act for call in settled for act in call.started()]

    def unsettled(self) -> bool:
        """Whether a call waits for its refusal."""
        return any(call.start for call in self.calls.values())

    def _call(self, block: Block, where: Report) -> None:
        call, tool = text(block.id), text(block.name)
        inputs = fields.tool_input(block.input)
        start = [where.tool_started(call, tool)]
        if tool == "Skill":
            start.append(where.skill_invoked(text(inputs.skill), call))
        self.calls[call] = OpenCall(
            tool,
            text(getattr(inputs, FILE_TOOLS[tool])) if tool in FILE_TOOLS else "",
            fields.todo_counts(inputs.todos) if tool == "TodoWrite" else None,
            start,
        )

    def _user(self, line: Line, where: Report) -> Sequence[Act]:
        prompt = text(line.prompt)
        if bytes(line.compact_summary) == b"true":
            return [where.state("compacted", prompt)]
        message = fields.decode(_message, line.message)
        content = text(message.content)
        results = [block for block in _content(message) if text(block.type) == "tool_result"]
        if results:
            return [act for block in results for act in self._result(block, where)]
        if bytes(line.meta) == b"true":
            return ()
        return [*self._began(where, content), *self._typed(line, where, prompt, content)]

    def _began(self, where: Report, content: str) -> Sequence[Act]:
        """The file's first line by somebody: the session, or the subagent, began when the file did."""
        if not self.at_start:
            return ()
        self.at_start = False
        first = Report(where.session, self.first_at, where.cwd, self.agent)
        if self.agent:
            return [first.spawned(self.agent_type)]
        how: SessionHow = "clear" if content.startswith("<command-name>/clear<") else "startup"
        return [first.session_started(how)]

    def _typed(self, line: Line, where: Report, prompt: str, content: str) -> Sequence[Act]:
        if text(line.interrupted):
            return self._interrupted(line, where)
        if self.agent:  # what a subagent is told was written by a model
            return ()
        if content.startswith("<command-name>"):
            name = content.removeprefix("<command-name>").partition("<")[0]
            return [where.skill_invoked(name, prompt or text(line.uuid))]
        if not prompt or content.startswith(("<local-command-", MACHINE_PROMPT)):
            return ()
        self.prompt = prompt
        unsettled = self._started(lambda _: True)
        self.calls.clear()
        return [*unsettled, *where.prompted(prompt)]

    def _interrupted(self, line: Line, where: Report) -> Sequence[Act]:
        acts = self._started(lambda _: True)
        acts += [where.tool_completed(call, known.tool, "interrupted") for call, known in self.calls.items()]
        self.calls.clear()
        return [*acts, where.state("interrupted", text(line.uuid))]

    def _result(self, block: Block, where: Report) -> Sequence[Act]:
        call = text(block.tool_use_id)
        known = self.calls.pop(call, None)
        if known is None:  # a copy of an old line, or the call came before what was asked for
            return ()
        if text(block.content).startswith(REFUSED):
            return [where.tool_completed(call, known.tool, "refused")]
        if bytes(block.is_error) == b"true":
            return [*known.started(), where.tool_completed(call, known.tool, "failed")]
        acts = [*known.started(), where.tool_completed(call, known.tool, "ok", known.path)]
        if known.todo:
            acts.append(where.todo(call, known.todo))
        return acts


def nanoseconds(timestamp: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time with a zone. Raises BadInput (`timestamp`)."""
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        raise BadInput("timestamp") from None
    if moment.tzinfo is None:
        raise BadInput("timestamp")
    return round(moment.timestamp() * 1_000_000) * 1000


def _content(message: Message) -> list[Block]:
    if not bytes(message.content).startswith(b"["):
        return []
    return fields.decode(_blocks, message.content)


def _tokens(usage: Usage) -> tuple[int, int, int, int]:
    return (
        whole(usage.input_tokens) or 0,
        whole(usage.output_tokens) or 0,
        whole(usage.cache_read_input_tokens) or 0,
        whole(usage.cache_creation_input_tokens) or 0,
    )


def _category(line: Line) -> ErrorCategory:
    named = text(line.error)
    if named != "unknown" and named in get_args(ErrorCategory):
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
