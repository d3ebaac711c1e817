"""The hours of thirty days out of five million events: from the rollup, beside counting the events themselves.

`python bench/aggregates.py [--events N]` starts a PostgreSQL 17 that writes to the disk, pushes the migrations, and
fills both. The events are counted in the quickest way that comes to the rollup's answer, and by calendar and clock.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from measure import interleave, median, table

sys.path.insert(0, str(Path(__file__).parents[1]))  # a project is made as the tests do it
from tests.supabase.cli import Project
from tests.supabase.postgres import postgres

DAYS: Final = 30
SOURCES: Final = 5
ROUNDS: Final = 3
AIM: Final = 100

FILL: Final = """
    insert into public.events (id, source, timestamp, event_type, payload)
    select 'evt_' || lpad(n::text, 20, '0'), 'source-' || n %% %(sources)s,
        now() - n * make_interval(days => %(days)s) / %(events)s, 'tool',
        jsonb_build_object('sessionId', '550e8400-e29b-41d4-a716-446655440000', 'tool', 'Read', 'status', 'completed',
            'project', 'shop')
    from generate_series(%(events)s, 1, -1) as n
"""
BACKFILL: Final = """
    insert into vibetea.hourly (hour, source, event_count)
    select date_trunc('hour', timestamp, 'UTC'), source, count(*) from public.events group by 1, 2
"""
COUNTED: Final = f"""
    select jsonb_agg(jsonb_build_object('source', source, 'date', to_char(hour at time zone 'UTC', 'YYYY-MM-DD'),
        'hour', extract(hour from hour at time zone 'UTC')::integer, 'eventCount', n) order by hour desc, source)
    from (
        select date_bin('1 hour', timestamp, 'epoch') as hour, source, count(*) as n from public.events
        where timestamp >= date_trunc('hour', now() - make_interval(days => {DAYS}), 'UTC') group by 1, 2
    )
"""
BY_CALENDAR: Final = f"""
    select source, date(timestamp) as day, extract(hour from timestamp)::integer as hour, count(*) from public.events
    where timestamp >= now() - make_interval(days => {DAYS}) group by 1, 2, 3 order by 2 desc, 3 desc
"""
ROLLUP: Final = f"select public.get_hourly_aggregates({DAYS})"


def run(events: int) -> None:
    with tempfile.TemporaryDirectory() as folder, postgres(durable=True) as server:
        Project(Path(folder) / "project").push(server.project("project"))
        with server.connect("project") as connection:
            began = time.perf_counter()
            connection.execute(FILL, {"events": events, "sources": SOURCES, "days": DAYS})
            filled = time.perf_counter()
            connection.execute(BACKFILL)
            backfilled = time.perf_counter()
            connection.execute("vacuum (analyze) public.events, vibetea.hourly")
            print(f"filled in {filled - began:.0f} s, and the rollup from it in {backfilled - filled:.0f} s")

            statements = {"rollup": ROLLUP, "counted": COUNTED, "by calendar": BY_CALENDAR}
            cases = {name: lambda text=text: connection.execute(text).fetchall() for name, text in statements.items()}
            assert cases["rollup"]() == cases["counted"](), "the rollup says something else than its events"
            seconds = interleave(cases, ROUNDS, warmup=0)

    floor = median(seconds["counted"])
    rows = [
        (f"{events} events, counted", floor * 1000, 1.0, "floor"),
        ("by calendar and clock", (value := median(seconds["by calendar"])) * 1000, floor / value, ""),
        ("get_hourly_aggregates", (value := median(seconds["rollup"])) * 1000, floor / value, f">= {AIM} x"),
    ]
    print(table(rows, (f"{DAYS} days", "ms", "x faster", "aim")))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    run(parser.parse_args().events)
