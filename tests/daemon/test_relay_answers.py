"""The relay sink and answers that are no relay's, or refuse it: what is told, and that nothing counts as sent."""

from collections.abc import Iterator

import pytest
from tests.daemon.scripted_relay import Answer, ScriptedRelay, code
from tests.daemon.sending import WAITS, expect_settled, expect_why, fill, in_database, numbered, scripted_relay, settled
from tests.daemon.world import World

TRUE = b'{"accepted": 3, "duplicates": 0}'


@pytest.fixture
def relay(world: World) -> Iterator[ScriptedRelay]:
    world.expected_log = [WAITS]
    with scripted_relay(world) as relay:
        yield relay


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b'{"error": "please log in"}'),
        Answer(202, b'{"status": "ok"}'),
        Answer(202, b"{}"),
        Answer(202, b'{"accepted": 3}'),
        Answer(202, b'{"duplicates": 3}'),
        Answer(202, b'{"accepted": 3, "duplicates": false}'),
        Answer(200, TRUE),
        Answer(201, b"<html>"),
    ],
    ids=lambda answer: f"{answer.status} {answer.body.decode()}",
)
def test_answer_in_the_relays_place_is_told_and_counts_for_nothing(
    world: World, relay: ScriptedRelay, answer: Answer
) -> None:
    relay.script = [answer]
    fill(world, numbered(3))
    world.start()
    expect_why(world, f"something else answers in its place ({answer.status}), such as a login page")
    assert not settled(world)
    expect_settled(world)
    assert relay.ids == in_database(world)


@pytest.mark.parametrize(
    "answer",
    [Answer(202, b'{"accepted": 4, "duplicates": -1}'), Answer(202, b'{"accepted": 3, "duplicates": 1}')],
    ids=lambda answer: answer.body.decode(),
)
def test_counts_that_cannot_be_are_told(world: World, relay: ScriptedRelay, answer: Answer) -> None:
    relay.script = [answer]
    fill(world, numbered(3))
    world.start()
    expect_why(world, "it took another number of events than was sent")
    expect_settled(world)
    assert relay.ids == in_database(world)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(404, b"<html>"), "there is no relay at this address (404); check VIBETEA_SERVER_URL"),
        (code(405, "method_not_allowed"), "there is no relay at this address (405 method_not_allowed)"),
        (code(415, "unsupported_encoding"), "it answers 415 unsupported_encoding, which no relay does"),
        (Answer(418, b""), "it answers 418, which no relay does"),
        (Answer(204, b""), "it answers 204, which no relay does"),
        (code(500, "internal"), "it failed (500 internal)"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Answer) else "",
)
def test_answer_nobody_expects_is_told_as_what_it_is(
    world: World, relay: ScriptedRelay, answer: Answer, told: str
) -> None:
    relay.rule = lambda _: answer
    fill(world, numbered(1))
    world.start()
    expect_why(world, told)


def test_only_a_source_that_is_not_registered_is_told_to_register(world: World, relay: ScriptedRelay) -> None:
    relay.rule = lambda _: code(401, "invalid_signature")
    fill(world, numbered(1))
    world.start()
    expect_why(world, "it knows another key of this machine, or itself by another address (--public-url)")
    for command in ("status", "doctor"):
        said = world.run(command).stdout.decode()
        assert "--public-url" in said
        assert "register" not in said
