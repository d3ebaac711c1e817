"""What a transcript becomes, line by line."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from vibetea_daemon.acts import Act
from vibetea_daemon.claude_code import fields
from vibetea_daemon.claude_code.fields import text
from vibetea_daemon.claude_code.hooks import MACHINE_PROMPT, REFUSED, machine_task
from vibetea_daemon.claude_code.lines import (
    Block,
    Line,
    blocks_of,
    category_of,
    line_of,
    message_of,
    nanoseconds,
    origin_of,
    queued_prompt_of,
    tokens_of,
)
from vibetea_daemon.claude_code.project import session_root
from vibetea_daemon.claude_code.report import FILE_TOOLS, Report
from vibetea_protocol.vocabulary import Outcome, SessionHow

PATIENCE_NS: Final = 250_000_000
"""Nanoseconds a line waits for the one that decides about it, which is written within a few milliseconds."""
TYPE_PATIENCE_NS: Final = 5_000_000_000
"""Nanoseconds a subagent waits for its type, which is in a file of its own."""
COMMAND: Final = "<command-name>"
TYPED_COMMAND: Final = "<command-message>"
"""Begins a slash command that becomes a prompt; a built-in one begins with its name."""
MAX_CALLS: Final = 1000
INTERRUPTED: Final = "[Request interrupted by user"


@dataclass(slots=True)
class OpenCall:
    """A tool call without its result; its start waits until it is known that the call was not refused."""

    where: Report
    message: str
    tool: str
    path: str
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
        agent: the subagent's id if the file is a subagent's.
        agent_type: tells the subagent's type; empty while nothing says it.
        at_start: whether the first line it will see is the file's first.
    """

    session: str
    slug: str
    agent: str = ""
    agent_type: Callable[[], str] = str
    at_start: bool = True
    resumable: bool = True
    _prompt: str = ""
    _cwd: str = ""
    _first_at: int = 0
    _copied: bool = False
    _forked: bool = False
    _calls: dict[str, OpenCall] = field(default_factory=dict)
    _rejected: str = ""
    _result_at: int = 0
    _waiting: list[Act] = field(default_factory=list)
    _spawned: Report | None = None

    def acts(self, raw: bytes) -> Sequence[Act]:
        """The acts of one line. Raises BadInput."""
        self.resumable = False
        line = line_of(raw)
        if line is None:
            return ()
        queued = queued_prompt_of(line)
        if line.type == "attachment" and not queued:
            return ()
        at = nanoseconds(text(line.timestamp))
        self._first_at = self._first_at or at
        if cwd := text(line.cwd):
            self._cwd = session_root(cwd, self.slug)
        origin = origin_of(line)
        self._copied = bool(origin)
        self._forked |= self._copied
        where = Report(origin or text(line.session) or self.session, at, self._cwd, self.agent)
        match line.type:
            case "assistant":
                return self._assistant(line, where)
            case "user":
                return self._user(line, where)
            case "attachment":
                return [where.activity("prompt", "prompt", queued)]
            case _:
                return self._queued(line, where)

    def settle(self, now: int, *, hooked: bool) -> list[Act]:
        """What waited for a line that would have come by now; in a hooked session a start told by no hook never was."""
        if hooked:
            return self._spawn(now + TYPE_PATIENCE_NS)
        acts = self._began() if self._waiting and _past(self._waiting[0].at, now) else []
        for call in self._unbegun():
            if _past(max(call.start[0].at, self._result_at), now):
                acts += call.started()
        return acts + self._spawn(now)

    def unsettled(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting or self._spawned or self._unbegun())

    def _spawn(self, now: int) -> list[Act]:
        """The subagent's beginning, once its type is known or will not be."""
        where = self._spawned
        if where is None or not ((kind := self.agent_type()) or _past(where.at, now, TYPE_PATIENCE_NS)):
            return []
        self._spawned = None
        return [where.spawned(kind)]

    def _unbegun(self) -> list[OpenCall]:
        """The first open call of each message, if it was not told yet: later ones begin when it has ended."""
        first = {call.message: call for call in reversed(self._calls.values())}
        return [call for call in first.values() if call.start]

    def _starts(self) -> list[Act]:
        return [act for call in self._calls.values() for act in call.started()]

    def _queued(self, line: Line, where: Report) -> Sequence[Act]:
        content = text(line.content)
        if text(line.operation) == "enqueue" and content.startswith(MACHINE_PROMPT):
            return [where.activity("machine", "machine", machine_task(content))]
        return ()

    def _assistant(self, line: Line, where: Report) -> Sequence[Act]:
        acts = self._spawn(where.at)
        made_in = text(line.made_in)
        copied = made_in not in {"", where.session}
        if copied:  # a fork of `claude -p`: its answers are another session's, its prompts have lost their ids
            where = Report(made_in, where.at, where.cwd, where.agent)
            self._forked = True
            self._waiting.clear()
        elif self._waiting and not self._copied:
            acts += self._began()
        if bytes(line.api_error) == b"true":
            return acts if copied else [*acts, where.failed(category_of(line), self._prompt or text(line.uuid))]
        message = message_of(line)
        message_id, model = text(message.id) or text(line.uuid), text(message.model)
        for block in blocks_of(message):
            if text(block.type) == "tool_use":
                self._call(block, where, message_id)
        if model and model != "<synthetic>":
            acts.append(where.used(message_id, model, tokens_of(message)))
        if text(message.stop_reason) == "end_turn" and not copied:
            acts.append(
                where.finished() if self.agent else where.state("waiting_input", "done", self._prompt or message_id)
            )
        return acts

    def _call(self, block: Block, where: Report, message: str) -> None:
        call, tool = text(block.id), text(block.name)
        inputs = fields.tool_input(block.input)
        start = [where.tool_started(call, tool)]
        if tool == "Skill":
            start.append(where.skill_invoked(text(inputs.skill), call))
        path = text(getattr(inputs, FILE_TOOLS[tool])) if tool in FILE_TOOLS else ""
        self._calls[call] = OpenCall(where, message, tool, path, start)
        if len(self._calls) > MAX_CALLS:
            del self._calls[next(iter(self._calls))]

    def _user(self, line: Line, where: Report) -> Sequence[Act]:
        if bytes(line.compact_summary) == b"true":
            return [where.state("compacted", text(line.prompt))]
        message = message_of(line)
        blocks = blocks_of(message)
        results = [block for block in blocks if text(block.type) == "tool_result"]
        if results:
            return [act for block in results for act in self._result(line, block, where)]
        if bytes(line.meta) == b"true":
            return ()
        content = text(message.content) or next((text(block.text) for block in blocks), "")
        return self._said(line, where, content)

    def _said(self, line: Line, where: Report, content: str) -> Sequence[Act]:
        """What stands for a person, who may have typed it, or pressed a key."""
        prompt = text(line.prompt) or text(line.uuid)  # older clients gave prompts no id
        if text(line.interrupted) or content.startswith(INTERRUPTED):
            return self._interrupted(line, where)
        if self.agent:  # what a subagent is told was written by a model
            if self.at_start:
                self._spawned, self.at_start = where, False
            return self._spawn(where.at)
        command = content.partition(COMMAND)[2].partition("<")[0]
        if content.startswith(COMMAND):
            how: SessionHow = "clear" if command == "/clear" else "startup"
            return self._told([where.skill_invoked(command, prompt)], how)
        if not prompt or content.startswith(("<local-command-", "<bash-std")) or where.at < self._first_at:
            return ()
        self._prompt = prompt
        if content.startswith(MACHINE_PROMPT):  # told when it was queued
            self.resumable = not (self._calls or self.at_start)
            return ()
        acts = where.prompted(prompt)
        if content.startswith(TYPED_COMMAND):
            acts.append(where.skill_invoked(command, prompt))
        acts = self._told(acts, "startup")
        self.resumable = not (self._calls or self.at_start)
        return acts

    def _told(self, acts: list[Act], how: SessionHow) -> list[Act]:
        """At the start of a file, wait for the answer: it tells a copy made by a fork from what was typed here."""
        if self._copied or not self.at_start:
            return acts
        if how == "clear":
            self._waiting += acts
            return self._began(how)
        began = self._began() if self._waiting else []
        if began:
            return began + acts
        self._waiting += acts
        return []

    def _began(self, how: SessionHow = "startup") -> list[Act]:
        """What waited is this session's own, and the first of it."""
        acts, self._waiting, self.at_start = self._waiting, [], False
        first = acts[0]
        at = first.at if self._forked else self._first_at
        return [Report(first.session, at, first.cwd).session_started("fork" if self._forked else how), *acts]

    def _interrupted(self, line: Line, where: Report) -> Sequence[Act]:
        acts = self._starts()
        acts += [where.tool_completed(call, known.tool, "interrupted") for call, known in self._calls.items()]
        self._calls.clear()
        return [*acts, where.state("interrupted", text(line.uuid))]

    def _result(self, line: Line, block: Block, where: Report) -> Sequence[Act]:
        self._result_at = where.at
        call = text(block.tool_use_id)
        known = self._calls.pop(call, None)
        if known is None:
            return ()
        where = Report(known.where.session, where.at, known.where.cwd, known.where.agent)
        outcome = _outcome(line, block)
        never_ran = text(block.content).startswith(REFUSED)
        if text(line.denial) == "user-rejected":  # only the first of a message was asked about
            never_ran = known.message == self._rejected
            self._rejected = known.message
        acts = [] if never_ran else known.started()
        acts.append(where.tool_completed(call, known.tool, outcome, known.path))
        return acts


def _outcome(line: Line, block: Block) -> Outcome:
    if text(block.content).startswith(REFUSED):
        return "refused"
    match text(line.denial):
        case "":
            return "failed" if bytes(block.is_error) == b"true" else "ok"
        case "interrupted":  # the client died; told when the session is resumed
            return "interrupted"
        case "user-rejected" if bytes(line.denied_before_run) != b"true":
            return "interrupted"
        case _:
            return "refused"


def _past(at: int, now: int, patience: int = PATIENCE_NS) -> bool:
    return not 0 <= now - at < patience
