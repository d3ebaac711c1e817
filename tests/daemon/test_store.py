"""The database: written all or not at all, with what is derived from it, by one writer that loses nothing."""

import concurrent.futures
import json
import sqlite3
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.daemon.world import wait_until
from tests.protocol.test_events import EXAMPLES, event, events

from vibetea_daemon.store import (
    Batch,
    Client,
    Offset,
    Position,
    Refusal,
    Store,
    StoreError,
    Writer,
    derived,
    schema,
    wire,
)
from vibetea_protocol import Event


@pytest.fixture
def empty_store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "vibetea.db")
    yield store
    store.close()


def rows(store: Store, sql: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in store._db.execute(sql)]


def numbered(count: int) -> list[Event]:
    return [event("tool", EXAMPLES["tool"], id=f"evt_{number:020d}") for number in range(count)]


def test_row_leaves_as_the_very_bytes_of_its_event(empty_store: Store) -> None:
    several = [
        event(kind, payload, id=f"evt_{kind:x>20}".replace("_", "x").replace("evtx", "evt_"))
        for kind, payload in EXAMPLES.items()
    ]
    assert empty_store.write([Batch(several)]) == 15
    found = rows(empty_store, "select id, source, timestamp, type, payload from events order by seq")
    assert [wire(row) for row in found] == [one.wire() for one in several]  # type: ignore[arg-type]


@settings(max_examples=30)
@given(st.lists(st.lists(events, max_size=4), max_size=5))
def test_derived_rows_tell_the_same_as_the_events(batches: list[list[Event]]) -> None:
    with TemporaryStore() as store:
        for batch in batches:
            store.write([Batch(batch), Batch(batch)])
        (count,) = rows(store, "select count(*) from events")[0]
        assert count == len({one.id for batch in batches for one in batch})
        assert rows(store, "select coalesce(sum(n), 0) from activity") == [(count,)]
        ended = "select type, coalesce(tool, ''), coalesce(outcome, payload ->> 'category', ''), count(*) from events"
        by = "group by 1, 2, 3 order by 1, 2, 3"
        assert rows(store, f"select type, tool, outcome, sum(n) from outcomes {by}") == rows(
            store, f"{ended} where type = 'error' or status = 'completed' {by}"
        )
        timed = rows(store, "select count(duration_ms) from events where type = 'tool'")
        assert rows(store, "select coalesce(sum(n), 0) from durations") == timed
        counted = "select session_id, count(*), min(timestamp), max(timestamp) from events"
        assert rows(store, "select session_id, events, first_at, last_at from sessions order by 1") == rows(
            store, f"{counted} where session_id not null group by 1 order by 1"
        )


@pytest.mark.parametrize("name", ["ACTIVITY", "OUTCOMES", "DURATIONS", "SESSIONS", "USAGE", "AGENTS"])
def test_the_few_new_rows_are_found_without_a_walk_over_all(empty_store: Store, name: str) -> None:
    """SQLite would rather take another index that spares it a sort, which costs the more the longer one has worked."""
    plan = empty_store._db.execute(f"explain query plan {getattr(derived, name)}", {"before": 0})
    first = next(step for *_, step in plan if step.startswith(("SEARCH", "SCAN")))
    assert "USING INTEGER PRIMARY KEY (rowid>?)" in first


class TemporaryStore:
    """A store in memory for a property's many runs."""

    def __enter__(self) -> Store:
        self._folder = tempfile.TemporaryDirectory(prefix="vt-")
        self._store = Store(Path(self._folder.name, "vibetea.db"))
        return self._store

    def __exit__(self, *_: object) -> None:
        self._store.close()
        self._folder.cleanup()


def test_same_event_again_changes_nothing(empty_store: Store) -> None:
    usage = [event("token_usage", EXAMPLES["token_usage"] | {"sessionId": EXAMPLES["tool"]["sessionId"]})]
    assert empty_store.write([Batch(usage)]) == 1
    before = [rows(empty_store, f"select * from {table}") for table in ("events", "sessions", "activity", "usage")]
    assert empty_store.write([Batch(usage), Batch(usage + usage)]) == 0
    after = [rows(empty_store, f"select * from {table}") for table in ("events", "sessions", "activity", "usage")]
    assert after == before


def test_group_is_written_all_or_not_at_all(empty_store: Store) -> None:
    bad = Offset(file=None, device=1, inode=1, modified=1, size=1, offset=1, tail=None, since=0)  # type: ignore[arg-type]
    moved = Position("d", "relay", ((2, None),), None), [Refusal("d", "evt", "code", "now")]
    group = [
        Batch(
            numbered(2),
            counts=Counter(a=1),
            status={"b": 1},
            clients={"s": Client(True, "busy", None, "now")},
            position=moved[0],
            refusals=moved[1],
        ),
        Batch(offsets=[bad]),
    ]
    with pytest.raises(sqlite3.IntegrityError):
        empty_store.write(group)
    for table in (
        "events",
        "activity",
        "outcomes",
        "durations",
        "sessions",
        "agents",
        "clients",
        "_offsets",
        "_counters",
        "_status",
        "_cursors",
        "_quarantine",
    ):
        assert rows(empty_store, f"select * from {table}") == []
    assert empty_store.write(group[:1]) == 2


def test_sequence_is_never_used_twice(empty_store: Store) -> None:
    empty_store.write([Batch(numbered(3))])
    empty_store._db.execute("delete from events")
    empty_store.write([Batch(numbered(1))])
    assert rows(empty_store, "select seq from events") == [(4,)]


def test_key_and_offsets_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "vibetea.db"
    offset = Offset("f", 1, 2, 3, 4, 5, "t", 6)
    first = Store(path)
    first.write([Batch(offsets=[offset], counts=Counter(line_depth=2))])
    key = first.hashing_key()
    first.close()
    second = Store(path)
    assert (second.hashing_key(), second.offsets()) == (key, {"f": offset})
    second.close()
    assert len(key) == 32
    assert not path.with_name("vibetea.db-wal").exists()


def test_migration_that_is_cut_short_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("secrets.token_bytes", fail)
        with pytest.raises(KeyboardInterrupt):
            Store(tmp_path / "vibetea.db")
    store = Store(tmp_path / "vibetea.db")
    assert len(store.hashing_key()) == 32
    store.close()


def test_database_of_the_first_schema_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows stay as they were, of no known level, and new ones beside them have theirs."""
    path = tmp_path / "vibetea.db"
    with monkeypatch.context() as before:
        before.setattr(schema, "VERSION", 1)
        before.setattr(schema.migrations, "_migrations", schema.migrations._migrations[:1])
        before.setattr(schema.derived, "renew", lambda _: None)
        with closing(schema.open_database(path)) as old:
            old.execute(
                "insert into events(id, source, timestamp, type, payload) values (?, ?, ?, ?, ?)",
                ("evt_" + "x" * 20, "laptop", "2026-02-03T14:30:00.123Z", "tool", "{}"),
            )
            key = old.execute("select value from _secrets").fetchone()[0]
            assert old.execute("pragma user_version").fetchone() == (1,)
            assert "privacy" not in {row[1] for row in old.execute("pragma table_info(events)")}
    with closing(Store(path)) as store:
        store.write([Batch(numbered(1), privacy="strict")])
        found = rows(store, "select seq, privacy from events order by seq")
        assert (found, store.hashing_key()) == ([(1, None), (2, "strict")], key)
        assert rows(store, "pragma user_version") == [(schema.VERSION,)]
    Store(path).close()


@pytest.mark.parametrize("version", [2, 3])
def test_database_of_an_older_schema_tells_the_same_as_one_that_was_always_of_this(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """Agents, sums and the board are made from the rows that were there, and a session whose rows are gone stays."""
    several = [event(kind, payload, id=f"evt_{n:020d}") for n, (kind, payload) in enumerate(EXAMPLES.items())]
    taken, fresh = tmp_path / "taken.db", tmp_path / "fresh.db"
    with closing(Store(fresh)) as store:
        store.write([Batch(several, privacy="standard")])
        kept = rows(store, "select * from events order by seq")
        tables = ("agents", "sessions", "board", "usage", "activity", "outcomes", "durations")
        wanted = {table: rows(store, f"select * from {table} order by 1, 2") for table in tables}
        old_tables = {table: rows(store, f"select * from {table}") for table in ("usage", "activity")}
        old_sessions = rows(store, "select session_id, source, project, first_at, last_at, events from sessions")
    assert wanted["agents"]
    assert wanted["outcomes"]
    assert wanted["durations"]
    with monkeypatch.context() as before:
        before.setattr(schema, "VERSION", version)
        before.setattr(schema.migrations, "_migrations", schema.migrations._migrations[:version])
        before.setattr(schema.derived, "renew", lambda _: None)
        with closing(schema.open_database(taken)) as old:
            old.executemany(f"insert into events values ({', '.join('?' * len(kept[0]))})", kept)
            names = "session_id, source, project, first_at, last_at, events"
            old.executemany(f"insert into sessions({names}) values (?, ?, ?, ?, ?, ?)", old_sessions)
            for table, was in old_tables.items():
                columns = len(old.execute(f"pragma table_info({table})").fetchall())
                told = [row[:columns] for row in was]
                old.executemany(f"insert into {table} values ({', '.join('?' * columns)})", told)
            old.execute(f"insert into sessions({names}) values ('gone', 'laptop', null, '2025', '2025', 9)")
            assert old.execute("pragma user_version").fetchone() == (version,)
    with closing(Store(taken)) as store:
        assert rows(store, "select session_id, state, tokens, prompts, live from board where session_id = 'gone'") == [
            ("gone", "idle", 0, 0, 0)
        ]
        store._db.execute("delete from sessions where session_id = 'gone'")
        assert {table: rows(store, f"select * from {table} order by 1, 2") for table in tables} == wanted


def test_an_older_database_may_hold_rows_of_another_program_and_sums_without_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = [
        ("evt_1", "2026-02-03T04:05:06Z", "error", None, None, "no json"),
        ("evt_2", "yesterday", "tool", "completed", 5, "{}"),
        ("evt_3", "2026-02-03T04:05:06Z", "tool", "completed", 5, "{}"),
    ]
    with monkeypatch.context() as before:
        before.setattr(schema, "VERSION", 3)
        before.setattr(schema.migrations, "_migrations", schema.migrations._migrations[:3])
        before.setattr(schema.derived, "renew", lambda _: None)
        with closing(schema.open_database(tmp_path / "vibetea.db")) as old:
            old.executemany(
                "insert into events(id, source, timestamp, type, status, duration_ms, payload) "
                "values (?, 'other', ?, ?, ?, ?, ?)",
                foreign,
            )
            old.execute(
                "insert into sessions(session_id, source, first_at, last_at, events, model, output_tokens, prompts) "
                "values ('gone', 'laptop', '2025', '2025', 9, 'claude-opus-5-5', 1000, 4)"
            )
    with closing(Store(tmp_path / "vibetea.db")) as store:
        assert rows(store, "select type, tool, outcome, n from outcomes order by 1") == [
            ("error", "", "", 1),
            ("tool", "", "", 1),
        ]
        assert rows(store, "select about_ms, n from durations") == [(5, 1)]
        assert rows(store, "select model, output_tokens, prompts from sessions") == [("claude-opus-5-5", 1000, 4)]


@settings(max_examples=30)
@given(st.lists(st.integers(0, 10_000) | st.integers(0, 2**53 - 1), min_size=1, max_size=50, unique=True))
def test_a_duration_is_kept_within_a_twentieth_of_it(durations: list[int]) -> None:
    with TemporaryStore() as store:
        for ms in durations:
            one = event("tool", EXAMPLES["tool"] | {"durationMs": ms}, id=f"evt_{ms:020d}")
            store.write([Batch([one])])
            (kept,) = rows(store, "select about_ms from durations")
            assert abs(int(str(kept[0])) - ms) * 20 <= ms
            store._db.execute("delete from durations")


def test_sink_is_where_it_was_last_moved_to(empty_store: Store) -> None:
    first, then = Position("d", "relay", ((0, 5), (7, None)), None), Position("d", "relay", ((9, None),), "now")
    other = Position("e", "relay", ((0, None),), None)
    for position in (first, other, then):
        refusal = Refusal("d", "evt", "invalid_format", "now")
        empty_store.write([Batch(position=position, refusals=[refusal])])
    assert rows(empty_store, "select * from _cursors order by destination") == [
        ("d", "relay", "[[9, null]]", "now"),
        ("e", "relay", "[[0, null]]", None),
    ]
    assert rows(empty_store, "select * from _quarantine") == [("d", "evt", "invalid_format", "now")]


def test_writer_tells_of_new_events_only(empty_store: Store) -> None:
    writer = Writer(empty_store)
    told: list[int] = []
    writer.listen(lambda: told.append(empty_store.count()))
    writer.start()
    for batch in (Batch(numbered(2)), Batch(numbered(2)), Batch(counts=Counter(a=1)), Batch(numbered(3))):
        done = threading.Event()
        batch.then = lambda _, done=done: done.set()  # type: ignore[misc]
        writer.submit(batch)
        assert done.wait(10)
    writer.close()
    assert told == [2, 3], "after the commit, and not for what was there already"


def test_many_make_the_database_at_once(tmp_path: Path) -> None:
    def key(_: int) -> bytes:
        store = Store(tmp_path / "vibetea.db")
        try:
            return store.hashing_key()
        finally:
            store.close()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(key, range(24)))) == 1


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" * 500, b"not a database" * 100])
def test_file_that_is_no_database_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vibetea.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="Move it away"):
        Store(path)
    assert path.read_bytes() == content


def test_empty_file_becomes_a_database(tmp_path: Path) -> None:
    (tmp_path / "vibetea.db").touch(mode=0o644)
    Store(tmp_path / "vibetea.db").close()
    assert oct((tmp_path / "vibetea.db").stat().st_mode & 0o777) == "0o600"


@pytest.mark.parametrize(
    ("pragma", "text"), [("user_version = 99", "newer VibeTea"), ("application_id = 42", "another program")]
)
def test_database_of_somebody_else_is_left_alone(tmp_path: Path, pragma: str, text: str) -> None:
    path = tmp_path / "vibetea.db"
    Store(path).close()
    other = sqlite3.connect(path)
    other.execute(f"pragma {pragma}")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=text):
        Store(path)
    assert path.read_bytes() == before


def test_batch_that_can_never_be_written_is_left_out_alone(empty_store: Store) -> None:
    bad = Offset(file=None, device=1, inode=1, modified=1, size=1, offset=1, tail=None, since=0)  # type: ignore[arg-type]
    writer = Writer(empty_store)
    told: list[bool] = []
    for batch in (Batch(numbered(2)), Batch(offsets=[bad], then=told.append), Batch(numbered(3))):
        writer.submit(batch)
    writer.start()
    writer.close()
    assert empty_store.count() == 3
    assert told == [True], "asking for it again would help nobody"
    assert rows(empty_store, "select * from _counters") == [("batch_failed", 1)]


def test_a_writer_outlives_a_damaged_database_and_says_so(empty_store: Store) -> None:
    """Nothing is acknowledged, nobody waits for ever, and what can be written again is."""
    writer = Writer(empty_store)
    writer.start()
    told: list[bool] = []
    answered = threading.Semaphore(0)

    def then(written: bool) -> None:
        told.append(written)
        answered.release()

    empty_store._db.execute("alter table events rename to away")
    writer.submit(Batch(numbered(2), then=then))
    assert answered.acquire(timeout=10)
    empty_store._db.execute("alter table away rename to events")
    writer.submit(Batch(numbered(2), then=then))
    assert answered.acquire(timeout=10)
    writer.close()
    assert told == [False, True]
    assert rows(empty_store, "select * from _counters") == []


class Obstinate:
    """A store that cannot write as often as it is told."""

    def __init__(self) -> None:
        self.failures = 0
        self.written: list[list[Event]] = []
        self.asked = threading.Semaphore(0)

    def write(self, batches: Iterable[Batch]) -> int:
        try:
            if self.failures:
                self.failures -= 1
                error = sqlite3.OperationalError("full")
                error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_FULL, "SQLITE_FULL"  # type: ignore[misc]
                raise error
            self.written += [list(batch.events) for batch in batches]
            return 1
        finally:
            self.asked.release()


@pytest.fixture
def obstinate(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Obstinate, Writer]]:
    monkeypatch.setattr("vibetea_daemon.store.writer.RETRY", 0.01)
    store = Obstinate()
    writer = Writer(store)  # type: ignore[arg-type]
    writer.start()
    yield store, writer
    writer.close()


def test_hook_is_told_at_once_that_nothing_was_written(obstinate: tuple[Obstinate, Writer]) -> None:
    store, writer = obstinate
    store.failures = 1
    told: list[bool] = []
    done = threading.Semaphore(0)
    for one in numbered(2):
        writer.submit(Batch([one], then=lambda written: (told.append(written), done.release())))  # type: ignore[func-returns-value]
        assert done.acquire(timeout=10)
    assert told == [False, True]


def test_lines_are_tried_again_in_their_order(obstinate: tuple[Obstinate, Writer]) -> None:
    """What follows a batch that could not be written waits for it: its offset would hide the other's events."""
    store, writer = obstinate
    store.failures = 5
    told: list[bool] = []
    several = numbered(20)
    for one in several:
        writer.submit_bulk(Batch([one], then=told.append))
    wait_until(lambda: len(told) == 20, lambda: f"told of {len(told)}")
    assert store.written == [[one] for one in several]
    assert told == [True] * 20


def test_closing_does_not_wait_for_a_disk_that_stays_full(obstinate: tuple[Obstinate, Writer]) -> None:
    store, writer = obstinate
    store.failures = 10**9
    told: list[bool] = []
    for one in numbered(4):
        writer.submit_bulk(Batch([one], then=told.append))
    writer.close()
    assert store.written == []
    assert told == [False] * 4


def test_status_values_are_json(empty_store: Store) -> None:
    empty_store.write([Batch(status={"import": {"files": 1}}), Batch(status={"import": {"files": 2}})])
    assert [json.loads(str(value)) for (value,) in rows(empty_store, "select value from _status")] == [{"files": 2}]
