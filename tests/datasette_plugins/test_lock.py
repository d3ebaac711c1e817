"""The stream tells whether anybody writes to the database."""

from __future__ import annotations

import fcntl
from contextlib import AsyncExitStack, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect
from tests.datasette_plugins.chromium import PAGE, live
from tests.datasette_plugins.conftest import served
from tests.datasette_plugins.sse import Message, opened

from datasette_vibetea import hub
from vibetea_daemon.daemon import locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from datasette.app import Datasette
    from tests.datasette_plugins.conftest import Events

NO_DAEMON = Message(event="state", data={"state": "no_daemon"})


@pytest.fixture
def lock(full_db: Events) -> Path:
    """Where the daemon of this database has its lock."""
    return full_db.path.with_name("daemon.lock")


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "PROBE_SECONDS", 0.0)


@contextmanager
def looked_at(lock: Path) -> Iterator[None]:
    """Somebody else asks, too, whether the daemon lives."""
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


async def test_a_daemon_that_goes_and_comes_back_is_told(datasette: Datasette, lock: Path) -> None:
    app = datasette.app()
    async with AsyncExitStack() as stack:
        with locked(lock):
            first = await stack.enter_async_context(opened(app))
            await first.until("live")
        assert await first.message() == NO_DAEMON
        later = await stack.enter_async_context(opened(app))
        await later.until("live")
        assert await later.message() == NO_DAEMON
        with locked(lock):
            assert await first.message() == await later.message() == Message(event="live", data={})


async def test_events_go_on_without_a_daemon(datasette: Datasette, full_db: Events, lock: Path) -> None:
    lock.touch()
    async with opened(datasette.app()) as answer:
        await answer.until("state")
        full_db.add(2)
        assert await answer.seqs(2) == [11, 12]


async def test_who_else_asks_is_no_daemon(datasette: Datasette, lock: Path) -> None:
    lock.touch()
    with looked_at(lock):
        async with opened(datasette.app()) as answer:
            await answer.until("live")
            assert await answer.message() == NO_DAEMON


@pytest.mark.parametrize("held", [True, False])
async def test_a_daemon_that_lives_and_a_copy_that_has_none_are_live(
    datasette: Datasette, full_db: Events, lock: Path, held: bool
) -> None:
    def add() -> None:
        full_db.add()

    async with opened(datasette.app()) as answer:
        if held:
            with locked(lock):
                await _nothing_but_events(answer, add)
        else:
            await _nothing_but_events(answer, add)


async def _nothing_but_events(answer: Any, add: Any) -> None:
    await answer.until("live")
    for _ in range(5):
        add()
        assert (await answer.message()).event == "message"


def test_the_page_says_so_and_keeps_what_it_shows(
    open_page: Any, servers: ExitStack, full_db: Events, lock: Path
) -> None:
    base, _ = servers.enter_context(served(full_db.path))
    with locked(lock):
        page = open_page(f"{base}{PAGE}")
        live(page)
    chip = page.locator("#connection")
    expect(chip).to_have_text("No daemon · vibetea up")
    expect(page.locator("#spoken")).to_contain_text("No daemon")
    assert page.locator("#events li").count() == 10
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    with locked(lock):
        expect(chip).to_have_text("Live")
