"""The relay sink and events from too far ahead of the relay's clock: they rest, everything else goes on."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.daemon.scripted_relay import Answer, Request, ScriptedRelay, code
from tests.daemon.sending import (
    WAITS,
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
from tests.daemon.test_relay_sink import install_sink
from tests.daemon.world import World, wait_until

from vibetea_protocol import Event

WHY = "it refuses events from more than a day ahead of its clock (400 clock_skew); they wait, check the clock"


def stamp(days: float) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


def ahead(count: int, *, first: int, days: float = 2) -> list[Event]:
    """Events of a clock that is so many days ahead."""
    return [one.model_copy(update={"timestamp": stamp(days)}) for one in numbered(count, first=first)]


@pytest.fixture
def relay(world: World) -> Iterator[ScriptedRelay]:
    """It takes nothing from more than a day ahead."""

    def rule(request: Request) -> Answer | None:
        late = any(event["timestamp"] > stamp(1) for event in json.loads(request.body))
        return code(400, "clock_skew") if late else None

    world.expected_log = [WAITS]
    with scripted_relay(world) as relay:
        relay.rule = rule
        yield relay


def test_they_wait_and_nothing_waits_for_them(world: World, relay: ScriptedRelay) -> None:
    """1. Some of a backlog lie two days ahead. 2. More happens. 3. Their time comes. Result: all arrive, once."""
    late = {one.id for one in ahead(5, first=10) + ahead(2, first=20)}
    fill(world, [*numbered(10), *ahead(5, first=10), *numbered(5, first=15), *ahead(2, first=20)])
    daemon = world.start()
    expect_why(world, WHY)
    session = Session()
    hooks(world, session, 3)
    wait_until(lambda: set(relay.ids) == set(in_database(world)) - late, lambda: f"{relay.verdicts} {status(world)}")
    wait_until(lambda: status(world)["waiting"] == 7, lambda: str(status(world)))
    assert relay.verdicts.count(400) == 1
    assert status(world)["refused"] == {}
    assert WHY in world.run("status").stdout.decode()
    daemon.stop()
    assert daemon.text.count(WAITS) == 1
    relay.rule = lambda _: None
    world.start()
    expect_settled(world)
    assert set(relay.ids) == set(in_database(world))
    assert relay.duplicates == 0
    assert status(world)["why"] == ""


def test_clock_that_stays_ahead_makes_one_lane_however_much_happens(world: World, relay: ScriptedRelay) -> None:
    world.start()
    for number in range(5):
        fill(world, ahead(3, first=3 * number) + numbered(2, first=2 * number, source="desktop"))
        wait_until(lambda number=number: relay.verdicts.count(400) == number + 1, lambda: str(relay.verdicts))
    lanes = "select lanes from _cursors"
    wait_until(lambda: world.query(lanes) == [("[[25, null], [0, 25]]",)], lambda: str(world.query(lanes)))
    assert relay.ids == []
    assert world.query("select * from _quarantine") == []
    assert "relay_refused_clock_skew" not in world.counters()


def test_backlog_behind_them_does_not_wake_them(world: World, relay: ScriptedRelay) -> None:
    world.env["VIBETEA_BUFFER_SIZE"] = "5"
    world.start()
    fill(world, ahead(3, first=0))
    expect_why(world, WHY)
    fill(world, numbered(12, first=3))
    wait_until(lambda: len(relay.ids) == 12, lambda: f"{relay.verdicts} {status(world)}")
    assert relay.verdicts.count(400) == 1


def test_relay_that_finds_everything_ahead_is_not_hammered(world: World, relay: ScriptedRelay) -> None:
    relay.rule = lambda _: code(400, "clock_skew")
    fill(world, numbered(100))
    world.start()
    expect_why(world, WHY)
    fill(world, numbered(20, first=100))
    assert relay.verdicts == [400]
    assert status(world)["waiting"] == 120
    assert world.query("select * from _quarantine") == []


def test_older_relay_that_has_no_word_for_it_is_told_of_as_before(world: World, relay: ScriptedRelay) -> None:
    rule = relay.rule
    relay.rule = lambda request: code(400, "invalid_format") if rule(request) else None
    fill(world, numbered(3) + ahead(1, first=3))
    world.start()
    expect_settled(world)
    assert status(world)["refused"] == {"invalid_format": 1}


LATER = """
        with outbox.cursor("outside", "file") as cursor, open("{path}", "ab") as file:
            aside = set()
            while not stop.is_set():
                if not (page := cursor.page(10, 10_000)):
                    cursor.rests or open("{path}.done", "w").close()
                    stop.wait(0.05)
                elif odd := [row for row in page.rows if int(row.id[-1]) % 2 and row.id not in aside][:1]:
                    before = page.rows[: page.rows.index(odd[0])]
                    file.writelines(row.raw + b"\\n" for row in before)
                    file.flush()
                    if before:
                        cursor.settle(page, before, {{}})
                    aside.add(odd[0].id)
                    cursor.set_aside(page, odd, 0.5)
                else:
                    file.writelines(row.raw + b"\\n" for row in page.rows)
                    file.flush()
                    cursor.settle(page, page.rows, {{}})
"""


def test_rows_set_aside_come_again_by_themselves(world: World) -> None:
    """A sink sets every other row aside, each once. Result: it gets all of them, each once."""
    copy = world.root / "copy"
    install_sink(world, run=LATER.format(path=copy))
    fill(world, numbered(100))
    world.start()
    done = copy.with_suffix(".done")
    wait_until(done.exists, lambda: f"{world.query('select * from _cursors')} {world.status()}")
    assert settled(world, "outside")
    found = [json.loads(line)["id"] for line in copy.read_bytes().splitlines()]
    assert sorted(found) == in_database(world)
    assert found != in_database(world)
