"""`vibetea up` from nothing to a page that moves, in a real browser."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from playwright.sync_api import Page
from tests.daemon.session import Session
from tests.daemon.world import World, wait_until
from tests.datasette_plugins.conftest import eventually

RECORDED = Path(__file__).parents[1] / "recorded/transcripts"


@contextmanager
def up(world: World, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The page's address and the process; it is ended by Ctrl-C, as a person would."""
    output = world.root / "up.out"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "vibetea_daemon", "up", "--no-open", "--port", "0", *arguments],
            env=world.env | {"TMPDIR": str(world.root)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        wait_until(
            lambda: b"http://" in output.read_bytes() or process.poll() is not None, output.read_text, 60
        )
        found = re.search(r"http://\S+", output.read_text())
        assert found, output.read_text()
        yield found[0], process
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0, output.read_text()
        assert not [child for child in children if child.is_running()]
        assert "Traceback" not in output.read_text()
    finally:
        process.kill()
        process.wait()


def test_demo_moves_and_leaves_nothing(world: World, open_page: Callable[..., Page]) -> None:
    shutil.rmtree(world.state)
    with up(world, "--demo") as (address, _):
        page = open_page(address)
        newest = page.locator("#events > :first-child")
        first = newest.get_attribute("data-at")
        eventually(lambda: (newest.get_attribute("data-at") or "") > (first or ""))
        page.close()
    assert not world.state.exists()
    assert not list(world.root.glob("vibetea-demo-*"))


def test_own_transcripts_are_shown_and_followed(world: World, open_page: Callable[..., Page]) -> None:
    shutil.copytree(RECORDED, world.projects, dirs_exist_ok=True)
    with up(world, "--all") as (address, _):
        page = open_page(address)
        page.get_by_text("auth.ts").first.wait_for()
        session = Session()
        world.write(session, session.prompt())
        page.locator(f"[title*='{session.id}'], a:has-text('{session.id[:4]}')").first.wait_for()
        assert "CANARY" not in page.content()
        page.close()
    assert len(world.ids()) > 60


def test_nothing_to_show_yet_is_said(world: World) -> None:
    with up(world) as (_, process):
        assert process.poll() is None
    assert "showing invented ones" in (world.root / "up.out").read_text()


def test_daemon_that_runs_already_is_joined_and_left_running(world: World) -> None:
    daemon = world.start()
    session = Session()
    world.write(session, session.prompt())
    world.expect(session)
    with up(world):
        pass
    assert "Joined the daemon" in (world.root / "up.out").read_text()
    assert daemon.popen.poll() is None


def test_port_in_use_is_said(world: World) -> None:
    world.run("init")
    with up(world) as (address, _):
        port = re.search(r":(\d+)/", address)
        assert port
        done = world.run("dashboard", "--no-open", "--port", port[1])
    assert done.returncode == 1
    assert b"--port 0" in done.stderr


def test_daemon_that_cannot_start_is_told(world: World) -> None:
    world.run("init")
    (world.state / "vibetea.sock").write_text("not a socket")
    done = world.run("up", "--no-open", "--port", "0")
    assert done.returncode == 1
    assert b"did not start" in done.stderr
    assert b"no socket of ours" in done.stderr
