"""The relay sink and all that can go wrong on the way: nothing lost, nothing taken for a yes that is none."""

import json
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from tests.daemon.fault_proxy import FaultProxy, Verb, proxy
from tests.daemon.scripted_relay import Answer, ScriptedRelay, code, serve
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
from tests.daemon.world import World, wait_until

from vibetea_daemon.backoff import backoff
from vibetea_daemon.sinks.post import Verdict
from vibetea_daemon.sinks.to_relay import judge

HTML = {"Content-Type": "text/html"}


@pytest.fixture
def relay(world: World) -> Iterator[ScriptedRelay]:
    world.expected_log = [WAITS]
    with scripted_relay(world) as relay:
        yield relay


@pytest.fixture
def way(world: World, relay: ScriptedRelay) -> Iterator[FaultProxy]:
    """What stands between the daemon and its relay."""
    with proxy(int(relay.url.rpartition(":")[2])) as faulty:
        relay.url = f"http://localhost:{faulty.port}"  # what the sender takes for the relay's origin
        world.env["VIBETEA_SERVER_URL"] = relay.url
        yield faulty


# what is no yes


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"<html>Please log in</html>", HTML),
        Answer(202, b'{"accepted": 2, "dupli', cut=14),
        Answer(202, cut=3),
        Answer(202, b'{"accepted": 2, "duplicates": 0}'),
        Answer(202, b'{"accepted": "3", "duplicates": 0}'),
        Answer(202, b"[3]"),
        Answer(204, b""),
        Answer(404, b"<html>", HTML),
        Answer(500, b"x" * 100_000),
    ],
    ids=lambda answer: f"{answer.status} {answer.body and answer.body[:20]}",
)
def test_answer_that_is_no_yes_loses_nothing(world: World, relay: ScriptedRelay, answer: Answer) -> None:
    relay.script = [answer]
    fill(world, numbered(3))
    daemon = world.start()
    expect_settled(world)
    assert relay.ids == in_database(world)
    assert relay.verdicts == [answer.status, 202]
    assert relay.requests[0].body == relay.requests[1].body
    assert WAITS in daemon.text
    assert "takes events again" in daemon.text


@pytest.mark.parametrize("answer", [Answer(200, b""), Answer(201, b""), Answer(202, b"")])
def test_yes_of_an_older_relay(world: World, relay: ScriptedRelay, answer: Answer) -> None:
    relay.script = [answer]
    fill(world, numbered(3))
    world.start()
    expect_settled(world)
    assert relay.verdicts == [answer.status]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(world: World, relay: ScriptedRelay, status: int) -> None:
    assert relay.key
    with serve(ScriptedRelay(relay.key)) as elsewhere:
        relay.rule = lambda _: Answer(status, b"", {"Location": f"{elsewhere.url}/events"})
        fill(world, numbered(3))
        world.start()
        expect_why(world, f"it redirects ({status})")
        relay.rule = lambda _: None
        expect_settled(world)
        assert elsewhere.requests == []
    assert set(relay.verdicts) == {status, 202}


# later


def test_failures_in_turn_keep_the_order(world: World, relay: ScriptedRelay) -> None:
    world.env["VIBETEA_BUFFER_SIZE"] = "5"
    fill(world, numbered(5))
    relay.script = [Answer(500), Answer(), Answer(504, b""), Answer(502, b"")]
    world.start()
    hooks(world, Session(), 3)
    wait_until(lambda: len(relay.verdicts) >= 5, lambda: str(relay.verdicts))
    fill(world, numbered(12, first=5))
    expect_settled(world)
    assert relay.verdicts[:5] == [500, 202, 504, 502, 202]
    assert relay.duplicates == 0
    assert relay.ids[:5] == in_database(world)[:5]
    assert set(relay.ids) == set(in_database(world))


def test_wait_is_as_long_as_the_relay_asks(world: World, relay: ScriptedRelay) -> None:
    relay.script = [code(429, "rate_limited", **{"Retry-After": "3"})]
    fill(world, numbered(3))
    world.start()
    expect_settled(world)
    first, second = relay.requests
    assert second.at - first.at >= 3
    assert relay.verdicts == [429, 202]


@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        ("5", 5),
        ("0", 1),
        ("900", 900),
        ("9999", 900),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 1),
        ("Thu, 22 Oct 2026 07:28:00 GMT", 900),
        ("Wed, 32 Oct 2026 07:28:00 GMT", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("9" * 400, None),
        ("", None),
    ],
)
def test_retry_after_is_within_reason(asked: str, wait: float | None) -> None:
    answer = judge(429, {"Retry-After": asked, "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"", 1)
    assert (answer.verdict, answer.wait) == (Verdict.LATER, wait)


def test_pauses_grow_to_a_minute() -> None:
    for _ in range(50):
        for pause, wanted in zip(islice(backoff(), 9), [1, 2, 4, 8, 16, 32, 60, 60, 60], strict=True):
            assert wanted * 0.75 <= pause <= wanted * 1.25


@given(st.integers(100, 599), st.binary(max_size=40) | st.just(b"{}"), st.text(max_size=9), st.integers(0, 5))
def test_no_answer_at_all_confuses(status: int, body: bytes, retry: str, events: int) -> None:
    answer = judge(status, {"Retry-After": retry, "Date": retry}, body, events)
    assert answer.verdict is not Verdict.ACCEPTED or (status in {200, 201, 202} and body[:1] in {b"", b"{"})


@given(st.recursive(st.none() | st.integers() | st.text() | st.floats(allow_nan=False), st.lists))
def test_no_counts_but_true_ones_are_a_yes(count: object) -> None:
    body = json.dumps({"accepted": count, "duplicates": 1, "code": count}).encode()
    accepted = judge(202, {}, body, 3).verdict is Verdict.ACCEPTED
    assert accepted == (type(count) is int and count == 2)
    assert judge(400, {}, body, 3).code == "400" or isinstance(count, str)


# the relay does not know us


def test_relay_that_does_not_know_us_is_not_hammered(world: World, relay: ScriptedRelay) -> None:
    """1. Not registered. 2. Many more hooks. 3. Registered and restarted. Result: one question, then all at once."""
    key, relay.key = relay.key, None
    daemon = world.start()
    session = Session()
    hooks(world, session, 1)
    expect_why(world, "it does not accept this machine's signature (401 unknown_source)")
    hooks(world, session, 50)
    assert "register the line `vibetea init` prints" in world.run("status").stdout.decode()
    assert "register the line `vibetea init` prints" in world.run("doctor").stdout.decode()
    assert relay.verdicts == [401]
    daemon.stop()
    relay.key = key
    world.start()
    expect_settled(world)
    assert relay.verdicts[:2] == [401, 202]
    assert set(relay.ids) == session.ids(world.key())
    assert status(world)["why"] == ""


@pytest.mark.parametrize("answer", [code(401, "invalid_signature"), Answer(403, b"<html>", HTML)])
def test_refused_signature_is_not_hammered(world: World, relay: ScriptedRelay, answer: Answer) -> None:
    relay.rule = lambda _: answer
    world.start()
    hooks(world, Session(), 1)
    expect_why(world, "does not accept this machine's signature")
    hooks(world, Session(), 20)
    assert relay.verdicts == [answer.status]


# clocks


@pytest.mark.parametrize("ahead", [600, -600, 86_400, -86_400])
def test_clocks_that_differ(world: World, relay: ScriptedRelay, ahead: int) -> None:
    """The relay's clock is learnt from its refusal; the next request is right at once, and so are all after it."""
    world.expected_log = []
    relay.ahead = ahead
    world.start()
    session = Session()
    hooks(world, session, 1)
    expect_settled(world)
    hooks(world, session, 3)
    expect_all(world, relay)
    assert relay.verdicts.count(401) == 1
    assert abs(status(world)["clock_seconds"] - ahead) < 10
    said = world.run("status").stdout.decode()
    assert (" s behind its own" if ahead > 0 else " s ahead of its own") in said


def test_clock_that_jumps(world: World, relay: ScriptedRelay) -> None:
    world.expected_log = []
    world.start()
    session = Session()
    for ahead in (0, 86_400, -86_400):
        relay.ahead = ahead
        hooks(world, session, 2)
        expect_all(world, relay)
    assert relay.verdicts.count(401) == 2


@pytest.mark.parametrize("date", ["", "yesterday", "Wed, 99 Oct 2026 07:28:00 GMT"])
def test_relay_whose_clock_cannot_be_learnt_is_not_hammered(world: World, relay: ScriptedRelay, date: str) -> None:
    relay.rule = lambda _: code(401, "stale", Date=date)
    world.start()
    hooks(world, Session(), 1)
    expect_why(world, "its clock and ours differ")
    hooks(world, Session(), 10)
    assert relay.verdicts == [401]


def test_relay_that_calls_everything_stale_is_not_hammered(world: World, relay: ScriptedRelay) -> None:
    relay.rule = lambda _: code(401, "stale")
    world.start()
    hooks(world, Session(), 1)
    expect_why(world, "its clock and ours differ")
    hooks(world, Session(), 10)
    assert relay.verdicts == [401, 401]


# the way there


@pytest.mark.parametrize(
    ("verb", "n"), [("drop", 0), ("rst", 0), ("rst", 500), ("truncate", 0), ("truncate", 30), ("truncate", 100)]
)
def test_connection_that_breaks(world: World, relay: ScriptedRelay, way: FaultProxy, verb: Verb, n: int) -> None:
    way.set(verb, n)
    fill(world, numbered(20))
    world.start()
    expect_why(world)
    assert way.harmed
    assert not settled(world)
    way.set("pass")
    expect_settled(world)
    assert relay.ids == in_database(world)
    assert {request.body for request in relay.requests} == {relay.requests[0].body}


def test_way_that_swallows_everything(world: World, relay: ScriptedRelay, way: FaultProxy) -> None:
    """1. Nothing comes back, not even a FIN. 2. The way is free again. Result: noticed by time, sent again, once."""
    world.start()
    session = Session()
    hooks(world, session, 1)
    expect_settled(world)
    way.set("blackhole")
    hooks(world, session, 3)
    expect_why(world, "it does not answer in time")
    assert way.harmed
    way.set("pass")
    expect_settled(world)
    assert relay.duplicates == 0
    assert set(relay.ids) == session.ids(world.key())


@pytest.mark.parametrize(("verb", "n"), [("delay", 0.3), ("throttle", 100_000)])
def test_way_that_is_slow(world: World, relay: ScriptedRelay, way: FaultProxy, verb: Verb, n: float) -> None:
    world.expected_log = []
    way.set(verb, n)
    fill(world, numbered(600))
    world.start()
    expect_settled(world)
    assert way.harmed
    assert relay.verdicts == [202]


def test_relay_that_is_away_for_a_while(world: World, relay: ScriptedRelay) -> None:
    assert relay.key
    session = Session()
    with serve(ScriptedRelay(relay.key)) as before:
        world.env["VIBETEA_SERVER_URL"] = before.url
        world.start()
        hooks(world, session, 3)
        expect_all(world, before)
        expect_settled(world)
    hooks(world, session, 3)
    expect_why(world, "it cannot be reached")
    with serve(ScriptedRelay(relay.key), port=int(before.url.rpartition(":")[2])) as after:
        hooks(world, session, 3)
        expect_settled(world)
    assert set(before.ids) | set(after.ids) == session.ids(world.key())
    assert not set(before.ids) & set(after.ids)


# certificates


def context(authority: trustme.CA, name: str, valid: timedelta = timedelta(days=1)) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(
        name, not_before=datetime.now(UTC) - timedelta(days=9), not_after=datetime.now(UTC) + valid
    ).configure_cert(made)
    return made


Certificate = Callable[[trustme.CA], ssl.SSLContext]


@pytest.mark.parametrize(
    "certificate",
    [
        lambda ours: context(ours, "localhost", valid=timedelta(days=-1)),
        lambda ours: context(ours, "other.example"),
        lambda _: context(trustme.CA(), "localhost"),
    ],
    ids=["expired", "another name", "an unknown authority"],
)
def test_nothing_is_said_to_whom_has_no_valid_certificate(
    world: World, relay: ScriptedRelay, tmp_path: Path, certificate: Certificate
) -> None:
    """1. A wrong certificate. 2. A right one at the same place. Result: only then is anything sent."""
    assert relay.key
    ours = trustme.CA()
    ours.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    world.env["SSL_CERT_FILE"] = str(tmp_path / "ca.pem")
    with serve(ScriptedRelay(relay.key), tls=certificate(ours)) as impostor:
        world.env["VIBETEA_SERVER_URL"] = impostor.url
        world.start()
        hooks(world, Session(), 3)
        expect_why(world, "its certificate is not valid")
        assert impostor.requests == []
    with serve(
        ScriptedRelay(relay.key), port=int(impostor.url.rpartition(":")[2]), tls=context(ours, "localhost")
    ) as true:
        expect_settled(world)
        assert true.ids == in_database(world)
        assert impostor.requests == []
