"""The Supabase sink and refusals: what costs one event, what costs none, and who says so."""

import json
from collections.abc import Iterator

import pytest
from tests.daemon.scripted_ingest import (
    WAITS,
    ScriptedIngest,
    expect_settled,
    expect_why,
    recent,
    refusal,
    scripted_ingest,
    sizes,
    status,
)
from tests.daemon.scripted_relay import Answer, Request
from tests.daemon.sending import fill, in_database
from tests.daemon.world import World


@pytest.fixture
def ingest(world: World) -> Iterator[ScriptedIngest]:
    with scripted_ingest(world) as ingest:
        yield ingest


@pytest.mark.parametrize(
    ("bad", "answer"),
    [
        ([0], refusal(400, "invalid_event")),
        ([41, 42, 77], refusal(422, "invalid_event_type")),
        (list(range(20, 80)), refusal(400, "past_retention")),
    ],
)
def test_one_bad_event_costs_no_other(world: World, ingest: ScriptedIngest, bad: list[int], answer: Answer) -> None:
    several = recent(100)
    poison = {several[number].id for number in bad}
    ingest.rule = lambda request: answer if poison & set(request.ids) else None
    fill(world, several)
    world.start()
    expect_settled(world)
    assert ingest.ids == [one.id for one in several if one.id not in poison]
    assert {row[0] for row in world.query("select event_id from _quarantine")} == poison
    assert answer.body
    word = json.loads(answer.body)["error"]
    assert world.counters() == {f"supabase_refused_{word}": len(poison)}
    assert status(world)["refused"] == {word: len(poison)}
    assert len([number for number in ingest.verdicts if number != 200]) <= len(bad) * 9, "halved, not tried one by one"
    assert f"refused {len(poison)} event" in world.run("doctor").stdout.decode()


@pytest.mark.parametrize(
    ("status", "empty", "why", "most"),
    [
        (403, True, "forbids it (403)", 2),
        (403, False, "forbids it (403)", 9),
        (400, False, "refuses what we send (400)", 5),
    ],
)
def test_firewall_that_lets_no_event_through_quarantines_none(
    world: World, ingest: ScriptedIngest, status: int, empty: bool, why: str, most: int
) -> None:
    """Be it the wrong key for anything at all, or one that takes offence at whatever is not empty."""
    world.expected_log = [WAITS]
    ingest.rule = lambda request: Answer(status, b"<html>blocked</html>") if request.ids or empty else None
    fill(world, recent(3))
    world.start()
    expect_why(world, f"something before the function {why}")
    assert 1 < len(ingest.requests) <= most
    assert world.query("select * from _quarantine") == []


def test_firewall_that_dislikes_some_events_holds_up_no_other(world: World, ingest: ScriptedIngest) -> None:
    """1. A backlog with some that are blocked, the first and two neighbours among them. 2. One more by itself."""
    several = recent(100)
    poison = {several[number].id for number in (0, 41, 42, 100 - 1)}
    ingest.rule = lambda request: Answer(403, b"<html>") if poison & set(request.ids) else None
    fill(world, several[:99])
    world.start()
    expect_settled(world)
    fill(world, several[99:])
    expect_settled(world)
    assert set(ingest.ids) == {one.id for one in several} - poison
    assert {row[0] for row in world.query("select event_id from _quarantine")} == poison
    assert world.counters() == {"supabase_refused_blocked": 4}
    assert ingest.verdicts.count(403) <= 4 * 8, "halved, not tried one by one"
    assert "refused 4 events for good (blocked); something before it did" in world.run("doctor").stdout.decode()


@pytest.mark.parametrize("times", [1, 2, 3])
def test_firewall_that_blocks_by_chance_leaves_nothing_out(world: World, ingest: ScriptedIngest, times: int) -> None:
    """1. One event is taken. 2. The next alone is blocked a few times, while the first is let through in between."""
    first, second = recent(2)
    fill(world, [first])
    world.start()
    expect_settled(world)
    left = times

    def by_chance(request: Request) -> Answer | None:
        nonlocal left
        if request.ids != (second.id,) or not left:
            return None
        left -= 1
        return Answer(403, b"<html>challenge</html>")

    ingest.rule = by_chance
    fill(world, [second])
    expect_settled(world)
    assert world.query("select * from _quarantine") == []
    assert set(ingest.ids) == set(in_database(world))


def test_proxy_that_refuses_an_empty_request_is_not_asked_without_pause(world: World, ingest: ScriptedIngest) -> None:
    """What is too old asks for the server's clock first."""
    world.expected_log = [WAITS]
    ingest.rule = lambda _: Answer(400, b"<html>")
    fill(world, recent(1, days=400))
    world.start()
    expect_why(world, "something before the function refuses what we send (400)")
    assert sizes(ingest) == [0]


def test_firewall_that_blocks_both_ends_of_what_waits_holds_up_nothing_between(
    world: World, ingest: ScriptedIngest
) -> None:
    several = recent(3)
    poison = {several[0].id, several[2].id}
    ingest.rule = lambda request: Answer(403, b"<html>") if poison & set(request.ids) else None
    fill(world, several)
    world.start()
    expect_settled(world)
    assert set(ingest.ids) == {several[1].id}
    assert {row[0] for row in world.query("select event_id from _quarantine")} == poison


@pytest.mark.parametrize(
    "answer", [refusal(400, "batch_too_large"), refusal(413, "payload_too_large"), Answer(413, b"")]
)
def test_batch_that_is_too_large_is_halved(world: World, ingest: ScriptedIngest, answer: Answer) -> None:
    ingest.rule = lambda request: answer if len(request.ids) > 300 else None
    fill(world, recent(1000))
    world.start()
    expect_settled(world)
    assert ingest.ids == in_database(world)
    assert sizes(ingest) == [1000, 500, 250, 250, 500, 250, 250]
    assert world.query("select * from _quarantine") == []


@pytest.mark.parametrize(("word", "most"), [("source_mismatch", 1), ("invalid_request", 9)])
def test_refusal_of_everything_quarantines_nothing(world: World, ingest: ScriptedIngest, word: str, most: int) -> None:
    world.expected_log = [WAITS]
    ingest.rule = lambda _: refusal(422, word)
    fill(world, recent(100))
    world.start()
    expect_why(world, word)
    assert len(ingest.requests) <= most
    assert world.query("select * from _quarantine") == []


def test_function_that_takes_only_empty_requests_is_left_alone(world: World, ingest: ScriptedIngest) -> None:
    """1. Fifty refused in a row. 2. The daemon ends while the others wait. 3. They are taken. Result: no more lost."""
    world.expected_log = [WAITS]
    world.env["VIBETEA_BUFFER_SIZE"] = "10"
    ingest.rule = lambda request: refusal(422, "invalid_event_type") if request.ids else None
    fill(world, recent(80))
    daemon = world.start()
    expect_why(world, "it refuses what we send (422 invalid_event_type)")
    asked = len(ingest.requests)
    daemon.stop()
    assert len(ingest.requests) == asked, "it was asked at the end all the same"
    assert world.query("select count(*) from _quarantine") == [(50,)]
    ingest.rule = lambda _: None
    world.start()
    expect_settled(world)
    assert len(ingest.ids) == 30
