"""PostgREST on loopback: a project's REST interface, which serves the schema `public` of one database."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.daemon.world import wait_until
from tests.supabase import parts
from tests.supabase.gateway import JWT_SECRET
from tests.tools.ports import free_ports

_MAX_ROWS: Final = 1000
"""Of an answer: what a project has unless somebody changes it."""


@dataclass
class Rest:
    """Its port stays the same over restarts.

    Args:
        database: URL of the role `authenticator`.
    """

    database: str
    log: Path
    port: int = 0
    popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        if not self.port:
            [self.port] = free_ports(1)
        variables = {
            "PGRST_DB_URI": self.database,
            "PGRST_DB_SCHEMAS": "public",
            "PGRST_DB_ANON_ROLE": "anon",
            "PGRST_DB_MAX_ROWS": str(_MAX_ROWS),
            "PGRST_JWT_SECRET": JWT_SECRET,
            "PGRST_SERVER_HOST": "127.0.0.1",
            "PGRST_SERVER_PORT": str(self.port),
        }
        with self.log.open("wb") as log:
            self.popen = popen = subprocess.Popen(
                [parts.postgrest()], env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(lambda: popen.poll() is not None or self._ready(), self.log.read_text, 30)
        assert popen.poll() is None, self.log.read_text()

    def end(self) -> None:
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait(10)
            self.popen = None

    def _ready(self) -> bool:
        log = self.log.read_text()
        return "Schema cache loaded" in log and f"Listening on port {self.port}" in log


@contextmanager
def resting(database: str, log: Path) -> Iterator[Rest]:
    rest = Rest(database, log)
    try:
        rest.start()
        yield rest
    finally:
        rest.end()
