"""The daemon that `vibetea up` starts for itself."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from vibetea_daemon.commands import status
from vibetea_daemon.commands.daemon import LIFELINE
from vibetea_daemon.config import Config
from vibetea_daemon.daemon import signals

START_SECONDS = 60
"""The inbox is emptied before a daemon is ready."""
LOG_BYTES = 1_000_000
"""A longer log is begun anew."""


class Child:
    """A daemon process that does not outlive us, and its share of `daemon.log`."""

    def __init__(self, config: Config, options: list[str]) -> None:
        self._log = config.home / "daemon.log"
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(self._log, flags, 0o600), "rb") as log:
            self._begin = os.fstat(log.fileno()).st_size
            if self._begin > LOG_BYTES:
                os.ftruncate(log.fileno(), 0)
                self._begin = 0
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "vibetea_daemon", "daemon", *options],
                stderr=log,
                stdin=subprocess.PIPE,  # held open by us and nobody else: it closes with our death
                env=_environment(config),
                start_new_session=True,  # Ctrl-C is for us; we end it in order
            )

    @classmethod
    @contextmanager
    def ready(cls, config: Config, options: list[str]) -> "Iterator[Child | None]":
        """A daemon that takes hooks, ended with us; None if somebody else's was quicker. Raises ClickException."""
        child = None
        try:
            with uninterrupted():
                child = cls(config, options)
            deadline = time.monotonic() + START_SECONDS
            while status.collect(config).get("daemon", {}).get("pid") != child.process.pid:
                if child.process.poll() == 0 and status.running(config):
                    break
                if child.ended or time.monotonic() > deadline:
                    raise click.ClickException("the daemon did not start:\n" + child.said())
                time.sleep(0.05)
            yield None if child.ended else child
        finally:
            if child is not None:
                child.end()

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self.process.poll() is not None

    def said(self) -> str:
        """The last lines it wrote."""
        with self._log.open("rb") as log:
            log.seek(self._begin)
            return "\n".join(log.read().decode(errors="replace").strip().splitlines()[-3:])

    def end(self) -> None:
        """Ask it to end, and wait."""
        self.process.terminate()
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """A signal is heard when this is over: no child may be begun and then forgotten."""
    heard: list[int] = []
    try:
        with signals(lambda number, _: heard.append(number)):
            yield
    finally:
        for number in heard[:1]:
            signal.raise_signal(number)


def _environment(config: Config) -> dict[str, str]:
    environ = os.environ | {
        "VIBETEA_HOME": str(config.home),
        "VIBETEA_CLAUDE_DIR": str(config.claude_dir),
        "VIBETEA_SOURCE_ID": config.source,
        LIFELINE: "1",
    }
    if config.socket_override is None:
        environ.pop("VIBETEA_SOCKET", None)
    if config.server_url is None:  # invented sessions are sent to nobody
        environ.pop("VIBETEA_SERVER_URL", None)
    if config.supabase_url is None:
        environ.pop("VIBETEA_SUPABASE_URL", None)
    return environ
