"""The daemon: takes the lock, opens the store, starts the sources, and on a signal ends them in reverse."""

import fcntl
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from vibetea_daemon.config import Config
from vibetea_daemon.hookspecs import Source
from vibetea_daemon.ingest import Ingest
from vibetea_daemon.plugins import Plugins
from vibetea_daemon.store import Store, Writer
from vibetea_hooks import script
from vibetea_protocol import Level, Rules

log = logging.getLogger(__name__)

FAILURES: Final = 5
"""How often a source may fail before it is left off."""
LOCK_SECONDS: Final = 0.3
PAUSE: Final = 5.0
"""Seconds before a source that failed is run again."""
DRAIN: Final = 5.0
"""Seconds all sources together have to end."""


class AlreadyRunning(Exception):
    """Another daemon holds the lock."""


class Daemon:
    """One daemon over one state folder."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._stop = threading.Event()

    def run(self) -> None:
        """Work until `stop` or a signal. Raises AlreadyRunning, ConfigError or StoreError."""
        os.umask(0o077)
        sys.setswitchinterval(0.001)  # a hook waits while an import computes
        self._config.make_home()
        with locked(self._config.lock):
            store = Store(self._config.database)
            try:
                self._run(store)
            finally:
                store.close()

    def stop(self, *_: object) -> None:
        """Ask it to end; a second time ends it at once."""
        if self._stop.is_set():
            os._exit(1)
        self._stop.set()

    def _run(self, store: Store) -> None:
        if Path(script.path(self._config.home)).exists() and not script.is_current(self._config.home):
            script.place(self._config.home)  # VibeTea was upgraded since the hooks were installed
        plugins = Plugins(self._config.plugins)
        sources = plugins.sources(self._config)
        store.forget_status()
        writer = Writer(store)
        writer.start()
        ingest = Ingest(rules(self._config, store), writer, store.offsets())
        plugins.normaliser.report = ingest.drop
        threads: list[threading.Thread] = []
        try:
            with signals(self.stop):
                threads.extend(self._begin(source, ingest) for source in sources if self._prepared(source, ingest))
                ingest.status(
                    daemon={
                        "pid": os.getpid(),
                        "started": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
                        "version": version("vibetea"),
                        "privacy": self._config.privacy,
                        "source": self._config.source,
                    }
                )
                log.info("ready")
                self._stop.wait()
        finally:
            self._stop.set()
            deadline = time.monotonic() + DRAIN
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
                if thread.is_alive():
                    log.warning("source %s does not end", thread.name)
            writer.close()
            log.info("stopped")

    def _prepared(self, source: Source, ingest: Ingest) -> bool:
        try:
            source.prepare(ingest, self._stop)
        except (Exception, SystemExit) as error:  # noqa: BLE001  one source must not end the others
            self._report(source, ingest, error, FAILURES)
            return False
        return True

    def _begin(self, source: Source, ingest: Ingest) -> threading.Thread:
        thread = threading.Thread(target=self._keep_running, args=(source, ingest), name=source.name, daemon=True)
        thread.start()
        return thread

    def _keep_running(self, source: Source, ingest: Ingest) -> None:
        """Run a source; one that raises is reported, and run again a few times."""
        for failure in range(1, FAILURES + 1):
            try:
                source.run(ingest, self._stop)
            except (Exception, SystemExit) as error:  # noqa: BLE001  one source must not end the others
                self._report(source, ingest, error, failure)
            else:
                return
            if self._stop.wait(PAUSE):
                return

    @staticmethod
    def _report(source: Source, ingest: Ingest, error: BaseException, failures: int) -> None:
        log.error("source %s failed: %s", source.name, type(error).__name__)
        ingest.status(**{f"source_{source.name}": {"failures": failures, "error": type(error).__name__}})


def rules(config: Config, store: Store) -> Rules:
    """The privacy rules of this installation, with the database's hashing key."""
    return Rules(
        key=store.hashing_key(),
        source=config.source,
        level=Level(config.privacy),
        extensions=config.extensions,
        home=config.user_home,
    )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock; it dies with the process, so a stale file means nothing. Raises AlreadyRunning."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Take the lock; a short wait, because `vibetea status` holds it while it looks. Raises AlreadyRunning."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise AlreadyRunning from None
            time.sleep(0.02)
        else:
            return


@contextmanager
def signals(handler: object) -> Iterator[None]:
    """SIGTERM and SIGINT go to the handler meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def log_to_stderr() -> None:
    """Lines of time, level, module and a fixed text; no content is ever given to a logger."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)sZ %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    # what watchdog complains of names paths, and the rescan mends it
    logging.getLogger("watchdog").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"watchdog\.")
    threading.excepthook = lambda failed: log.error("a thread failed: %s", failed.exc_type.__name__)
