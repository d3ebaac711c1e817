"""`vibetea tail` as a person and a program see it: over a real daemon's database, and over a relay."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.daemon.session import Session, hook, tool_hook
from tests.daemon.streaming_relay import (
    SESSION,
    TOKEN,
    StreamingRelay,
    framed,
    refusal,
    streaming_relay,
    tool,
    until,
    wire,
)
from tests.daemon.world import World, wait_until

ESCAPE = "\x1b["


class Tail:
    """A running `vibetea tail` and what it has printed."""

    def __init__(self, world: World, *arguments: str, output: int = subprocess.PIPE, **env: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vibetea_daemon", "tail", *arguments],
            env=world.env | env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
        )
        self.out = b""
        self.err = b""
        source = self.process.stdout.fileno() if self.process.stdout else None
        self._threads = [threading.Thread(target=self._read_errors)]
        if source is not None:
            self._threads.append(threading.Thread(target=self._read, args=(source,)))
        for thread in self._threads:
            thread.start()

    def _read(self, descriptor: int) -> None:
        while data := os.read(descriptor, 65536):
            self.out += data

    def _read_errors(self) -> None:
        assert self.process.stderr
        while data := os.read(self.process.stderr.fileno(), 65536):
            self.err += data

    @property
    def lines(self) -> list[str]:
        """The whole lines."""
        return self.out.decode().split("\n")[:-1]

    def has(self, count: int) -> list[str]:
        """Wait for so many lines; no more may be there."""
        wait_until(lambda: len(self.lines) >= count, lambda: f"{self.out!r} {self.err!r}")
        assert len(self.lines) == count
        return self.lines

    def says(self, words: str) -> None:
        wait_until(lambda: words in self.err.decode(), lambda: f"{words!r} not in {self.err!r}")

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.join()

    def join(self) -> int:
        code = self.process.wait(20)
        for thread in self._threads:
            thread.join(20)
        return code


@pytest.fixture
def tail(world: World) -> Iterator[Callable[..., Tail]]:
    """Starts one; whatever is left of it is gone after the test."""
    tails: list[Tail] = []

    def start(*arguments: str, **options: Any) -> Tail:
        tails.append(Tail(world, *arguments, **options))
        return tails[-1]

    yield start
    for each in tails:
        each.process.kill()
        each.join()
        for pipe in (each.process.stdout, each.process.stderr):
            if pipe:
                pipe.close()


@pytest.fixture
def busy_world(world: World) -> World:
    """A daemon that has taken one tool call by a hook."""
    world.start()
    session = Session(SESSION)
    world.hook(tool_hook(session, "t1"))
    world.expect(session)
    return world


def says_nothing_wrong(tail: Tail) -> None:
    assert tail.err == b""


def test_recent_ones_come_first_then_each_as_it_happens(busy_world: World, tail: Callable[..., Tail]) -> None:
    running = tail()
    (line,) = running.has(1)
    assert re.fullmatch(r"\d\d:\d\d:\d\d  shop {12}  3f0c  Bash started", line)
    busy_world.hook(hook(Session(SESSION), "Notification", notification_type="permission_prompt", message="secret"))
    lines = running.has(2)
    assert lines[1].endswith("Needs permission")
    assert running.end() == 0
    says_nothing_wrong(running)
    assert "secret" not in running.out.decode()
    busy_world._expected = None


def test_lines_says_how_many_come_first(world: World, tail: Callable[..., Tail]) -> None:
    session = Session()
    world.write(session, session.prompt(), session.call("t1"))
    world.run("import")
    for lines, shown in {"0": 0, "2": 2, "100": 5}.items():
        running = tail("-n", lines)
        running.says("No daemon runs")  # which is said after them
        assert len(running.has(shown)) == shown


def test_the_latest_by_their_own_time_come_first_with_the_date_of_another_day(
    world: World, tail: Callable[..., Tail]
) -> None:
    young, old = Session(), Session()
    world.write(young, young.prompt())
    assert world.run("import").returncode == 0
    world.write(old, re.sub(rb'"timestamp": "[0-9-]{10}T..', b'"timestamp": "2020-05-17T12', old.prompt()))
    assert world.run("import").returncode == 0
    lines = tail("-n", "4").has(4)
    assert re.match(r"2020-05-17 \d\d:\d\d:\d\d  ", lines[0])
    assert all(re.match(r"\d\d:\d\d:\d\d  ", line) for line in lines[1:])


def test_json_is_the_very_bytes_on_the_wire(busy_world: World, tail: Callable[..., Tail]) -> None:
    running = tail("--json")
    (line,) = running.has(1)
    assert line.encode() + b"\n" == busy_world.run("audit").stdout
    assert list(json.loads(line)) == ["id", "source", "timestamp", "type", "payload"]
    assert running.end() == 0


FILTERS = [
    "--type=tool",
    "--type=agent --project=shop",
    "--type=summary",
    f"--tool=Bash --source=laptop --session={SESSION}",
    "--tool=bash",
    "--project=shop --tool=Read",
    "--project=blog --tool=Read --type=tool",
    "--session=3f0c",
    "--session=%",
    "--source=desktop",
]


def test_filters_hold_for_recent_ones_and_new_ones(world: World, tail: Callable[..., Tail]) -> None:
    shop, blog = Session(SESSION), Session(cwd="/home/dev/blog")

    def work(call: str) -> list[str]:
        world.write(shop, shop.prompt(), shop.call(call, "Bash"))
        world.write(blog, blog.prompt(), blog.call(call, "Read"))
        assert world.run("import").returncode == 0
        return world.run("audit", "-n", "1000").stdout.decode().splitlines()

    def told(happened: list[str]) -> None:
        for arguments, each in running.items():
            wanted = {line for line in happened if _suits(json.loads(line), arguments)}
            assert set(each.has(len(wanted))) == wanted, arguments

    happened = work("t1")
    running = {arguments: tail("--json", "-n", "1000", *arguments.split()) for arguments in FILTERS}
    for each in running.values():
        each.says("No daemon runs")
    told(happened)
    told(work("t2"))
    assert {each.end() for each in running.values()} == {0}


def _suits(event: dict[str, Any], arguments: str) -> bool:
    payload = event["payload"]
    told = {"type": event["type"], "source": event["source"], **{k: payload.get(k) for k in ("tool", "project")}}
    filters = dict(re.findall(r"--(\w+)=(\S+)", arguments))
    return payload["sessionId"].startswith(filters.pop("session", "")) and filters.items() <= told.items()


async def test_the_machine_is_named_where_a_mirror_brings_in_others(world: World, tail: Callable[..., Tail]) -> None:
    async with streaming_relay() as relay:
        await relay.hold(wire(tool(1, source="desktop")))
        command = [sys.executable, "-m", "vibetea_daemon", "mirror", "--relay", relay.url]
        mirror = subprocess.Popen(command, env=world.env, stderr=subprocess.DEVNULL)
        try:
            await until(lambda: b" 1 event in " in world.run("status").stdout)
            running = tail()
            await until(lambda: running.lines)
            assert re.search("  desktop +shop ", running.lines[0])
            assert running.end() == 0
        finally:
            mirror.terminate()
            mirror.wait(20)
    says_nothing_wrong(running)  # a mirror feeds it, if no daemon does


def test_a_type_that_does_not_exist_is_told(world: World) -> None:
    done = world.run("tail", "--type", "tools")
    assert done.returncode == 2
    assert b"there is no type 'tools'; there are: session, activity" in done.stderr


def test_without_a_database_it_says_what_makes_one(world: World) -> None:
    done = world.run("tail")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"vibetea up" in done.stderr


def test_a_database_that_is_replaced_ends_it(busy_world: World, tail: Callable[..., Tail]) -> None:
    running = tail()
    running.has(1)
    busy_world.processes[0].stop()
    for file in busy_world.state.glob("vibetea.db*"):
        file.unlink()
    busy_world.run("init")
    assert running.join() == 1
    assert b"replaced" in running.err
    busy_world._expected = None


def test_it_says_when_no_daemon_runs_and_when_one_does_again(busy_world: World, tail: Callable[..., Tail]) -> None:
    running = tail()
    running.has(1)
    busy_world.processes[0].stop()
    running.says("No daemon runs, so nothing new will come; start it with `vibetea up`.")
    busy_world.start()
    running.says("A daemon runs again.")
    assert running.err.count(b"\n") == 2
    assert running.end() == 0


# the terminal


@contextmanager
def terminal() -> Iterator[tuple[int, Callable[[], str]]]:
    """A terminal's slave, and what was printed to it."""
    master, slave = pty.openpty()
    said = bytearray()

    def read() -> None:
        try:
            while data := os.read(master, 65536):
                said.extend(data)
        except OSError:  # how Linux says that the other end is closed
            pass

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield slave, said.decode
    finally:
        os.close(slave)
        thread.join(20)
        os.close(master)


def test_colours_are_for_people_s_terminals_that_want_them(busy_world: World, tail: Callable[..., Tail]) -> None:
    for arguments, env, coloured in (
        ([], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"NO_COLOR": ""}, True),
        ([], {"TERM": "dumb"}, False),
        (["--json"], {}, False),
    ):
        with terminal() as (slave, said):
            running = tail(*arguments, output=slave, **({"TERM": "xterm"} | env))
            wait_until(lambda said=said: "\n" in said(), said)
            assert (ESCAPE in said()) == coloured, (arguments, env)
            assert running.end() == 0


# its end


def test_a_reader_that_leaves_ends_it_at_once_and_quietly(busy_world: World, tail: Callable[..., Tail]) -> None:
    out, into = os.pipe()
    running = tail(output=into)
    os.close(into)
    assert os.read(out, 10)
    os.close(out)  # and nothing more happens
    assert running.join() == 1
    says_nothing_wrong(running)


def test_a_reader_that_leaves_amid_much_ends_it_quietly(world: World, tail: Callable[..., Tail]) -> None:
    session = Session()
    world.write(session, session.prompt(), *(session.answer() for _ in range(2000)))
    assert world.run("import").returncode == 0
    for arguments in (["--json"], []):
        out, into = os.pipe()
        running = tail("-n", "2000", *arguments, output=into)
        os.close(into)
        assert os.read(out, 10)
        os.close(out)
        assert running.join() == 1
        says_nothing_wrong(running)


# over a relay


@pytest.fixture
async def relay(world: World) -> AsyncIterator[StreamingRelay]:
    world.env["VIBETEA_SUBSCRIBER_TOKEN"] = f"{TOKEN}\n"
    async with streaming_relay(token=TOKEN) as relay:
        yield relay


async def test_a_relay_s_events_are_shown_with_their_source(relay: StreamingRelay, tail: Callable[..., Tail]) -> None:
    running = tail("--relay", relay.url)
    await relay.watched(1)
    await relay.hold(wire(tool(1)), wire(tool(2, source="desktop", payload={"status": "completed", "durationMs": 17})))
    await until(lambda: len(running.lines) == 2, lambda: f"{running.err!r}")
    assert re.fullmatch(r"\d\d:\d\d:\d\d  laptop {8}shop {14}3f0c  Read auth.ts", running.lines[0])
    assert running.lines[1].endswith("  desktop       shop              3f0c  Read auth.ts 17 ms")
    assert running.end() == 0
    assert running.err.decode().splitlines() == ["Connected to the relay."]
    assert relay.asked == [({"last": "10"}, f"Bearer {TOKEN}")]


def frames(relay: StreamingRelay) -> list[bytes]:
    """The lines a program should read: with seq, after which it can resume."""
    return [framed(number, event) + b"\n" for number, event in relay.entries]


@pytest.mark.parametrize(("arguments", "shown"), [([], 10), (["-n", "0"], 0), (["-n", "3"], 3), (["-n", "100"], 12)])
async def test_lines_says_how_many_of_a_relay_come_first(
    relay: StreamingRelay, tail: Callable[..., Tail], arguments: list[str], shown: int
) -> None:
    """And after that it goes on where it was."""
    events = [wire(tool(number)) for number in range(1, 21)]
    await relay.hold(*events[:12])
    running = tail("--json", "--relay", relay.url, *arguments)
    await relay.watched(1)
    await relay.hold(*events[12:15])
    await until(lambda: len(running.lines) == shown + 3, lambda: f"{running.out!r}")
    await relay.close()
    await relay.hold(*events[15:])
    await until(lambda: len(running.lines) == shown + 8, lambda: f"{running.out!r}")
    assert running.out.splitlines(keepends=True) == frames(relay)[12 - shown :]
    assert running.end() == 0
    assert relay.asked[-1][0] == {"after": "15"}


async def test_more_lines_than_a_relay_sends_are_refused(relay: StreamingRelay, tail: Callable[..., Tail]) -> None:
    relay.answers.append(lambda: refusal(400, "invalid_last"))
    running = tail("--relay", relay.url, "-n", "10001")
    await until(lambda: running.process.poll() is not None)
    assert running.join() == 1
    assert running.err == b"Error: the relay does not send so many recent ones; ask for fewer with --lines\n"


async def test_a_relay_is_asked_for_what_it_can_filter(relay: StreamingRelay, tail: Callable[..., Tail]) -> None:
    wanted = ["--source", "laptop", "--type", "tool", "--project", "shop", "--session", "3f0c", "--tool", "Read"]
    running = tail("--json", "--relay", relay.url, *wanted)
    await relay.watched(1)
    others = [tool(1, payload={"tool": "Bash"}), tool(2, payload={"sessionId": SESSION.replace("3", "4")})]
    await relay.hold(*map(wire, others), wire(tool(3)))
    await until(lambda: running.lines)
    assert [json.loads(line)["id"] for line in running.lines] == [tool(3)["id"]]
    filters = {"source": "laptop", "type": "tool", "project": "shop", "session": "3f0c", "tool": "Read"}
    assert relay.asked[0][0] == filters | {"last": "10"}


async def test_json_of_a_relay_is_what_the_relay_holds(relay: StreamingRelay, tail: Callable[..., Tail]) -> None:
    events = [wire(tool(number)) for number in range(1, 40)]
    running = tail("--json", "--relay", relay.url)
    await relay.watched(1)
    await relay.hold(*events[:20])
    await until(lambda: len(running.lines) == 20)
    await relay.close()
    await relay.hold(*events[20:])
    await until(lambda: len(running.lines) == 39)
    assert running.out.splitlines(keepends=True) == frames(relay)
    assert running.end() == 0
    assert relay.asked[-1][0] == {"after": "20"}


@pytest.mark.parametrize("arguments", [[], ["--json"]], ids=["words", "json"])
async def test_what_a_relay_passes_on_cannot_command_the_terminal(
    relay: StreamingRelay, tail: Callable[..., Tail], arguments: list[str]
) -> None:
    nasty = "\x1b]0;owned\x07\x9b31m\u202egnp\u200b\r\n2026 fake line"
    with terminal() as (slave, said):
        running = tail("--relay", relay.url, *arguments, output=slave, NO_COLOR="1")
        await relay.watched(1)
        await relay.hold(wire(tool(1, source=f"s{nasty}", payload={"tool": nasty, "context": nasty, "project": nasty})))
        await until(lambda: "\n" in said())
        assert running.end() == 0
    assert said().count("\r\n") == 1
    assert not [letter for letter in said() if not letter.isprintable() and letter not in "\r\n"]


async def test_garbage_of_a_relay_is_passed_over(relay: StreamingRelay, tail: Callable[..., Tail]) -> None:
    running = tail("--relay", relay.url)
    await relay.watched(1)
    for garbage in (b"{", b"[]", b'{"id":1}', b'{"gap":{"after":3,"next":9}}'):
        await relay.send(garbage)
    await relay.hold(wire(tool(1)), first=9)
    await until(lambda: running.lines)
    assert len(running.lines) == 1
    assert b"A gap: the relay no longer has what came between 3 and 9." in running.err


async def test_a_token_that_is_refused_ends_it_and_is_not_shown(
    relay: StreamingRelay, world: World, tail: Callable[..., Tail]
) -> None:
    relay.answers.append(lambda: refusal(401, "invalid_token"))
    running = tail("--relay", relay.url)
    await until(lambda: running.process.poll() is not None)
    assert running.join() == 1
    assert b"set VIBETEA_SUBSCRIBER_TOKEN to one of its subscriber tokens" in running.err
    assert TOKEN not in (running.out + running.err).decode()


async def test_a_relay_that_is_away_is_waited_for(relay: StreamingRelay, tail: Callable[..., Tail]) -> None:
    await relay.stop()
    running = tail("--relay", relay.url)
    await until(lambda: b"No connection to the relay: " in running.err, lambda: f"{running.err!r}")
    await relay.start()
    await relay.watched(1)
    assert running.end() == 0


async def test_a_relay_that_answers_nothing_any_more_does_not_hinder_its_end(
    relay: StreamingRelay, tail: Callable[..., Tail]
) -> None:
    relay.silent = True
    running = tail("--relay", relay.url)
    await until(lambda: b"Connected" in running.err)
    assert running.end() == 0


async def test_a_reader_that_leaves_a_silent_relay_s_events_ends_it(
    relay: StreamingRelay, tail: Callable[..., Tail]
) -> None:
    out, into = os.pipe()
    running = tail("--relay", relay.url, output=into)
    os.close(into)
    await relay.watched(1)
    os.close(out)
    await until(lambda: running.process.poll() is not None)
    assert running.join() == 1
    assert running.err.decode() in {"", "Connected to the relay.\n"}


@pytest.mark.parametrize("address", ["http://relay.example", "https://relay.example?token=x"])
def test_an_address_that_would_give_the_token_away_is_refused(world: World, address: str) -> None:
    done = world.run("tail", "--relay", address)
    assert (done.returncode, done.stdout) == (78, b"")
