"""From the hook script to the row: acknowledged means committed, and what is not acknowledged is not lost."""

import concurrent.futures
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
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
        assert world.ids() | {path.name for path in world.inboxed()} == session.ids(world.key())
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


# start and end


def test_of_twenty_started_at_once_one_lives(world: World) -> None:
    world.expected_log = ["^a daemon is already running$"]
    crowd = [world.spawn() for _ in range(20)]
    wait_until(lambda: sum(one.popen.poll() is None for one in crowd) == 1, "more than one lives", 60)
    (alive,) = [one for one in crowd if one.popen.poll() is None]
    alive.wait_ready()
    others = [one for one in crowd if one is not alive]
    assert {one.popen.returncode for one in others} == {0}
    assert all("a daemon is already running" in one.text for one in others)
    session = Session()
    world.hook(tool_hook(session, "t1"))
    world.expect(session)


def test_second_daemon_leaves_the_first_alone(world: World) -> None:
    world.start()
    for _ in range(2):
        done = world.run("daemon")
        assert (done.returncode, done.stderr) == (0, b"a daemon is already running\n")
    session = Session()
    assert send(world, frame(tool_hook(session, "t1"))) == ACK
    world.expect(session)


@pytest.mark.parametrize("umask", ["000", "077"])
def test_modes_whatever_the_umask(world: World, umask: str) -> None:
    world.state.chmod(0o777)
    daemon = world.start(wrapper=("sh", "-c", f'umask {umask}; exec "$@"', "sh"))
    session = Session()
    world.hook(tool_hook(session, "t1"))
    world.expect(session)
    for path in (world.state, *world.state.rglob("*")):
        wanted = 0o700 if path.is_dir() else 0o500 if path.suffix == ".py" else 0o600
        assert oct(path.stat().st_mode & 0o777) == oct(wanted), path.name
    assert {path.name for path in world.state.iterdir()} >= {"vibetea.db", "vibetea.sock", "daemon.lock", "inbox"}
    daemon.stop()


def test_home_too_long_for_a_socket(world: World) -> None:
    world.state = world.root / ("deep-" * 20) / ("er-" * 30) / "state"
    world.env["VIBETEA_HOME"] = str(world.state)
    world.install_emit()
    world.start()
    session = Session()
    world.hook(tool_hook(session, "t1"))
    assert world.inboxed() == []
    assert world.ids() == session.ids(world.key())
    pointer = world.state / "socket-path"
    assert oct(pointer.stat().st_mode & 0o777) == "0o600"
    path = Path(pointer.read_text())
    assert len(os.fsencode(path)) <= 100
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert oct(path.parent.stat().st_mode & 0o777) == "0o700"
    world.expect(session)


def test_socket_where_the_environment_says(world: World) -> None:
    elsewhere = world.root / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    world.env["VIBETEA_SOCKET"] = str(elsewhere / "s")
    world.start()
    session = Session()
    world.hook(tool_hook(session, "t1"))
    assert world.inboxed() == []
    world.expect(session)


def test_stale_socket_and_lock_are_no_hindrance(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(world.state / "vibetea.sock"))
    (world.state / "daemon.lock").write_text(str(os.getpid()))
    (world.state / "socket-path").write_text("/nowhere")
    world.start()
    session = Session()
    world.hook(tool_hook(session, "t1"))
    assert world.inboxed() == []
    world.expect(session)


def test_killed_daemon_leaves_nothing_in_the_way(world: World) -> None:
    session = Session()
    for number in range(3):
        daemon = world.start()
        assert send(world, frame(tool_hook(session, f"t{number}"))) == ACK
        daemon.kill()
    world.start()
    world.expect(session)


def test_what_is_no_socket_is_not_replaced(world: World) -> None:
    precious = world.state / "vibetea.sock"
    precious.write_text("precious")
    done = world.run("daemon")
    assert done.returncode == 78
    assert b"VIBETEA_SOCKET" in done.stderr
    assert precious.read_text() == "precious"


@as_root
def test_home_of_another_user_is_refused(world: World) -> None:
    os.chown(world.state, NOBODY, NOBODY)
    done = world.run("daemon")
    assert done.returncode == 78
    assert b"belongs to another user" in done.stderr


@as_root
def test_home_that_cannot_be_written_is_refused(world: World) -> None:
    world.root.chmod(0o755)
    world.env["VIBETEA_HOME"] = str(world.root / "closed/state")
    command = ["setpriv", f"--reuid={NOBODY}", "--clear-groups", sys.executable, "-m", "vibetea_daemon", "daemon"]
    done = subprocess.run(command, env=world.env, capture_output=True, check=False)
    assert done.returncode == 78
    assert b"cannot be used" in done.stderr
    assert b"Traceback" not in done.stderr


@as_root
def test_no_home_at_all_is_refused(world: World) -> None:
    command = ["setpriv", f"--reuid={NOBODY}", "--clear-groups", sys.executable, "-m", "vibetea_daemon", "daemon"]
    done = subprocess.run(command, env={"PATH": world.env["PATH"]}, capture_output=True, check=False)
    assert done.returncode == 78
    assert b"set HOME" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains_and_ends_well(world: World, number: signal.Signals) -> None:
    """What came before the signal is committed and acknowledged; what came too late is not acknowledged."""
    daemon = world.start()
    sessions = [Session() for _ in range(100)]
    connections = [connect(world) for _ in sessions]
    for connection, session in zip(connections, sessions, strict=True):
        connection.sendall(frame(tool_hook(session, "t1")))
    daemon.stop(number)
    acknowledged = []
    for connection, session in zip(connections, sessions, strict=True):
        try:
            if connection.recv(1) == ACK:
                acknowledged.append(session)
        except ConnectionResetError:
            pass
        connection.close()
    there = world.ids()
    assert all(session.ids(world.key()) <= there for session in acknowledged)
    assert daemon.text.rstrip().endswith("stopped")
    assert not (world.state / "vibetea.sock").exists()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL])
def test_signal_that_ends_at_once_costs_nothing_acknowledged(world: World, number: signal.Signals) -> None:
    session = Session()
    daemon = world.start()
    for call in range(20):
        assert send(world, frame(tool_hook(session, f"t{call}"))) == ACK
    daemon.stop(number, expect=-number)
    world.start()
    world.expect(session)


def test_broken_pipe_signal_is_nothing(world: World) -> None:
    daemon = world.start()
    daemon.popen.send_signal(signal.SIGPIPE)
    session = Session()
    world.hook(tool_hook(session, "t1"))
    world.expect(session)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VIBETEA_PRIVACY", "lax"),
        ("VIBETEA_SOURCE_ID", "my laptop"),
        ("VIBETEA_SOURCE_ID", "x" * 65),
    ],
)
def test_setting_that_cannot_be_used_is_refused(world: World, variable: str, value: str) -> None:
    world.env[variable] = value
    done = world.run("daemon")
    assert done.returncode == 78
    assert variable.encode() in done.stderr
    assert not world.database.exists()


def test_half_written_configuration_is_refused(world: World) -> None:
    (world.state / "config.toml").write_text("plugins = [")
    done = world.run("daemon")
    assert done.returncode == 78
    assert b"config.toml" in done.stderr


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
