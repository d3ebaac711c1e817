"""From the hook script to the row: acknowledged means committed, and what is not acknowledged is not lost."""

import concurrent.futures
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from tests.daemon.frames import connect, frame, send, socket_path, spool
from tests.daemon.session import Session, hook, tool_hook
from tests.daemon.world import PYTHON, World, wait_until

ACK = b"\x06"
NOBODY = 64_999
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it acts as another user")


def test_row_is_there_when_the_hook_returns(world: World) -> None:
    world.start()
    session = Session()
    for number in range(20):
        world.hook(tool_hook(session, f"t{number}"))
        left = len(world.inboxed())  # by a hook that a busy daemon kept waiting; looked at first, since it is taken in
        rows = world.ids()
        assert rows <= session.ids(world.key())
        assert len(rows) + left > number
    world.expect(session)


def test_acknowledgement_comes_after_the_commit(world: World) -> None:
    world.start()
    session = Session()
    for number in range(50):
        assert send(world, frame(tool_hook(session, f"t{number}"))) == ACK
        assert world.ids() == session.ids(world.key())


def test_payload_of_megabytes(world: World) -> None:
    world.start()
    session = Session()
    big = tool_hook(session, "big") | {"tool_response": {"stdout": "x" * 10_000_000}}
    world.hook(big)
    world.expect(session)


def test_hooks_at_the_same_time(world: World) -> None:
    world.start()
    sessions = [Session() for _ in range(8)]

    def fire(session: Session) -> None:
        for number in range(20):
            assert send(world, frame(tool_hook(session, f"t{number}"))) == ACK

    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(fire, sessions))
    world.expect(*sessions)


def test_without_a_daemon_the_inbox_keeps_it(world: World) -> None:
    session = Session()
    for number in range(5):
        world.hook(tool_hook(session, f"t{number}"))
    assert len(world.inboxed()) == 5
    world.start()
    world.expect(session)
    assert world.inboxed() == []


def test_inbox_is_taken_before_the_transcripts(world: World) -> None:
    """The hook's report of an act is the richer one, so it has to be the first."""
    session = Session()
    world.write(session, session.prompt(), session.call("t1"), session.result("t1"))
    world.hook(tool_hook(session, "t1"))
    world.hook(hook(session, "PostToolUse", tool_name="Bash", tool_input={}, tool_use_id="t1", duration_ms=77))
    world.start()
    world.expect(session)
    assert world.query("select duration_ms from events where status = 'completed'") == [(77,)]


@pytest.mark.parametrize("event", ["PreToolUse", "Notification", "SessionEnd", "UserPromptSubmit"])
def test_committed_but_not_acknowledged_is_once_all_the_same(world: World, event: str) -> None:
    """1. The daemon commits a frame; its acknowledgement is lost.
    2. The hook leaves the same frame in the inbox.
    Result: one act, reported twice, is stored once.
    """
    world.start()
    raw = frame(hook(Session(), event, tool_name="Bash", tool_use_id="t1", notification_type="permission_prompt"))
    with connect(world) as connection:
        connection.sendall(raw)
    wait_until(lambda: len(world.ids()) > 0, "never committed")
    before = world.ids()
    spool(world, "1-1", raw)
    wait_until(lambda: world.inboxed() == [], "never taken from the inbox")
    assert world.ids() == before


def test_daemon_that_hangs_while_hundred_hooks_fire(world: World) -> None:
    daemon = world.start()
    session = Session()
    payloads = [json.dumps(tool_hook(session, f"t{number}")).encode() for number in range(100)]
    daemon.popen.send_signal(signal.SIGSTOP)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(world.hook, payloads))
    assert len(world.inboxed()) == 100
    daemon.popen.send_signal(signal.SIGCONT)
    world.expect(session)
    wait_until(lambda: world.inboxed() == [], "the inbox was not emptied")


def test_more_connections_than_are_served(world: World) -> None:
    daemon = world.start()
    session = Session()
    idle = [connect(world) for _ in range(300)]
    world.hook(tool_hook(session, "t1"))
    world.expect(session)
    for connection in idle:
        assert connection.recv(1) == b""
        connection.close()
    assert send(world, frame(tool_hook(session, "t2"))) == ACK
    world.expect(session)
    assert psutil.Process(daemon.popen.pid).num_fds() < 60


def test_stale_temporary_files_are_swept_and_fresh_ones_left(world: World) -> None:
    world.inbox.mkdir(mode=0o700)
    stale, fresh = world.inbox / ".1-1.tmp", world.inbox / ".1-2.tmp"
    for path in (stale, fresh):
        path.write_bytes(b"half")
    os.utime(stale, (time.time() - 4000,) * 2)
    world.start()
    wait_until(lambda: not stale.exists(), "the stale one is still there")
    assert fresh.exists()


@as_root
def test_another_user_is_not_heard(world: World) -> None:
    """Even with every folder and the socket opened to all."""
    world.start()
    world.root.chmod(0o755)
    world.state.chmod(0o755)
    Path(socket_path(world)).chmod(0o666)
    session = Session()
    script = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(sys.argv[1])\n"
        "try:\n    s.sendall(sys.stdin.buffer.read()); print(s.recv(1))\n"
        "except (BrokenPipeError, ConnectionResetError):\n    print(b'')\n"
    )
    command = ["setpriv", f"--reuid={NOBODY}", "--clear-groups", PYTHON, "-I", "-S", "-c", script, socket_path(world)]
    raw = frame(tool_hook(Session(), "foreign"))
    done = subprocess.run(command, input=raw, capture_output=True, check=True)
    assert done.stdout.strip() == b"b''"
    world.hook(tool_hook(session, "own"))
    world.expect(session)
