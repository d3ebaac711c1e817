"""The privacy rules: for each named input, the one value that may pass. What has no rule here has no way out.

`standard` lets pass what the wire contract names, each through a character and length check. `strict` passes closed
words, keyed hashes and coarse numbers only. Free text of a person or a model passes at neither.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Final
from uuid import UUID

from vibetea_protocol import vocabulary as v
from vibetea_protocol.events import FILTERED, NAME_PATTERN
from vibetea_protocol.ids import keyed_hash

_NAME: Final = re.compile(NAME_PATTERN.replace("$", r"\Z"))
_AGENT_ID: Final = re.compile(r"[a-z0-9]{1,64}\Z")
_MODEL: Final = re.compile(r"claude-[a-z0-9.-]{1,40}\Z")
_MCP: Final = re.compile(r"mcp__[A-Za-z0-9._-]{1,59}\Z")
_HOME: Final = re.compile(  # another machine's, in imports and containers; Windows' own under WSL
    r"(/[^/]+){0,2}/(home|Users)/[^/]+\Z|(/private)?(/var)?/root\Z"
)
_WORKTREE: Final = re.compile(r"/\.claude/worktrees/[^/]+(?=/|\Z)")
# An alarm behind the rules, not the rule: a name that looks like a credential is no name.
_SECRET: Final = re.compile(
    r"(?<![A-Za-z0-9])[sr]k[-_][A-Za-z0-9]|(hf|npm)_[A-Za-z0-9]{16}|(gh[pousr]|github_pat|glpat|xox[abp])[_-]|A[KS]IA[0-9A-Z]{12}|AIza[0-9A-Za-z_-]{20}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.|\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F]{32}"
)
_MAX_COUNT: Final = 2**40
"""More than anybody's tokens or milliseconds, and a sum of many still fits a database."""


class Level(StrEnum):
    """How much passes; `VIBETEA_PRIVACY`."""

    STANDARD = "standard"
    STRICT = "strict"


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one installation.

    Args:
        key: 32 secret bytes for aliases and ids; they live in the database.
        source: the name of this machine on the wire, `[A-Za-z0-9._-]{1,64}`.
        level: `standard` or `strict`.
        extensions: lower-case extensions without dot whose file names may pass; None lets all pass.
        home: the home directory, whose own name (usually a person's) never passes.
    """

    key: bytes
    source: str
    level: Level = Level.STANDARD
    extensions: frozenset[str] | None = None
    home: str = ""

    @property
    def strict(self) -> bool:
        """Whether the strict table applies."""
        return self.level is Level.STRICT

    def session(self, raw: str) -> str:
        """The session's UUID in lower-case hyphenated form; at `strict`, or if it is none, a keyed one."""
        known = None if self.strict else _uuid(raw)
        return known or str(UUID(bytes=keyed_hash(self.key, "session", raw), version=5))

    def project(self, cwd: str) -> str:
        """The last component of the working directory; a keyed alias at `strict` or if it is no plain name."""
        name, is_home = _project(cwd, self.home)
        if is_home:
            return "home"
        if self.strict or not self._may_be_shown(name):
            return "p-" + keyed_hash(self.key, "project", name).hex()[:8]
        return name

    def tool(self, raw: str) -> str:
        """Built-ins by name; an MCP tool by name at `standard` if it is plain, else `mcp`; the rest `other`."""
        if raw in v.TOOLS:
            return raw
        if not raw.startswith("mcp__"):
            return "other"
        return raw if not self.strict and _MCP.match(raw) and is_plain(raw) else "mcp"

    def basename(self, path: str) -> str | None:
        """A file's name if it is plain and its extension allowed, else `[filtered]`; at `strict` its language."""
        name = path.replace("\\", "/").rstrip("/").rpartition("/")[2]
        extension = name.rpartition(".")[2].lower() if "." in name else ""
        if self.strict:
            return v.LANGUAGES.get(extension)
        if self.extensions is not None and extension not in self.extensions:
            return FILTERED
        return name if self._may_be_shown(name) else FILTERED

    def agent(self, raw: str) -> str | None:
        """A subagent's id; a keyed one at `strict` or if it is not plain; None for the main agent."""
        if not raw:
            return None
        if self.strict or not _AGENT_ID.match(raw):
            return keyed_hash(self.key, "agent", raw).hex()[:16]
        return raw

    def agent_type(self, raw: str) -> str:
        """A built-in subagent type, else `custom`."""
        return raw if raw in v.AGENT_TYPES else "custom"

    def skill(self, raw: str) -> str:
        """A built-in skill or slash command without its slash, else `custom`."""
        name = raw.removeprefix("/")
        return name if name in v.SKILLS else "custom"

    def model(self, raw: str) -> str:
        """A published model name, else `other`."""
        return raw if _MODEL.match(raw) else "other"

    def count(self, raw: int) -> int:
        """A whole number the wire can carry; at `strict` rounded up to a power of two."""
        number = min(max(raw, 0), _MAX_COUNT)
        return 1 << (number - 1).bit_length() if self.strict and number else number

    def timestamp(self, nanoseconds: int) -> str:
        """RFC 3339, UTC, milliseconds; at `strict` whole seconds. Raises OverflowError, OSError or ValueError."""
        moment = datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC)
        millis = 0 if self.strict else nanoseconds // 1_000_000 % 1000
        return f"{moment.isoformat()[:19]}.{millis:03d}Z"

    def _may_be_shown(self, name: str) -> bool:
        return is_plain(name) and name != self.home.rstrip("/").rpartition("/")[2]


@lru_cache(maxsize=4096)
def is_plain(name: str) -> bool:
    """Whether a name may be shown: narrow characters, 64 at most, and nothing like a credential."""
    return _NAME.match(name) is not None and not _SECRET.search(name) and name not in {".", ".."}


@lru_cache(maxsize=1024)
def _uuid(raw: str) -> str | None:
    try:
        return str(UUID(raw))
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _project(cwd: str, home: str) -> tuple[str, bool]:
    """The name of a working directory, and whether it is the home directory, however either is written."""
    directory = PurePosixPath(fold_worktree(cwd))
    is_home = directory == PurePosixPath(home) or _HOME.match(str(directory)) is not None
    return directory.name, is_home


def fold_worktree(cwd: str) -> str:
    """The repository a worktree made by Claude Code belongs to: `…/shop/.claude/worktrees/x` is `…/shop`."""
    found = _WORKTREE.search(cwd)
    return cwd[: found.start()] if found else cwd
