"""Daemons that start in milliseconds, because they are forked off a process that has imported all of them already."""

import atexit
import json
import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Final

FORKED_WITH: Final = {"PYTHONWARNINGS": "error"}
"""What Python reads when it starts; who wants something else must start a process by itself."""


class Forked:
    """A daemon that runs, with as much of a Popen as tests need."""

    def __init__(self, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        self.returncode: int | None = None
        self.pid: int = _ask("start", arguments, environment, str(log))

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = _ask("poll", self.pid)
        return self.returncode

    def wait(self, timeout: float = 60) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("vibetea daemon", timeout)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


_one_at_a_time = Lock()


def _ask(*question: Any) -> Any:
    zygote = _zygote()
    assert zygote.stdin
    assert zygote.stdout
    with _one_at_a_time:
        zygote.stdin.write(f"{json.dumps(question)}\n")
        zygote.stdin.flush()
        return json.loads(zygote.stdout.readline())


@cache
def _zygote() -> "subprocess.Popen[str]":
    zygote = subprocess.Popen(
        [sys.executable, "-m", "tests.daemon.zygote"],
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"]} | FORKED_WITH,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(zygote.__exit__, None, None, None)  # which closes its input, the end of its work
    return zygote
