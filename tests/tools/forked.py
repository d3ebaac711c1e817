"""Processes forked off one that has imported everything: a start costs a tenth of what it else would."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import warnings
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["vibetea_daemon.commands.daemon", "datasette_vibetea.serve"])


class Forked:
    """A process that runs one of the functions below, with as much of a Popen as tests need.

    Args:
        environment: its variables. Python read its own, such as PYTHONPATH, when the first process started.
        output: what it says is written to this descriptor; without one it is to be read from `stdout`.
    """

    def __init__(
        self, run: Callable[..., None], *arguments: Any, environment: Mapping[str, str], output: int | None = None
    ) -> None:
        self.stdout: TextIO | None = None
        if output is None:
            heard, output = os.pipe()
            self.stdout = os.fdopen(heard)
        else:
            output = os.dup(output)
        with Connection(output, readable=False) as said:  # as such it can be handed over
            started = (said, dict(environment), run, arguments)
            self._process = _CONTEXT.Process(target=_become, args=started, daemon=True)
            self._process.start()
        assert self._process.pid
        self.pid = self._process.pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, or None as long as it runs."""
        if self.returncode is None and (code := self._process.exitcode) is not None:
            self.returncode = code
            self._process.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send it, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run_daemon(arguments: Sequence[str]) -> None:
    """`vibetea daemon`."""
    from vibetea_daemon import cli

    sys.argv = ["vibetea", "daemon", *arguments]
    cli.main()


def run_dashboard(database: Path, port: int) -> None:
    """Our server over a database; it says its address."""
    from datasette_vibetea.serve import serve

    serve(database, port=port, on_ready=lambda at: os.write(1, f"{at}\n".encode()))


def _become(
    said: Connection, environment: dict[str, str], run: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    for descriptor in (1, 2):
        os.dup2(said.fileno(), descriptor)
    said.close()
    os.environ.clear()
    os.environ.update(environment)
    if environment.get("PYTHONWARNINGS") == "error":
        warnings.simplefilter("error")
    run(*arguments)
