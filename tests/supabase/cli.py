"""The real Supabase command line, in a folder and a home of its own: it would write into the repository."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.supabase import parts

SUPABASE: Final = Path(__file__).parents[2] / "supabase"


class Project:
    """A folder that holds a copy of `supabase/` without its functions' code, for a test to change."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.home.mkdir(parents=True)
        (self.folder / "migrations").mkdir(parents=True)
        shutil.copy(SUPABASE / "config.toml", self.folder)
        for migration in (SUPABASE / "migrations").glob("*.sql"):
            shutil.copy(migration, self.folder / "migrations")

    @property
    def folder(self) -> Path:
        return self.root / "supabase"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command to its end, whatever that is. It asks nothing and tells nobody."""
        environment = {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "SUPABASE_TELEMETRY_DISABLED": "1",
            "DO_NOT_TRACK": "1",
        }
        command = [str(parts.supabase_cli()), *arguments]
        return subprocess.run(
            command, cwd=self.root, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip

    def push(self, url: str) -> None:
        """Apply the migrations."""
        done = self.run("db", "push", f"--remote={url}?sslmode=disable", "--yes")
        assert not done.returncode, done.stdout + done.stderr
