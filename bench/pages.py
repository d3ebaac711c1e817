"""What the pages' data cost over a million and over ten million events, beside the raw queries they replace.

`python bench/pages.py [--events N ...]` times whole answers of the real server on loopback: cold, the first of a server
that has just started, with nothing of the file in the system's memory; warm, with nothing new since the last one, so
that sums are there to be looked up; and with one event committed since, as on a page one looks at. Of the last the
processor's time, too, which a busy machine changes less. Five sessions are at work meanwhile, a developer's, then 200,
a large team's. Ten million events take 6 GB of a temporary folder and ten minutes to make.
"""

from __future__ import annotations

import argparse
import http.client
import os
import sqlite3
import tempfile
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from generated import generate, go_on
from measure import interleave, median, table
from served import cpu_seconds, served

from vibetea_daemon.store import derived
from vibetea_daemon.store.schema import open_database

if TYPE_CHECKING:
    from collections.abc import Callable

LIVE: Final = (5, 200)
"""Sessions at work. Each step adds to those before."""
ROUNDS: Final = 20
ACTS: Final = (
    "type not in ('token_usage', 'session_metrics', 'activity_pattern', 'model_distribution', 'project_activity')"
)
MONTH: Final = "timestamp > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-30 days')"
HEATMAP: Final = (f"select strftime('%s', timestamp) / 900, count(*) from events where {MONTH} and {ACTS} group by 1",)
SESSIONS: Final = (
    """select session_id, source, project, max(timestamp) as last, count(*), sum(json_extract(payload, '$.inputTokens'))
        from events group by session_id having last > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-30 minutes')""",
)
STATISTICS: Final = (
    f"""select type, tool, project, source, outcome, count(*), avg(duration_ms)
        from events where {MONTH} group by 1, 2, 3, 4, 5""",
    f"""select date(timestamp), model, sum(json_extract(payload, '$.inputTokens')),
        sum(json_extract(payload, '$.outputTokens'))
        from events where {MONTH} and type = 'token_usage' group by 1, 2""",
)
CASES: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "overview.json": ("/-/vibetea/overview.json?days=30", "50", SESSIONS + HEATMAP),
    "heatmap.json, 30 days": ("/-/vibetea/heatmap.json?days=30", "20", HEATMAP),
    "sessions.json": ("/-/vibetea/sessions.json", "5", SESSIONS),
    "statistics.json, 30 days": ("/-/vibetea/statistics.json?days=30", "100", STATISTICS),
    "Datasette's table of events": ("/vibetea/events", "", ()),
    "Datasette's versions.json, the floor": ("/-/versions.json", "", ()),
}
"""The address, the aim in milliseconds with one event since, and what would have to be asked of the events."""
INSERT: Final = (
    "insert into events(id, source, timestamp, type, session_id, project, tool, status, outcome, duration_ms, payload) "
    "values (?, 'laptop', strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), 'tool', '3f0c9b52', 'shop', 'Read', 'completed', "
    "'ok', 17, '{}')"
)


def commit(connection: sqlite3.Connection) -> None:
    """One event and what the daemon derives of it."""
    connection.execute("begin")
    seq = connection.execute(INSERT, [f"evt_{uuid.uuid4().hex}"]).lastrowid
    assert seq is not None
    derived.add(connection, seq - 1)
    connection.execute("commit")


def ask(address: str, path: str) -> int:
    """The status, once the whole answer is there."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=300)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def cold(database: Path, path: str) -> float:
    """Seconds of the first answer."""
    with served(database) as (address, _):
        for file in database.parent.iterdir():
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
        begin = time.perf_counter()
        status = ask(address, path)
        took = time.perf_counter() - begin
    assert status == 200, f"{path} answered {status}"
    return took


def raw(database: Path, statements: tuple[str, ...]) -> float:
    """Seconds they take on a connection of their own, asked once: some take a minute."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        begin = time.perf_counter()
        for statement in statements:
            connection.execute(statement).fetchall()
        return time.perf_counter() - begin


def measure(database: Path, replaced: dict[str, float]) -> list[tuple[object, ...]]:
    """The rows of one table; `replaced` are the seconds of the raw queries."""
    first = {name: cold(database, path) * 1000 for name, (path, _, _) in CASES.items()}
    with served(database) as (address, process), closing(open_database(database)) as connection:

        def asked(path: str) -> Callable[[], object]:
            return lambda: ask(address, path)

        cases = {name: asked(path) for name, (path, _, _) in CASES.items()}
        warm = interleave(cases, ROUNDS)
        since = interleave(cases, ROUNDS, before=lambda: commit(connection))
        cpu = {}
        for name, (path, _, _) in CASES.items():
            before = cpu_seconds(process)
            for _ in range(ROUNDS):
                commit(connection)
                ask(address, path)
            cpu[name] = (cpu_seconds(process) - before) / ROUNDS * 1000
    rows: list[tuple[object, ...]] = []
    for name, (_, aim, _) in CASES.items():
        found = median(since[name]) * 1000
        beside = (replaced[name] * 1000, f"{replaced[name] * 1000 / found:.0f}") if name in replaced else ("", "")
        rows.append((name, first[name], median(warm[name]) * 1000, found, aim, cpu[name], *beside))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 10_000_000])
    for events in parser.parse_args().events:
        with tempfile.TemporaryDirectory() as folder:
            database = Path(folder, "vibetea.db")
            begin = time.monotonic()
            print(f"\nMaking {events} events ...", flush=True)
            generate(database, events)
            print(f"{time.monotonic() - begin:.0f} s, {database.stat().st_size / 1e9:.1f} GB", flush=True)
            replaced = {name: raw(database, statements) for name, (_, _, statements) in CASES.items() if statements}
            before = 0
            for live in LIVE:
                go_on(database, live - before)
                before = live
                rows = measure(database, replaced)
                print(f"\n{events} events, {live} sessions at work")
                print(
                    table(
                        rows, ("answer", "cold ms", "warm ms", "one event since ms", "aim", "its cpu ms", "raw ms", "x")
                    )
                )


if __name__ == "__main__":
    main()
