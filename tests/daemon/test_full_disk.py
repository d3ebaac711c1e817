"""No room: nothing is acknowledged that is not kept, and all goes on when there is room again."""

import os
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable

import pytest
from tests.daemon.frames import frame, send
from tests.daemon.session import Session, tool_hook
from tests.daemon.world import World, wait_until

ACK = b"\x06"
NOBODY = 64_999
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it acts as another user")


def wait_for_a_look_into_the_inbox(world: World) -> None:
    """The daemon sweeps a stale file whenever it looks."""
    stale = world.inbox / ".9-9.tmp"
    stale.touch()
    os.utime(stale, (time.time() - 4000,) * 2)
    wait_until(lambda: not stale.exists(), "the daemon does not look into the inbox")


def fill_up(more: Callable[[], object]) -> None:
    """Do it again until there is no room."""
    with pytest.raises(OSError, match="No space left"):
        deque(iter(more, object()), maxlen=0)


@as_root
def test_full_disk_is_survived(world: World) -> None:
    """1. The disk is full: no acknowledgement, and the inbox has no room either; the transcript is still there.
    2. There is room again: hooks are acknowledged, and what the transcript said meanwhile is read.
    """
    world.expected_log = ["nothing can be written: SQLITE_FULL"]
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "vibetea", str(world.state)], check=True)
    try:
        world.install_emit()
        daemon = world.start()
        before, inboxed, during, after = Session(), Session(), Session(), Session()
        assert send(world, frame(tool_hook(before, "t1"))) == ACK
        waiting = world.inbox / ".1-1.tmp"
        waiting.write_bytes(frame(tool_hook(inboxed, "t1")))
        filler = world.state / "filler"
        with filler.open("wb", buffering=0) as file:
            fill_up(lambda: file.write(b"x" * 512))
        lost = 0
        while send(world, frame(tool_hook(Session(), "lost"))) == ACK:
            lost += 1  # a few find room in what the database already holds
            assert lost < 1000
        world.hook(tool_hook(Session(), "lost too"))
        waiting.rename(world.inbox / "1-1.frame")
        for _ in range(2):
            wait_for_a_look_into_the_inbox(world)
        assert len(world.inboxed()) == 1
        world.write(during, *(line for n in range(50) for line in (during.prompt(), during.answer())))
        wait_until(lambda: "nothing can be written" in daemon.text, "the disk was not full")
        filler.unlink()
        assert send(world, frame(tool_hook(after, "t1"))) == ACK
        key = world.key()
        wanted = set().union(*(session.ids(key) for session in (before, inboxed, during, after)))
        wait_until(lambda: wanted <= world.ids(), lambda: f"{len(wanted - world.ids())} missing")
        assert len(world.ids() - wanted) == lost
        assert world.query("pragma integrity_check") == [("ok",)]
        assert daemon.text.count("nothing can be written") < 5
        world.end()
    finally:
        subprocess.run(["umount", "--lazy", str(world.state)], check=True)
    assert not world.database.exists()


@as_root
def test_no_inodes_left(world: World) -> None:
    """The inbox can hold nothing, the database still can."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=30,mode=700", "vibetea", str(world.state)], check=True)
    try:
        world.install_emit()
        world.start()
        session = Session()
        fill_up(lambda: tempfile.mkstemp(dir=world.state))
        world.hook(tool_hook(session, "t1"))
        world.write(session, session.prompt(), session.answer())
        session.keys.add(("session", session.id, "started", "startup"))
        world.expect(session)
        world.end()
    finally:
        subprocess.run(["umount", "--lazy", str(world.state)], check=True)
