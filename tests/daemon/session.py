"""Builds a session's transcript lines, and keeps the natural keys of the events each of them must become."""

import itertools
import json
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from vibetea_protocol import event_id

Key = tuple[str, ...]
MODEL = "claude-opus-5-5"
_numbers = itertools.count(1)


def stamp(nanoseconds: int | None = None) -> str:
    moment = datetime.fromtimestamp((nanoseconds or time.time_ns()) / 1e9, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:23] + "Z"


@dataclass
class Session:
    """One session; every method that makes a line adds what it must become to `keys`."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    cwd: str = "/home/dev/shop"
    agent: str = ""
    keys: set[Key] = field(default_factory=set)
    prompt_id: str = ""

    def ids(self, key: bytes) -> set[str]:
        return {event_id(key, *natural) for natural in self.keys}

    def line(self, kind: str, /, **fields: Any) -> bytes:
        common = {
            "parentUuid": None,
            "isSidechain": bool(self.agent),
            "type": kind,
            "uuid": str(uuid.uuid4()),
            "timestamp": stamp(),
            "cwd": self.cwd,
            "sessionId": self.id,
            "version": "2.1.330",
            "gitBranch": "main",
        }
        return json.dumps(common | fields).encode() + b"\n"

    def prompt(self, text: str = "please look", **fields: Any) -> bytes:
        """A person typed; the first one of a file also begins the session."""
        if not self.keys:
            self.keys.add(("session", self.id, "started", "startup"))
        self.prompt_id = str(uuid.uuid4())
        self.keys.add(("activity", self.id, "prompt", self.prompt_id))
        self.keys.add(("agent", self.id, "working", "prompt", self.prompt_id))
        message = {"role": "user", "content": text}
        return self.line("user", promptId=self.prompt_id, message=message, **fields)

    def brief(self) -> bytes:
        """What a subagent is told by its model."""
        self.keys.add(("agent_spawn", self.id, self.agent, "start"))
        return self.line("user", agentId=self.agent, message={"role": "user", "content": "look around"})

    def answer(self, size: int = 20, **fields: Any) -> bytes:
        """A message of the model, which is paid for."""
        message = f"msg_{next(_numbers):06d}"
        self.keys.add(("token_usage", self.id, message))
        return self._assistant(message, [{"type": "text", "text": "a" * size}], **fields)

    def call(self, call: str, tool: str = "Bash", **inputs: Any) -> bytes:
        """A tool call, in a message of its own."""
        message = f"msg_{next(_numbers):06d}"
        self.keys.add(("token_usage", self.id, message))
        self.keys.add(("tool", self.id, call, "started"))
        block = {"type": "tool_use", "id": call, "name": tool, "input": inputs or {"command": "ls"}}
        return self._assistant(message, [block], stop_reason="tool_use")

    def result(self, call: str, content: str = "done", *, is_error: bool = False) -> bytes:
        """What came of a call."""
        self.keys.add(("tool", self.id, call, "completed"))
        block = {"type": "tool_result", "tool_use_id": call, "content": content, "is_error": is_error}
        return self.line("user", promptId=self.prompt_id, message={"role": "user", "content": [block]})

    def refusal(self, call: str) -> bytes:
        """The call never ran, so it never started."""
        self.keys.discard(("tool", self.id, call, "started"))
        return self.result(call, "<tool_use_error>Error: No such tool available: Grep.</tool_use_error>", is_error=True)

    def _assistant(
        self, message: str, content: list[dict[str, Any]], stop_reason: str | None = None, **fields: Any
    ) -> bytes:
        usage = {
            "input_tokens": 120,
            "output_tokens": 37,
            "cache_read_input_tokens": 2000,
            "cache_creation_input_tokens": 10,
            "cache_creation": {"ephemeral_1h_input_tokens": 4, "ephemeral_5m_input_tokens": 6},
        }
        body = {"id": message, "role": "assistant", "model": MODEL, "content": content, "usage": usage}
        return self.line("assistant", message=body | {"stop_reason": stop_reason}, **fields)


def hook(session: Session, event: str, **fields: Any) -> dict[str, Any]:
    """A hook's payload with the fields all of them have."""
    return {
        "session_id": session.id,
        "transcript_path": f"/home/dev/.claude/projects/-home-dev-shop/{session.id}.jsonl",
        "cwd": session.cwd,
        "permission_mode": "default",
        "hook_event_name": event,
    } | fields


def tool_hook(session: Session, call: str, tool: str = "Bash") -> dict[str, Any]:
    """A PreToolUse, the commonest of all; its event is added to the session's."""
    session.keys.add(("tool", session.id, call, "started"))
    return hook(session, "PreToolUse", tool_name=tool, tool_input={"command": "ls"}, tool_use_id=call)
