"""More transcripts than may be open at once, and sessions that ended in the middle of everything."""

import os
import threading
from pathlib import Path

import pytest
from tests.daemon.session import Session
from tests.daemon.world import World, wait_until

from vibetea_daemon.config import Config
from vibetea_daemon.daemon import rules
from vibetea_daemon.ingest import Ingest
from vibetea_daemon.plugins import Plugins
from vibetea_daemon.sources import tail, transcripts
from vibetea_daemon.store import Store, Writer

FILES = 9


@pytest.fixture
def long_sessions() -> list[Session]:
    """Each much longer than what is read at a time, with its one prompt at the beginning."""
    return [Session() for _ in range(FILES)]


def write(session: Session, world: World) -> None:
    world.write(session, session.prompt(), *(session.answer() for _ in range(60)))


@pytest.mark.parametrize("there_at_start", [True, False], ids=["imported", "appearing"])
def test_every_file_is_read_to_its_end(
    world: World, long_sessions: list[Session], monkeypatch: pytest.MonkeyPatch, there_at_start: bool
) -> None:
    """1. Few may be open. 2. Many are behind at once. 3. Looks at all of them come often. Result: all get there."""
    monkeypatch.setattr(transcripts, "MAX_OPEN", 3)
    monkeypatch.setattr(transcripts, "RESCAN", 0.02)
    monkeypatch.setattr(transcripts, "RESCAN_WITHOUT_HINTS", 0.02)
    monkeypatch.setattr(tail, "CHUNK", 2048)
    if there_at_start:
        for session in long_sessions:
            write(session, world)
    config = Config.load(world.env)
    store = Store(config.database)
    writer = Writer(store)
    writer.start()
    ingest = Ingest(rules(config, store), writer, {})
    stop = threading.Event()
    source = transcripts.Transcripts(world.projects, Plugins(()).normaliser, 0)
    source.prepare(ingest, stop)
    thread = threading.Thread(target=source.run, args=(ingest, stop))
    thread.start()
    try:
        if not there_at_start:
            for session in long_sessions:
                write(session, world)
        key = store.hashing_key()
        expected = set().union(*(session.ids(key) for session in long_sessions))
        wait_until(lambda: world.ids() == expected, lambda: f"{len(world.ids())} of {len(expected)}")
    finally:
        stop.set()
        thread.join()
        writer.close()
        store.close()


def test_import_of_a_session_that_died_with_two_calls_open_comes_to_an_end(world: World) -> None:
    session = Session()
    path: Path = world.write(session, session.prompt(), session.call("t1"), session.call("t2"))
    assert world.run("import", str(path)).returncode == 0


def test_file_from_the_far_future_costs_nobody_else_anything(world: World) -> None:
    odd, good = Session(), Session()
    path = world.write(odd, odd.prompt())
    os.utime(path, (2**34, 2**34))
    world.write(good, good.prompt())
    world.start()
    world.expect(odd, good)
