"""The live page's data: what there is to choose, and older events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from datasette.app import Datasette
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.datasette_plugins.activity import committed, happened
from tests.datasette_plugins.conftest import READ

from datasette_vibetea import live

if TYPE_CHECKING:
    from tests.datasette_plugins.conftest import Events

OLDER = "/-/vibetea/older.json"
TIMES = [f"2026-03-{day}T12:{minute}:00.000Z" for day in (12, 13) for minute in ("00", "14", "15", "59")]


@pytest.fixture
def datasette(empty_db: Events) -> Datasette:
    return Datasette([str(empty_db.path)])


async def asked(datasette: Datasette, path: str = OLDER, **query: str) -> dict[str, Any]:
    answer = await datasette.client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def walked(datasette: Datasette, **query: str) -> list[int]:
    """The seqs of all older pages, one after another."""
    seqs: list[int] = []
    while True:
        found = await asked(datasette, **query)
        seqs += [event["seq"] for event in found["events"]]
        if not found["more"]:
            return seqs
        last = found["events"][-1]
        query["before"] = f"{last['timestamp']} {last['seq']}"


@given(
    written=st.lists(st.tuples(st.sampled_from(TIMES), st.sampled_from(["shop", "api", None])), max_size=30),
    page=st.integers(1, 7),
    project=st.sampled_from([None, "shop", "api", ""]),
)
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_pages_of_older_events_have_each_once_and_in_order(
    empty_db: Events,
    written: list[tuple[str, str | None]],
    page: int,
    project: str | None,
) -> None:
    for table in ("events", "activity"):
        empty_db.connection.execute(f"delete from {table}")
    for at, name in written:
        happened(empty_db, at, project=name)
    sql = "select seq, coalesce(project, '') from events order by timestamp desc, seq desc"
    expected = [seq for seq, name in empty_db.connection.execute(sql) if project in {None, name}]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "PAGE", page)
        query = {} if project is None else {"project": project}
        assert await walked(Datasette([str(empty_db.path)]), **query) == expected


async def test_older_events_are_what_the_stream_sends(datasette: Datasette, empty_db: Events) -> None:
    happened(empty_db, TIMES[0], id="evt_mine")
    (event,) = (await asked(datasette))["events"]
    assert event == {
        **READ,
        "seq": 1,
        "id": "evt_mine",
        "timestamp": TIMES[0],
        "state": None,
        "agent_id": None,
        "model": None,
    }


async def test_a_session_s_older_events_need_no_sums(datasette: Datasette, empty_db: Events) -> None:
    empty_db.add(3, session_id="mine")
    empty_db.add(2, session_id="mine", tool="Bash")
    empty_db.add(3, session_id="other", tool="Bash")
    assert await walked(datasette, session="mine") == [5, 4, 3, 2, 1]
    assert await walked(datasette, session="mine", tool="Bash") == [5, 4]


@pytest.mark.parametrize(
    "before", ["", "2026-03-12T12:00Z", "2026-03-12T12:00Z x", "17", f"{'x' * 301} 1", "x " + "9" * 19]
)
async def test_a_place_that_is_none_is_refused(datasette: Datasette, before: str) -> None:
    answer = await datasette.client.get(OLDER, params={"before": before})
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


async def test_offers_what_there_was_in_thirty_days_and_the_latest_sessions(
    datasette: Datasette, empty_db: Events
) -> None:
    happened(empty_db, "2024-01-01T00:00:00.000Z", project="of old")
    with committed(empty_db):
        empty_db.add(project="x" * 301)
        empty_db.add(type="agent", tool=None, project=None, source="workstation")
    happened(empty_db, "2099-01-01T00:00:00.000Z")
    sessions = [("older", None, "2026-01-01T"), ("newer", "shop", "2026-01-02T"), ("x" * 301, "shop", "2026-01-03T")]
    empty_db.connection.executemany(
        "insert into sessions(session_id, source, project, first_at, last_at, events) values (?, '', ?, '', ?, 1)",
        sessions,
    )
    found = await asked(datasette, "/-/vibetea/live.json", project="whatever")
    assert found == {
        "seq": 4,
        "sources": ["laptop", "workstation"],
        "projects": ["shop"],
        "types": ["tool", "agent"],
        "tools": ["Read"],
        "sessions": [["newer", "shop"], ["older", ""]],
    }
