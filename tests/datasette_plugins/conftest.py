"""Databases and Datasettes, named by their state."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from datasette.app import Datasette
from playwright.sync_api import expect, sync_playwright
from tests.datasette_plugins.sessions import Sessions
from tests.datasette_plugins.supabase import Supabase
from tests.tools.forked import Forked, run_dashboard

from vibetea_daemon.store.schema import open_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first is the same Chromium without what a person needs around a page: it opens one for a quarter of the work."""
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
DEADLINE = 60.0
expect.set_options(timeout=DEADLINE * 1000)
SESSION = "3f0c9b52-7c1e-4b7a-9a52-0d6f3c1e8b11"
READ = {
    "source": "laptop",
    "type": "tool",
    "session_id": SESSION,
    "project": "shop",
    "tool": "Read",
    "status": "completed",
    "outcome": "ok",
    "duration_ms": 17,
    "payload": {"sessionId": SESSION, "project": "shop", "tool": "Read", "status": "completed", "context": "auth.ts"},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


class Events:
    """Writes events to a database, each in a commit of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = open_database(path)
        self._number = 0

    def add(self, count: int = 1, **columns: Any) -> list[int]:
        """Commit so many events that differ from READ in these columns, and happen now; their seqs."""
        return [self._insert({**READ, **columns}) for _ in range(count)]

    def _insert(self, row: dict[str, Any]) -> int:
        self._number += 1
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        row = {"id": f"evt_{os.getpid()}_{id(self)}_{self._number}", "timestamp": now, **row}
        if not isinstance(row["payload"], str):
            row["payload"] = json.dumps(row["payload"])
        sql = f"insert into events({', '.join(row)}) values ({', '.join('?' * len(row))})"
        seq = self.connection.execute(sql, list(row.values())).lastrowid
        assert seq is not None
        return seq


@pytest.fixture
def empty_db(tmp_path: Path) -> Iterator[Events]:
    events = Events(tmp_path / "vibetea.db")
    yield events
    events.connection.close()


@pytest.fixture
def full_db(empty_db: Events) -> Events:
    """Ten events."""
    empty_db.add(10)
    return empty_db


@pytest.fixture
def functions() -> Iterator[Supabase]:
    """A Supabase that knows nothing yet."""
    running = Supabase()
    yield running
    running.end()


@pytest.fixture
def datasette(full_db: Events) -> Datasette:
    return Datasette([str(full_db.path)])


@pytest.fixture
def daemon(empty_db: Events) -> Iterator[Sessions]:
    """Writes sessions as the daemon does."""
    written = Sessions(empty_db.path)
    yield written
    written.close()


def eventually(what: Callable[[], Any]) -> Any:
    """What it is once it is true, within the deadline."""
    end = time.monotonic() + DEADLINE
    while not (value := what()):
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.02)
    return value


class Server:
    """A process that serves, with what it said so far."""

    def __init__(self, process: subprocess.Popen[str] | Forked) -> None:
        self.process = process
        self.said: list[str] = []
        self._addresses: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.append(line)
            if match := re.search(r"http://[^\s/]+", line):
                self._addresses.put(match[0])

    def address(self) -> str:
        """Scheme, host and port, once it serves."""
        return self._addresses.get(timeout=DEADLINE)

    def stop(self, number: int = signal.SIGINT) -> int:
        """Its exit code after the signal. Raises subprocess.TimeoutExpired if it hangs."""
        self.process.send_signal(number)
        code = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return code

    def end(self) -> None:
        """Whatever it takes."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        assert self.process.stdout
        self.process.stdout.close()


@contextmanager
def served(path: Path, port: int = 0) -> Iterator[tuple[str, Server]]:
    """Our own server over this database, in a process of its own."""
    with _running(Forked(run_dashboard, path, port, environment=os.environ)) as running:
        yield running


@contextmanager
def plainly_served(path: Path, *options: str) -> Iterator[tuple[str, Server]]:
    """`datasette serve` over this database, with nothing of ours but the plugin."""
    with _running(started([sys.executable, "-m", "datasette", "serve", str(path), "--port", "0", *options])) as running:
        yield running


def started(command: list[str]) -> subprocess.Popen[str]:
    """That process, with all that it says in one stream."""
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@contextmanager
def _running(process: subprocess.Popen[str] | Forked) -> Iterator[tuple[str, Server]]:
    server = Server(process)
    try:
        yield server.address(), server
    finally:
        server.end()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM, "the page's tests need a Chromium; `make tools` installs one"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--disable-dev-shm-usage"])
        yield launched
        launched.close()


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    """Servers entered here end after the pages have closed: a page whose server is killed tells of an error."""
    with ExitStack() as running:
        yield running


@pytest.fixture
def open_page(browser: Browser, servers: ExitStack) -> Iterator[Callable[..., Page]]:
    """Opens an address in a fresh window. `forgive` names words of console errors that are meant to happen."""
    wrong: list[str] = []
    contexts = []

    def opened(address: str, *, forgive: str = "\0", **options: Any) -> Page:
        context = browser.new_context(**{"timezone_id": "Europe/Berlin", "locale": "en-GB", **options})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"page error: {error}"))
        page.on(
            "console",
            lambda said: (
                wrong.append(f"console {said.type}: {said.text}")
                if said.type in {"error", "warning"} and forgive not in said.text
                else None
            ),
        )
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def address(empty_db: Events, servers: ExitStack) -> str:
    """The first page over an empty database."""
    base, _ = servers.enter_context(served(empty_db.path))
    return f"{base}/-/vibetea"


@pytest.fixture
def live_address(address: str) -> str:
    """The live page over an empty database."""
    return f"{address}/live"
