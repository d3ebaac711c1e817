"""Supabase's function `ingest` that answers by a script, and a machine whose daemon sends to it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

from tests.daemon import sending
from tests.daemon.scripted_relay import Answer, Request, ScriptedRelay, serve
from tests.daemon.world import World, wait_until

from vibetea_protocol import Event

WAITS = r"Supabase's sink waits: "
"""What the log says when Supabase does not take what is sent."""
BASE = "/functions/v1"

expect_settled = partial(sending.expect_settled, sink="supabase")
expect_why = partial(sending.expect_why, sink="supabase")
settled = partial(sending.settled, sink="supabase")
status = partial(sending.status, sink="supabase")


def refusal(status: int, word: str, **headers: str) -> Answer:
    return Answer(status, json.dumps({"error": word, "message": "text"}).encode(), headers)


class ScriptedIngest(ScriptedRelay):
    """Takes a signed array of 1 to 1000 events that name their type twice."""

    path = f"{BASE}/ingest"
    yes = Answer(200)

    def refusal(self, status: int, word: str) -> Answer:
        return refusal(status, word)

    def _decide(self, request: Request) -> Answer:
        events = json.loads(request.body)
        if any(event["eventType"] != event["type"] for event in events) or len(events) > 1000:
            self.broken.append("not what `ingest` takes")
        answer = super()._decide(request)
        return answer if events or answer is not self.yes else refusal(400, "empty_batch")

    def _verify_fresh(self, key: bytes, request: Request) -> None:
        """The signature is all there is."""

    def _counts(self, fresh: int, sent: int) -> dict[str, object]:
        return {"inserted": fresh, "message": "text"}


@contextmanager
def scripted_ingest(world: World, interval: int = 1) -> Iterator[ScriptedIngest]:
    """A function that knows this machine, whose next daemon will send to it each `interval` seconds."""
    with serve(ScriptedIngest(sending.public_key(world))) as ingest:
        name_supabase(world, f"{ingest.url}{BASE}", interval)
        yield ingest
        for process in world.processes:
            if process.popen.poll() is None:
                process.stop()
        assert ingest.broken == []


def name_supabase(world: World, address: str, interval: int = 1) -> None:
    """Have the next daemon send to these functions."""
    world.env["VIBETEA_SUPABASE_URL"] = address + "/"
    world.env["VIBETEA_SUPABASE_BATCH_INTERVAL_SECS"] = str(interval)


def recent(count: int, *, first: int = 0, source: str = "laptop", days: float = 0) -> list[Event]:
    """Numbered events of so many days ago."""
    at = datetime.now(UTC) - timedelta(days=days)
    return sending.numbered(count, first=first, source=source, at=f"{at:%Y-%m-%dT%H:%M:%SZ}")


def sizes(server: ScriptedRelay) -> list[int]:
    """How many events each request had."""
    return [len(request.ids) for request in server.requests]


def expect_begun(world: World) -> None:
    wait_until(lambda: "sink_supabase" in world.status(), "never began")
