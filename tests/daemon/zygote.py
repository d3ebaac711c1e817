"""Forks daemons off one process that has imported everything: a start takes milliseconds instead of half a second.

A line on standard input is a command, a line on standard output its answer. `start LOG`: fork a daemon that logs there;
its pid. `kill`: SIGKILL it and wait; its exit status.
"""

import os
import signal
import sys

from vibetea_daemon import cli
from vibetea_daemon.commands import daemon as _warm  # noqa: F401  what the command would import


def main() -> None:
    child = 0
    for line in sys.stdin:
        command, _, log = line.rstrip().partition(" ")
        if command == "start":
            child = os.fork()
            if child == 0:
                run_daemon(log)
            os.write(1, b"%d\n" % child)
        else:
            os.kill(child, signal.SIGKILL)
            os.write(1, b"%d\n" % os.waitpid(child, 0)[1])


def run_daemon(log: str) -> None:
    os.closerange(0, 3)
    os.open(os.devnull, os.O_RDONLY)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    sys.argv = ["vibetea", "daemon"]
    cli.main()


if __name__ == "__main__":
    main()
