"""One Edge Function on Deno, in a process of its own, as an isolate has its own modules and variables."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.daemon.world import wait_until
from tests.supabase import parts


@contextmanager
def serving(deno: parts.Deno, name: str, variables: Mapping[str, str], log: Path) -> Iterator[str]:
    """Its URL. It may use the network of this machine and read its variables, and no more."""
    command = deno.command(
        "serve", name, "--host=127.0.0.1", "--port=0", "--no-prompt", "--allow-net=127.0.0.1", "--allow-env",
        "--cached-only", "--no-check",
    )  # fmt: skip
    with log.open("wb") as output:
        popen = subprocess.Popen(
            command, env=parts.DENO_ENVIRONMENT | variables, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        wait_until(lambda: popen.poll() is not None or "Listening on" in log.read_text(), log.read_text, 60)
        found = re.search(r"Listening on (http://127\.0\.0\.1:[0-9]+)/", log.read_text())
        assert found, log.read_text()
        yield f"{found[1]}/{name}"
    finally:
        popen.kill()
        popen.wait(10)
