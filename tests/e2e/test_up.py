"""`vibetea up` from nothing to a page that moves, in a real browser."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, expect
from tests.daemon.session import Session
from tests.daemon.world import World, wait_until
from tests.datasette_plugins.conftest import eventually

RECORDED = Path(__file__).parents[1] / "recorded/transcripts"


@contextmanager
def up(world: World, *arguments: str, **options: Any) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The page's address and the process; it is ended by Ctrl-C, as a person would."""
    with started(world, *arguments, **options) as process:
        output = output_of(process)
        wait_until(lambda: "http://" in output() or process.poll() is not None, output, 60)
        found = re.search(r"http://\S+", output())
        assert found, output()
        yield found[0], process
        if process.poll() is None:
            stop(process, signal.SIGINT)


@contextmanager
def started(world: World, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The process; what it says is in the folder's `up-<number>.out`."""
    path = world.root / f"up-{len(list(world.root.glob('up-*.out')))}.out"
    options = {"env": world.env | {"TMPDIR": str(world.root)}, **options}
    with path.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "vibetea_daemon", "up", "--no-open", "--port", "0", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            **options,
        )
    OUTPUTS[process.pid] = path
    try:
        yield process
    finally:
        process.kill()
        process.wait()


OUTPUTS: dict[int, Path] = {}


def output_of(process: subprocess.Popen[bytes]) -> Callable[[], str]:
    return OUTPUTS[process.pid].read_text


def stop(process: subprocess.Popen[bytes], number: int) -> None:
    """It ends in order, and its daemon with it."""
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    assert process.wait(20) == 0, output_of(process)()
    assert not [child for child in children if child.is_running()]
    assert "Traceback" not in output_of(process)()


def daemon_of(process: subprocess.Popen[bytes]) -> psutil.Process:
    wait_until(lambda: bool(psutil.Process(process.pid).children()), "it starts no daemon")
    return psutil.Process(process.pid).children()[0]


def test_demo_moves_and_leaves_nothing(world: World, open_page: Callable[..., Page]) -> None:
    """Nor does it make a key or send anything."""
    shutil.rmtree(world.state)
    keys = world.root / "keys"
    env = world.env | {"TMPDIR": str(world.root), "VIBETEA_KEY_PATH": str(keys)}
    env["VIBETEA_SERVER_URL"] = env["VIBETEA_SUPABASE_URL"] = "http://127.0.0.1:9"
    with up(world, "--demo", env=env) as (address, _):
        page = open_page(f"{address}/live")
        expect(page.locator("header")).to_contain_text("Demo: invented sessions. Yours: vibetea up")
        newest = page.locator("#events > :first-child")
        first = newest.get_attribute("data-seq")
        assert first
        eventually(lambda: newest.get_attribute("data-seq") != first)
        page.close()
        assert not list(world.root.rglob("key.priv"))
    assert not keys.exists()
    assert not world.state.exists()
    assert not list(world.root.glob("vibetea-demo-*"))


def test_own_transcripts_are_shown_and_followed(world: World, open_page: Callable[..., Page]) -> None:
    shutil.copytree(RECORDED, world.projects, dirs_exist_ok=True)
    with up(world, "--all") as (address, _):
        page = open_page(f"{address}/live?tool=Read")
        page.get_by_text("auth.ts").first.wait_for()
        assert "CANARY" not in page.content()
        page.goto(f"{address}/live")
        session = Session()
        world.write(session, session.prompt())
        page.locator(f"[title*='{session.id}'], a:has-text('{session.id[:4]}')").first.wait_for()
        assert "CANARY" not in page.content()
        page.close()
    assert len(world.ids()) > 60


def test_daemon_that_runs_already_is_joined_and_left_running(world: World) -> None:
    daemon = world.start()
    session = Session()
    world.write(session, session.prompt())
    world.expect(session)
    with up(world) as (_, process):
        assert "Joined the daemon" in output_of(process)()
        assert "vibetea import" not in output_of(process)()
    with up(world, "--all") as (_, process):
        assert "--all changes nothing" in output_of(process)()
        assert "vibetea import" in output_of(process)()
    assert daemon.popen.poll() is None


def test_nothing_to_show_yet_and_a_port_in_use_are_said(world: World) -> None:
    with up(world) as (address, process):
        assert "showing invented ones" in output_of(process)()
        port = re.search(r":(\d+)/", address)
        assert port
        done = world.run("dashboard", "--no-open", "--port", port[1])
    assert done.returncode == 1
    assert b"--port 0" in done.stderr


@pytest.mark.parametrize("readied", ["by hooks", "for a server"])
def test_a_machine_made_ready_waits_for_its_own_first_session(world: World, readied: str) -> None:
    if readied == "by hooks":
        assert world.run("install-hooks").returncode == 0
    else:
        world.env["VIBETEA_SUPABASE_URL"] = "http://127.0.0.1:9"
    with up(world) as (_, process):
        assert "invented" not in output_of(process)()
    assert world.database.exists()


def test_daemon_that_cannot_start_is_told(world: World) -> None:
    world.run("init")
    (world.state / "vibetea.sock").write_text("not a socket")
    done = world.run("up", "--no-open", "--port", "0")
    assert done.returncode == 1
    assert b"did not start" in done.stderr
    assert b"no socket of ours" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_and_a_closed_terminal_leave_nothing(world: World, number: int) -> None:
    with up(world, "--demo") as (_, process):
        stop(process, number)
    assert not list(world.root.glob("vibetea-demo-*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_while_it_starts_leaves_nothing(world: World, number: int) -> None:
    with started(world, "--demo") as process:
        daemon_of(process)
        stop(process, number)
    assert not list(world.root.glob("vibetea-demo-*"))


def test_a_kill_ends_the_daemon_too(world: World) -> None:
    world.run("init")
    with up(world) as (_, process):
        daemon = daemon_of(process)
        process.kill()
        process.wait()
        wait_until(lambda: not daemon.is_running() or daemon.status() == psutil.STATUS_ZOMBIE, "the daemon lives on")


def test_a_daemon_alone_does_not_end_with_its_input(world: World) -> None:
    daemon = world.start()  # its input is empty from the beginning
    session = Session()
    world.write(session, session.prompt())
    world.expect(session)
    assert daemon.popen.poll() is None


def test_two_at_the_same_moment_share_one_daemon(world: World) -> None:
    world.write(session := Session(), session.prompt())
    shutil.rmtree(world.state)
    with started(world) as one, started(world) as other:
        for process in (one, other):
            wait_until(lambda process=process: "http://" in output_of(process)(), output_of(process), 60)
        joined = [process for process in (one, other) if "Joined" in output_of(process)()]
        assert len(joined) == 1
        owner = other if joined == [one] else one
        stop(owner, signal.SIGINT)
        said = "The daemon has ended"
        wait_until(lambda: said in output_of(joined[0])(), output_of(joined[0]))
        stop(joined[0], signal.SIGINT)
        assert output_of(joined[0])().count(said) == 1


def test_a_daemon_that_dies_ends_it_and_is_told(world: World) -> None:
    world.run("init")
    with up(world) as (_, process):
        daemon_of(process).kill()
        assert process.wait(20) == 1
        assert "the daemon ended" in output_of(process)()
        assert "ready" in output_of(process)()


def test_the_log_goes_on_and_nothing_of_the_current_folder_is_run(world: World) -> None:
    """Only its owner reads the log."""
    world.run("init")
    folder = world.root / "cwd"
    folder.mkdir()
    (folder / "click.py").write_text("open('taken', 'w')")
    log = world.state / "daemon.log"
    for times in (1, 2):
        with up(world, cwd=folder):
            pass
        assert log.read_text().count(" ready") == times
    assert log.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == ["click.py"]
