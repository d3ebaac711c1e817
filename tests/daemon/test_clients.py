"""Open clients: what their files and their processes tell, played by a process of our own."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.session import Session, hook
from tests.daemon.world import World, wait_until

from vibetea_daemon.sources.clients import Clients
from vibetea_daemon.store import Client

HERE = Path("/proc/self/ns/pid")
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="tells processes apart by /proc")


class Player:
    """A process that behaves like a client."""

    def __init__(self, world: World) -> None:
        self.session = Session()
        self.popen = subprocess.Popen(["sleep", "600"])
        self.folder = world.root / "claude/sessions"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = self.folder / f"{self.popen.pid}.json"
        self.says: dict[str, Any] = {
            "pid": self.popen.pid,
            "sessionId": self.session.id,
            "cwd": "/home/dev/shop",
            "messagingSocketPath": "/CANARY",
            "name": "CANARY",
        }
        if HERE.exists():
            stat = Path(f"/proc/{self.popen.pid}/stat").read_text()
            self.says |= {"procStart": stat.rpartition(")")[2].split()[19], "pidDomain": f"linux:1:{HERE.readlink()}"}

    def say(self, status: str, **more: Any) -> "Player":
        self.says |= {"status": status, "statusUpdatedAt": time.time_ns() // 1_000_000} | more
        self.file.write_text(json.dumps(self.says))
        return self

    def leave(self) -> None:
        """End in order: the file goes first."""
        self.file.unlink()
        self.die()

    def die(self) -> None:
        """Die at once; the process stays a zombie until the test is over."""
        self.popen.kill()

    def bury(self) -> None:
        self.popen.kill()
        self.popen.wait()


@pytest.fixture
def player(world: World) -> Iterator[Callable[[], Player]]:
    players: list[Player] = []

    def begin() -> Player:
        players.append(Player(world))
        return players[-1]

    yield begin
    for one in players:
        one.bury()


def clients(world: World) -> dict[str, tuple[Any, ...]]:
    return {row[0]: row[1:] for row in world.query("select session_id, alive, status, waiting_for from clients")}


def expect(world: World, *wanted: tuple[Player, Any]) -> None:
    """Wait until the table holds just these: a player and (alive, status, what it waits for)."""
    rows = {player.session.id: row for player, row in wanted}
    wait_until(lambda: clients(world) == rows, lambda: f"found {clients(world)}, wanted {rows}")


def ends(world: World, player: Player) -> list[tuple[Any, ...]]:
    """How the session ended, as often as it was told."""
    told = (
        "select type, payload ->> 'reason', project from events where session_id = ? and type in ('session', 'summary')"
    )
    return world.query(f"{told} order by seq", player.session.id)


def expect_end(world: World, player: Player, reason: str) -> None:
    wanted = [("session", reason, "shop"), ("summary", None, "shop")]
    wait_until(lambda: ends(world, player) == wanted, lambda: f"told {ends(world, player)}")


def test_a_client_as_it_goes_on(world: World, player: Callable[[], Player]) -> None:
    one = player()
    one.file.write_text(json.dumps(one.says))  # a client that has just begun says nothing of its status
    world.start()
    one.say("idle")
    expect(world, (one, (1, "idle", None)))
    one.say("busy")
    expect(world, (one, (1, "busy", None)))
    one.say("waiting", waitingFor="permission prompt")
    expect(world, (one, (1, "waiting", "permission")))
    one.say("waiting", waitingFor="something new")
    expect(world, (one, (1, "waiting", "question")))
    one.say("idle", statusUpdatedAt=1_795_000_000_123)
    expect(world, (one, (1, "idle", None)))
    assert world.query("select at from clients") == [("2026-11-18T11:06:40.123Z",)]
    one.say("a new word")
    expect(world)
    assert ends(world, one) == []


def test_an_end_in_order_is_told_once_by_the_hook_or_else_by_us(world: World, player: Callable[[], Player]) -> None:
    hooked, unhooked = player().say("idle"), player().say("idle")
    world.start()
    expect(world, (hooked, (1, "idle", None)), (unhooked, (1, "idle", None)))
    world.hook(hook(hooked.session, "SessionEnd", reason="prompt_input_exit"))
    hooked.leave()
    expect(world, (unhooked, (1, "idle", None)))
    unhooked.leave()
    expect(world)
    expect_end(world, unhooked, "other")  # by then it would have been told of the other one, too
    expect_end(world, hooked, "prompt_input_exit")


def test_a_hook_that_told_an_earlier_end_says_nothing_of_this_one(world: World, player: Callable[[], Player]) -> None:
    one = player()
    world.start()
    world.hook(hook(one.session, "SessionEnd", reason="logout"))
    wait_until(lambda: len(ends(world, one)) == 2, "the hook is not told")
    one.say("idle")
    expect(world, (one, (1, "idle", None)))
    one.leave()
    wait_until(lambda: len(ends(world, one)) == 4, lambda: f"told {ends(world, one)}")


def test_a_kill_is_told_once_and_stays_until_the_file_goes(world: World, player: Callable[[], Player]) -> None:
    killed, other = player().say("busy"), player().say("idle")
    world.start()
    expect(world, (killed, (1, "busy", None)), (other, (1, "idle", None)))
    killed.die()
    expect(world, (killed, (0, "busy", None)), (other, (1, "idle", None)))
    expect_end(world, killed, "killed")
    assert world.query("select state, reason from board where session_id = ?", killed.session.id) == [
        ("dead", "killed")
    ]
    killed.file.unlink()
    expect(world, (other, (1, "idle", None)))
    other.leave()
    expect_end(world, other, "other")
    expect_end(world, killed, "killed")


def test_a_client_that_dies_while_it_ends_was_not_killed(world: World, player: Callable[[], Player]) -> None:
    one = player().say("idle")
    world.start()
    expect(world, (one, (1, "idle", None)))
    world.hook(hook(one.session, "SessionEnd", reason="logout"))
    expect_end(world, one, "logout")
    one.die()
    expect(world, (one, (0, "idle", None)))
    expect_end(world, one, "logout")
    assert world.query("select state, reason from board") == [("ended", "logout")]


def test_a_client_that_goes_on_to_another_session(world: World, player: Callable[[], Player]) -> None:
    one = player().say("idle")
    world.start()
    expect(world, (one, (1, "idle", None)))
    first, one.session = one.session, Session()
    one.say("idle", sessionId=one.session.id)
    expect(world, (one, (1, "idle", None)))
    second, one.session = one.session, first
    expect_end(world, one, "other")
    one.session = second
    assert ends(world, one) == []


def test_a_session_resumed_after_a_kill_belongs_to_who_lives(world: World, player: Callable[[], Player]) -> None:
    dead, alive, other = player().say("busy"), player(), player()
    world.start()
    expect(world, (dead, (1, "busy", None)))
    dead.die()
    expect(world, (dead, (0, "busy", None)))
    alive.session = dead.session
    alive.say("idle", sessionId=dead.session.id)
    expect(world, (alive, (1, "idle", None)))
    dead.file.touch()
    other.say("idle")
    expect(world, (alive, (1, "idle", None)), (other, (1, "idle", None)))


@only_linux
def test_a_number_used_again_is_no_life(world: World, player: Callable[[], Player]) -> None:
    one = player().say("busy", procStart="1")
    world.start()
    expect(world, (one, (0, "busy", None)))
    assert ends(world, one) == []


@only_linux
def test_of_another_containers_client_we_know_neither_life_nor_death(
    world: World, player: Callable[[], Player]
) -> None:
    elsewhere, other = player().say("busy", procStart="1", pidDomain="linux:2:pid:[1]"), player().say("idle")
    world.start()
    expect(world, (elsewhere, (None, "busy", None)), (other, (1, "idle", None)))
    elsewhere.say("waiting", waitingFor="permission prompt")
    elsewhere.die()
    expect(world, (elsewhere, (None, "waiting", "permission")), (other, (1, "idle", None)))
    elsewhere.file.unlink()
    expect(world, (other, (1, "idle", None)))
    other.leave()
    expect_end(world, other, "other")
    assert ends(world, elsewhere) == []


def test_who_died_before_the_daemon_began_is_no_news(world: World, player: Callable[[], Player]) -> None:
    late, long_ago, alive = player().say("busy"), player().say("busy"), player().say("idle")
    for one in (late, long_ago):
        one.bury()
    os.utime(long_ago.file, (time.time() - 90_000,) * 2)
    world.start()
    expect(world, (late, (0, "busy", None)), (alive, (1, "idle", None)))
    assert ends(world, late) == []
    late.file.unlink()
    alive.leave()
    expect_end(world, alive, "other")
    assert ends(world, late) == ends(world, long_ago) == []


def test_without_a_daemon_nothing_is_said_of_clients(world: World, player: Callable[[], Player]) -> None:
    one = player().say("busy")
    with world.daemon():
        expect(world, (one, (1, "busy", None)))
    assert clients(world) == {}
    daemon = world.start()
    expect(world, (one, (1, "busy", None)))
    daemon.kill()
    one.leave()
    world.start()
    expect(world)
    assert ends(world, one) == []


def test_ids_are_those_of_the_events(world: World, player: Callable[[], Player]) -> None:
    world.env["VIBETEA_PRIVACY"] = "strict"
    one = player().say("idle")
    world.start()
    wait_until(lambda: bool(clients(world)), "no client")
    assert one.session.id not in clients(world)
    before = list(clients(world))
    one.die()
    wait_until(lambda: world.query("select session_id from sessions") == [(before[0],)], "not its session")
    assert world.query("select payload ->> 'reason' from events where type = 'session'") == [("killed",)]


NESTED = b'{"pid": 1, "a": ' + b"[" * 20_000


def _hostile(folder: Path, player: Player) -> Iterator[Path]:
    """Files named like a client's that are none."""
    for number, raw in enumerate(
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b"\xff\xfe",
            NESTED,
            b'{"pid": "x", "sessionId": "a"}',
            b'{"pid": 99999990, "sessionId": "a", "statusUpdatedAt": 1e400}',
            b'{"sessionId": "a", "status": "busy"}',
            json.dumps(player.says).encode(),  # its number is another one's
            b'{"pid": 99999985, "sessionId": "", "status": "busy"}',
            b" " * 100_000 + b'{"pid": 99999984, "sessionId": "a"}',
        ]
    ):
        path = folder / f"{99999995 - number}.json"
        path.write_bytes(raw)
        yield path
    link = folder / "99999970.json"
    link.symlink_to(player.file)
    yield link
    pipe = folder / "99999971.json"
    os.mkfifo(pipe)
    yield pipe
    (folder / "99999972.json").mkdir()
    yield folder / "99999972.json"


def test_files_that_are_no_clients_are_counted_and_harm_nobody(world: World, player: Callable[[], Player]) -> None:
    one = player().say("busy", statusUpdatedAt=10**17)  # a time that cannot be: the file's own stands for it
    hostile = list(_hostile(one.folder, one))
    for name in (f"{one.popen.pid}.key", "0.json", "007.json", "x.json", "12345678901.json"):
        (one.folder / name).write_text("CANARY")
    long_ago = time.time() - 60
    for path in hostile:
        with suppress(NotImplementedError):
            os.utime(path, (long_ago, long_ago), follow_symlinks=False)
    world.start()
    expect(world, (one, (1, "busy", None)))
    world.expect_counter("client_unreadable", len(hostile))
    odd = one.folder / "99999960.json"
    odd.write_text(
        '{"pid": 99999960, "sessionId": "\\u0000/../CANARY", "procStart": "\\u00e4", "status": "idle", "cwd": 1}'
    )
    os.utime(odd, (long_ago, long_ago))
    world.expect_counter("client_unreadable", len(hostile) + 1)
    one.say("idle")
    expect(world, (one, (1, "idle", None)))
    assert world.counters() == {"client_unreadable": len(hostile) + 1}


class Looks:
    """Stands for the daemon's store and clock: what each look handed in, and what is done between two looks."""

    def __init__(self, *between: Callable[[], object]) -> None:
        self.told: list[tuple[list[str], dict[str, int]]] = []
        self._between = list(between)

    def clients(self, _: object, counts: dict[str, int], changes: dict[str, Client | None]) -> None:
        self.told.append(([client.status for client in changes.values() if client], dict(counts)))

    def ended_by_hook(self, *_: object) -> bool:
        return False

    def is_set(self) -> bool:
        return len(self.told) > len(self._between)

    def wait(self, _: float) -> None:
        if not self.is_set():
            self._between[len(self.told) - 1]()


def test_changes_within_one_tick_of_the_clock_are_seen_and_half_a_file_is_no_mistake(
    player: Callable[[], Player],
) -> None:
    one = player().say("busy")
    text, at = one.file.read_text(), one.file.stat().st_mtime_ns

    def write(what: str) -> None:
        one.file.write_text(what)
        os.utime(one.file, ns=(at, at))

    looks = Looks(
        lambda: write(text.replace("busy", "idle")),
        lambda: write(text[:40]),
        lambda: write(text),
        lambda: None,
    )
    Clients(one.folder).run(looks, looks)  # type: ignore[arg-type]
    assert looks.told == [(["busy"], {}), (["idle"], {}), ([], {}), (["busy"], {}), ([], {})]


def test_who_goes_between_the_list_and_the_look_is_not_called_dead(player: Callable[[], Player]) -> None:
    one = player().say("idle")
    one.bury()
    looks = Looks(one.file.unlink, lambda: None)
    Clients(one.folder).run(looks, looks)  # type: ignore[arg-type]
    assert looks.told == [([], {})] * 3


@only_linux
def test_a_thousand_files(world: World, player: Callable[[], Player]) -> None:
    one = player()
    for number in range(99_000_000, 99_001_500):
        told = {"pid": number, "sessionId": str(uuid.UUID(int=number)), "status": "busy", "pidDomain": "pid:[1]"}
        (one.folder / f"{number}.json").write_text(json.dumps(told))
    world.start()
    wait_until(lambda: len(clients(world)) == 1000, lambda: f"{len(clients(world))} clients")
