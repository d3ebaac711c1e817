"""The acts of Claude Code, with their natural keys: written once, so that hook and transcript name them alike."""

from dataclasses import dataclass
from typing import Final

from vibetea_daemon.acts import Act
from vibetea_protocol.vocabulary import (
    ActivityKind,
    AgentState,
    ErrorCategory,
    Outcome,
    SessionHow,
    SessionReason,
)

FILE_TOOLS: Final = {
    "Read": "file_path",
    "Edit": "file_path",
    "MultiEdit": "file_path",
    "Write": "file_path",
    "NotebookEdit": "notebook_path",
    "NotebookRead": "notebook_path",
}
"""Tools that touch one file, and the input that names it."""


@dataclass(slots=True)
class Report:
    """Who reports: a session, where and when (nanoseconds), and the subagent if it is one."""

    session: str
    at: int
    cwd: str
    agent: str = ""

    def session_started(self, how: SessionHow, *unique: str) -> Act:
        """A session began; `unique` tells a second resume from the first."""
        return Act(
            type="session",
            key=(self.session, "started", how, *unique),
            session=self.session,
            at=self.at,
            cwd=self.cwd,
            action="started",
            how=how,
        )

    def session_ended(self, reason: SessionReason, *key: str) -> list[Act]:
        """A session ended, and the summary on which older clients close it."""
        ended = Act(
            type="session",
            key=(self.session, *key),
            session=self.session,
            at=self.at,
            cwd=self.cwd,
            action="ended",
            reason=reason,
        )
        return [ended, Act(type="summary", key=ended.key, session=self.session, at=self.at, cwd=self.cwd)]

    def prompted(self, prompt: str) -> list[Act]:
        """A person typed a prompt, and the agent works on it."""
        return [self.activity("prompt", "prompt", prompt), self.state("working", "prompt", prompt)]

    def activity(self, kind: ActivityKind, *key: str, model: str = "", to_model: str = "") -> Act:
        """Something without an event of its own."""
        return Act(
            type="activity",
            key=(self.session, *key),
            session=self.session,
            at=self.at,
            cwd=self.cwd,
            agent=self.agent,
            kind=kind,
            model=model,
            to_model=to_model,
        )

    def state(self, state: AgentState, *key: str) -> Act:
        """The agent, or this subagent, entered a state."""
        return Act(
            type="agent",
            key=(self.session, state, *key),
            session=self.session,
            at=self.at,
            cwd=self.cwd,
            agent=self.agent,
            state=state,
        )

    def failed(self, category: ErrorCategory, prompt: str) -> Act:
        """The turn of a prompt ended in an API error."""
        return Act(
            type="error",
            key=(self.session, "failed", prompt),
            session=self.session,
            at=self.at,
            cwd=self.cwd,
            agent=self.agent,
            category=category,
        )

    def tool_started(self, call: str, tool: str) -> Act:
        """A tool call began."""
        return Act(
            type="tool",
            key=(self.session, call, "started"),
            session=self.session,
            at=self.at,
            cwd=self.cwd,
            agent=self.agent,
            tool=tool,
            status="started",
        )

    def tool_completed(
        self, call: str, tool: str, outcome: Outcome, path: str = "", duration_ms: int | None = None
    ) -> Act:
        """A tool call ended. A path is told only if the call succeeded: one that failed is a name somebody made up."""
        return Act(
            type="tool",
            key=(self.session, call, "completed"),
            session=self.session,
            at=self.at,
            cwd=self.cwd,
            agent=self.agent,
            tool=tool,
            status="completed",
            outcome=outcome,
            path=path if outcome == "ok" else "",
            duration_ms=duration_ms,
        )

    def skill_invoked(self, skill: str, *key: str) -> Act:
        """A skill or slash command ran."""
        return Act(
            type="skill_invocation",
            key=(self.session, "skill", *key),
            session=self.session,
            at=self.at,
            cwd=self.cwd,
            agent=self.agent,
            skill=skill,
        )

    def spawned(self, agent_type: str) -> Act:
        """This report's subagent began."""
        return Act(
            type="agent_spawn",
            key=(self.session, self.agent, "start"),
            session=self.session,
            at=self.at,
            cwd=self.cwd,
            agent=self.agent,
            agent_type=agent_type,
        )

    def finished(self) -> Act:
        """This report's subagent is done."""
        return self.state("finished", self.agent)

    def used(self, message: str, model: str, tokens: tuple[int, int, int, int, int]) -> Act:
        """One model message was paid for."""
        return Act(
            type="token_usage",
            key=(self.session, message),
            session=self.session,
            at=self.at,
            cwd=self.cwd,
            agent=self.agent,
            model=model,
            tokens=tokens,
        )
