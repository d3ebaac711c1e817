"""Two machines, one relay, one mirror, one page: real processes from the hook to the browser."""

import re
import secrets
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.daemon.scripted_ingest import expect_settled, scripted_ingest
from tests.daemon.session import Session, hook, tool_hook
from tests.daemon.world import World, wait_until
from tests.datasette_plugins.chromium import PAGE, live
from tests.tools.forked import Forked, begun


@dataclass
class Running:
    """A command in the background, and what it says."""

    process: subprocess.Popen[bytes] | Forked
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    def says(self, pattern: str) -> re.Match[str]:
        wait_until(
            lambda: self.process.poll() is not None or re.search(pattern, self.said) is not None, lambda: self.said, 40
        )
        found = re.search(pattern, self.said)
        assert found, self.said
        return found

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        assert self.process.wait(20) == 0, self.said
        assert not re.search("Traceback|Warning|ignored", self.said)


@dataclass
class Team:
    """A laptop, a desktop and a server with the relay."""

    laptop: World
    desktop: World
    server: World
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    url: str = ""
    running: list[Running] = field(default_factory=list)

    @classmethod
    def make(cls, root: Path) -> "Team":
        worlds = []
        for name in ("laptop", "desktop", "server"):
            (root / name).mkdir()
            world = World.make(root / name)
            world.env["VIBETEA_SOURCE_ID"] = name
            worlds.append(world)
        team = cls(*worlds)
        team.server.env |= {
            "VIBETEA_SUBSCRIBER_TOKEN": team.token,
            "VIBETEA_PUBLIC_KEYS": ",".join(world.run("init").stdout.decode().strip() for world in worlds[:2]),
        }
        return team

    def start(self, *arguments: str) -> Running:
        """A command on the server."""
        log = self.server.root / f"{arguments[0]}-{len(self.running)}.log"
        with log.open("wb") as file:
            streams = {"environment": self.server.env, "folder": self.server.root, "output": file.fileno()}
            popen = begun(*arguments, **streams)
        self.running.append(Running(popen, log))
        return self.running[-1]

    def start_relay(self) -> Running:
        """The relay; a second time at the same place."""
        relay = self.start("relay", "--port", self.url.rpartition(":")[2] or "0")
        self.url = relay.says(r"ready at (\S+)")[1]
        for world in (self.laptop, self.desktop):
            world.env["VIBETEA_SERVER_URL"] = self.url
        return relay

    def work(self, world: World, *calls: str, project: str = "shop") -> Session:
        """Something happens on a machine."""
        session = Session(cwd=f"/home/dev/{project}")
        for call in calls:
            world.hook(tool_hook(session, call))
        return session

    def mirrored(self) -> set[tuple[str, str]]:
        """Source and id of what the server's database holds."""
        try:
            return set(self.server.query("select source, id from events"))
        except sqlite3.OperationalError:  # the mirror is just making it
            return set()

    def reported(self) -> set[tuple[str, str]]:
        """Source and id of what both machines have told."""
        return {
            (name, identity)
            for name, world in (("laptop", self.laptop), ("desktop", self.desktop))
            for identity in world.ids()
        }

    def agrees(self) -> None:
        """Wait until the server holds just what happened on both machines."""
        wait_until(
            lambda: self.reported() == self.mirrored(),
            lambda: f"{self.reported() ^ self.mirrored()}\n" + "\n".join(each.said for each in self.running),
            60,
        )
        self.server.check_derived()


@pytest.fixture
def team() -> Iterator[Team]:
    with tempfile.TemporaryDirectory(prefix="vt-") as root, closed(Team.make(Path(root))) as team:
        yield team


@contextmanager
def closed(team: Team) -> Iterator[Team]:
    try:
        yield team
    finally:
        for each in team.running:
            each.process.kill()
            each.process.wait()
        for world in (team.laptop, team.desktop, team.server):
            world.end()


def test_one_page_shows_what_happens_on_two_machines(team: Team, open_page: Callable[..., Page]) -> None:
    """Each is started by itself, not forked, so that what it leaves open at its end would be told."""
    for world in (team.laptop, team.desktop, team.server):
        world.env["PYTHONHASHSEED"] = "0"
    relay = team.start_relay()
    with scripted_ingest(team.laptop) as ingest:
        team.laptop.start()
        team.desktop.start()
        team.work(team.laptop, "l1", "l2")
        expect_settled(team.laptop)
        assert set(ingest.ids) == team.laptop.ids()
    mirror = team.start("mirror", "--relay", team.url)
    team.work(team.desktop, "d1", project="blog")
    team.agrees()

    dashboard = team.start("dashboard", "--no-open", "--port", "0")
    base = re.match(r"http://[^/]+", dashboard.says(r"http://\S+")[0])
    assert base
    page = open_page(f"{base[0]}{PAGE}")
    live(page)
    expect(page.locator("#events li")).to_have_count(3)
    expect(page.locator("#events li", has_text="laptop")).to_have_count(2)
    expect(page.locator("#events li", has_text="desktop")).to_have_count(1)

    # and it moves: from a hook there to the browser here
    session = Session(cwd="/home/dev/blog")
    team.desktop.hook(hook(session, "Notification", notification_type="permission_prompt", message="canary secret"))
    expect(page.locator("#events li").first).to_contain_text("Needs permission")
    expect(page.locator("#events li").first).to_contain_text("desktop")
    assert "canary" not in page.content()
    assert team.token not in page.content()
    page.close()

    dashboard.end(signal.SIGINT)
    mirror.end()
    relay.end()
    assert not any(team.token in each.said for each in team.running)


def test_whatever_is_away_for_a_while_nothing_is_missing_or_double(team: Team) -> None:
    """1. The relay dies. 2. Both machines work on. 3. It comes back. 4. The mirror is away meanwhile. 5. It resumes."""
    relay = team.start_relay()
    team.laptop.expected_log = team.desktop.expected_log = [r"WARNING vibetea_daemon\.sinks"]
    team.laptop.start()
    team.desktop.start()
    mirror = team.start("mirror", "--relay", team.url)
    team.work(team.laptop, "l1")
    team.agrees()

    relay.process.kill()
    relay.process.wait()
    mirror.says("No connection to the relay")
    team.work(team.laptop, "l2", "l3")
    team.work(team.desktop, "d1")
    relay = team.start_relay()
    team.agrees()

    mirror.process.kill()
    mirror.process.wait()
    team.work(team.desktop, "d2")
    team.work(team.laptop, "l4")
    mirror = team.start("mirror", "--relay", team.url)
    team.agrees()
    assert team.server.counters() == {}

    # the watcher in the terminal sees both, too
    tail = team.start("tail", "-n", "0", "--relay", team.url)
    tail.says("Connected")
    team.work(team.desktop, "d3")
    team.work(team.laptop, "l5")
    tail.says(r"desktop +shop .* Bash started")
    tail.says(r"laptop +shop .* Bash started")
    tail.end(signal.SIGINT)
    mirror.end()
    relay.end()


def test_what_a_machine_mirrors_it_does_not_send_on(team: Team) -> None:
    """A mirror in a daemon's own folder: the relay gets nothing back that came from it."""
    relay = team.start_relay()
    team.laptop.start()
    team.desktop.start()
    team.desktop.env["VIBETEA_SUBSCRIBER_TOKEN"] = team.token
    command = [sys.executable, "-m", "vibetea_daemon", "mirror", "--relay", team.url]
    with subprocess.Popen(command, env=team.desktop.env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as here:
        there = team.start("mirror", "--relay", team.url)
        team.work(team.laptop, "l1", "l2")
        team.work(team.desktop, "d1")
        wait_until(lambda: len(team.desktop.ids()) == 3, "it has not all of it")
        wait_until(lambda: len(team.mirrored()) == 3, there.log.read_text)
        team.work(team.desktop, "d2")  # comes after all that might have been sent on
        wait_until(lambda: len(team.mirrored()) == 4, there.log.read_text)
        assert sorted(source for source, _ in team.mirrored()) == ["desktop", "desktop", "laptop", "laptop"]
        team.desktop.expect_counter("relay_other_source", 2)
        here.terminate()
    there.end()
    relay.end()
