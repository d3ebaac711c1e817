"""Forks daemons off one process that has imported everything: a start takes milliseconds instead of half a second.

A line on standard input is a question in JSON, a line on standard output its answer. `["start", ARGUMENTS, ENVIRONMENT,
LOG]` starts a daemon; its pid. `["poll", PID]`: its exit code as Popen tells it, null while it runs.
"""

import json
import os
import sys

from vibetea_daemon import cli
from vibetea_daemon.commands import daemon as _warm  # noqa: F401  what the command would import


def main() -> None:
    for line in sys.stdin:
        match json.loads(line):
            case ["start", arguments, environment, log]:
                answer: int | None = os.fork()
                if answer == 0:
                    become(arguments, environment, log)
                    cli.main()
            case ["poll", pid]:
                ended, status = os.waitpid(pid, os.WNOHANG)
                answer = os.waitstatus_to_exitcode(status) if ended else None
        os.write(1, f"{json.dumps(answer)}\n".encode())


def become(arguments: list[str], environment: dict[str, str], log: str) -> None:
    """What a process has by birth that is started by itself."""
    os.closerange(0, 1024)
    os.open(os.devnull, os.O_RDONLY)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["vibetea", "daemon", *arguments]


if __name__ == "__main__":
    main()
