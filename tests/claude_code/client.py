"""The real client at the locked version."""

import sys
from pathlib import Path

from tests.tools.npm import TOOLS, MissingToolError, installed

_PACKAGE = "@anthropic-ai/claude-code"


def executable(tools: Path = TOOLS) -> Path:
    """The client's executable. Raises MissingToolError."""
    modules = installed("claude-code", Path(__file__).parent, tools, [f"{_PACKAGE}/install.cjs"])
    return modules / _PACKAGE / "bin/claude.exe"


if __name__ == "__main__":
    try:
        executable()
    except MissingToolError as missing:
        sys.exit(str(missing))
