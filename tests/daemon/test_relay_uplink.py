"""The relay sink over a slow uplink: requests become smaller until they get through, and nothing is stuck behind."""

from collections.abc import Iterator

import pytest
from tests.daemon.fault_proxy import proxy
from tests.daemon.scripted_relay import Answer, Request, ScriptedRelay, code
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
    status,
)
from tests.daemon.session import Session
from tests.daemon.world import World, wait_until

TIMEOUT = code(408, "timeout")


@pytest.fixture
def relay(world: World) -> Iterator[ScriptedRelay]:
    world.expected_log = [WAITS]
    with scripted_relay(world) as relay:
        yield relay


def sizes(relay: ScriptedRelay) -> list[int]:
    return [len(request.ids) for request in relay.requests]


def test_requests_become_smaller_until_they_arrive_in_time_and_then_larger_again(
    world: World, relay: ScriptedRelay
) -> None:
    fill(world, numbered(1000))
    relay.rule = lambda request: TIMEOUT if len(request.ids) > 300 else None
    world.start()
    expect_why(world, "the uplink is too slow for so much at once (408 timeout)")
    assert "the uplink is too slow" in world.run("status").stdout.decode()
    expect_settled(world)
    assert relay.ids == in_database(world)
    assert relay.duplicates == 0
    assert sizes(relay)[:3] == [1000, 500, 250]
    assert status(world)["why"] == ""
    relay.rule = lambda _: None
    fill(world, numbered(2000, first=1000))
    expect_settled(world)
    assert max(sizes(relay)[-2:]) == 1000


def test_one_event_at_a_time_is_better_than_none(world: World, relay: ScriptedRelay) -> None:
    fill(world, numbered(4))
    relay.rule = lambda request: TIMEOUT if len(request.ids) > 1 else None
    world.start()
    expect_settled(world)
    assert relay.ids == in_database(world)
    assert sizes(relay)[:3] == [4, 2, 1]


def test_live_events_are_not_stuck_behind_a_backlog_that_does_not_get_through(
    world: World, relay: ScriptedRelay
) -> None:
    old = {one.id for one in numbered(1500)}
    fill(world, numbered(1500))
    relay.rule = lambda request: TIMEOUT if old & set(request.ids) else None
    world.start()
    expect_why(world, "the uplink is too slow")
    session = Session()
    hooks(world, session, 5)
    wait_until(lambda: set(relay.ids) == session.ids(world.key()), lambda: f"{sizes(relay)} {status(world)}")
    relay.rule = lambda _: None
    expect_all(world, relay, 60)
    assert relay.duplicates == 0


def test_bad_event_is_found_however_slow_the_uplink(world: World, relay: ScriptedRelay) -> None:
    """A refusal halves a request, then the uplink the half: nothing of the other half is taken for sent."""
    several = numbered(64)
    poison = several[40].id

    def rule(request: Request) -> Answer | None:
        if poison in request.ids:
            return code(400, "invalid_format")
        return TIMEOUT if len(request.ids) == 32 else None

    relay.rule = rule
    fill(world, several)
    world.start()
    expect_settled(world)
    assert relay.ids == [one.id for one in several if one.id != poison]
    assert world.query("select event_id from _quarantine") == [(poison,)]


def test_uplink_too_slow_for_a_whole_request(world: World, relay: ScriptedRelay) -> None:
    """1. What waits takes longer than the relay is waited for. 2. It is sent in halves. Result: all, in order."""
    fill(world, numbered(700))
    with proxy(int(relay.url.rpartition(":")[2])) as way:
        way.set("throttle", 11_500)
        relay.url = f"http://localhost:{way.port}"
        world.env["VIBETEA_SERVER_URL"] = relay.url
        world.start()
        expect_why(world, "it does not answer in time, or the uplink is too slow")
        expect_settled(world, 120)
        assert relay.ids == in_database(world)
        assert min(sizes(relay)) < 700
        assert status(world)["why"] == ""
