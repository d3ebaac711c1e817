"""The daemon: takes the lock, opens the store, starts sources and sinks, and ends them on a signal."""

import fcntl
import logging
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import repeat
from pathlib import Path
from typing import Final

from vibetea_daemon.config import Config
from vibetea_daemon.hookspecs import Sink, Source
from vibetea_daemon.ingest import Ingest
from vibetea_daemon.plugins import Plugins
from vibetea_daemon.sinks.outbox import Outbox
from vibetea_daemon.store import Store, Writer
from vibetea_hooks import script
from vibetea_protocol import Level, Rules

log = logging.getLogger(__name__)

FAILURES: Final = 5
"""How often in a row a source or sink may fail before it is left off."""
LOCK_SECONDS: Final = 0.3
PAUSE: Final = 5.0
"""Seconds before what failed is run again."""
WELL: Final = 600.0
"""Seconds of work after which a failure is the first in a row again."""
TOLD: Final = ("privacy", "source", "retention_days", "server_url", "supabase_url")
"""Settings that decide what leaves, and where to; `extensions` do, too. Commands in another shell ask for them."""
DRAIN: Final = 5.0
"""Seconds all sources and sinks together have to end."""


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
        sinks = plugins.sinks(self._config)
        sources = plugins.sources(self._config)
        store.forget_status()
        store.forget_clients()
        writer = Writer(store)
        writer.start()
        ingest = Ingest(rules(self._config, store), writer, store.offsets())
        outboxes = [Outbox(self._config, ingest.key, writer, self._stop) for _ in sinks]
        for outbox in outboxes:
            writer.listen(outbox.ring)
        plugins.normaliser.report = ingest.drop
        threads: list[threading.Thread] = []
        try:
            with signals(self.stop):
                threads.extend(
                    self._begin_source(one, ingest)
                    for one in sources
                    if not _is_ours(one) or self._prepared(one, ingest)
                )
                threads.extend(map(self._begin_sink, sinks, outboxes, repeat(ingest)))
                ingest.status(
                    daemon={
                        "pid": os.getpid(),
                        "started": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
                        "version": version("vibetea"),
                        **{name: getattr(self._config, name) for name in TOLD},
                        "extensions": None if (some := self._config.extensions) is None else sorted(some),
                    }
                )
                log.info("ready")
                self._stop.wait()
        finally:
            self._stop.set()
            for outbox in outboxes:
                outbox.ring()
            deadline = time.monotonic() + DRAIN
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
                if thread.is_alive():
                    log.warning("%s does not end", thread.name)
            writer.close()
            with suppress(sqlite3.Error):  # else the next start does it
                store.forget_clients()
            log.info("stopped")

    def _prepared(self, source: Source, ingest: Ingest) -> bool:
        try:
            source.prepare(ingest, self._stop)
        except (Exception, SystemExit) as error:  # noqa: BLE001  one source must not end the others
            _report("source", source.name, ingest, error, FAILURES)
            return False
        return True

    def _begin_source(self, source: Source, ingest: Ingest) -> threading.Thread:
        def run() -> None:
            if _is_ours(source) or self._prepared(source, ingest):  # one from outside may take its time
                source.run(ingest, self._stop)

        return self._begin("source", source.name, ingest, run)

    def _begin_sink(self, sink: Sink, outbox: Outbox, ingest: Ingest) -> threading.Thread:
        return self._begin("sink", sink.name, ingest, lambda: sink.run(outbox, self._stop))

    def _begin(self, kind: str, name: str, ingest: Ingest, run: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(
            target=self._keep_running, args=(kind, name, ingest, run), name=f"{kind} {name}", daemon=True
        )
        thread.start()
        return thread

    def _keep_running(self, kind: str, name: str, ingest: Ingest, run: Callable[[], None]) -> None:
        """Run a source or sink; one that raises is reported, and run again a few times."""
        failures = 0
        while failures < FAILURES:
            begun = time.monotonic()
            try:
                run()
            except (Exception, SystemExit) as error:  # noqa: BLE001  one must not end the others
                failures = 1 if time.monotonic() - begun > WELL else failures + 1
                _report(kind, name, ingest, error, failures)
            else:
                return
            if self._stop.wait(PAUSE):
                return


def _is_ours(source: Source) -> bool:
    return type(source).__module__.startswith("vibetea_daemon.")


def _report(kind: str, name: str, ingest: Ingest, error: BaseException, failures: int) -> None:
    log.error("%s %s failed: %s", kind, name, type(error).__name__)
    ingest.status(**{f"{kind}_{name}": {"failures": failures, "error": type(error).__name__}})


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
