"""The dashboard's server in a process of its own, so that what is measured shares no interpreter with who measures."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PROGRAM: Final = """
import pathlib, sys
from datasette_vibetea.serve import serve
serve(pathlib.Path(sys.argv[1]), port=0, on_ready=lambda address: print(address, flush=True))
"""


@contextmanager
def served(database: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The first page's address, and the process."""
    command = [sys.executable, "-c", _PROGRAM, str(database)]
    with psutil.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.terminate()


def cpu_seconds(process: psutil.Process) -> float:
    """What it has used so far, in user and kernel."""
    times = process.cpu_times()
    return float(times.user + times.system)
