"""Servers forked off one process that has imported everything: a start costs a tenth of what it else would."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import TYPE_CHECKING

from datasette_vibetea.serve import serve

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["datasette_vibetea.serve"])


class Forked:
    """Our own server over this database in a process of its own, as subprocess.Popen would have it."""

    def __init__(self, path: Path, port: int) -> None:
        heard, said = _CONTEXT.Pipe(duplex=False)
        with heard, said:
            self._process = _CONTEXT.Process(target=_serve, args=(said, dict(os.environ), path, port))
            self._process.start()
            self.stdout = os.fdopen(os.dup(heard.fileno()))

    def poll(self) -> int | None:
        """Its exit code, or None as long as it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Its exit code, once it has ended. Raises TimeoutError."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutError("it does not end")
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it, unless the process has ended."""
        if self._process.is_alive():
            assert self._process.pid
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()


def _serve(said: Connection, environment: dict[str, str], path: Path, port: int) -> None:
    for descriptor in (1, 2):
        os.dup2(said.fileno(), descriptor)
    said.close()
    os.environ.clear()
    os.environ.update(environment)
    serve(path, port=port, on_ready=lambda at: os.write(1, f"{at}\n".encode()))
