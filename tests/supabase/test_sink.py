"""The real daemon, the real functions, PostgREST and PostgreSQL 17: every event there exactly once, whatever fails."""

import base64
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from sqlite3 import connect as open_database
from threading import Event as Flag

import pytest
from tests.daemon.fault_proxy import FaultProxy, Verb, proxy
from tests.daemon.scripted_ingest import (
    BASE,
    WAITS,
    expect_begun,
    expect_settled,
    expect_why,
    name_supabase,
    recent,
    settled,
    status,
)
from tests.daemon.sending import fill, hooks, in_database
from tests.daemon.session import Session
from tests.daemon.world import World, wait_until
from tests.protocol.test_events import EXAMPLES, event
from tests.supabase.stack import Stack

from vibetea_daemon.config import Config
from vibetea_daemon.keys import registration

LOCK = "lock table public.events in exclusive mode"
"""What has been written can be read, but nothing more is written."""


@pytest.fixture
def machine(world: World, stack: Stack) -> World:
    """A machine the project knows, whose next daemon will send to it."""
    world.expected_log = [WAITS]
    world.env["VIBETEA_PRIVATE_KEY"] = base64.b64encode(stack.keys["laptop"]).decode()
    name_supabase(world, stack.functions)
    return world


@pytest.fixture
def way(machine: World, stack: Stack) -> Iterator[FaultProxy]:
    """What stands between the daemon and the project."""
    port = int(stack.functions.removesuffix(BASE).rpartition(":")[2])
    with proxy(port) as faulty:
        name_supabase(machine, f"http://localhost:{faulty.port}{BASE}")
        yield faulty


def stored(stack: Stack, source: str = "laptop") -> list[str]:
    return [row[0] for row in stack.query("select id from public.events where source = %s", source)]


def expect_each_once(world: World, stack: Stack) -> None:
    """Until all has been sent; then every event is there, and counted once in the hours too."""
    expect_settled(world)
    assert sorted(stored(stack)) == sorted(in_database(world))
    (counted,) = stack.query("select sum(event_count) from vibetea.hourly where source = 'laptop'")[0]
    assert counted == len(in_database(world))
    assert world.query("select * from _quarantine") == []


def test_events_of_every_type_arrive_as_they_are(machine: World, stack: Stack) -> None:
    session = Session()
    machine.write(session, session.prompt(), session.answer(), session.call("c1"), session.result("c1"))
    [now] = {one.timestamp for one in recent(1)}
    kinds = [event(kind, EXAMPLES[kind], id=f"evt_{n:020d}", timestamp=now) for n, kind in enumerate(EXAMPLES)]
    fill(machine, kinds)
    fill(machine, recent(2, source="desktop"))
    machine.start()
    hooks(machine, session, 20)
    wait_until(lambda: session.ids(machine.key()) <= machine.ids(), "the transcript was not read")
    expect_each_once(machine, stack)
    columns = "select id, source, {}, {}, payload from {} order by id"
    here = machine.query(columns.format("timestamp", "type", "events where source = 'laptop'"))
    moment = "to_char(timestamp at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
    there = stack.query(columns.format(moment, "event_type", "public.events"))
    assert len(here) > 35
    assert there == [(*row[:2], _to_the_millisecond(row[2]), row[3], json.loads(row[4])) for row in here]


def _to_the_millisecond(timestamp: str) -> str:
    return timestamp if "." in timestamp else timestamp.replace("Z", ".000Z")


def test_history_arrives_as_far_back_as_it_is_kept(machine: World, stack: Stack) -> None:
    """What the function would refuse is not sent, and what is sent it takes."""
    fill(machine, recent(3000, days=90.1) + recent(1200, first=3000, days=89.9) + recent(1000, first=5000))
    machine.start()
    expect_settled(machine)
    assert len(stored(stack)) == 2200
    assert machine.counters() == {"supabase_too_old": 3000}
    assert machine.query("select * from _quarantine") == []


def test_postgres_that_is_away_for_a_while(machine: World, stack: Stack) -> None:
    away_for(machine, stack, 0)


@pytest.mark.soak
def test_postgres_that_is_away_for_a_minute(machine: World, stack: Stack) -> None:
    away_for(machine, stack, 60)


def away_for(machine: World, stack: Stack, seconds: float) -> None:
    """1. Events. 2. Postgres is stopped. 3. More, among them a backlog. 4. It is there again. 5. More."""
    session = Session()
    machine.start()
    hooks(machine, session, 3)
    expect_each_once(machine, stack)
    stack.stop_postgres()
    try:
        hooks(machine, session, 3)
        fill(machine, recent(1500))
        expect_why(machine, "it failed (500 internal_error)")
        hooks(machine, session, 3)
        assert status(machine)["waiting"] == 1506
        Flag().wait(seconds)
    finally:
        stack.start_postgres()
    hooks(machine, session, 3)
    expect_each_once(machine, stack)
    assert status(machine)["why"] == ""


def test_machine_is_registered_and_revoked_without_a_deployment(machine: World, stack: Stack) -> None:
    """1. Unknown. 2. Its line is put into the table. 3. Its key is revoked. Result: refused, taken, refused."""
    machine.env |= {"VIBETEA_SOURCE_ID": "notebook"}
    del machine.env["VIBETEA_PRIVATE_KEY"]
    fill(machine, recent(3, source="notebook"))
    daemon = machine.start()
    expect_why(machine, "it does not accept this machine's signature (401 unknown_source)")
    daemon.stop()
    source, _, key = registration(Config.load(machine.env)).partition(":")
    stack.query("insert into vibetea.source_keys (source, public_key) values (%s, %s)", source, key)
    daemon = machine.start()
    expect_settled(machine)
    assert len(stored(stack, "notebook")) == 3
    stack.query("update vibetea.source_keys set revoked_at = now()")
    fill(machine, recent(3, first=3, source="notebook"))
    expect_why(machine, "401 unknown_source")
    assert len(stored(stack, "notebook")) == 3
    assert status(machine)["waiting"] == 3


def test_key_that_is_not_the_registered_one(machine: World, stack: Stack) -> None:
    del machine.env["VIBETEA_PRIVATE_KEY"]
    fill(machine, recent(3))
    machine.start()
    expect_why(machine, "(401 invalid_signature); it knows another key of this machine")
    assert stored(stack) == []


@pytest.mark.parametrize(("verb", "n"), [("reset", 0), ("reset", 100)])
def test_answer_that_is_cut_off(machine: World, stack: Stack, way: FaultProxy, verb: Verb, n: int) -> None:
    """The function has stored the events, but nobody knows: they are sent again and counted once."""
    way.set(verb, n)
    fill(machine, recent(1100))
    machine.start()
    expect_why(machine)
    assert way.harmed
    assert len(stored(stack)) >= 1000
    assert not settled(machine)
    way.set("pass")
    expect_each_once(machine, stack)


@pytest.mark.soak
def test_answer_that_takes_forty_seconds(machine: World, stack: Stack, way: FaultProxy) -> None:
    way.set("late", 40)
    fill(machine, recent(1100))
    machine.start()
    expect_why(machine, "it does not answer in time")
    assert len(stored(stack)) >= 1000
    Flag().wait(45)
    assert not settled(machine)
    way.set("pass")
    expect_each_once(machine, stack)


def test_killed_between_the_answer_and_the_cursor(machine: World, stack: Stack) -> None:
    """1. Postgres makes the function wait. 2. It no longer does, but nothing is written here. 3. SIGKILL."""
    fill(machine, recent(10))
    with stack.postgres.connect("project") as holder, holder.transaction():
        holder.execute(LOCK)
        daemon = machine.start()
        expect_begun(machine)
        waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        wait_until(lambda: stack.query(waits) == [(1,)], "the function never got there")
        here = open_database(machine.database, isolation_level=None)
        here.execute("begin immediate")
    with closing(here):
        wait_until(lambda: len(stored(stack)) == 10, "the function gave up")
        daemon.kill()
        here.execute("rollback")
    assert not settled(machine)
    machine.start()
    expect_each_once(machine, stack)


def test_project_for_trying_out(world: World) -> None:
    """As the guide has it: a project that knows this machine, the two lines it prints, and a daemon."""
    line = world.run("init").stdout.decode().strip()
    command = [sys.executable, "-m", "tests.supabase.serve", line]
    project = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert project.stdout
        told = [project.stdout.readline().split() for _ in range(3)]
        world.env |= dict(words[1].split("=", 1) for words in told if words[0] == "export")
        fill(world, recent(3))
        daemon = world.start()
        expect_begun(world)
        daemon.stop()
        assert settled(world)
    finally:
        project.send_signal(signal.SIGINT)
        assert project.communicate(timeout=30) == ("", None)
    assert project.returncode == 0
