"""The relay sink and the network it is on: names, addresses nobody answers at, proxies of the environment."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from tests.daemon.scripted_relay import ScriptedRelay
from tests.daemon.sending import WAITS, expect_settled, expect_why, fill, hooks, in_database, numbered, scripted_relay
from tests.daemon.session import Session
from tests.daemon.shims import Names
from tests.daemon.world import World

from vibetea_daemon.sinks.post import _Resolver

PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "WS_PROXY", "ws_proxy")


@pytest.fixture
def relay(world: World) -> Iterator[ScriptedRelay]:
    with scripted_relay(world) as relay:
        yield relay


# names


@pytest.fixture
def names(world: World, relay: ScriptedRelay) -> Names:
    """The daemon's name server; the relay is known by name only."""
    world.env["VIBETEA_SERVER_URL"] = relay.url
    return Names(world.root / "names")


def place(relay: ScriptedRelay) -> tuple[str, int]:
    return "127.0.0.1", int(relay.url.rpartition(":")[2])


def test_name_that_cannot_be_looked_up(world: World, relay: ScriptedRelay, names: Names) -> None:
    """1. The name is unknown. 2. It is known again. Result: all arrive, once, and nobody restarted anything."""
    world.expected_log = [WAITS]
    fill(world, numbered(3))
    world.start(env=names.env)
    expect_why(world, "its name cannot be looked up")
    assert relay.requests == []
    names.answer(place(relay))
    expect_settled(world, 40)
    assert relay.ids == in_database(world)
    assert relay.verdicts == [202]


async def test_silent_name_server_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: answer.wait(20) and [])
    asked = asyncio.create_task(_Resolver().resolve("relay.example"))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert not [one for one in threading.enumerate() if one.name.startswith("asyncio_")]
    answer.set()


# addresses nobody answers at


@contextmanager
def black_hole() -> Iterator[tuple[str, int]]:
    """An IPv6 address and port that take every packet and answer none: the listener's queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_INET6))
        try:
            listener.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        listener.listen(0)
        address = listener.getsockname()[:2]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket(socket.AF_INET6))
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(address)
        yield address


def test_dead_ipv6_address_does_not_keep_the_living_one_waiting(
    world: World, relay: ScriptedRelay, names: Names
) -> None:
    """1. The name leads to a black hole only. 2. It leads there first, and to the relay. Result: all arrive, once."""
    world.expected_log = [WAITS]
    fill(world, numbered(3))
    with black_hole() as dead:
        names.answer(dead)
        world.start(env=names.env)
        expect_why(world, "it does not answer in time")
        assert relay.requests == []
        names.answer(dead, place(relay))
        expect_settled(world, 40)
    assert relay.ids == in_database(world)
    assert relay.verdicts == [202]


# proxies


def test_proxy_of_the_environment_is_not_used(world: World, relay: ScriptedRelay) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        world.env |= dict.fromkeys(PROXIES, f"http://127.0.0.1:{trap.getsockname()[1]}")
        world.start()
        hooks(world, Session(), 3)
        expect_settled(world)
        with pytest.raises(BlockingIOError):  # nobody waits there
            trap.accept()
    assert relay.ids == in_database(world)
    assert len(relay.ids) == 3
