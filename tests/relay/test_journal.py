"""The journal: each id once, in order, across restarts and failures; bounded, private, and told from a damaged file."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.relay.watching import until
from tests.relay.world import SESSION

from vibetea_protocol.wire import WireEvent
from vibetea_relay.config import Limits
from vibetea_relay.errors import NotNowError, RelayConfigError
from vibetea_relay.journal import AT_ONCE, Journal, JournalError
from vibetea_relay.records import Records
from vibetea_relay.stream import Entry, Receipt, Unavailable, Wish

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it mounts a small disk")

NOW = time.time()


def event(number: int, size: int = 0) -> WireEvent:
    name = f"evt_{number:020d}"
    raw = b'{"id":"%b","payload":{"sessionId":"%b"%b}}' % (name.encode(), SESSION.encode(), b" " * size)
    return WireEvent(name, "laptop", "2026-02-03T14:30:00.123Z", "tool", "shop", raw)


def events(*numbers: int) -> list[WireEvent]:
    return [event(number) for number in numbers]


def numbers(entries: Sequence[Entry]) -> list[int]:
    return [int(entry.event.id[4:]) for entry in entries]


class Opened(Journal):
    """A started journal and what it told."""

    told: list[Entry]

    async def held(self) -> list[int]:
        return numbers(await self.read(0, 1_000_000))


@asynccontextmanager
async def opened(path: Path, limits: Limits | None = None) -> AsyncIterator[Opened]:
    journal = Opened(path, limits or Limits())
    journal.told = []
    await journal.start(journal.told.extend)
    try:
        yield journal
    finally:
        await journal.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "relay.db"


@pytest.fixture
async def empty_journal(path: Path) -> AsyncIterator[Opened]:
    async with opened(path) as journal:
        yield journal


async def test_empty_journal_has_nothing(empty_journal: Opened) -> None:
    assert (empty_journal.last(), empty_journal.first()) == (0, 1)
    assert await empty_journal.read(0, 10) == []
    assert await empty_journal.publish([]) == Receipt(0, 0)
    assert empty_journal.told == []


async def test_published_events_are_held_told_and_numbered(empty_journal: Opened) -> None:
    assert await empty_journal.publish(events(3, 1, 2)) == Receipt(3, 0)
    entries = await empty_journal.read(0, 10)
    assert [entry.event for entry in entries] == events(3, 1, 2)
    assert empty_journal.told == entries
    seqs = [entry.seq for entry in entries]
    assert seqs == list(range(seqs[0], seqs[0] + 3))
    assert (empty_journal.first(), empty_journal.last()) == (seqs[0], seqs[-1])
    assert numbers(await empty_journal.read(seqs[0], 1)) == [1]


async def test_known_ids_are_answered_and_told_no_more(empty_journal: Opened) -> None:
    await empty_journal.publish(events(1, 2))
    assert await empty_journal.publish(events(2, 1, 2)) == Receipt(0, 3)
    assert await empty_journal.publish(events(2, 3, 3)) == Receipt(1, 2)
    assert numbers(empty_journal.told) == [1, 2, 3]


async def test_one_turn_of_the_loop_is_one_transaction(empty_journal: Opened) -> None:
    """Each batch gets its own receipt all the same."""
    told: list[list[int]] = []
    empty_journal._listen = lambda entries: told.append(numbers(entries))
    receipts = await asyncio.gather(*(empty_journal.publish(events(n, n + 1)) for n in range(5)))
    assert receipts == [Receipt(2, 0)] + [Receipt(1, 1)] * 4
    assert told == [[0, 1, 2, 3, 4, 5]]


async def test_large_batch_lets_others_come_between(path: Path) -> None:
    """1. A batch of several transactions is published, then one event. Result: the event does not wait for all of it,
    each keeps its order, and each gets its own receipt.
    """
    async with opened(path) as journal:
        told: list[list[int]] = []
        journal._listen = lambda entries: told.append(numbers(entries))
        large, small = events(*range(4500), 7), events(9999, 9)
        assert await asyncio.gather(journal.publish(large), journal.publish(small)) == [Receipt(4500, 1), Receipt(1, 1)]
        heard = [number for turn in told for number in turn]
        assert max(map(len, told)) <= AT_ONCE
        assert 0 < heard.index(9999) < 2 * AT_ONCE
        assert heard == await journal.held()
        heard.remove(9999)
        assert heard == list(range(4500))


async def test_large_batch_is_finished_at_the_close(path: Path) -> None:
    async with opened(path) as journal:
        waiting = asyncio.create_task(journal.publish(events(*range(4500))))
        await asyncio.sleep(0)
    assert await waiting == Receipt(4500, 0)


async def test_sender_that_goes_away_takes_nothing_along(empty_journal: Opened) -> None:
    waiting = [asyncio.create_task(empty_journal.publish(events(n))) for n in (1, 2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    assert await waiting[1] == Receipt(1, 0)
    assert await empty_journal.held() == [1, 2]


async def test_what_waits_is_kept_at_the_close_and_nothing_after_it(path: Path) -> None:
    async with opened(path) as journal:
        waiting = asyncio.create_task(journal.publish(events(1)))
        await asyncio.sleep(0)
    assert await waiting == Receipt(1, 0)
    for late in (journal.publish(events(2)), journal.append([Entry(1, event(2))], [0])):
        with pytest.raises(Unavailable):
            await late
    async with opened(path) as journal:
        assert await journal.held() == [1]


async def test_everything_is_there_after_a_restart(path: Path) -> None:
    async with opened(path) as journal:
        await journal.publish(events(1, 2, 3))
        before = await journal.read(0, 10)
    async with opened(path) as journal:
        assert await journal.read(0, 10) == before
        assert journal.last() == before[-1].seq
        assert await journal.publish(events(3, 4)) == Receipt(1, 1)
        assert journal.told[0].seq == before[-1].seq + 1


async def test_what_was_answered_survives_a_kill(path: Path) -> None:
    """The process is killed the moment its last batch was answered; nothing was closed."""
    program = """
        import asyncio, os, signal, sys
        from pathlib import Path
        from tests.relay.test_journal import Journal, Limits, events

        async def main():
            journal = Journal(Path(sys.argv[1]), Limits())
            await journal.start(lambda _: None)
            for number in range(50):
                await journal.publish(events(number, 1000 + number))
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(path)]
    assert subprocess.run(command, check=False, timeout=60).returncode == -9
    async with opened(path) as journal:
        assert sorted(await journal.held()) == [*range(50), *range(1000, 1050)]
        assert await journal.publish(events(*range(50))) == Receipt(0, 50)


async def test_new_file_begins_after_a_lost_one(path: Path) -> None:
    """Nobody who resumes after a seq of the old file may take the new file's entries for known."""
    async with opened(path) as journal:
        await journal.publish(events(1))
        last = journal.last()
    path.unlink()
    await until(lambda: time.time() * 1000 > last + 1, "time stands still")
    async with opened(path) as journal:
        await journal.publish(events(1))
        assert journal.first() > last


@settings(max_examples=25)
@given(
    st.lists(
        st.one_of(
            st.lists(st.lists(st.integers(0, 20), max_size=5), min_size=1, max_size=4),  # published in one turn
            st.just("restart"),
        ),
        max_size=12,
    )
)
def test_journal_tells_what_a_list_without_repeats_tells(steps: list[list[list[int]] | str]) -> None:
    async def run() -> None:
        expected: list[int] = []
        told: list[Entry] = []
        with tempfile.TemporaryDirectory(prefix="vt-") as folder:
            journal = Journal(Path(folder, "relay.db"), Limits())
            await journal.start(told.extend)
            for step in steps:
                if isinstance(step, str):
                    await journal.close()
                    journal = Journal(Path(folder, "relay.db"), Limits())
                    await journal.start(told.extend)
                    continue
                receipts = await asyncio.gather(*(journal.publish(events(*batch)) for batch in step))
                for batch, receipt in zip(step, receipts, strict=True):
                    fresh = [n for n in dict.fromkeys(batch) if n not in expected]
                    assert receipt == (len(fresh), len(batch) - len(fresh))
                    expected += fresh
            assert numbers(told) == numbers(await journal.read(0, 1000)) == expected
            assert [entry.seq for entry in told] == sorted({entry.seq for entry in told})
            await journal.close()

    asyncio.run(run())


async def test_shared_entries_keep_their_numbers(empty_journal: Opened) -> None:
    """Ones that come again, and ids that are known, are left out, but their place is remembered."""
    first = [Entry(100, event(1)), Entry(104, event(2))]
    assert await empty_journal.append(first, [NOW] * 2) == first
    again = [*first, Entry(105, event(1)), Entry(108, event(3)), Entry(110, event(2))]
    assert await empty_journal.append(again, [NOW] * 5) == [Entry(108, event(3))]
    assert empty_journal.told == [*first, Entry(108, event(3))]
    assert (empty_journal.first(), empty_journal.last()) == (100, 110)
    assert await empty_journal.append([], []) == []


async def test_place_in_a_shared_stream_is_remembered(path: Path) -> None:
    async with opened(path) as journal:
        await journal.append([Entry(7, event(1)), Entry(9, event(1))], [NOW] * 2)
    async with opened(path) as journal:
        assert (journal.first(), journal.last()) == (7, 9)
        more = [Entry(9, event(5)), Entry(10, event(2))]
        assert await journal.append(more, [NOW] * 2) == more[1:]


async def test_unseen_events(empty_journal: Opened) -> None:
    await empty_journal.publish(events(1, 2))
    assert empty_journal.unseen(events(3, 2, 4, 3, 1)) == events(3, 4)


async def test_history_is_bounded_by_entries(path: Path) -> None:
    """Ids that have left the history are still known."""
    async with opened(path, Limits(history_entries=10)) as journal:
        for start in range(0, 1000, 100):
            await journal.publish(events(*range(start, start + 100)))
    async with opened(path, Limits(history_entries=10)) as journal:
        await until(lambda: journal.last() - journal.first() == 9, "the history is not trimmed")
        assert await journal.held() == list(range(990, 1000))
        assert await journal.publish(events(0, 989)) == Receipt(0, 2)


async def test_history_and_ids_are_bounded_by_age(path: Path) -> None:
    """1. Events of eight days ago, of four, and of now. 2. The history is three days, the memory of ids a week."""
    async with opened(path) as journal:
        await journal.publish(events(1, 2, 3))
    with closing(sqlite3.connect(path)) as db:
        for number, days in ((1, 8), (2, 4)):
            seq = db.execute("select seq from entries where id = ?", (event(number).id,)).fetchone()[0]
            for table in ("entries", "seen"):
                db.execute(f"update {table} set at = ? where seq = ?", (time.time() - days * 86_400, seq))
        db.commit()
    async with opened(path, Limits(history_seconds=3 * 86_400)) as journal:
        await until(lambda: journal.first() == journal.last(), "the history is not trimmed")
        assert await journal.held() == [3]
        assert await journal.publish(events(1, 2, 3)) == Receipt(1, 2)


async def test_what_grew_too_old_while_the_relay_was_down_is_not_read(path: Path) -> None:
    """From the first moment on: removing it all takes its time."""
    async with opened(path) as journal:
        await journal.publish(events(1, 2, 3))
        last = journal.last()
    with closing(sqlite3.connect(path)) as db:
        db.execute("update entries set at = at - 8 * 86400 where seq < ?", (last,))
        db.commit()
    records = Records(path, Limits())  # which removes nothing by itself
    assert (records.first, records.highest) == (last, last)
    assert numbers(records.read(0, 10)) == [3]
    assert records.newest(10, Wish()) == last
    records.close()


async def test_shared_entries_grow_old_by_the_streams_time(path: Path) -> None:
    """A relay that reads an old history anew keeps it no longer than the others."""
    entries = [Entry(100, event(1)), Entry(200, event(2))]
    async with opened(path) as journal:
        await journal.append(entries, [NOW - 8 * 86_400, NOW - 6 * 86_400])
    async with opened(path) as journal:
        assert journal.first() == 200
        assert await journal.held() == [2]


async def test_history_may_be_gone_altogether(path: Path) -> None:
    async with opened(path) as journal:
        await journal.publish(events(1, 2))
        last = journal.last()
    async with opened(path, Limits(history_entries=0)) as journal:
        await until(lambda: journal.first() > last, "the history is not trimmed")
        assert (journal.first(), journal.last()) == (last + 1, last)
        await journal.publish(events(3))
        assert (journal.first(), journal.last()) == (last + 1, last + 1)
    async with opened(path, Limits(history_entries=0)) as journal:
        assert journal.last() == last + 1


async def test_publishing_goes_on_while_the_history_is_trimmed(path: Path) -> None:
    """Trimming and checkpoints run beside it and fail nobody."""
    async with opened(path, Limits(history_entries=100)) as journal:
        for start in range(0, 20_000, 200):
            assert await journal.publish([event(n, 2000) for n in range(start, start + 200)]) == Receipt(200, 0)
        await until(lambda: journal.last() - journal.first() == 99, "the history is not trimmed")
        assert await journal.held() == list(range(19_900, 20_000))


async def test_large_events_are_read_in_several_goes(empty_journal: Opened) -> None:
    await empty_journal.publish([event(n, 400_000) for n in range(9)])
    found: list[Entry] = []
    while more := await empty_journal.read(found[-1].seq if found else 0, 256):
        assert len(more) <= 3
        found += more
    assert numbers(found) == list(range(9))


@pytest.fixture
def careless_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("careless_umask")
async def test_files_are_the_owners_alone(path: Path) -> None:
    async with opened(path) as journal:
        await journal.publish(events(1))
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert set(modes) == {"relay.db", "relay.db-wal", "relay.db-shm", "relay.db.lock"}
    assert set(modes.values()) == {0o600}


async def test_busy_file_is_unavailable_until_it_is_free(
    path: Path, empty_journal: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    """1. Another program writes: every batch of the turn is refused and nothing of it is kept.
    2. It is done: all goes on.
    """
    await empty_journal.publish(events(1))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        tries = [empty_journal.publish(events(n)) for n in (1, 2, 3)]
        assert [type(error) for error in await asyncio.gather(*tries, return_exceptions=True)] == [Unavailable] * 3
        with pytest.raises(Unavailable):
            await empty_journal.append([Entry(empty_journal.last() + 1, event(4))], [NOW])
        other.execute("rollback")
    assert await empty_journal.publish(events(2, 3)) == Receipt(2, 0)
    assert await empty_journal.held() == numbers(empty_journal.told) == [1, 2, 3]
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "the journal cannot be used: SQLITE_BUSY"
    ]


@as_root
async def test_full_disk_is_unavailable_until_there_is_room(tmp_path: Path) -> None:
    """1. The disk fills up: a batch is refused, those before it stay. 2. There is room again: all goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "vibetea", str(disk)], check=True)
    try:
        async with opened(disk / "relay.db") as journal:
            filler = disk / "filler"
            filler.write_bytes(b"x" * 500_000)
            kept = 0
            with suppress(Unavailable):
                while True:
                    await journal.publish([event(kept, 5_000)])
                    kept += 1
            assert 0 < kept < 200
            filler.unlink()
            assert await journal.publish(events(kept, 999)) == Receipt(2, 0)
            assert await journal.held() == numbers(journal.told) == [*range(kept + 1), 999]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


async def test_one_relay_at_a_time(path: Path, empty_journal: Opened) -> None:
    with pytest.raises(NotNowError, match="in use by another relay"):
        await Journal(path, Limits()).start(lambda _: None)
    assert await empty_journal.publish(events(1)) == Receipt(1, 0)


async def test_file_that_another_program_writes_is_had_later(path: Path) -> None:
    """A relay that starts beside it gives up, in a way that says: again."""
    async with opened(path) as journal:
        await journal.publish(events(1))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(NotNowError, match="cannot be used"):
            await Journal(path, Limits()).start(lambda _: None)
    async with opened(path) as journal:
        assert await journal.held() == [1]


@pytest.mark.parametrize("shared", [False, True])
async def test_file_is_one_relays_or_a_shared_streams(path: Path, shared: bool) -> None:
    """While it holds nothing it is whoever's; then its numbers mean one or the other."""
    for kept in (not shared, shared):
        journal = Journal(path, Limits())
        await journal.start(lambda _: None, shared=kept)
        if kept == shared:
            await (journal.append([Entry(16_384, event(1))], [NOW]) if shared else journal.publish(events(1)))
        await journal.close()
    with pytest.raises(JournalError, match="set VIBETEA_RELAY_STATE to a new folder"):
        await Journal(path, Limits()).start(lambda _: None, shared=not shared)
    again = Journal(path, Limits())
    await again.start(lambda _: None, shared=shared)
    assert numbers(await again.read(0, 9)) == [1]
    await again.close()


async def test_file_of_the_first_version_is_taken_over(path: Path) -> None:
    async with opened(path) as journal:
        await journal.publish(events(1))
    with closing(sqlite3.connect(path)) as db:
        for change in ("drop column shared", "drop column hole"):
            db.execute(f"alter table position {change}")
        db.execute("pragma user_version = 1")
    async with opened(path) as journal:
        assert await journal.publish(events(1, 2)) == Receipt(1, 1)
        assert await journal.held() == [1, 2]


async def test_hole_in_a_shared_stream_is_remembered(path: Path) -> None:
    async with opened(path) as journal:
        await journal.append([Entry(100, event(1))], [NOW])
        assert journal.hole() == 0
        await journal.append([Entry(300, event(2))], [NOW], 290)
        await journal.append([Entry(301, event(3))], [NOW])
        assert journal.hole() == 290
        await journal.append([], [], 400)
    async with opened(path) as journal:
        assert journal.hole() == 400
        assert await journal.held() == [1, 2, 3]


def other_programs(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma application_id = 7")


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma user_version = 99")


def no_database(path: Path) -> None:
    path.write_bytes(b"not a database at all " * 500)


def torn(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (no_database, "is damaged"),
        (torn, "is damaged"),
        (other_programs, "belongs to another program"),
        (newer, "newer VibeTea"),
        (folder, "cannot be"),
    ],
)
async def test_file_that_cannot_be_used_stops_the_start(path: Path, spoil: Callable[[Path], None], text: str) -> None:
    async with opened(path) as journal:
        await journal.publish(events(*range(100)))
    spoil(path)
    with pytest.raises(RelayConfigError, match=text):
        await Journal(path, Limits()).start(lambda _: None)


async def test_missing_folder_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be opened"):
        await Journal(tmp_path / "missing" / "relay.db", Limits()).start(lambda _: None)
