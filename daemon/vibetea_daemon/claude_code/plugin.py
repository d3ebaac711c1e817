"""The built-in normaliser: Claude Code's hooks and transcripts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from vibetea_daemon.acts import Act
from vibetea_daemon.claude_code.hooks import acts_of_hook
from vibetea_daemon.claude_code.transcripts import TranscriptReader
from vibetea_daemon.hookspecs import hookimpl
from vibetea_daemon.sources.files import NotOurs, read_ours

SUBAGENT: Final = re.compile(r"agent-([A-Za-z0-9_-]{1,64})\Z")
MAX_META: Final = 65_536


class SubagentMeta(msgspec.Struct):
    """The one field read of `agent-<id>.meta.json`."""

    agent_type: str = msgspec.field(name="agentType", default="")


@dataclass(frozen=True)
class AgentType:
    """The type in a subagent's meta file; empty while Claude Code has not written it, or writes it anew in place."""

    meta: Path

    def __call__(self) -> str:
        """Read it anew."""
        try:
            return msgspec.json.decode(read_ours(self.meta, MAX_META), type=SubagentMeta).agent_type
        except (NotOurs, OSError, msgspec.DecodeError, UnicodeError, RecursionError):
            return ""


@hookimpl
def vibetea_frame_acts(stamp: int, payload: bytes) -> Sequence[Act]:
    """Every frame is a hook of Claude Code's."""
    return acts_of_hook(stamp, payload)


@hookimpl
def vibetea_transcript_reader(path: Path, at_start: bool) -> TranscriptReader | None:
    """`<slug>/<session>.jsonl`, and `<slug>/<session>/subagents/agent-<id>.jsonl`."""
    if path.parent.name != "subagents":
        return TranscriptReader(session=path.stem, slug=path.parent.name, at_start=at_start)
    found = SUBAGENT.match(path.stem)
    if found is None:
        return None
    session = path.parent.parent
    return TranscriptReader(
        session=session.name,
        slug=session.parent.name,
        agent=found[1],
        agent_type=AgentType(path.with_suffix(".meta.json")),
        at_start=at_start,
    )
