"""Raw events leave after a while, their hours stay, and what has left does not come in again."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
from tests.relay.world import Sender
from tests.supabase import parts
from tests.supabase.cli import Project
from tests.supabase.events import ROLLUP, Row, insert
from tests.supabase.stack import DATABASE, Stack

CRON = {
    "pg_cron.control": "default_version = '1'\nschema = 'pg_catalog'\nrelocatable = false\ntrusted = true\n",
    "pg_cron--1.sql": """
        create schema cron;
        create table cron.job (jobname text primary key, schedule text, command text);
        create function cron.schedule(job_name text, schedule text, command text) returns bigint
            language sql security definer as 'insert into cron.job values ($1, $2, $3) returning 1::bigint';
        grant usage on schema cron to postgres;
    """,
}
"""A stand-in that only notes what it is asked: the real one cannot be had without a hosted project."""


@pytest.fixture
def pg_cron(stack: Stack) -> Iterator[None]:
    """A server that has the extension to offer."""
    files = [(stack.postgres.programs / "share/extension" / name, text) for name, text in CRON.items()]
    for file, text in files:
        file.write_text(text)
    yield
    for file, _ in files:
        file.unlink()


@pytest.fixture
def aged(stack: Stack) -> list[Row]:
    """An event of today, one just inside ninety days, and one of a day more."""
    now = datetime.now(UTC)
    ages = {"today": 0, "kept": 90, "gone": 91}
    rows = [Row(f"evt_{name:a<20}", at=now - timedelta(days=age)) for name, age in ages.items()]
    with stack.postgres.connect(DATABASE) as connection:
        assert insert(connection, rows) == 3
    return rows


@pytest.mark.parametrize(("days", "deleted", "left"), [("90", 1, 2), ("0", 2, 1), ("-9", 2, 1), ("null", None, 3)])
def test_old_events_go_and_their_hours_stay(
    stack: Stack, aged: list[Row], days: str, deleted: int | None, left: int
) -> None:
    rollup = stack.query(ROLLUP)
    assert stack.query(f"select vibetea.delete_old_events({days})") == [(deleted,)]
    assert stack.query("select count(*) from public.events") == [(left,)]
    assert stack.query(ROLLUP) == rollup


def test_what_was_deleted_is_not_taken_again(stack: Stack, aged: list[Row]) -> None:
    """Whatever `ingest` believes of the days: it lets in even what the database has deleted."""
    stack.query("select vibetea.delete_old_events(30)")
    stack.query("select vibetea.delete_old_events(90)")  # takes nothing of that back
    rollup = stack.query(ROLLUP)
    sender = Sender("laptop")
    body = json.dumps([sender.event(id=row.id, timestamp=f"{row.at:%Y-%m-%dT%H:%M:%SZ}") for row in aged]).encode()
    with stack.serving(parts.deno(), VIBETEA_RETENTION_DAYS="365") as functions:
        answer = httpx.post(f"{functions}/ingest", content=body, headers=sender.headers(body))
    assert (answer.status_code, answer.json()["inserted"]) == (200, 0)
    assert stack.query("select count(*) from public.events") == [(1,)]
    assert stack.query(ROLLUP) == rollup


def test_a_deletion_waits_for_a_batch_under_way(stack: Stack, aged: list[Row]) -> None:
    """And a batch for a deletion: it could still see a row that leaves, or not yet how far was deleted."""
    with stack.postgres.connect(DATABASE) as batch, stack.postgres.connect(DATABASE) as night:
        night.execute("set lock_timeout = '50ms'")
        with batch.transaction():
            assert insert(batch, aged) == 0
            with pytest.raises(psycopg.errors.LockNotAvailable):
                night.execute("select vibetea.delete_old_events(90)")
        assert night.execute("select vibetea.delete_old_events(90)").fetchone() == (1,)


def test_where_there_is_pg_cron_it_deletes_every_night(stack: Stack, pg_cron: None, tmp_path: Path) -> None:
    Project(tmp_path / "project").push(stack.postgres.project("nightly"))
    with stack.postgres.connect("nightly") as admin:
        [(name, schedule, command)] = admin.execute("select * from cron.job").fetchall()
        nightly = ("vibetea-retention", "17 3 * * *", "select vibetea.delete_old_events(90)")
        assert (name, schedule, command) == nightly  # as many days as `ingest` takes events of
        assert admin.execute(command).fetchall() == [(0,)]
