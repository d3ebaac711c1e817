"""A laptop comes back after a week: how fast a backlog drains through the relay's own limits, and what waits meanwhile.

`python bench/drain.py [--events N]` fills a database with events of the last week, starts the real daemon and the real
relay with its default limits, and reports events while the backlog drains, as hooks would.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from measure import table
from relay import server
from relay_load import SEED, SOURCE, Watchers, close, metric, watch

from vibetea_daemon.store.schema import open_database
from vibetea_protocol import event_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

ACCEPTED: Final = 'vibetea_relay_events_total{result="accepted"}'
TARGET: Final = 500
"""Events a second."""
LIVE_EVERY: Final = 0.25
SESSION: Final = "550e8400-e29b-41d4-a716-446655440000"
COLUMNS: Final = "id, source, timestamp, type, session_id, project, tool, status, payload, privacy"
PAYLOAD: Final = f'{{"sessionId":"{SESSION}","tool":"Read","status":"completed","project":"shop"}}'


def fill(db: sqlite3.Connection, events: int, source: str = SOURCE) -> None:
    """The backlog, spread over the last six days."""
    timestamp = f"strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-' || (518400 - n * 518400 / {events}) || ' seconds')"
    db.execute(
        f"with recursive c(n) as (select 1 union all select n + 1 from c where n < {events}) "
        f"insert into events({COLUMNS}) select 'evt_' || printf('%020x', n), '{source}', {timestamp}, 'tool', "
        f"'{SESSION}', 'shop', 'Read', 'completed', '{PAYLOAD}', 'standard' from c"
    )


def report(state: Path, key: bytes, number: int) -> str:
    """A tool call ends now, and its hook says so; the id of the event it becomes."""
    call = f"call{number}"
    payload = {
        "hook_event_name": "PostToolUse",
        "session_id": SESSION,
        "cwd": "/home/dev/shop",
        "tool_name": "Read",
        "tool_use_id": call,
        "tool_input": {},
        "tool_response": {},
    }
    raw = json.dumps(payload).encode()
    with socket.socket(socket.AF_UNIX) as hook:
        hook.connect(str(state / "vibetea.sock"))
        hook.sendall(struct.pack(">BQI", 1, time.time_ns(), len(raw)) + raw)
        assert hook.recv(1) == b"\x06"
    return event_id(key, "tool", SESSION, call, "completed")


@contextmanager
def daemon(home: Path, port: int) -> Iterator[None]:
    """The daemon, with nothing to read and a relay to send to."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "VIBETEA_HOME": str(home / "state"),
        "VIBETEA_SOURCE_ID": SOURCE,
        "VIBETEA_SERVER_URL": f"http://127.0.0.1:{port}",
    }
    process = subprocess.Popen([sys.executable, "-m", "vibetea_daemon", "daemon"], env=environ, stderr=subprocess.PIPE)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


async def drain(events: int) -> None:
    with tempfile.TemporaryDirectory(prefix="vt-") as folder, server("relay") as port:
        home = Path(folder)
        state = home / "state"
        state.mkdir(mode=0o700)
        (state / "key.priv").write_bytes(SEED)
        (state / "key.priv").chmod(0o600)
        db = open_database(state / "vibetea.db")
        fill(db, events)
        (key,) = db.execute("select value from _secrets where name = 'hashing_key'").fetchone()
        watchers = Watchers()
        opened = await watch(port, 1, watchers)
        live = 0
        begin = time.monotonic()
        with daemon(home, port):
            while (done := metric(port, ACCEPTED)) < events + live or not live:
                assert time.monotonic() - begin < events / TARGET + 60, f"{done} of {events} after all this time"
                if done and done < events:
                    begun = time.monotonic()
                    watchers[report(state, key, live)] = begun
                    live += 1
                await asyncio.sleep(LIVE_EVERY)
            seconds = time.monotonic() - begin
        close(opened)
        db.close()
        waited = statistics.quantiles([second * 1000 for second in watchers.waited], n=100)
        print(table([(f"{events} events", events / seconds, f">= {TARGET}")], ("backlog", "events/s", "aim")))
        rows = [(f"{live} live events meanwhile", waited[49], waited[98])]
        print(table(rows, ("ms until a watcher has it", "p50", "p99")))
        assert len(watchers.waited) == live, f"{len(watchers.waited)} of {live} live events were seen"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    asyncio.run(drain(parser.parse_args().events))
