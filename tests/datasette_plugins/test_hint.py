from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.datasette_plugins.conftest import Events
from tests.datasette_plugins.sse import DEADLINE

from datasette_vibetea import hint
from datasette_vibetea.hub import RESET, Client, Hub

if TYPE_CHECKING:
    from pathlib import Path

NEVER = 3600.0


@pytest.fixture
def no_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only hints bring a look at the database."""
    monkeypatch.setattr(hint, "POLL_SECONDS", NEVER)


@pytest.fixture
def no_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whose inotify instances are used up."""

    def used_up() -> Any:
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr(hint, "Observer", used_up)


@pytest.fixture
def no_notifications(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that can be watched and never tells of anything."""
    monkeypatch.setattr(hint.Hint, "on_modified", lambda self, event: None)


async def seqs(client: Client, count: int) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(DEADLINE):
        while len(found) < count:
            batch = await client.next()
            assert isinstance(batch, list), batch
            found += [frame.seq for frame in batch]
    return found


def watching() -> set[threading.Thread]:
    """All threads but those in which the loop has the database read, which stay."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio")}


@pytest.mark.usefixtures("no_poll")
async def test_a_hint_alone_brings_what_was_written(full_db: Events, tmp_path: Path) -> None:
    """1. Events are committed until one arrives: a single hint is promised to nobody. 2. The same by way of a link."""
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.db"
    link.symlink_to(full_db.path)
    for path in (full_db.path, link):
        async with Hub(path).join() as client, asyncio.timeout(DEADLINE):
            came = asyncio.create_task(client.next())
            while not came.done():
                full_db.add()
                await asyncio.wait([came], timeout=0.1)
            assert came.result()


@pytest.mark.parametrize("state", ["hinted", "no_hint", "no_notifications"])
async def test_every_commit_arrives(full_db: Events, request: pytest.FixtureRequest, state: str) -> None:
    """Each is flushed to the disk, so that it can be read a while after its hint."""
    if state != "hinted":
        request.getfixturevalue(state)
    full_db.connection.execute("pragma synchronous = full")
    async with Hub(full_db.path).join() as client:
        writer = asyncio.create_task(asyncio.to_thread(full_db.add, 100))
        assert await seqs(client, 100) == list(range(11, 111))
        await writer


async def test_no_thread_is_left_after_the_last_reader(full_db: Events) -> None:
    before = watching()
    hub = Hub(full_db.path)
    async with hub.join() as client, hub.join():
        full_db.add()
        await seqs(client, 1)
        assert watching() - before
    async with asyncio.timeout(DEADLINE):
        while watching() - before:
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("no_poll")
async def test_a_file_put_in_its_place_is_noticed_and_watched(full_db: Events, tmp_path: Path) -> None:
    """1. Another database takes the place of the one read. 2. It is written to. Result: a reset, then its events."""
    (tmp_path / "other").mkdir()
    other = Events(tmp_path / "other" / "vibetea.db")
    other.add(20)
    other.connection.execute("pragma wal_checkpoint(truncate)")
    other.connection.close()
    hub = Hub(full_db.path)
    async with hub.join() as client, asyncio.timeout(DEADLINE):
        full_db.connection.close()
        for left in ("-wal", "-shm"):
            full_db.path.with_name(f"{full_db.path.name}{left}").unlink(missing_ok=True)
        other.path.replace(full_db.path)
        came = asyncio.create_task(client.next())
        while not came.done():
            written = Events(full_db.path)
            written.add()
            written.connection.close()
            await asyncio.wait([came], timeout=0.1)
        assert came.result() == RESET
    again = Events(full_db.path)
    async with hub.join() as client, asyncio.timeout(DEADLINE):
        came = asyncio.create_task(client.next())
        while not came.done():
            again.add()
            await asyncio.wait([came], timeout=0.1)
        assert isinstance(came.result(), list)
    again.connection.close()
