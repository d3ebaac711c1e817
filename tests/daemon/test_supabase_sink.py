"""The Supabase sink: every event once, signed, each interval or when enough wait; what `status` and `doctor` say."""

import json
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from sqlite3 import connect as open_database

import pytest
from tests.daemon.scripted_ingest import (
    BASE,
    WAITS,
    ScriptedIngest,
    expect_begun,
    expect_settled,
    expect_why,
    recent,
    scripted_ingest,
    settled,
    sizes,
    status,
)
from tests.daemon.scripted_relay import Answer, ScriptedRelay, code
from tests.daemon.sending import WAITS as RELAY_WAITS
from tests.daemon.sending import expect_all, fill, hooks, in_database, scripted_relay
from tests.daemon.sending import expect_settled as expect_relay_settled
from tests.daemon.session import Session, tool_hook
from tests.daemon.shims import Clock
from tests.daemon.world import World, wait_until

from vibetea_daemon.config import Config, ConfigError

HOURLY = 3600
DAY = 86_400


@pytest.fixture
def ingest(world: World) -> Iterator[ScriptedIngest]:
    with scripted_ingest(world) as ingest:
        yield ingest


@pytest.fixture
def hourly(world: World) -> Iterator[ScriptedIngest]:
    """A function that is sent to each hour: by itself it will be sent nothing."""
    with scripted_ingest(world, HOURLY) as ingest:
        yield ingest


@pytest.fixture
def relay(world: World) -> Iterator[ScriptedRelay]:
    with scripted_relay(world) as relay:
        yield relay


def test_every_event_arrives_as_the_bytes_audit_shows(world: World, ingest: ScriptedIngest) -> None:
    """In a shell of other settings, too: the daemon sends, not the shell."""
    session = Session()
    world.write(session, session.prompt(), session.answer(), session.call("c1"), session.result("c1"))
    world.start()
    hooks(world, session, 5)
    world.expect(session)
    expect_settled(world)
    del world.env["VIBETEA_SUPABASE_URL"]
    world.env |= {"VIBETEA_SOURCE_ID": "another", "VIBETEA_PRIVACY": "strict"}
    audited = world.run("audit", "-n", "1000").stdout.splitlines()
    sent = [one for request in ingest.requests for one in json.loads(request.body)]
    assert sorted(json.dumps(one, separators=(",", ":")).encode() for one in sent) == sorted(audited)
    assert all(one["type"] == one["eventType"] for one in sent)
    assert ingest.duplicates == 0
    assert set(ingest.ids) == set(in_database(world))


def test_audit_shows_what_each_server_is_sent(world: World, relay: ScriptedRelay, ingest: ScriptedIngest) -> None:
    """Beside it an event that Supabase no longer takes, and a transcript's line that is as old."""
    fill(world, recent(1, first=1, days=89.99) + recent(1))
    done = world.run("audit")
    old, to_relay, to_supabase = (line.partition(": ") for line in done.stdout.decode().splitlines())
    assert [old[0], to_relay[0], to_supabase[0]] == ["relay", "relay", "supabase"]
    assert json.loads(to_supabase[2]) == json.loads(to_relay[2]) | {"eventType": "tool"}
    assert done.stderr.decode() == "1 event left out for supabase: it keeps 90 days (VIBETEA_RETENTION_DAYS)\n"
    explained = world.run("audit", "--explain", "-", given=Session().prompt()).stdout.decode().splitlines()
    leaves = [line.partition(": ") for line in explained if line.startswith("leaves")]
    assert [line[0] for line in leaves] == ["leaves for relay", "leaves for supabase"] * 2
    pairs = zip(leaves[::2], leaves[1::2], strict=True)
    for here, there in ((json.loads(one[2]), json.loads(other[2])) for one, other in pairs):
        assert here | {"eventType": here["type"]} == there
    line = Session().prompt(timestamp="2020-01-01T00:00:00.000Z")
    explained = world.run("audit", "--explain", "-", given=line).stdout.decode().splitlines()
    assert explained.count("too old for supabase") == 2


def test_audit_explains_by_the_daemon_and_what_would_leave_if_it_sends_nowhere(world: World) -> None:
    world.env |= {"VIBETEA_BASENAME_ALLOWLIST": "py"}
    world.start()
    world.env |= {"VIBETEA_SUPABASE_URL": "https://server.example", "VIBETEA_PRIVACY": "strict"}
    del world.env["VIBETEA_BASENAME_ALLOWLIST"]
    raw = json.dumps(tool_hook(Session(), "t1", "Read") | {"tool_input": {"file_path": "/home/dev/shop/a.ts"}}).encode()
    leaves = world.run("audit", "--explain", "-", given=raw).stdout.decode().splitlines()[0]
    event = json.loads(leaves.partition(": ")[2])
    assert event["eventType"] == "tool"
    assert event["payload"]["project"] == "shop"
    assert "context" not in event["payload"]


def test_events_are_gathered_until_there_are_enough_and_the_rest_leaves_at_the_end(
    world: World, relay: ScriptedRelay, hourly: ScriptedIngest
) -> None:
    """1. A few events. 2. A thousand. 3. A few. 4. The daemon ends. Result: none, a thousand, and the rest."""
    daemon = world.start()
    hooks(world, Session(), 5)
    expect_relay_settled(world)
    assert hourly.requests == []
    assert status(world)["waiting"] == 5
    fill(world, recent(998))
    wait_until(lambda: sizes(hourly) == [1000], lambda: str(sizes(hourly)))
    fill(world, recent(4, first=998))
    expect_relay_settled(world)
    daemon.stop()
    assert sum(sizes(hourly)) == 1007
    assert settled(world)
    assert hourly.duplicates == 0
    assert set(hourly.ids) == set(in_database(world))


def test_rows_of_other_machines_fill_no_request(world: World, hourly: ScriptedIngest) -> None:
    """1. Thousands of a mirror's rows with 999 of ours among them. 2. One more. Result: a full request."""
    mirrored, ours = iter(recent(3000, source="desktop")), recent(999)
    daemon = world.start()
    expect_begun(world)
    fill(world, [one for own in ours[:998] for one in (*islice(mirrored, 3), own)])
    hooks(world, Session(), 1)
    assert hourly.requests == []
    fill(world, [*mirrored, ours[998]])
    wait_until(lambda: sizes(hourly) == [1000], lambda: str(sizes(hourly)))
    daemon.stop()
    assert sizes(hourly) == [1000]
    assert settled(world)
    assert hourly.ids == in_database(world)
    assert world.counters() == {"supabase_other_source": 3000}


def test_batches_have_an_interval_between_them(world: World) -> None:
    with scripted_ingest(world, 2) as ingest:
        world.start()
        hooks(world, Session(), 3)
        wait_until(lambda: len(ingest.requests) >= 1, lambda: str(sizes(ingest)))
        hooks(world, Session(), 3)
        wait_until(lambda: len(ingest.requests) >= 2, lambda: str(sizes(ingest)))
        first, second = ingest.requests
        assert second.at - first.at >= 1.5


def test_backlog_leaves_in_requests_of_a_thousand(world: World, ingest: ScriptedIngest) -> None:
    world.env["VIBETEA_BUFFER_SIZE"] = "100000"
    fill(world, recent(2500))
    world.start()
    expect_settled(world)
    assert sizes(ingest) == [1000, 1000, 500]
    assert ingest.ids == in_database(world)
    assert max(len(request.body) for request in ingest.requests) < 2**20


def test_events_that_supabase_no_longer_takes_are_left_out_and_told(world: World, ingest: ScriptedIngest) -> None:
    """A long history costs one request, for the server's clock; what will be too old before long is left out, too."""
    world.env["VIBETEA_RETENTION_DAYS"] = "10"
    fill(world, recent(3000, days=10.1) + recent(2, first=3000, days=9.99) + recent(3, first=4000, days=9.9))
    fill(world, recent(5, source="desktop"))
    world.start()
    expect_settled(world)
    assert ingest.ids == [one.id for one in recent(3, first=4000)]
    assert sizes(ingest) == [0, 3]
    assert world.counters() == {"supabase_too_old": 3002, "supabase_other_source": 5}
    shown = world.run("status").stdout.decode()
    assert "not sent     3002 supabase_too_old, 5 supabase_other_source\n" in shown
    assert "dropped" not in shown


def test_clock_that_is_months_ahead_leaves_nothing_out(world: World, ingest: ScriptedIngest) -> None:
    clock = Clock(world.root / "clock")
    clock.jump(100 * DAY)
    fill(world, recent(50))
    world.start(env=clock.env)
    expect_settled(world)
    assert ingest.ids == in_database(world)
    assert world.counters() == {}


# each server has a cursor of its own


def test_relay_is_unaffected_by_anything_supabase_does(
    world: World, relay: ScriptedRelay, ingest: ScriptedIngest
) -> None:
    """1. Supabase fails, then does not answer at all. 2. Hooks. 3. It is well again. Result: live there, all here."""
    world.expected_log = [WAITS]
    world.env["VIBETEA_SUPABASE_RETRY_LIMIT"] = "1"
    go = threading.Event()
    session = Session()
    ingest.script = [Answer(500, b""), Answer(200, wait=lambda: go.wait(30))]
    fill(world, recent(1500))
    world.start()
    wait_until(lambda: len(ingest.requests) == 2, lambda: str(ingest.verdicts))
    hooks(world, session, 20)
    expect_all(world, relay)
    expect_relay_settled(world)
    assert status(world)["waiting"] == 1520
    go.set()
    expect_settled(world)
    assert set(ingest.ids) == set(relay.ids) == set(in_database(world))
    assert relay.duplicates == ingest.duplicates == 0


def test_supabase_is_unaffected_by_anything_the_relay_does(
    world: World, relay: ScriptedRelay, ingest: ScriptedIngest
) -> None:
    world.expected_log = [RELAY_WAITS]
    relay.rule = lambda _: code(401, "invalid_signature")
    fill(world, recent(50))
    world.start()
    expect_settled(world)
    assert ingest.ids == in_database(world)
    assert relay.ids == []


# the end


def test_killed_between_the_answer_and_the_cursor(world: World, ingest: ScriptedIngest) -> None:
    """1. The function says yes while nothing can be written. 2. SIGKILL. Result: sent again, and it is the same."""
    blocked = threading.Event()
    ingest.script = [Answer(200, wait=lambda: blocked.wait(20))]
    fill(world, recent(10))
    daemon = world.start()
    wait_until(lambda: len(ingest.ids) == 10, "not sent")
    with closing(open_database(world.database, isolation_level=None)) as other:
        other.execute("begin immediate")
        blocked.set()
        daemon.kill()
        other.execute("rollback")
    assert not settled(world)
    world.start()
    expect_settled(world)
    assert ingest.duplicates == 10
    assert ingest.ids == in_database(world)


def test_last_flush_that_takes_too_long_is_left_for_the_next_start(world: World, hourly: ScriptedIngest) -> None:
    go = threading.Event()
    hourly.script = [Answer(200, wait=lambda: go.wait(30))]
    daemon = world.start()
    expect_begun(world)
    hooks(world, Session(), 3)
    daemon.stop()  # while the answer is still to come
    go.set()
    assert "does not end" not in daemon.text
    assert daemon.text.rstrip().endswith("stopped")
    assert not settled(world)
    assert sizes(hourly) == [3]
    daemon = world.start()
    expect_begun(world)
    daemon.stop()
    assert settled(world)
    assert set(hourly.ids) == set(in_database(world))


def test_last_flush_is_tried_once(world: World, hourly: ScriptedIngest) -> None:
    world.expected_log = [WAITS]
    hourly.rule = lambda _: Answer(500, b"")
    daemon = world.start()
    expect_begun(world)
    hooks(world, Session(), 3)
    daemon.stop()
    assert hourly.verdicts == [500]
    assert not settled(world)


def test_flush_follows_a_request_under_way(world: World, ingest: ScriptedIngest) -> None:
    """1. A request is held. 2. More events. 3. SIGTERM. 4. It is answered. Result: both have arrived."""
    go = threading.Event()
    ingest.script = [Answer(200, wait=lambda: go.wait(20))]
    daemon = world.start()
    hooks(world, Session(), 1)
    wait_until(lambda: len(ingest.requests) == 1, "nothing was sent")
    hooks(world, Session(), 4)
    daemon.popen.send_signal(signal.SIGTERM)
    wait_until(lambda: not (world.state / "vibetea.sock").exists(), "does not end")
    go.set()
    assert daemon.popen.wait(15) == 0
    assert sizes(ingest) == [1, 4]
    assert settled(world)


# what is told


def test_status_and_doctor_tell_what_waits_and_why(world: World, ingest: ScriptedIngest) -> None:
    world.expected_log = [WAITS]
    ingest.rule = lambda _: Answer(503, b"")
    world.start()
    expect_begun(world)
    assert f"supabase     {ingest.url}{BASE}: nothing sent yet\n" in world.run("status").stdout.decode()
    hooks(world, Session(), 2)
    expect_why(world, "it asks us to wait (503)")
    assert f"supabase     {ingest.url}{BASE}: 2 events waiting, the oldest of 20" in world.run("status").stdout.decode()
    assert f"wrong  supabase\n       {ingest.url}{BASE}: it asks us" in world.run("doctor").stdout.decode()
    ingest.rule = lambda _: None
    expect_settled(world)
    assert "all sent; last accepted at 20" in world.run("status").stdout.decode()
    assert "fine   supabase" in world.run("doctor").stdout.decode()


def test_what_was_told_twice_waits_once(world: World, hourly: ScriptedIngest) -> None:
    """And a shell that names another function than the daemon's is told so."""
    world.start()
    expect_begun(world)
    for several in (recent(2), recent(2), recent(3)):  # each leaves a gap in the order
        fill(world, several)
    assert status(world)["waiting"] == 3
    world.env["VIBETEA_SUPABASE_URL"] = "https://team.example"
    assert f"and the daemon sends to {hourly.url}{BASE}: restart it" in world.run("doctor").stdout.decode()


def test_doctor_tells_of_a_machine_without_a_key_and_of_a_daemon_that_does_not_know_it(world: World) -> None:
    world.start()
    world.env["VIBETEA_SUPABASE_URL"] = "https://team.example/functions/v1"
    assert "wrong  supabase\n       there is no signing key yet" in world.run("doctor").stdout.decode()
    world.run("init")
    told = "VIBETEA_SUPABASE_URL is https://team.example/functions/v1, and the daemon sends nothing to it"
    assert told in world.run("doctor").stdout.decode()
    assert told in world.run("status").stderr.decode()


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("VIBETEA_SUPABASE_URL", "http://team.example", "must begin with https://"),
        ("VIBETEA_SUPABASE_BATCH_INTERVAL_SECS", "0", "a whole number from 1 to 3600"),
        ("VIBETEA_SUPABASE_BATCH_INTERVAL_SECS", "3601", "a whole number from 1 to 3600"),
        ("VIBETEA_SUPABASE_RETRY_LIMIT", "11", "a whole number from 1 to 10"),
        ("VIBETEA_SUPABASE_RETRY_LIMIT", "two", "a whole number from 1 to 10"),
        ("VIBETEA_RETENTION_DAYS", "0", "a whole number from 1 to 99999"),
    ],
)
def test_setting_that_cannot_be_used_is_refused(world: World, variable: str, value: str, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)) as refused:
        Config.load(world.env | {variable: value})
    assert str(refused.value).startswith(f"{variable} ")


def test_settings_have_their_defaults(world: World) -> None:
    config = Config.load(world.env)
    assert (config.supabase_batch_interval, config.supabase_retry_limit, config.retention_days) == (60, 3, 90)
    (world.state / "config.toml").write_text("supabase_batch_interval_secs = 5\nretention_days = 99999\n")
    config = Config.load(world.env)
    assert (config.supabase_batch_interval, config.retention_days) == (5, 99_999)
