"""What the hook costs Claude Code: wall time from spawn to exit, beside the same interpreter doing nothing.

With `--null-server` a few lines answer instead of the daemon: what is left is the hook's own cost.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from measure import interleave, median, table

from vibetea_hooks import script
from vibetea_hooks.entries import STARTER, interpreter

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 100
BARE, UP, DOWN, STOPPED, LARGE = "python -I -S -c pass", "daemon up", "daemon down", "daemon stopped", "400 KB payload"
TARGETS = {UP: "1.1 x", DOWN: "1.2 x", STOPPED: "250 ms", LARGE: "1.5 x"}
NULL_SERVER = """
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(1024)
while True:
    connection, _ = listener.accept()
    got = connection.recv(1 << 20)
    left = 13 + int.from_bytes(got[9:13], "big") - len(got)
    while left > 0 and (got := connection.recv(1 << 20)):
        left -= len(got)
    if got:
        connection.sendall(b"\\6")
    connection.close()
"""

_numbers = itertools.count()


def payload(size: int) -> bytes:
    """A finished tool call as Claude Code reports it, new each time, padded to about this many bytes."""
    report = {
        "session_id": "00000000-0000-4000-8000-000000000000",
        "transcript_path": "/home/dev/.claude/projects/-home-dev-shop/0.jsonl",
        "cwd": "/home/dev/shop",
        "hook_event_name": "PostToolUse",
        "tool_name": "Bash",
        "tool_input": {"command": "make test", "description": "Run the tests"},
        "tool_use_id": f"toolu_{next(_numbers):024d}",
        "duration_ms": 12,
    }
    padding = size - len(json.dumps(report))
    return json.dumps(report | {"tool_response": {"stdout": "x" * padding}}).encode()


def run(arguments: list[str], standard_input: bytes) -> None:
    """Spawn the base interpreter and wait for it, as cheaply as Python can."""
    reader, writer = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, reader, 0), (os.POSIX_SPAWN_CLOSE, writer)]
    child = os.posix_spawn(interpreter(), [interpreter(), "-I", "-S", *arguments], {}, file_actions=actions)
    os.close(reader)
    try:
        view = memoryview(standard_input)
        while view:
            view = view[os.write(writer, view) :]
    except BrokenPipeError:
        pass  # the bare interpreter reads nothing
    finally:
        os.close(writer)
    _, status = os.waitpid(child, 0)
    if status:
        sys.exit(f"exit status {status}")


@contextmanager
def served(home: Path, *, null_server: bool) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon for this state directory, once its socket answers."""
    address = str(home / "vibetea.sock")
    command = ["-c", NULL_SERVER, address] if null_server else ["-m", "vibetea_daemon", "daemon"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(home.parent), "VIBETEA_HOME": str(home)}
    with subprocess.Popen([sys.executable, *command], env=environ, stderr=subprocess.DEVNULL) as process:
        try:
            while process.poll() is None:
                with socket.socket(socket.AF_UNIX) as probe:
                    if probe.connect_ex(address) == 0:
                        break
                time.sleep(0.05)
            else:
                sys.exit("the daemon ended at once")
            yield process
        finally:
            process.kill()


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--null-server", action="store_true", help="answer with a few lines instead of the daemon")
    options.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = options.parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    with tempfile.TemporaryDirectory(prefix="vt-") as top, ExitStack() as stack:
        homes = {name: Path(top) / str(number) / "state" for number, name in enumerate((UP, DOWN, STOPPED))}
        for home in homes.values():
            script.place(home)
        stack.enter_context(served(homes[UP], null_server=chosen.null_server))
        stack.enter_context(served(homes[STOPPED], null_server=chosen.null_server)).send_signal(signal.SIGSTOP)

        def hook(name: str, size: int = 2048) -> None:
            run(["-c", STARTER, script.path(homes[name])], payload(size))

        seconds = interleave(
            {
                BARE: lambda: run(["-c", "pass"], payload(2048)),
                UP: lambda: hook(UP),
                DOWN: lambda: hook(DOWN),
                STOPPED: lambda: hook(STOPPED),
                LARGE: lambda: hook(UP, 400_000),
            },
            chosen.rounds,
        )
        undelivered = len(list((homes[UP] / "inbox").glob("*")))
    floor = median(seconds[BARE])
    rows = [
        [name, median(values) * 1000, median(values) / floor, TARGETS.get(name, "floor")]
        for name, values in seconds.items()
    ]
    print(f"\nHook, {'null server' if chosen.null_server else 'real daemon'}, medians of {chosen.rounds}")
    print(table(rows, ["case", "median ms", "x floor", "target"]))
    print(f"frames that had to go through the inbox with the daemon up: {undelivered}")


if __name__ == "__main__":
    main()
