"""The Supabase sink and all that can go wrong on the way: nothing lost, nothing taken for a yes that is none."""

import json
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.daemon.fault_proxy import FaultProxy, Verb, proxy
from tests.daemon.scripted_ingest import (
    BASE,
    WAITS,
    ScriptedIngest,
    expect_settled,
    expect_why,
    name_supabase,
    recent,
    refusal,
    scripted_ingest,
    settled,
    sizes,
    status,
)
from tests.daemon.scripted_relay import Answer
from tests.daemon.sending import fill, hooks, in_database
from tests.daemon.session import Session
from tests.daemon.world import World, wait_until

from vibetea_daemon.sinks.delivery import LEAST_BODY
from vibetea_daemon.sinks.post import Verdict
from vibetea_daemon.sinks.to_supabase import judge


@pytest.fixture
def ingest(world: World) -> Iterator[ScriptedIngest]:
    world.expected_log = [WAITS]
    with scripted_ingest(world) as ingest:
        yield ingest


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(200, b"<html>Please log in</html>"), "something else answers in its place (200)"),
        (Answer(200, b'{"inserted": 3, "mess', cut=14), "its answer was cut short"),
        (Answer(546, b'{"code":"WORKER_LIMIT"}'), "the function ran out of time or memory (546); its log"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Answer) else value,
)
def test_answer_that_is_no_yes_is_told_and_loses_nothing(
    world: World, ingest: ScriptedIngest, answer: Answer, why: str
) -> None:
    ingest.script = [answer]
    fill(world, recent(3))
    daemon = world.start()
    expect_settled(world)
    assert f"Supabase's sink waits: {why}" in daemon.text
    assert "Supabase takes events again" in daemon.text
    assert ingest.verdicts == [answer.status, 200]
    assert ingest.requests[0].body == ingest.requests[1].body
    assert ingest.ids == in_database(world)
    assert ingest.duplicates == 0


@pytest.mark.parametrize(
    ("answer", "verdict", "why"),
    [
        (Answer(200, b'{"message": "new: 3 of 3"}'), Verdict.LATER, "something else answers in its place (200)"),
        (Answer(202, b'{"inserted": 3}'), Verdict.LATER, "it answers 202, which no function `ingest` does"),
        (Answer(404, b'{"code":"NOT_FOUND"}'), Verdict.LATER, "(404); check VIBETEA_SUPABASE_URL, its path too"),
        (Answer(302, b""), Verdict.LATER, "it redirects (302)"),
        (refusal(400, "empty_batch"), Verdict.REFUSED, "(400 empty_batch)"),
        (Answer(401, b"{}"), Verdict.UNWELCOME, "`verify_jwt` must be false"),
        (Answer(403, b"<html>"), Verdict.FORBIDDEN, "something before the function forbids it (403)"),
        (Answer(503, b'{"code":"BOOT_ERROR"}'), Verdict.LATER, "does not start (503 BOOT_ERROR): its log in Supabase"),
        (Answer(503, b"", {"sb-error-code": "BOOT_ERROR"}), Verdict.LATER, "such as a missing secret"),
        (Answer(503, b"{}"), Verdict.LATER, "it asks us to wait (503)"),
        (refusal(401, "missing_auth"), Verdict.UNWELCOME, "(401 missing_auth)"),
        (refusal(422, "invalid_event_type"), Verdict.REFUSED, "(422 invalid_event_type)"),
        (refusal(500, "internal_error"), Verdict.LATER, "it failed (500 internal_error)"),
    ],
    ids=lambda value: f"{value.status}" if isinstance(value, Answer) else "",
)
def test_what_an_answer_means(answer: Answer, verdict: Verdict, why: str) -> None:
    found = judge(answer.status, answer.headers, answer.body or b"", 3)
    assert found.verdict is verdict
    assert why in found.why


COUNTS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.lists(st.integers())


@given(COUNTS, st.integers(0, 1000))
def test_no_counts_but_true_ones_are_a_yes(count: object, events: int) -> None:
    body = json.dumps({"inserted": count, "message": "text"}).encode()
    accepted = judge(200, {}, body, events).verdict is Verdict.ACCEPTED
    assert accepted == (type(count) is int and 0 <= count <= events)


@given(st.integers(100, 599), st.binary(max_size=40) | st.just(b"{}"), st.text(max_size=9), st.integers(0, 5))
def test_no_answer_at_all_confuses(status: int, body: bytes, retry: str, events: int) -> None:
    answer = judge(status, {"Retry-After": retry}, body, events)
    assert answer.verdict is not Verdict.ACCEPTED
    assert answer.why


def test_failing_function_is_tried_in_rounds_and_nothing_is_dropped(world: World, ingest: ScriptedIngest) -> None:
    """1. Two attempts fail, and two after the interval. 2. More events meanwhile. Result: all of them, once.

    The last of each round asks for a wait that is shorter than the interval.
    """
    name_supabase(world, f"{ingest.url}{BASE}", 3)
    world.env["VIBETEA_SUPABASE_RETRY_LIMIT"] = "1"
    ingest.script = [Answer(500, b""), Answer(503, b"", {"Retry-After": "1"})] * 2
    fill(world, recent(3))
    world.start()
    wait_until(lambda: len(ingest.requests) == 2, lambda: str(ingest.verdicts))
    fill(world, recent(1200, first=3))
    expect_settled(world)
    assert ingest.verdicts[:5] == [500, 503, 500, 503, 200]
    assert ingest.duplicates == 0
    assert ingest.ids == in_database(world)
    between = [after.at - before.at for before, after in zip(ingest.requests, ingest.requests[1:], strict=False)]
    assert between[0] >= 0.75
    assert between[1] >= 3, "a thousand that wait are no reason to come before the interval is over"
    assert between[2] >= 0.75
    assert between[3] >= 3
    assert status(world)["why"] == ""


def test_rounds_that_fail_become_rarer_and_smaller_but_no_smaller_than_worth_it(
    world: World, ingest: ScriptedIngest
) -> None:
    world.env["VIBETEA_SUPABASE_RETRY_LIMIT"] = "1"
    ingest.script = [Answer(500, b"")] * 6
    fill(world, recent(300))
    world.start()
    expect_settled(world)
    lengths = [len(request.body) for request in ingest.requests]
    first = lengths[0]
    assert lengths[1] == first
    assert lengths[2] == lengths[3] == pytest.approx(first / 2, abs=300)
    assert lengths[4] == lengths[5] == lengths[6] == pytest.approx(LEAST_BODY, abs=300)
    between = [after.at - before.at for before, after in zip(ingest.requests, ingest.requests[1:], strict=False)]
    assert between[3] >= 1.5
    assert between[5] >= 3
    assert ingest.ids == in_database(world)
    assert ingest.duplicates == 0


def test_wait_is_as_long_as_asked_for_within_reason(world: World, ingest: ScriptedIngest) -> None:
    """1. Asked to wait, by seconds and by a date. 2. Asked for a day. 3. The daemon ends. Result: it asks no more."""
    date = {"Date": "Wed, 21 Oct 2026 07:28:00 GMT", "Retry-After": "Wed, 21 Oct 2026 07:28:04 GMT"}
    ingest.script = [Answer(429, b"", {"Retry-After": "3"}), Answer(503, b"", date)]
    fill(world, recent(3))
    daemon = world.start()
    expect_settled(world)
    first, second, third = ingest.requests
    assert second.at - first.at >= 3
    assert third.at - second.at >= 4
    ingest.rule = lambda _: Answer(429, b"", {"Retry-After": "86400"})
    fill(world, recent(3, first=3))
    expect_why(world, "it asks us to wait (429)")
    daemon.stop()
    assert ingest.verdicts == [429, 503, 200, 429, 429], "once more, since what waits is flushed"
    found = judge(429, {"Retry-After": "86400"}, b"", 3)
    assert (found.verdict, found.wait) == (Verdict.LATER, 900)


def test_function_that_does_not_know_us_is_not_hammered(world: World, ingest: ScriptedIngest) -> None:
    """1. Not registered. 2. A thousand more events. 3. Registered and restarted. Result: one question, then all."""
    key, ingest.key = ingest.key, None
    daemon = world.start()
    hooks(world, Session(), 1)
    expect_why(world, "it does not accept this machine's signature (401 unknown_source)")
    fill(world, recent(1200))
    assert "register the line `vibetea init` prints" in world.run("status").stdout.decode()
    assert "register the line `vibetea init` prints" in world.run("doctor").stdout.decode()
    assert ingest.verdicts == [401]
    daemon.stop()
    assert ingest.verdicts == [401], "it was asked at the end all the same"
    ingest.key = key
    world.start()
    expect_settled(world)
    assert ingest.verdicts[:2] == [401, 200]
    assert set(ingest.ids) == set(in_database(world))
    assert ingest.duplicates == 0


def test_gateway_that_asks_for_a_key_of_its_own_is_told(world: World, ingest: ScriptedIngest) -> None:
    ingest.rule = lambda _: Answer(401, b'{"code":401,"message":"Missing authorization header"}')
    fill(world, recent(3))
    world.start()
    expect_why(world, "`verify_jwt` must be false for `ingest`")
    assert ingest.verdicts == [401]


def test_slow_answer_is_waited_for_no_longer_than_fifteen_seconds(world: World, ingest: ScriptedIngest) -> None:
    """1. An answer takes its time, though the function has stored the events. Result: sent again, in halves."""
    go = threading.Event()
    ingest.script = [Answer(200, wait=lambda: go.wait(40))]
    fill(world, recent(10))
    world.start()
    expect_why(world, "it does not answer in time")
    expect_settled(world)
    go.set()
    assert ingest.requests[1].at - ingest.requests[0].at >= 15
    assert sizes(ingest) == [10, 5, 5]
    assert ingest.ids == in_database(world)
    assert ingest.duplicates == 10, "the sender cannot know; the function can"


@pytest.fixture
def way(world: World, ingest: ScriptedIngest) -> Iterator[FaultProxy]:
    """What stands between the daemon and the function."""
    with proxy(int(ingest.url.rpartition(":")[2])) as faulty:
        name_supabase(world, f"http://localhost:{faulty.port}{BASE}")
        yield faulty


@pytest.mark.parametrize(("verb", "n"), [("drop", 0), ("reset", 100)])
def test_connection_that_breaks(world: World, ingest: ScriptedIngest, way: FaultProxy, verb: Verb, n: int) -> None:
    way.set(verb, n)
    fill(world, recent(20))
    world.start()
    expect_why(world)
    assert way.harmed
    assert not settled(world)
    way.set("pass")
    expect_settled(world)
    assert ingest.ids == in_database(world)
    assert {request.body for request in ingest.requests} == {ingest.requests[0].body}
