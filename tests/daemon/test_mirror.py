"""`vibetea mirror`: a relay's stream in a folder of its own, whatever happens on the way."""

import asyncio
import json
import os
import pty
import re
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.daemon.session import Session, tool_hook
from tests.daemon.streaming_relay import SESSION, TOKEN, StreamingRelay, refusal, streaming_relay, tool, until, wire
from tests.daemon.world import World
from tests.tools.forked import begun

from vibetea_daemon.commands.mirror import admitted


@pytest.fixture
async def relay(world: World) -> AsyncIterator[StreamingRelay]:
    world.env["VIBETEA_SUBSCRIBER_TOKEN"] = TOKEN
    async with streaming_relay(token=TOKEN) as relay:
        yield relay


class Mirror:
    """A running `vibetea mirror` and what it says."""

    def __init__(self, world: World, relay: StreamingRelay, stderr: int | None = None) -> None:
        self.path = world.root / f"mirror-{len(list(world.root.glob('mirror-*')))}.log"
        with self.path.open("wb") as file:
            streams = {"output": file.fileno(), "errors": stderr}
            self.process = begun("mirror", "--relay", relay.url, environment=world.env, **streams)

    @property
    def said(self) -> str:
        return self.path.read_text()

    async def says(self, words: str) -> None:
        await until(lambda: words in self.said, lambda: f"{words!r} not in {self.said!r}")

    async def end(self, number: int = signal.SIGTERM, expect: int = 0) -> None:
        self.process.send_signal(number)
        await self.ended(expect)

    async def ended(self, expect: int = 0) -> None:
        await until(lambda: self.process.poll() is not None)
        assert self.process.returncode == expect, self.said
        assert "Traceback" not in self.said


@contextmanager
def mirroring(world: World, relay: StreamingRelay, **options: Any) -> Iterator[Mirror]:
    mirror = Mirror(world, relay, **options)
    try:
        yield mirror
    finally:
        mirror.process.kill()
        mirror.process.wait()


def ids(world: World) -> list[str]:
    """In their order; none while there is no database."""
    try:
        return [row[0] for row in world.query("select id from events order by seq")]
    except sqlite3.OperationalError:
        return []


async def holds(world: World, *numbers: int) -> None:
    """Wait until the database holds these events, in this order; the derived tables must fit."""
    wanted = [tool(number)["id"] for number in numbers]
    await until(lambda: ids(world) == wanted, lambda: f"{ids(world)[:20]} … {len(ids(world))}")
    world.check_derived()


def events(*numbers: int, **changes: Any) -> list[bytes]:
    return [wire(tool(number, **changes)) for number in numbers]


async def test_the_stream_is_in_the_database_as_the_daemon_would_write_it(world: World, relay: StreamingRelay) -> None:
    await relay.hold(*events(1), *events(2, source="desktop"))
    with mirroring(world, relay) as mirror:
        await relay.watched(1)
        await relay.hold(*events(3))
        await holds(world, 1, 2, 3)
        await mirror.end()
        assert mirror.said.splitlines() == ["Connected to the relay.", "Mirrored 3 new events."]
    assert relay.asked == [({"after": "0"}, f"Bearer {TOKEN}")]
    stored = world.query("select payload from events order by seq")
    assert stored == [(json.dumps(json.loads(event)["payload"], separators=(",", ":")),) for _, event in relay.entries]
    row = world.query("select source, type, session_id, project, tool, status, privacy from events limit 1")
    assert row == [("laptop", "tool", SESSION, "shop", "Read", "started", None)]
    assert world.query("select events, project from sessions") == [(3, "shop")]
    assert world.query("select source, n from activity order by 1") == [("desktop", 1), ("laptop", 2)]


async def test_it_goes_on_where_it_was(world: World, relay: StreamingRelay) -> None:
    """However it ended."""
    for turn, how in enumerate((signal.SIGTERM, signal.SIGINT, signal.SIGKILL)):
        await relay.hold(*events(2 * turn + 1, 2 * turn + 2))
        with mirroring(world, relay) as mirror:
            await holds(world, *range(1, 2 * turn + 3))
            await mirror.end(how, expect=-9 if how == signal.SIGKILL else 0)
        assert relay.asked[-1][0] == {"after": str(2 * turn)}
    with mirroring(world, relay) as mirror:
        await relay.watched(4)
        await mirror.end()
    assert relay.asked[-1][0] == {"after": "6"}


async def test_killed_again_and_again_it_has_everything_once(world: World, relay: StreamingRelay) -> None:
    many = range(1, 4001)
    relay.entries = list(enumerate(events(*many), 1))
    seen = 0
    while seen < len(many):
        with mirroring(world, relay) as mirror:
            await until(lambda seen=seen: len(ids(world)) > seen, lambda mirror=mirror: mirror.said)
            await mirror.end(signal.SIGKILL, expect=-9)
        seen = len(ids(world))
    await holds(world, *many)


async def test_what_came_twice_is_there_once(world: World, relay: StreamingRelay) -> None:
    await relay.hold(*events(1, 2), *events(1), *events(3))
    with mirroring(world, relay) as mirror:
        await holds(world, 1, 2, 3)
        await mirror.end()
        assert "Mirrored 3 new events." in mirror.said


async def test_a_relay_that_restarts_is_followed(world: World, relay: StreamingRelay) -> None:
    with mirroring(world, relay) as mirror:
        await relay.watched(1)
        await relay.hold(*events(1))
        await holds(world, 1)
        await relay.stop()
        await mirror.says("No connection to the relay")
        relay.entries += [(2, events(2)[0])]
        await relay.start()
        await holds(world, 1, 2)
        await mirror.end()
    assert relay.asked[-1][0] == {"after": "1"}


async def test_a_gap_is_reported_and_counted_and_passed_for_good(world: World, relay: StreamingRelay) -> None:
    with mirroring(world, relay) as mirror:
        await relay.watched(1)
        await relay.send(b'{"gap":{"after":0,"next":40}}')
        await until(lambda: world.database.exists() and world.counters().get("mirror_gap") == 1)
        await mirror.says("A gap: the relay no longer has what came between 0 and 40.")
        await mirror.end()
    with mirroring(world, relay) as mirror:
        await relay.watched(2)
        await mirror.end()
    assert relay.asked[-1][0] == {"after": "39"}


REFUSED = {
    "free text": tool(1, payload={"context": "my secret plan.txt"}),
    "a terminal's command": tool(1, payload={"tool": "\x1b[31m"}),
    "a formula": tool(1, payload={"project": "=HYPERLINK(1)"}),
    "an address": tool(1, payload={"project": "http://x"}),
    "markup": tool(1, source="<b>x</b>"),
    "a source of another form": tool(1, source="a b"),
    "prose of a model": tool(
        1, type="agent_spawn", payload={"agentType": "x", "description": "look", "timestamp": "2026-02-03T14:30:00Z"}
    ),
    "a tool with too long a name": tool(1, payload={"tool": "x" * 65}),
    "a number below nothing": tool(1, payload={"durationMs": -1}),
    "a day that never was": tool(1, timestamp="2026-02-31T14:30:00Z"),
    "a second that SQLite has not": tool(1, timestamp="2016-12-31T23:59:60Z"),
    "digits of another script": tool(1, timestamp="٢٠٢٦-02-03T14:30:00Z"),
    "an unknown type": tool(1, type="keystroke"),
    "another id": tool(1, id="evt_1"),
}


@pytest.mark.parametrize("event", REFUSED.values(), ids=REFUSED)
def test_what_the_closed_model_refuses_is_left_out(event: dict[str, Any]) -> None:
    assert admitted(wire(event)) is None
    assert admitted(wire(tool(1))) is not None


SCALARS = st.none() | st.booleans() | st.integers() | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_frame_is_too_strange(frame: bytes) -> None:
    assert admitted(frame) is None


async def test_what_is_refused_is_counted_and_never_asked_for_again(world: World, relay: StreamingRelay) -> None:
    await relay.hold(*map(wire, REFUSED.values()), *events(50))
    with mirroring(world, relay) as mirror:
        await relay.watched(1)
        await relay.send(b"{")
        await holds(world, 50)
        await until(lambda: world.counters() == {"mirror_refused": len(REFUSED) + 1}, lambda: f"{world.counters()}")
        await mirror.end()
    with mirroring(world, relay) as mirror:
        await relay.watched(2)
        await mirror.end()
    assert relay.asked[-1][0] == {"after": str(len(REFUSED) + 1)}
    assert "secret" not in mirror.said
    assert not [row for row in world.query("select * from events") if "secret" in str(row)]


async def test_an_old_monitor_s_event_is_taken(world: World, relay: StreamingRelay) -> None:
    old = tool(1, payload={"type": "tool", "sessionId": f"{{{SESSION.upper()}}}", "context": None, "mood": "good"})
    await relay.hold(wire(old))
    with mirroring(world, relay) as mirror:
        await holds(world, 1)
        await mirror.end()
    assert world.query("select session_id from events") == [(SESSION,)]
    assert "mood" not in world.query("select payload from events")[0][0]


async def test_an_old_relay_that_counts_nothing_is_mirrored(world: World, relay: StreamingRelay) -> None:
    with mirroring(world, relay) as mirror:
        await relay.watched(1)
        await relay.send(events(1)[0])
        await holds(world, 1)
        await mirror.end()


async def test_a_daemon_may_work_in_the_same_folder(world: World, relay: StreamingRelay) -> None:
    session = Session()
    world.start()
    with mirroring(world, relay) as mirror:
        await relay.watched(1)
        for number in range(1, 30):
            await relay.hold(*events(number, source="desktop"))
            await asyncio.to_thread(world.hook, tool_hook(session, f"t{number}"))
        await until(lambda: len(ids(world)) == 58)
        status = json.loads(world.run("status", "--json").stdout)
        assert (status["running"], status["mirroring"]) == (True, True)
        said = world.run("status").stdout.decode()
        assert re.search(r"^daemon +running, .*^mirror +running, of http", said, re.MULTILINE | re.DOTALL)
        await mirror.end()
    assert world.query("select source, count(*) from events group by 1 order by 1") == [("desktop", 29), ("laptop", 29)]
    world.check_derived()


async def test_status_of_a_folder_that_only_a_mirror_fills(world: World, relay: StreamingRelay) -> None:
    await relay.hold(*events(1, 2))
    with mirroring(world, relay) as mirror:
        await holds(world, 1, 2)
        await relay.send(b'{"gap":{"after":2,"next":41}}')
        await until(lambda: world.counters() == {"mirror_gap": 1})
        for ended in (False, True):
            if ended:
                await mirror.end()
            done, as_json = world.run("status"), world.run("status", "--json")
            assert done.returncode == as_json.returncode == int(ended)
            told = json.loads(as_json.stdout)
            assert (told["running"], told["mirroring"]) == (False, not ended)
            assert datetime.fromisoformat(told["mirror"].pop("heard")) > datetime.now(UTC) - timedelta(minutes=5)
            last = json.loads(relay.entries[-1][1])["timestamp"]
            of_it = {"relay": relay.url, "seq": 40, "gaps": 1, "last_event": last, "why": "", "since": None}
            assert told["mirror"] == of_it
            said = done.stdout.decode()
            assert re.match(rf"mirror +{'not ' * ended}running, of {relay.url}; through seq 40 .*; 1 gap\n", said)
            for word in ("daemon", "hooks", "dropped", TOKEN):
                assert word not in said


async def test_status_tells_a_relay_that_is_away(world: World, relay: StreamingRelay) -> None:
    def mirrored() -> dict[str, Any]:
        return dict(json.loads(world.run("status", "--json").stdout)["mirror"])

    await relay.hold(*events(1))
    with mirroring(world, relay) as mirror:
        await holds(world, 1)
        heard = mirrored()["heard"]
        await relay.stop()
        await mirror.says("No connection to the relay")
        await until(lambda: mirrored()["why"] != "")
        since = mirrored()["since"]
        said = world.run("status").stdout.decode()
        assert re.search(r"; no connection since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d: \w", said)
        await relay.start()
        await until(lambda: mirrored()["why"] == "")
        assert heard <= since <= mirrored()["heard"]
        await mirror.end()


async def test_doctor_of_a_folder_that_only_a_mirror_fills(world: World, relay: StreamingRelay) -> None:
    await relay.hold(*events(1))
    with mirroring(world, relay) as mirror:
        await holds(world, 1)
        done = world.run("doctor")
        assert (done.returncode, done.stdout) == (0, b"fine   mirror\nfine   database\n")
        await relay.stop()
        await until(lambda: world.status()["mirror"]["why"] != "")
        done = world.run("doctor")
        assert done.returncode == 1
        assert done.stdout.decode().startswith(f"wrong  mirror\n       no connection to {relay.url}: ")
        await mirror.end()
    done = world.run("doctor")
    assert f"not running; start it with `vibetea mirror --relay {relay.url}`" in done.stdout.decode()


async def test_a_daemon_that_starts_leaves_the_mirror_s_status(world: World, relay: StreamingRelay) -> None:
    await relay.hold(*events(1, source="desktop"))
    with mirroring(world, relay) as mirror:
        await holds(world, 1)
        await mirror.end()
    world.start()
    said = world.run("status").stdout.decode()
    assert re.search(r"^daemon +running, ", said)
    assert re.search(rf"^mirror +not running, of {relay.url}; through seq 1 of its stream", said, re.MULTILINE)


async def test_audit_leaves_out_what_was_mirrored(world: World, relay: StreamingRelay) -> None:
    await relay.hold(*events(1, 2, source="desktop"), *events(3), *events(4, 5, source="desktop"))
    with mirroring(world, relay) as mirror:
        await holds(world, 1, 2, 3, 4, 5)
        await mirror.end()
    done = world.run("audit", "-n", "1")
    assert json.loads(done.stdout) == json.loads(relay.entries[2][1])
    assert done.stderr.decode() == "4 events of other machines, mirrored here and never sent\n"


async def test_a_second_mirror_is_refused(world: World, relay: StreamingRelay) -> None:
    with mirroring(world, relay) as mirror:
        await relay.watched(1)
        done = await asyncio.to_thread(world.run, "mirror", "--relay", relay.url)
        assert done.returncode == 1
        assert b"writes into this folder already" in done.stderr
        await mirror.end()


async def test_another_relay_s_stream_is_begun_at_its_beginning(world: World, relay: StreamingRelay) -> None:
    await relay.hold(*events(1, 2))
    with mirroring(world, relay) as mirror:
        await holds(world, 1, 2)
        await mirror.end()
    async with streaming_relay(token=TOKEN) as other:
        await other.hold(*events(3))
        with mirroring(world, other) as mirror:
            await holds(world, 1, 2, 3)
            await mirror.end()
        assert other.asked[0][0] == {"after": "0"}


async def test_a_long_reader_does_not_hinder_it(world: World, relay: StreamingRelay) -> None:
    await relay.hold(*events(1))
    with mirroring(world, relay) as mirror:
        await holds(world, 1)
        with closing(sqlite3.connect(world.database, isolation_level=None)) as reader:
            reader.execute("begin")
            reader.execute("select * from events").fetchone()
            await relay.hold(*events(2))
            await holds(world, 1, 2)
            assert reader.execute("select count(*) from events").fetchone() == (1,)
        await mirror.end()


async def test_a_lock_is_waited_for_and_nothing_is_lost(world: World, relay: StreamingRelay) -> None:
    await relay.hold(*events(1))
    with mirroring(world, relay) as mirror:
        await holds(world, 1)
        with closing(sqlite3.connect(world.database, isolation_level=None)) as other:
            other.execute("begin immediate")
            await relay.hold(*events(2, 3))
            await mirror.says("Nothing can be written now (database is locked); trying on.")
            await relay.hold(*events(4))
            other.execute("rollback")
        await holds(world, 1, 2, 3, 4)
        await mirror.end()


async def test_a_database_that_is_taken_away_is_begun_anew(world: World, relay: StreamingRelay) -> None:
    await relay.hold(*events(1, 2))
    with mirroring(world, relay) as mirror:
        await holds(world, 1, 2)
        for file in world.state.glob("vibetea.db*"):
            file.unlink()
        await mirror.says("beginning a new one")
        await holds(world, 1, 2)
        await relay.hold(*events(3))
        await holds(world, 1, 2, 3)
        await mirror.end()


async def test_a_damaged_database_is_told(world: World, relay: StreamingRelay) -> None:
    world.run("init")
    Path(world.database).write_bytes(b"no database" * 1000)
    done = await asyncio.to_thread(world.run, "mirror", "--relay", relay.url)
    assert done.returncode == 1
    assert b"is damaged" in done.stderr
    world.database.unlink()


async def test_a_token_that_is_refused_ends_it_and_is_not_shown(world: World, relay: StreamingRelay) -> None:
    relay.answers.append(lambda: refusal(401, "invalid_token"))
    with mirroring(world, relay) as mirror:
        await mirror.ended(expect=1)
        assert "set VIBETEA_SUBSCRIBER_TOKEN to one of its subscriber tokens" in mirror.said
        assert TOKEN not in mirror.said
    assert TOKEN.encode() not in world.database.read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_while_the_relay_is_away(world: World, relay: StreamingRelay, number: int) -> None:
    await relay.stop()
    with mirroring(world, relay) as mirror:
        await mirror.says("No connection to the relay")
        await mirror.end(number)


async def test_a_terminal_sees_the_count_grow(world: World, relay: StreamingRelay) -> None:
    master, slave = pty.openpty()
    await relay.hold(*events(1, 2))
    with mirroring(world, relay, stderr=slave) as mirror:
        os.close(slave)
        await holds(world, 1, 2)
        await mirror.end()
    said = os.read(master, 65536).decode()
    os.close(master)
    assert "2 new events" in said
    assert said.endswith("\r\x1b[KMirrored 2 new events.\r\n")


async def test_only_its_owner_can_read_what_it_makes(world: World, relay: StreamingRelay) -> None:
    with mirroring(world, relay) as mirror:
        await relay.watched(1)
        await mirror.end()
    modes = {file.name: file.stat().st_mode & 0o777 for file in world.state.iterdir()}
    assert modes["vibetea.db"] == modes["mirror.lock"] == 0o600
