"""The relay sink: every event once, in order, signed, whatever waits; and what `status` and `doctor` say of it."""

import json
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import connect as open_database

import pytest
from tests.daemon.scripted_relay import Answer, ScriptedRelay, code, in_order, serve
from tests.daemon.sending import (
    WAITS,
    expect_all,
    expect_settled,
    expect_why,
    fill,
    hooks,
    in_database,
    numbered,
    scripted_relay,
    settled,
    status,
)
from tests.daemon.session import Session
from tests.daemon.world import Process, World, wait_until

from vibetea_daemon.config import Config, ConfigError
from vibetea_protocol.ids import keyed_hash


@pytest.fixture
def relay(world: World) -> Iterator[ScriptedRelay]:
    with scripted_relay(world) as relay:
        yield relay


def test_every_event_arrives_as_the_bytes_audit_shows(world: World, relay: ScriptedRelay) -> None:
    session = Session()
    world.write(session, session.prompt(), session.answer(), session.call("c1"), session.result("c1"))
    world.start()
    hooks(world, session, 5)
    world.expect(session)
    expect_all(world, relay)
    audited = world.run("audit", "-n", "1000").stdout.splitlines()
    sent = [part for request in relay.requests for part in _events(request.body)]
    assert sorted(sent) == sorted(audited)
    assert relay.duplicates == 0
    assert in_order(relay.ids, in_database(world))


def _events(body: bytes) -> list[bytes]:
    """An array's elements as they stand in it."""
    found = [json.dumps(one, separators=(",", ":")).encode() for one in json.loads(body)]
    assert b"[" + b",".join(found) + b"]" == body
    return found


def test_what_was_there_before_arrives_first_and_in_order(world: World, relay: ScriptedRelay) -> None:
    fill(world, numbered(2500))
    world.start()
    expect_all(world, relay)
    assert relay.ids == in_database(world)
    assert [len(request.ids) for request in relay.requests] == [1000, 1000, 500]


def test_what_another_process_wrote_arrives_too(world: World, relay: ScriptedRelay) -> None:
    world.start()
    wait_until(lambda: "sink_relay" in world.status(), "never began")
    fill(world, numbered(3))
    expect_all(world, relay)


@pytest.mark.parametrize("size", ["7", "1"])
def test_no_request_holds_more_events_than_set(world: World, relay: ScriptedRelay, size: str) -> None:
    world.env["VIBETEA_BUFFER_SIZE"] = size
    fill(world, numbered(30))
    world.start()
    expect_all(world, relay)
    assert max(len(request.ids) for request in relay.requests) == int(size)


def test_no_request_is_larger_than_a_relay_takes(world: World, relay: ScriptedRelay) -> None:
    world.env["VIBETEA_BUFFER_SIZE"] = "100000"
    fill(world, numbered(6000))
    world.start()
    expect_all(world, relay)
    sizes = [len(request.body) for request in relay.requests]
    assert sum(sizes) > 900 * 1024 >= max(sizes) > 890 * 1024


def test_what_comes_meanwhile_goes_together(world: World, relay: ScriptedRelay) -> None:
    """1. A request is held. 2. Thirty hooks report. 3. It is answered. Result: one more request with all thirty."""
    go = threading.Event()
    relay.script = [Answer(wait=lambda: go.wait(20))]
    world.start()
    session = Session()
    hooks(world, session, 1)
    wait_until(lambda: len(relay.requests) == 1, "nothing was sent")
    hooks(world, session, 30)
    go.set()
    expect_all(world, relay)
    assert [len(request.ids) for request in relay.requests] == [1, 30]


def test_live_events_do_not_wait_behind_a_backlog(world: World, relay: ScriptedRelay) -> None:
    """1. 2000 events wait and each request of 20 is slow. 2. Hooks report. Result: they overtake, orders are kept."""
    world.env["VIBETEA_BUFFER_SIZE"] = "20"
    old = numbered(2000)
    fill(world, old)
    answers = threading.Semaphore(0)
    relay.rule = lambda _: Answer(wait=lambda: answers.acquire(timeout=60))
    world.start()
    wait_until(lambda: len(relay.requests) == 1, "nothing was sent")
    session = Session()
    hooks(world, session, 10)
    live = [one for one in in_database(world) if one not in {one.id for one in old}]
    answers.release()
    answers.release()
    answers.release()
    wait_until(lambda: set(live) <= set(relay.ids), lambda: f"{len(relay.ids)} came, not the live ones")
    assert len(relay.ids) < 100
    wait_until(lambda: status(world)["waiting"] == 1960, lambda: str(status(world)))
    answers.release(1000)
    expect_all(world, relay)
    assert relay.duplicates == 0
    ids = in_database(world)
    assert in_order([one for one in relay.ids if one not in live], ids)
    assert in_order([one for one in relay.ids if one in live], ids)
    expect_settled(world)


def test_lanes_outlive_the_daemon(world: World, relay: ScriptedRelay) -> None:
    """1. A daemon is killed in the middle of a backlog. 2. Another goes on. Result: nothing settled is sent again."""
    world.env["VIBETEA_BUFFER_SIZE"] = "20"
    fill(world, numbered(400))
    answers = threading.Semaphore(5)
    relay.rule = lambda _: Answer(wait=lambda: answers.acquire(timeout=60))
    daemon = world.start()
    session = Session()
    hooks(world, session, 5)
    wait_until(lambda: len(relay.requests) == 6, "nothing was sent")
    daemon.stop(signal.SIGKILL, expect=-signal.SIGKILL)
    assert len(json.loads(world.query("select lanes from _cursors")[0][0])) == 2
    answers.release(1000)
    world.start()
    expect_all(world, relay)
    assert relay.duplicates <= 20, "no more than the request that was under way"
    expect_settled(world)


def test_killed_between_the_answer_and_the_cursor(world: World, relay: ScriptedRelay) -> None:
    """1. The relay says yes while nothing can be written. 2. SIGKILL. Result: sent again, and it is the same."""
    daemon = world.start()
    session = Session()
    hooks(world, session, 3)
    expect_all(world, relay)
    expect_settled(world)
    blocked = threading.Event()
    relay.script = [Answer(wait=lambda: blocked.wait(20))]
    hooks(world, session, 1)
    wait_until(lambda: len(relay.ids) == 4, "not sent")
    with closing(open_database(world.database, isolation_level=None)) as other:
        other.execute("begin immediate")
        blocked.set()
        daemon.kill()
        other.execute("rollback")
    assert not settled(world)
    world.start()
    expect_settled(world)
    assert relay.duplicates == 1
    assert set(relay.ids) == session.ids(world.key())


@pytest.mark.parametrize("level", ["standard", None])
def test_rows_that_are_not_to_leave_are_passed_over_and_counted(
    world: World, relay: ScriptedRelay, level: str | None
) -> None:
    fill(world, numbered(5, source="desktop") + numbered(3), "strict")
    fill(world, numbered(4, first=10), level)
    world.env["VIBETEA_PRIVACY"] = "strict"
    world.start()
    wait_until(lambda: len(relay.ids) == 3, lambda: str(relay.ids))
    session = Session()
    hooks(world, session, 1)
    expect_settled(world)
    assert set(relay.ids) == {one.id for one in numbered(3)} | session.ids(world.key())
    assert world.counters() == {"relay_other_source": 5, "relay_privacy": 4}
    shown = world.run("status").stdout.decode()
    assert "not sent     5 relay_other_source, 4 relay_privacy\n" in shown
    assert "dropped" not in shown


def test_mirrored_rows_between_ours_do_not_part_a_request(world: World, relay: ScriptedRelay) -> None:
    ours, theirs = numbered(50), numbered(50, source="desktop")
    fill(world, [one for pair in zip(theirs, ours, strict=True) for one in pair])
    world.start()
    expect_all(world, relay)
    assert [len(request.ids) for request in relay.requests] == [50]


@pytest.mark.parametrize(
    ("bad", "answer"),
    [
        ([0], code(400, "invalid_format")),
        ([99], Answer(413, b"")),
        ([41, 42, 77], code(422, "invalid_event_type")),
        (list(range(20, 28)), code(400, "invalid_format")),
    ],
)
def test_one_bad_event_costs_no_other(world: World, relay: ScriptedRelay, bad: list[int], answer: Answer) -> None:
    several = numbered(100)
    poison = {several[number].id for number in bad}
    relay.rule = lambda request: answer if poison & set(request.ids) else None
    fill(world, several)
    world.start()
    expect_settled(world)
    assert relay.ids == [one.id for one in several if one.id not in poison]
    assert {row[0] for row in world.query("select event_id from _quarantine")} == poison
    word = json.loads(answer.body)["code"] if answer.body else "413"
    assert world.counters() == {f"relay_refused_{word}": len(poison)}
    assert status(world)["refused"] == {word: len(poison)}
    refused = [number for number in relay.verdicts if number != 202]
    assert len(refused) <= len(bad) * 8, "halved, not tried one by one"
    assert f"refused {len(poison)} event" in world.run("doctor").stdout.decode()


@pytest.mark.parametrize(("word", "most"), [("invalid_format", 9), ("source_mismatch", 1)])
def test_refusal_of_everything_quarantines_nothing(world: World, relay: ScriptedRelay, word: str, most: int) -> None:
    world.expected_log = [WAITS]
    relay.rule = lambda _: code(400, word)
    fill(world, numbered(100))
    daemon = world.start()
    expect_why(world, word)
    assert len(relay.requests) <= most
    assert world.query("select * from _quarantine") == []
    daemon.stop()
    relay.rule = lambda _: None
    world.start()
    expect_all(world, relay)


def test_relay_that_takes_only_empty_requests_is_left_alone_for_a_while(world: World, relay: ScriptedRelay) -> None:
    world.expected_log = [WAITS]
    world.env["VIBETEA_BUFFER_SIZE"] = "10"
    relay.rule = lambda request: code(422, "invalid_event") if request.ids else None
    fill(world, numbered(200))
    world.start()
    expect_why(world, "it refuses what we send (422 invalid_event)")
    assert world.query("select count(*) from _quarantine") == [(50,)]
    assert status(world)["waiting"] == 150


def ask_for_an_answer(world: World, relay: ScriptedRelay, go: threading.Event) -> tuple[Process, Session]:
    """A daemon that waits for the relay's answer to one event, which comes when it may go."""
    relay.script = [Answer(wait=lambda: go.wait(20))]
    daemon = world.start()
    session = Session()
    hooks(world, session, 1)
    wait_until(lambda: len(relay.requests) == 1, "nothing was sent")
    return daemon, session


def test_shutdown_lets_a_request_end(world: World, relay: ScriptedRelay) -> None:
    go = threading.Event()
    daemon, _ = ask_for_an_answer(world, relay, go)
    daemon.popen.send_signal(signal.SIGTERM)
    wait_until(lambda: not (world.state / "vibetea.sock").exists(), "does not end")
    go.set()
    assert daemon.popen.wait(15) == 0
    assert settled(world)
    assert len(relay.requests) == 1


def test_shutdown_gives_up_a_request_that_hangs(world: World, relay: ScriptedRelay) -> None:
    go = threading.Event()
    daemon, session = ask_for_an_answer(world, relay, go)
    daemon.stop()
    go.set()
    assert not settled(world)
    world.start()
    expect_settled(world)
    assert set(relay.ids) == session.ids(world.key())


def test_backlog_of_a_machine_without_a_relay_is_nothing(world: World) -> None:
    world.start()
    hooks(world, Session(), 1)
    assert json.loads(world.run("status", "--json").stdout)["sinks"] == {}
    assert world.query("select * from _cursors") == []
    assert not (world.state / "key.priv").exists()


def test_each_relay_has_a_cursor_of_its_own(world: World, relay: ScriptedRelay) -> None:
    fill(world, numbered(10))
    with world.daemon():
        expect_all(world, relay)
    assert relay.key
    with serve(ScriptedRelay(relay.key)) as other:
        world.env["VIBETEA_SERVER_URL"] = other.url
        with world.daemon():
            expect_all(world, other)
    world.env["VIBETEA_SERVER_URL"] = relay.url
    with world.daemon():
        fill(world, numbered(1, first=10))
        expect_all(world, relay)
    assert relay.duplicates == 0


def test_relay_written_differently_is_the_same(world: World, relay: ScriptedRelay) -> None:
    """1. A cursor by the plain form, as ever. 2. The address is written otherwise. Result: nothing is sent twice."""
    fill(world, numbered(10))
    with world.daemon():
        expect_settled(world)
    destination = keyed_hash(world.key(), "sink", "relay", relay.url).hex()
    assert world.query("select destination from _cursors") == [(destination,)]
    world.env["VIBETEA_SERVER_URL"] = relay.url.replace("http://localhost", "HTTP://LocalHost") + "//"
    fill(world, numbered(1, first=10))
    with world.daemon():
        expect_settled(world)
    assert [len(request.ids) for request in relay.requests] == [10, 1]


def test_status_claims_nothing_of_a_relay_that_was_never_spoken_to(world: World, relay: ScriptedRelay) -> None:
    world.start()
    wait_until(lambda: "sink_relay" in world.status(), "never began")
    assert f"relay        {relay.url}: nothing sent yet\n" in world.run("status").stdout.decode()


def test_status_tells_what_waits_and_why(world: World, relay: ScriptedRelay) -> None:
    world.expected_log = [WAITS]
    relay.rule = lambda _: Answer(503, b"")
    world.start()
    session = Session()
    hooks(world, session, 2)
    expect_why(world, "it asks us to wait (503)")
    found = status(world)
    assert (found["waiting"], found["last_sent"], found["to"]) == (2, None, relay.url)
    assert found["oldest"] == min(row[0] for row in world.query("select timestamp from events"))
    shown = world.run("status").stdout.decode()
    assert f"relay        {relay.url}: 2 events waiting, the oldest of 20" in shown
    assert ": it asks us to wait (503)" in shown
    assert "what waits is kept, 2 events waiting" in world.run("doctor").stdout.decode()
    relay.rule = lambda _: None
    expect_settled(world)
    found = status(world)
    assert (found["waiting"], found["oldest"], found["why"]) == (0, None, "")
    assert "all sent; last accepted at 20" in world.run("status").stdout.decode()


def test_doctor_tells_of_a_relay_without_a_key_and_of_a_daemon_that_does_not_know_it(world: World) -> None:
    world.start()
    world.env["VIBETEA_SERVER_URL"] = "https://relay.example"
    assert "wrong  relay\n       there is no signing key yet" in world.run("doctor").stdout.decode()
    world.run("init")
    assert "restart it, so that it takes that up" in world.run("doctor").stdout.decode()


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("VIBETEA_SERVER_URL", "http://relay.example", "must begin with https://"),
        ("VIBETEA_SERVER_URL", "http://127.0.0.1.example", "must begin with https://"),
        ("VIBETEA_SERVER_URL", "ftp://localhost", "must begin with https://"),
        ("VIBETEA_SERVER_URL", "relay.example", "is no address"),
        ("VIBETEA_SERVER_URL", "https://", "is no address"),
        ("VIBETEA_SERVER_URL", "https://relay.example:port", "is no address"),
        *(
            ("VIBETEA_SERVER_URL", value, "is no address: it holds a space, a backslash or a control character")
            for value in (
                "https://\\",
                "https://relay.example/\\secret",
                "https://relay. example",
                "https://relay.example\n",
            )
        ),
        *(
            ("VIBETEA_SERVER_URL", value, "is no address with a usable host and port")
            for value in (
                *("https:relay.example", "https:///secret", "https://.", "https://relay..example", "https://relay;x"),
                *("https://%72elay.example", f"https://{'x' * 64}.example", "https://" + "x." * 130 + "example"),
                *(
                    "https://relay.example:0",
                    "https://relay.example:65536",
                    "https://me:secret@",
                    "https://a？b.example",
                ),
                *("https://[::1", "https://[1::2::3]", "https://[v1.x]", "https://[fe80::1%25eth0]"),
            )
        ),
        *(
            ("VIBETEA_SERVER_URL", f"https://{value}", "must be an address alone, without user, password, `?` or `#`")
            for value in (
                *("me:secret@relay.example", ":secret@relay.example", "@relay.example", "bü:secret@relay.example"),
                *("relay.example/?token=secret", "relay.example?", "relay.example/#", "bücher.example/#secret"),
            )
        ),
        ("VIBETEA_BUFFER_SIZE", "0", "a whole number from 1 to 100000"),
        ("VIBETEA_BUFFER_SIZE", "-1", "a whole number from 1 to 100000"),
        ("VIBETEA_BUFFER_SIZE", "many", "a whole number from 1 to 100000"),
        ("VIBETEA_BUFFER_SIZE", "1000000000000", "a whole number from 1 to 100000"),
    ],
)
def test_setting_that_cannot_be_used_is_refused(world: World, variable: str, value: str, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)) as refused:
        Config.load(world.env | {variable: value})
    assert str(refused.value).startswith(f"{variable} ")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", ["server_url = 1", "buffer_size = true", 'buffer_size = "9"', "buffer_size = 0"])
def test_setting_of_the_file_that_cannot_be_used_is_refused(world: World, text: str) -> None:
    (world.state / "config.toml").write_text(text + "\n")
    with pytest.raises(ConfigError, match=text.partition(" ")[0]):
        Config.load(world.env)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("https://relay.example/", "https://relay.example"),
        ("https://relay.example:443", "https://relay.example"),
        ("HTTPS://Relay.Example:8443/Tea//", "https://relay.example:8443/Tea"),
        ("http://127.8.8.8:80", "http://127.8.8.8"),
        ("https://[2001:DB8::7]:443/", "https://[2001:db8::7]"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://localhost", "http://localhost"),
        ("https://[2001:db8::7]/team/", "https://[2001:db8::7]/team"),
        ("https://192.0.2.7:8443", "https://192.0.2.7:8443"),
        ("https://relay_1.example./a%20b/@team", "https://relay_1.example./a%20b/@team"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("https://Bücher.example:8443/tää/", "https://xn--bcher-kva.example:8443/t%C3%A4%C3%A4"),
        ("https://straße.example", "https://xn--strae-oqa.example"),
        ("", None),
    ],
)
def test_address_of_a_relay(world: World, text: str, wanted: str | None) -> None:
    assert Config.load(world.env | {"VIBETEA_SERVER_URL": text}).server_url == wanted


def test_key_that_is_none_is_refused_and_never_replaced(world: World) -> None:
    world.env |= {"VIBETEA_SERVER_URL": "https://relay.example", "VIBETEA_PRIVATE_KEY": "bad"}
    assert world.run("daemon").returncode == 78
    assert not (world.state / "key.priv").exists()
    assert not (world.state / "vibetea.sock").exists()


SINK = """
from vibetea_daemon.hookspecs import hookimpl
import time
class Outside:
    name = "outside"
    def run(self, outbox, stop): {run}

@hookimpl
def vibetea_sinks(config): return {made}
"""
COPY = """
        with outbox.cursor("outside", "file") as cursor, open("{path}", "ab") as file:
            while not stop.is_set():
                if page := cursor.page(10, 10_000):
                    file.writelines(row.raw + b"\\n" for row in page.rows)
                    file.flush()
                    cursor.settle(page, page.rows, {{}})
                else:
                    stop.wait(0.05)
"""


def install_sink(world: World, *, run: str = "pass", made: str = "[Outside()]") -> None:
    folder = world.root / "site"
    folder.mkdir()
    (folder / "outside_sink.py").write_text(SINK.format(run=run, made=made))
    world.env["PYTHONPATH"] = str(folder)
    (world.state / "config.toml").write_text('plugins = ["outside_sink"]\n')


@pytest.mark.parametrize(
    ("harm", "logged"),
    [
        ({"run": "1 / 0"}, "sink outside failed: ZeroDivisionError$"),
        ({"run": "raise SystemExit"}, "sink outside failed: SystemExit$"),
        ({"run": "time.sleep(99)"}, "sink outside does not end$"),
        ({"made": "1 / 0"}, "plugin outside_sink has no sinks: ZeroDivisionError$"),
        ({"made": "[1]"}, "plugin outside_sink has no sinks: AttributeError$"),
    ],
)
def test_sink_that_fails_harms_nobody(world: World, relay: ScriptedRelay, harm: dict[str, str], logged: str) -> None:
    world.expected_log = [logged]
    install_sink(world, **harm)
    daemon = world.start()
    hooks(world, Session(), 20)
    expect_all(world, relay)
    if "failed" in logged:
        wait_until(lambda: "sink_outside" in world.status(), lambda: str(world.status()))
        assert b"failed       outside: " in world.run("status").stdout
        assert "outside failed " in world.run("doctor").stdout.decode()
    daemon.stop()
    assert logged.removesuffix("$") in daemon.text


def test_sink_from_outside_gets_every_event_whatever_the_relay_does(world: World, relay: ScriptedRelay) -> None:
    world.expected_log = [WAITS]
    copy = world.root / "copy"
    install_sink(world, run=COPY.format(path=copy))
    relay.rule = lambda _: Answer(500, b"")
    fill(world, numbered(35))
    with world.daemon():
        wait_until(lambda: _ids(copy) == in_database(world), lambda: str(len(_ids(copy))))
        fill(world, numbered(5, first=35))
        wait_until(lambda: _ids(copy) == in_database(world), lambda: str(len(_ids(copy))))
        wait_until(lambda: 500 in relay.verdicts, "the relay was never asked")
    assert relay.ids == []


def _ids(copy: Path) -> list[str]:
    return [json.loads(line)["id"] for line in copy.read_bytes().splitlines()] if copy.exists() else []
