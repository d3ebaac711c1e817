"""Processes forked off one that has imported everything: a start costs a tenth of what it else would.

They end without Python's own end, so what one leaves open is told only of those that are started by themselves.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import warnings
from multiprocessing.connection import Connection
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "vibetea_daemon.cli",
        "vibetea_daemon.commands.audit",
        "vibetea_daemon.commands.daemon",
        "vibetea_daemon.commands.doctor",
        "vibetea_daemon.commands.mirror",
        "vibetea_daemon.commands.relay",
        "vibetea_daemon.commands.tail",
        "datasette_vibetea.serve",
    ]
)


class Forked:
    """A process that runs one of the functions below, with as much of a Popen as tests need.

    Args:
        environment: its variables. Python read its own, such as PYTHONPATH, when the first process started.
        output: what it says is written to this descriptor; without one it is to be read from `stdout`.
        errors: what it complains of likewise; without one it goes where the output does.
        given: the descriptor it reads from; without one there is nothing to read.
        folder: where it works.
    """

    def __init__(
        self,
        run: Callable[..., None],
        *arguments: Any,
        environment: Mapping[str, str],
        output: int | None = None,
        errors: int | None = None,
        given: int | None = None,
        folder: Path | None = None,
    ) -> None:
        self.stdout: TextIO | None = None
        if output is None:
            heard, output = os.pipe()
            self.stdout = os.fdopen(heard)
        else:
            output = os.dup(output)
        errors = os.dup(output if errors is None else errors)
        given = os.open(os.devnull, os.O_RDONLY) if given is None else os.dup(given)
        # as such they can be handed over
        with Connection(given) as reads, Connection(output) as said, Connection(errors) as complained:
            started = ((reads, said, complained), dict(environment), folder, run, arguments)
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


def _run_command(*arguments: str) -> None:
    from vibetea_daemon import cli

    sys.argv = ["vibetea", *arguments]
    cli.main()


def run_dashboard(database: Path, port: int) -> None:
    """Our server over a database; it says its address."""
    from datasette_vibetea.serve import serve

    serve(database, port=port, on_ready=lambda at: os.write(1, f"{at}\n".encode()))


def _is_of_birth(environment: Mapping[str, str]) -> bool:
    """Whether it has what is read as Python starts, or as something is imported; what a fork does not do again."""
    return any(
        name.startswith(("PYTHON", "SSL_")) and (name, value) != ("PYTHONWARNINGS", "error")
        for name, value in environment.items()
    )


def vibetea(*arguments: str) -> list[str]:
    """The command line of `vibetea` with these arguments."""
    return [sys.executable, "-m", "vibetea_daemon", *arguments]


def begun(
    *arguments: str,
    environment: Mapping[str, str],
    output: int,
    errors: int | None = None,
    folder: Path | None = None,
) -> subprocess.Popen[bytes] | Forked:
    """`vibetea` with these arguments in the background; the rest as for Forked."""
    if _is_of_birth(environment):
        streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output if errors is None else errors}
        return subprocess.Popen(vibetea(*arguments), env=environment, cwd=folder, **streams)
    return Forked(_run_command, *arguments, environment=environment, output=output, errors=errors, folder=folder)


def completed(
    *arguments: str, environment: Mapping[str, str], given: bytes = b"", folder: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """`vibetea` with these arguments, run to its end, with what it said."""
    if _is_of_birth(environment):
        streams = {"input": given, "capture_output": True}
        return subprocess.run(vibetea(*arguments), env=environment, cwd=folder, timeout=60, check=False, **streams)
    with TemporaryFile() as source, TemporaryFile() as output, TemporaryFile() as errors:
        source.write(given)
        source.seek(0)
        streams = {"given": source.fileno(), "output": output.fileno(), "errors": errors.fileno()}
        process = Forked(_run_command, *arguments, environment=environment, folder=folder, **streams)
        try:
            code = process.wait(60)
        finally:
            process.kill()
        said, complained = (os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0) for file in (output, errors))
        return subprocess.CompletedProcess(arguments, code, said, complained)


def _become(
    streams: Sequence[Connection],
    environment: dict[str, str],
    folder: Path | None,
    run: Callable[..., None],
    arguments: tuple[Any, ...],
) -> None:
    for descriptor, stream in enumerate(streams):
        os.dup2(stream.fileno(), descriptor)
        stream.close()
    sys.stdin = os.fdopen(0)
    if folder:
        os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if environment.get("PYTHONWARNINGS") == "error":
        warnings.simplefilter("error")
    run(*arguments)
