from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from vibetea_hooks import entries, script

PYTHON = os.path.realpath(sys._base_executable)  # type: ignore[attr-defined]
ACK = b"\x06"


def registered(path: Path) -> list[str]:
    """What Claude Code starts for a script that is, or was, at this place."""
    entry: dict[str, Any] = entries.handler(str(path))
    return [entry["command"], *entry["args"]]


class Home:
    """A state directory with the installed script, and what the script leaves there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.script = path / "vibetea-emit.py"
        self.inbox = path / "inbox"
        self.socket = path / "vibetea.sock"

    def command(self) -> list[str]:
        return registered(self.script)

    def emit(self, payload: bytes, **how: Any) -> None:
        """Run the script as Claude Code does, with no environment at all unless told otherwise: silent, exit 0."""
        assert run(self.command(), input=payload, **how) == (0, b"", b"")

    def names(self) -> list[str]:
        return sorted(file.name for file in self.inbox.iterdir())

    def spooled(self) -> list[tuple[int, bytes]]:
        """Stamp and payload of every frame in the inbox; nothing half-done may lie beside them."""
        files = sorted(self.inbox.iterdir()) if self.inbox.is_dir() else []
        assert all(file.suffix == ".frame" for file in files)
        return [read_frame(file.read_bytes()) for file in files]


def read_frame(frame: bytes) -> tuple[int, bytes]:
    assert frame[:1] == b"\x01"
    assert int.from_bytes(frame[9:13], "big") == len(frame) - 13
    return int.from_bytes(frame[1:9], "big"), frame[13:]


def run(command: list[str], **how: Any) -> tuple[int, bytes, bytes]:
    """Exit status, output and errors; without an environment unless told otherwise."""
    streams = {} if "stdout" in how else {"capture_output": True}
    done = subprocess.run(command, check=False, timeout=60, **{"env": {}, **streams, **how})
    return done.returncode, done.stdout, done.stderr


class Listener:
    """A daemon of a few lines: collects whole frames and answers each with what it is told to."""

    def __init__(self, address: Path, answer: bytes | None) -> None:
        self.frames: list[bytes] = []
        self.torn: list[bytes] = []
        self._answer = answer
        self._stop = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(address))
        self._socket.listen(64)
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        got = b""
        while len(got) < 13 or len(got) < 13 + int.from_bytes(got[9:13], "big"):
            chunk = connection.recv(1 << 20)
            if not chunk:
                self.torn.append(got)
                return
            got += chunk
        self.frames.append(got)
        if self._answer is None:
            connection.recv(1)  # until the other side has had enough
        else:
            connection.sendall(self._answer)


@contextmanager
def _home(name: str = "state") -> Iterator[Home]:
    top = Path(tempfile.mkdtemp(prefix="vt-"))  # short: a socket's address has to fit
    try:
        script.place(top / name)
        yield Home(top / name)
    finally:
        shutil.rmtree(top)


@pytest.fixture
def home() -> Iterator[Home]:
    with _home() as made:
        yield made


@pytest.fixture
def home_called() -> Iterator[Callable[[str], Home]]:
    """Make a state directory of a given name."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(_home(name))


@pytest.fixture
def daemon(home: Home) -> Iterator[Listener]:
    """A daemon that keeps every frame and says so."""
    with Listener(home.socket, ACK) as listener:
        yield listener


@pytest.fixture
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to act as another user or to mount")
