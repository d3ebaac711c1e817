"""What the tests of sinks share: a machine with a relay, events for it, and what must have come of them."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from tests.daemon.frames import frame, send
from tests.daemon.scripted_relay import ScriptedRelay, serve
from tests.daemon.session import Session, tool_hook
from tests.daemon.world import World, wait_until
from tests.protocol.test_events import EXAMPLES, event

from vibetea_daemon.config import Config
from vibetea_daemon.keys import registration
from vibetea_daemon.store import Batch, Store
from vibetea_protocol import Event
from vibetea_protocol.signing import decode_key

ACK = b"\x06"
WAITS = r"the relay's sink waits: "
"""What the log says when the relay does not take what is sent."""


@contextmanager
def scripted_relay(world: World) -> Iterator[ScriptedRelay]:
    """A relay that knows this machine, whose next daemon will send to it."""
    key = registration(Config.load(world.env)).partition(":")[2]
    with serve(ScriptedRelay(decode_key(key))) as relay:
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


def numbered(count: int, *, first: int = 0, source: str = "laptop") -> list[Event]:
    ids = (f"evt_{source[0]}{number:019d}" for number in range(first, first + count))
    return [event("tool", EXAMPLES["tool"], id=one, source=source) for one in ids]


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


def settled(world: World) -> bool:
    """Whether the cursor is at the end of the table."""
    lanes = world.query("select lanes from _cursors")
    (last,) = world.query("select coalesce(max(seq), 0) from events")[0]
    return lanes == [(f"[[{last}, null]]",)]


def expect_settled(world: World, seconds: float = 60) -> None:
    wait_until(lambda: settled(world), lambda: str(world.query("select * from _cursors")), seconds)


def status(world: World) -> dict[str, Any]:
    """The relay's part of `vibetea status`."""
    return dict(json.loads(world.run("status", "--json").stdout)["sinks"]["relay"])


def expect_why(world: World, text: str = "") -> None:
    """Until the sink says that it waits, and for this reason."""

    def why() -> str:
        return str(world.status().get("sink_relay", {}).get("why") or "")

    wait_until(lambda: bool(why()) and text in why(), lambda: f"{why()}\n{world.processes[-1].text}")
