from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest
from datasette.app import Datasette
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.datasette_plugins.activity import committed, happened
from tests.datasette_plugins.conftest import READ, Events
from tests.datasette_plugins.sse import DEADLINE, Message, opened

from datasette_vibetea import hub, stream
from datasette_vibetea.database import Reader
from datasette_vibetea.hub import Hub

if TYPE_CHECKING:
    from pathlib import Path


async def true(what: Any) -> None:
    async with asyncio.timeout(DEADLINE):
        while not what():
            await asyncio.sleep(0.01)


async def test_the_newest_events_come_first_and_then_each_new_one(empty_db: Events) -> None:
    empty_db.add(250)
    async with opened(Datasette([str(empty_db.path)]).app()) as answer:
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        past = await answer.until("live")
        assert [message.data["seq"] for message in past] == list(range(51, 251))
        empty_db.add(3)
        assert await answer.seqs(3) == [251, 252, 253]


THEN = "2026-03-12T14:32:07.123Z"


async def test_a_message_is_the_row_with_its_payload_parsed(datasette: Datasette, full_db: Events) -> None:
    (seq,) = full_db.add(id="evt_mine", timestamp=THEN, agent_id="a1", model="claude-opus-4-6", state="working")
    async with opened(datasette.app(), f"since={seq - 1}") as answer:
        message = await answer.message()
        assert message == Message(
            id=str(seq),
            data={
                **READ,
                "timestamp": THEN,
                "seq": seq,
                "id": "evt_mine",
                "agent_id": "a1",
                "model": "claude-opus-4-6",
                "state": "working",
            },
        )


async def test_an_empty_table_is_live_at_once(empty_db: Events) -> None:
    async with opened(Datasette([str(empty_db.path)]).app()) as answer:
        assert await answer.until("live") == []
        empty_db.add()
        assert await answer.seqs(1) == [1]


@pytest.mark.parametrize(
    ("query", "headers", "first"),
    [
        ("since=0", {}, 1),
        ("since=7", {}, 8),
        ("", {"last-event-id": "9"}, 10),
        ("since=2", {"last-event-id": "6"}, 7),
    ],
)
async def test_resumes_after_the_younger_of_the_two_places(
    datasette: Datasette, query: str, headers: dict[str, str], first: int
) -> None:
    async with opened(datasette.app(), query, headers=headers) as answer:
        past = await answer.until("live")
        assert [message.data["seq"] for message in past] == list(range(first, 11))


@pytest.mark.parametrize("place", ["x", "-1", "1.5", "9" * 19, "١"])
async def test_refuses_a_place_that_is_no_seq(datasette: Datasette, place: str) -> None:
    async with opened(datasette.app(), f"since={place}") as answer:
        assert answer.status == 400


async def test_a_long_past_comes_in_full(empty_db: Events) -> None:
    empty_db.connection.execute("begin")
    empty_db.add(1201)
    empty_db.connection.execute("commit")
    async with opened(Datasette([str(empty_db.path)]).app(), "since=0") as answer:
        assert await answer.seqs(1201) == list(range(1, 1202))


async def test_no_gap_and_no_double_for_any_reader_who_joins_while_events_are_written(empty_db: Events) -> None:
    """1. A thread commits without pause. 2. Readers join and leave and come back. Result: each saw every seq once."""
    app = Datasette([str(empty_db.path)]).app()
    total = 600

    def write() -> None:
        connection = sqlite3.connect(empty_db.path, isolation_level=None, timeout=10)
        for number in range(total):
            row = {**READ, "timestamp": THEN, "payload": "{}", "id": f"evt_{number}"}
            connection.execute(
                f"insert into events({', '.join(row)}) values ({', '.join('?' * len(row))})", list(row.values())
            )
        connection.close()

    async def read() -> list[int]:
        seen: list[int] = []
        while len(seen) < total:
            async with opened(app, f"since={seen[-1] if seen else 0}") as answer:
                seen += await answer.seqs(min(97, total - len(seen)))
        return seen

    writer = threading.Thread(target=write)
    writer.start()
    read_by_each = await asyncio.gather(*(read() for _ in range(5)))
    await asyncio.to_thread(writer.join)
    assert read_by_each == [list(range(1, total + 1))] * 5


async def test_a_reader_too_slow_for_its_queue_is_ended_and_resumes(
    empty_db: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "QUEUED_BATCHES", 2)
    app = Datasette([str(empty_db.path)]).app()
    async with opened(app) as quick, opened(app) as slow:
        await slow.until("live")
        slow.reading.clear()
        for seq in range(1, 31):
            empty_db.add()
            assert await quick.seqs(1) == [seq]  # a batch each
        slow.reading.set()
        had = [message.data["seq"] for message in await slow.rest()]
    assert len(had) < 30
    assert had == list(range(1, len(had) + 1))
    async with opened(app, headers={"last-event-id": str(had[-1]) if had else "0"}) as again:
        assert await again.seqs(30 - len(had)) == list(range(len(had) + 1, 31))


async def test_the_file_is_read_from_the_first_reader_to_the_last(
    full_db: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened_files: list[Counted] = []

    class Counted(Reader):
        closed = False

        def __init__(self, path: Path) -> None:
            super().__init__(path)
            opened_files.append(self)

        def close(self) -> None:
            super().close()
            self.closed = True

    monkeypatch.setattr(hub, "Reader", Counted)
    polled = Hub(full_db.path)
    assert opened_files == []
    async with polled.join(), polled.join():
        assert [file.closed for file in opened_files] == [False]
    await true(lambda: opened_files[0].closed)
    async with polled.join() as client:
        full_db.add()
        assert [frame.seq for frame in await client.next()] == [11]


async def test_a_reader_who_leaves_ends_the_query_it_waits_for(full_db: Events) -> None:
    reader, begun = Reader(full_db.path), threading.Event()

    def endless(connection: sqlite3.Connection) -> None:
        connection.create_function("begin", 0, begun.set)
        connection.execute("with recursive n(k) as (select begin() union all select 1 from n) select count(*) from n")

    asked = asyncio.create_task(asyncio.to_thread(reader.ask, endless))
    await true(begun.is_set)
    reader.close()
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        await asked


async def test_a_silent_stream_still_beats(datasette: Datasette, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.01)
    async with opened(datasette.app()) as answer:
        await answer.until("live")
        assert await answer.message() == Message(id="10", event="beat", data={})


async def test_begins_with_how_soon_to_come_back(datasette: Datasette) -> None:
    async with opened(datasette.app()) as answer:
        assert (await asyncio.wait_for(answer.chunks.get(), DEADLINE)) == b"retry: 1000\n\n"


async def test_a_place_beyond_the_newest_event_begins_anew(datasette: Datasette) -> None:
    async with opened(datasette.app(), "since=11") as answer:
        assert await answer.rest() == [Message(id="", event="reset", data={})]


async def test_a_database_put_in_the_place_of_the_one_read_begins_anew(
    datasette: Datasette, full_db: Events, tmp_path: Path
) -> None:
    other = Events(tmp_path / "other.db")
    other.add(20, project="other")
    other.connection.execute("pragma wal_checkpoint(truncate)")
    other.connection.close()
    app = datasette.app()
    async with opened(app) as answer:
        await answer.until("live")
        full_db.connection.close()
        for left in ("-wal", "-shm"):  # or SQLite would play the old file's log into the new one
            full_db.path.with_name(f"{full_db.path.name}{left}").unlink(missing_ok=True)
        other.path.replace(full_db.path)
        assert [message.event for message in await answer.rest()] == ["reset"]
    async with opened(app) as answer:
        assert [message.data["project"] for message in await answer.until("live")] == ["other"] * 20


async def test_a_database_that_is_not_there_yet_is_said_and_then_read(tmp_path: Path) -> None:
    path = tmp_path / "vibetea.db"
    path.touch()  # a file without tables
    app = Datasette([str(path)]).app()
    async with opened(app) as answer:
        assert await answer.rest() == [Message(event="state", data={"state": "missing"})]
    events = Events(path)
    events.add(2)
    async with opened(app) as answer:
        assert await answer.seqs(2) == [1, 2]
    events.connection.close()


async def test_a_database_taken_away_ends_the_stream(datasette: Datasette, full_db: Events) -> None:
    app = datasette.app()
    async with opened(app) as answer:
        await answer.until("live")
        full_db.connection.close()
        full_db.path.unlink()
        assert await answer.rest() == []
    async with opened(app) as answer:
        assert await answer.rest() == [Message(event="state", data={"state": "missing"})]


async def test_of_several_databases_of_events_the_configuration_names_one(full_db: Events, tmp_path: Path) -> None:
    other = Events(tmp_path / "team.db")
    other.add(project="team")
    files = [str(full_db.path), str(other.path)]
    async with opened(Datasette(files).app()) as answer:
        assert await answer.rest() == [Message(event="state", data={"state": "ambiguous"})]
    named = Datasette(files, metadata={"plugins": {"datasette-vibetea": {"database": "team"}}})
    async with opened(named.app()) as answer:
        assert [message.data["project"] for message in await answer.until("live")] == ["team"]
    other.connection.close()


async def test_finds_the_database_of_events_among_others(full_db: Events, tmp_path: Path) -> None:
    for name, sql in {"plain": "create table t(a)", "concerts": "create table events(id, band)"}.items():
        with sqlite3.connect(tmp_path / f"{name}.db") as connection:
            connection.execute(sql)
        connection.close()
    files = [str(tmp_path / "plain.db"), str(full_db.path), str(tmp_path / "concerts.db")]
    async with opened(Datasette(files).app()) as answer:
        assert await answer.seqs(10) == list(range(1, 11))


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8001", 200),
        ("https://127.0.0.1:8001", 200),  # behind a proxy that speaks TLS
        ("http://127.0.0.1:8002", 403),
        ("http://localhost:8001", 403),
        ("http://attacker.example", 403),
        ("http://127.0.0.1:8001.attacker.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
async def test_refuses_pages_of_other_origins(datasette: Datasette, origin: str, status: int) -> None:
    async with opened(datasette.app(), headers={"origin": origin}) as answer:
        assert answer.status == status


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE"])
async def test_only_get(datasette: Datasette, method: str) -> None:
    async with opened(datasette.app(), method=method) as answer:
        assert (answer.status, answer.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        ('{"a": [1, "b", null]}', {"a": [1, "b", None]}),
        ('{"a": NaN, "b": -Infinity, "c": 1e400, "d": 1.5}', {"a": None, "b": None, "c": None, "d": 1.5}),
        ("{", None),
        ("", None),
        ("[" * 100_000, None),
        (b"\xff\xfe", None),
    ],
)
async def test_a_payload_that_is_no_json_is_null(empty_db: Events, stored: str | bytes, sent: Any) -> None:
    empty_db.connection.execute(
        "insert into events(id, source, timestamp, type, payload) values ('a', 'b', 'c', 'd', cast(? as text))",
        [stored],
    )
    async with opened(Datasette([str(empty_db.path)]).app()) as answer:
        message = await answer.message()
        assert message is not None
        assert message.data["payload"] == sent


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), payload=anything)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_value_can_break_out_of_its_message(empty_db: Events, name: str, payload: Any) -> None:
    (seq,) = empty_db.add(project=name, payload=json.dumps(payload))
    async with opened(Datasette([str(empty_db.path)]).app(), f"since={seq - 1}") as answer:
        (message,) = await answer.until("live")
        assert (message.id, message.event) == (str(seq), "message")
        assert (message.data["project"], message.data["payload"]) == (name, payload)


async def test_the_first_ones_are_the_latest_by_their_own_time(empty_db: Events) -> None:
    """1. Old events are imported after a new one. Result: a new reader sees the new one last, and resumes after all."""
    (today,) = empty_db.add()
    old = empty_db.add(stream.FIRST_EVENTS, timestamp=THEN)
    async with opened(Datasette([str(empty_db.path)]).app()) as answer:
        first = [await answer.message() for _ in range(stream.FIRST_EVENTS)]
        assert first[-1].data["seq"] == today
        assert {message.data["seq"] for message in first[:-1]} == set(old[1:])
        assert {message.id for message in first} == {None}
        assert await answer.message() == Message(id=str(old[-1]), event="live", data={})


OTHER = {"project": "api", "session_id": "a91d4e07", "source": "workstation", "type": "agent", "tool": None}


@pytest.mark.parametrize(
    ("query", "theirs"),
    [
        ("project=shop", [True, False]),
        ("source=workstation", [False, True]),
        ("type=agent", [False, True]),
        ("tool=Read", [True, False]),
        ("tool=", [False, True]),
        ("session=a91d4e07", [False, True]),
        ("session=a91d4e07&project=api&type=agent", [False, True]),
        ("session=a91d4e07&project=shop", [False, False]),
        ("type=", [False, False]),
        ("project=sho", [False, False]),
    ],
)
async def test_a_reader_gets_what_it_asks_for_of_the_latest_the_missed_and_the_new(
    empty_db: Events, query: str, theirs: list[bool]
) -> None:
    def write() -> list[int]:
        with committed(empty_db):
            return [
                seq
                for _ in range(3)
                for wanted, columns in zip(theirs, ({}, OTHER), strict=True)
                for seq in empty_db.add(**columns)
                if wanted
            ]

    app = Datasette([str(empty_db.path)]).app()
    expected = write()
    empty_db.add(source="nobody", project="nothing", type="none", tool="no", session_id="none")
    async with opened(app, query) as answer:
        latest = [message.data["seq"] for message in await answer.until("live")]
        expected += write()
        assert latest + await answer.seqs(len(expected) - len(latest)) == expected
    place = expected[0] if expected else 0
    async with opened(app, query, headers={"last-event-id": str(place)}) as answer:
        assert [message.data["seq"] for message in await answer.until("live")] == expected[1:]


async def test_the_latest_that_match_are_found_among_many_that_do_not(empty_db: Events) -> None:
    happened(empty_db, "2026-01-02T03:04:05.000Z", 150, tool="Bash")
    happened(empty_db, "2026-02-03T04:05:06.000Z", 70, tool="Bash")
    for day in range(1, 28):
        happened(empty_db, f"2026-03-{day:02d}T12:00:00.000Z", 20)
    async with opened(Datasette([str(empty_db.path)]).app(), "tool=Bash") as answer:
        assert [message.data["seq"] for message in await answer.until("live")] == list(range(21, 221))


async def test_live_and_beat_name_the_place_to_go_on_after_though_nothing_matched(
    empty_db: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.05)
    empty_db.add(7)
    async with opened(Datasette([str(empty_db.path)]).app(), "project=other") as answer:
        assert await answer.message() == Message(id="7", event="live", data={})
        empty_db.add(2)
        beats = [await answer.message()]
        while beats[-1] == Message(id="7", event="beat", data={}):
            beats.append(await answer.message())
        assert beats[-1] == Message(id="9", event="beat", data={})


async def test_refuses_a_filter_that_means_nothing(datasette: Datasette) -> None:
    async with opened(datasette.app(), f"session={'x' * 301}") as answer:
        assert answer.status == 400
        assert (await answer.chunks.get()).decode() == "session is longer than 300 characters.\n"
