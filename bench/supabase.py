"""Events on their way into a Supabase, by the thousand: how many a second, and which part of it takes how long.

`python bench/supabase.py [--events N]` starts a project of the real parts, whose PostgreSQL writes to the disk. Each
part is what is left when the same batch, of new events, is handed in one door further on: to PostgreSQL, to PostgREST,
to the function. HTTP is the same body without a signature, which the function reads and refuses. At last the real
daemon sends a backlog; what it needs beside is reading, rendering, and writing down where it is.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import secrets
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from drain import PAYLOAD, fill
from measure import interleave, median, table

from vibetea_daemon.store import wire_to_supabase
from vibetea_daemon.store.schema import open_database
from vibetea_protocol.signing import sign

sys.path.insert(0, str(Path(__file__).parents[1]))  # a project is made as the tests do it
from tests.daemon.scripted_ingest import expect_settled, name_supabase
from tests.daemon.world import World, wait_until
from tests.supabase.stack import Stack, running

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE: Final = "laptop"
BATCH: Final = 1000
ROUNDS: Final = 30
BACKLOGS: Final = 3
INSERT: Final = "select public.bulk_insert_events(%s::jsonb)"


class Door:
    """A place to hand a batch in, over a connection that stays open."""

    def __init__(self, url: str, status: int) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        self._path = parts.path
        self._status = status
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port)

    def post(self, body: bytes, headers: dict[str, str]) -> None:
        self._connection.request("POST", self._path, body, {"Content-Type": "application/json"} | headers)
        answer = self._connection.getresponse()
        told = answer.read()
        assert answer.status == self._status, told


class Batch:
    """New events and their bytes, made anew `before` each run."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self.renew()

    def renew(self) -> None:
        at = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        rows = [("evt_" + secrets.token_hex(10), SOURCE, at, "tool", PAYLOAD) for _ in range(BATCH)]
        self.body = b"[" + b",".join(map(wire_to_supabase, rows)) + b"]"
        self.events = self.body.decode()
        self.parameter = json.dumps({"events_json": json.loads(self.body)}).encode()
        self.signed = self.sign()

    def sign(self) -> dict[str, str]:
        return {"X-Source-ID": SOURCE, "X-Signature": sign(self._seed, self.body)}


def doors(stack: Stack, batch: Batch) -> dict[str, Callable[[], object]]:
    """The same batch through each; milliseconds are for a thousand events."""
    database = stack.postgres.connect("project")
    rest = Door(f"{stack.rest}/rpc/bulk_insert_events", 200)
    function, refusal = Door(f"{stack.functions}/ingest", 200), Door(f"{stack.functions}/ingest", 401)
    return {
        "signing": batch.sign,
        "http": lambda: refusal.post(batch.body, {}),
        "sql": lambda: database.execute(INSERT, (batch.events,)),
        "rest": lambda: rest.post(batch.parameter, {"apikey": stack.secret_key}),
        "all": lambda: function.post(batch.body, batch.signed),
    }


def send(stack: Stack, events: int) -> float:
    """The real daemon's backlog; its seconds from the first request to the last answer."""
    with tempfile.TemporaryDirectory(prefix="vt-") as folder:
        world = World.make(Path(folder))
        world.env["VIBETEA_PRIVATE_KEY"] = base64.b64encode(stack.keys[SOURCE]).decode()
        name_supabase(world, stack.functions, 3600)
        db = open_database(world.database)
        fill(db, events, SOURCE)
        db.close()
        stack.empty()
        came = "select count(*) from public.events"
        world.start()
        wait_until(lambda: stack.query(came) != [(0,)], "no event came")
        begun = time.perf_counter()
        first: int = stack.query(came)[0][0]
        expect_settled(world, 600)
        seconds = time.perf_counter() - begun
        assert stack.query(came) == [(events,)]
        world.processes[-1].stop()
        return seconds * events / (events - first)


def run(events: int) -> None:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), durable=True) as stack:
        batch = Batch(stack.keys[SOURCE])
        found = interleave(doors(stack, batch), ROUNDS, before=batch.renew)
        ms = {name: 1000 * median(seconds) for name, seconds in found.items()}
        daemon = 1000 * median([send(stack, events) for _ in range(BACKLOGS)]) * BATCH / events
        parts = {
            "signing": ms["signing"],
            "HTTP, to the function and back": ms["http"],
            "function: verify, parse, check": ms["all"] - ms["http"] - ms["rest"],
            "PostgREST and its HTTP": ms["rest"] - ms["sql"],
            "SQL": ms["sql"],
            "daemon: read, render, settle": daemon - ms["all"] - ms["signing"],
        }
        rows = [(name, value, f"{100 * value / daemon:.0f} %") for name, value in parts.items()]
        print(table(rows, (f"{len(batch.body) // 1024} KiB, {BATCH} events", "ms", "share")))
        rates = [
            ("SQL alone", 1000 * BATCH / ms["sql"], 1.0),
            ("through the function", 1000 * BATCH / ms["all"], ms["all"] / ms["sql"]),
            (f"the daemon's backlog of {events}", 1000 * BATCH / daemon, daemon / ms["sql"]),
        ]
        print(table([(name, f"{rate:.0f}", ratio) for name, rate, ratio in rates], ("", "events/s", "times SQL")))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    run(parser.parse_args().events)
