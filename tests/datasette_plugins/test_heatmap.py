from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from datasette.app import Datasette
from tests.datasette_plugins.activity import committed, happened

if TYPE_CHECKING:
    from tests.datasette_plugins.conftest import Events

DATA = "/-/vibetea/heatmap.json"
NOON = 1_973_808  # 2026-04-17T12:00Z in quarter hours
HOUR = {"from": "2026-04-17T12:00Z", "to": "2026-04-17T13:00Z"}


async def asked(datasette: Datasette, **query: str) -> dict[str, Any]:
    answer = await datasette.client.get(DATA, params=HOUR | query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
def datasette(empty_db: Events) -> Datasette:
    return Datasette([str(empty_db.path)])


async def test_counts_what_happened_in_every_quarter_of_an_hour(datasette: Datasette, empty_db: Events) -> None:
    happened(empty_db, "2026-04-17T11:59:59.999Z", 5)
    happened(empty_db, "2026-04-17T12:00:00Z", 2)
    happened(empty_db, "2026-04-17T12:14:59.999Z", 1, tool="Bash")
    happened(empty_db, "2026-04-17T12:45:00Z", 4, type="agent", tool=None)
    happened(empty_db, "2026-04-17T13:00:00Z", 7)
    found = await asked(datasette)
    assert found["start"] == NOON
    assert found["counts"] == [3, 0, 0, 4]
    assert found["seq"] == 19


async def test_without_a_range_it_is_the_last_seven_days(datasette: Datasette, empty_db: Events) -> None:
    with committed(empty_db):
        empty_db.add(3)
    found = (await datasette.client.get(DATA)).json()
    assert len(found["counts"]) == 7 * 96
    assert sum(found["counts"]) == 3
    assert len((await datasette.client.get(DATA, params={"days": "30"})).json()["counts"]) == 30 * 96


async def test_bills_and_sums_are_no_activity(datasette: Datasette, empty_db: Events) -> None:
    happened(empty_db, "2026-04-17T12:00:00Z", 2)
    for name in ("token_usage", "session_metrics", "activity_pattern", "model_distribution", "project_activity"):
        happened(empty_db, "2026-04-17T12:00:00Z", 3, type=name, tool=None)
        happened(empty_db, "2026-04-17T12:00:00Z", 1, type=f"{name}s", project="of another type")
    found = await asked(datasette)
    assert found["counts"][0] == 7
    assert found["projects"] == ["of another type", "shop"]
    for name in found["uncounted"]:
        assert (await asked(datasette, type=name))["counts"][0] == 7


async def test_counts_those_of_a_project_and_of_a_source(datasette: Datasette, empty_db: Events) -> None:
    happened(empty_db, "2026-04-17T12:00:00Z", 1)
    happened(empty_db, "2026-04-17T12:00:00Z", 2, project="api")
    happened(empty_db, "2026-04-17T12:00:00Z", 4, project="api", source="workstation")
    happened(empty_db, "2026-04-17T12:00:00Z", 8, project=None)
    names = {"sources": ["laptop", "workstation"], "projects": ["api", "shop"]}
    for query, count in [
        ({}, 15),
        ({"project": "api"}, 6),
        ({"source": "laptop"}, 11),
        ({"project": "api", "source": "laptop"}, 2),
        ({"project": "' or 1=1 --"}, 0),
    ]:
        found = await asked(datasette, **query)
        assert found["counts"] == [count, 0, 0, 0]
        assert {key: found[key] for key in names} == names


async def test_offers_a_hundred_names_at_most_and_the_most_active_first(datasette: Datasette, empty_db: Events) -> None:
    with committed(empty_db):
        for number in range(120):
            empty_db.add(1 + number % 110 // 109, timestamp="2026-04-17T12:00:00Z", project=f"project{number}")
        empty_db.add(9, timestamp="2026-04-17T12:00:00Z", project="x" * 301, source="")
    found = await asked(datasette)
    assert len(found["projects"]) == 100
    assert found["projects"][0] == "project109"
    assert found["sources"] == ["laptop"]
    assert (await asked(datasette, project=found["projects"][1]))["counts"][0] == 1


@pytest.mark.parametrize("query", [{}, {"project": "shop"}, {"project": "api", "source": "laptop"}])
async def test_what_is_added_to_a_kept_answer_is_what_counting_anew_finds(
    empty_db: Events, datasette: Datasette, query: dict[str, str]
) -> None:
    chance = random.Random(7)
    for burst in (1, 20, 5200, 3, 40):
        with committed(empty_db):
            for _ in range(burst):
                empty_db.add(
                    timestamp=f"2026-04-17T{chance.choice([11, 12, 12, 13])}:{chance.randrange(60):02d}:00Z",
                    type=chance.choice(["tool", "agent", "token_usage"]),
                    project=chance.choice(["shop", "api", None, f"new{burst}"]),
                    source=chance.choice(["laptop", "workstation"]),
                )
        kept = await asked(datasette, **query)
        assert kept == await asked(Datasette([str(empty_db.path)]), **query)
        assert kept == await asked(datasette, **query)
        assert sum(kept["counts"]) > 0 or burst == 1


async def test_an_event_of_no_time_is_nowhere(datasette: Datasette, empty_db: Events) -> None:
    happened(empty_db, "2026-04-17T12:00:00Z")
    await asked(datasette)
    empty_db.add(timestamp="yesterday")
    assert (await asked(datasette))["counts"] == [1, 0, 0, 0]


async def test_another_database_in_its_place_is_counted_anew(datasette: Datasette, empty_db: Events) -> None:
    happened(empty_db, "2026-04-17T12:00:00Z", 3)
    assert (await asked(datasette))["counts"] == [3, 0, 0, 0]
    for table in ("events", "activity", "sqlite_sequence"):
        empty_db.connection.execute(f"delete from {table}")
    assert (await asked(datasette))["counts"] == [0, 0, 0, 0]
    happened(empty_db, "2026-04-17T12:30:00Z", 4)
    assert (await asked(datasette))["counts"] == [0, 0, 4, 0]


async def test_many_questions_are_all_answered(datasette: Datasette, empty_db: Events) -> None:
    happened(empty_db, "2026-04-17T12:00:00Z", 2)
    for _ in range(2):
        for number in range(40):
            assert sum((await asked(datasette, project=f"project{number}"))["counts"]) == 0
        assert sum((await asked(datasette))["counts"]) == 2


@pytest.mark.parametrize(
    "query",
    [{"days": "0"}, {"days": "401"}, {"from": "yesterday"}, {"to": "2026-02-30T00:00Z"}, {"project": "x" * 301}],
)
async def test_a_filter_that_means_nothing_is_told_so(datasette: Datasette, query: dict[str, str]) -> None:
    answer = await datasette.client.get(DATA, params=query)
    assert answer.status_code == 400
    assert next(iter(query)) in answer.json()["error"]


async def test_a_page_of_another_origin_gets_nothing(datasette: Datasette) -> None:
    answer = await datasette.client.get(DATA, headers={"origin": "http://evil.example"})
    assert answer.status_code == 403
    assert "counts" not in answer.text
