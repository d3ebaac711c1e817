"""Start, end, and what must not be in the way of either."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.daemon.frames import connect, frame, send
from tests.daemon.session import Session, tool_hook
from tests.daemon.world import World, wait_until

ACK = b"\x06"
NOBODY = 64_999
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it acts as another user")


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
