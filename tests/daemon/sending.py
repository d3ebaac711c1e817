"""What the tests of sinks share: a machine with a relay, events for it, and what must have come of them."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from tests.daemon.frames import frame, send
from tests.daemon.scripted_relay import ScriptedRelay, serve
from tests.daemon.session import Session, tool_hook
from tests.daemon.world import World, wait_until
from tests.protocol.test_events import AT, EXAMPLES, event

from vibetea_daemon.config import Config
from vibetea_daemon.keys import registration
from vibetea_daemon.store import Batch, Store
from vibetea_protocol import Event
from vibetea_protocol.signing import decode_key

ACK = b"\x06"
WAITS = r"the relay's sink waits: "
"""What the log says when the relay does not take what is sent."""


def public_key(world: World) -> bytes:
    """What this machine signs with."""
    return decode_key(registration(Config.load(world.env)).partition(":")[2])


@contextmanager
def scripted_relay(world: World) -> Iterator[ScriptedRelay]:
    """A relay that knows this machine, whose next daemon will send to it."""
    with serve(ScriptedRelay(public_key(world))) as relay:
        world.env["VIBETEA_SERVER_URL"] = relay.url + "/"
        yield relay
        for process in world.processes:
            if process.popen.poll() is None:
                process.stop()
        assert relay.broken == []


def hooks(world: World, session: Session, count: int) -> None:
    """So many hooks, one after the other; each is acknowledged."""
    for _ in range(count):
        assert send(world, frame(tool_hook(session, f"t{len(session.keys)}"))) == ACK


def numbered(count: int, *, first: int = 0, source: str = "laptop", at: str = AT) -> list[Event]:
    ids = (f"evt_{source[0]}{number:019d}" for number in range(first, first + count))
    return [event("tool", EXAMPLES["tool"], id=one, source=source, timestamp=at) for one in ids]


def fill(world: World, events: list[Event], privacy: str | None = "standard") -> None:
    """What another process wrote into the database."""
    with closing(Store(world.database)) as store:
        store.write([Batch(events, privacy=privacy)])


def in_database(world: World) -> list[str]:
    return [row[0] for row in world.query("select id from events where source = 'laptop' order by seq")]


def expect_all(world: World, relay: ScriptedRelay, seconds: float = 60) -> None:
    """Every event of this machine is at the relay."""

    def missing() -> str:
        wanted = set(in_database(world))
        return f"{len(wanted - set(relay.ids))} of {len(wanted)} missing; {relay.verdicts[-9:]} {world.status()}"

    wait_until(lambda: set(relay.ids) == set(in_database(world)), missing, seconds)


def settled(world: World, sink: str = "relay") -> bool:
    """Whether the sink's cursor is at the end of the table."""
    lanes = world.query("select lanes from _cursors where sink = ?", sink)
    (last,) = world.query("select coalesce(max(seq), 0) from events")[0]
    return lanes == [(f"[[{last}, null]]",)]


def expect_settled(world: World, seconds: float = 60, sink: str = "relay") -> None:
    wait_until(lambda: settled(world, sink), lambda: str(world.query("select * from _cursors")), seconds)


def status(world: World, sink: str = "relay") -> dict[str, Any]:
    """A sink's part of `vibetea status`."""
    return dict(json.loads(world.run("status", "--json").stdout)["sinks"][sink])


def expect_why(world: World, text: str = "", sink: str = "relay") -> None:
    """Until the sink says that it waits, and for this reason."""

    def why() -> str:
        return str(world.status().get(f"sink_{sink}", {}).get("why") or "")

    wait_until(lambda: bool(why()) and text in why(), lambda: f"{why()}\n{world.processes[-1].text}")
