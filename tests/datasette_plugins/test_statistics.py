"""The statistics' data: the same as counting the events one by one, whatever was kept of an earlier answer."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from datasette.app import Datasette
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.datasette_plugins.conftest import Events
from tests.datasette_plugins.told import begun, bill, call, derived_too, error

from datasette_vibetea.filters import Filters
from datasette_vibetea.heatmap import UNCOUNTED, Heatmap
from datasette_vibetea.prices import Prices
from datasette_vibetea.statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

DATA = "/-/vibetea/statistics.json"
NOON = datetime(2026, 10, 6, 12, tzinfo=UTC)
RANGE = {"from": "2026-10-06T12:00Z", "to": "2026-10-06T13:00Z"}
Row = dict[str, Any]


@pytest.fixture
def datasette(empty_db: Events) -> Datasette:
    return Datasette([str(empty_db.path)])


async def asked(datasette: Datasette, **query: str) -> dict[str, Any]:
    answer = await datasette.client.get(DATA, params=RANGE | query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def happened(events: Events, *rows: Row, at: str = "2026-10-06T12:05:00.000Z") -> None:
    with derived_too(events):
        for row in rows:
            events.add(**{"timestamp": at, **row})


# against a recount, event by event

_names = st.sampled_from(["shop", "api", None])
_count = st.integers(0, 200) | st.integers(0, 2**40)
_acts = st.one_of(
    st.builds(
        call,
        st.sampled_from(["Bash", "Read", None]),
        st.sampled_from(["ok", "failed", "interrupted", "refused", None]),
        st.none() | st.integers(0, 10_000_000),
    ),
    st.builds(begun, st.sampled_from(["Bash", "Read"])),
    st.builds(
        bill,
        st.sampled_from(["claude-opus-5-5", "claude-sonnet-5-5", "claude-sonnet-5-5-20260928", "other"]),
        st.tuples(_count, _count, _count, _count).map(lambda four: (*four, four[3] // 2)),
    ),
    st.builds(error, st.sampled_from(["rate_limit", "overloaded"])),
    st.just({"type": "agent", "tool": None, "status": None, "outcome": None, "duration_ms": None, "state": "working"}),
)
_rows = st.builds(
    lambda act, minutes, project, source: {
        **act,
        "timestamp": (NOON + timedelta(minutes=minutes)).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "project": project,
        "source": source,
    },
    _acts,
    st.integers(-1500, 1500),
    _names,
    st.sampled_from(["laptop", "workstation"]),
)
_queries = st.fixed_dictionaries(
    {
        "from": st.integers(-90, 0).map(lambda slots: f"{NOON + timedelta(minutes=15 * slots):%Y-%m-%dT%H:%MZ}"),
        "to": st.integers(1, 90).map(lambda slots: f"{NOON + timedelta(minutes=15 * slots):%Y-%m-%dT%H:%MZ}"),
    },
    optional={"project": st.sampled_from(["shop", "api"]), "source": st.just("laptop"), "tool": st.just("Bash")},
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(_rows, max_size=12), min_size=2, max_size=3), _queries)
def test_every_number_is_what_counting_the_events_finds(bursts: list[list[Row]], query: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory(prefix="vt-") as folder:
        events = Events(Path(folder, "vibetea.db"))
        with closing(events.connection):
            kept, filters = Statistics(Heatmap()), Filters.parse(query)
            for burst in bursts:
                happened(events, *burst)
                found = kept.read(events.connection, filters)
                assert found == Statistics(Heatmap()).read(events.connection, filters)
            assert kept.figures(events.connection, filters) == found["figures"]
            agrees(found, [row for burst in bursts for row in burst], query)


def agrees(found: dict[str, Any], rows: Sequence[Row], query: dict[str, str]) -> None:
    """Raise unless the answer is what these rows say."""
    begin, end = query["from"][:16], query["to"][:16]
    of_choice = [
        row for row in rows if all(row[name] == query[name] for name in ("project", "source") if name in query)
    ]
    inside = [row for row in of_choice if begin <= row["timestamp"] < end]
    acts = [row for row in inside if row["type"] not in UNCOUNTED]
    for key, column in (("types", "type"), ("of_projects", "project"), ("of_sources", "source")):
        assert dict(found[key]["names"]) == Counter(row[column] or "" for row in acts)
    ended = [row for row in inside if row["status"] == "completed"]
    for tool in found["tools"]["names"]:
        mine = [row for row in ended if (row["tool"] or "") == tool["tool"]]
        assert tool["calls"] == len(mine)
        for outcome in ("failed", "interrupted", "refused"):
            assert tool[outcome] == sum(row["outcome"] == outcome for row in mine)
        days = [row for row in of_choice if row["type"] == "tool" and begin[:10] <= row["timestamp"] < f"{end[:10]}~"]
        if end[11:] == "00:00":
            days = [row for row in days if row["timestamp"] < end]
        took = sorted(
            row["duration_ms"] for row in days if row["duration_ms"] is not None and (row["tool"] or "") == tool["tool"]
        )
        assert tool["timed"] == len(took)
        for percent in (50, 95):
            exact = took[-(-len(took) * percent // 100) - 1] if took else None
            assert (tool[f"p{percent}"] is None) == (exact is None)
            assert exact is None or abs(tool[f"p{percent}"] - exact) * 20 <= exact
    assert dict(found["errors"]) == Counter(
        json.loads(row["payload"])["category"] for row in inside if row["type"] == "error"
    )
    bills = [(row["model"], json.loads(row["payload"])) for row in inside if row["type"] == "token_usage"]
    models = found["usage"]["models"]
    by_model: Counter[tuple[str, int]] = Counter()
    for _, model, *numbers, _ in found["usage"]["rows"]:
        for place, n in enumerate(numbers):
            by_model[models[model], place] += n
    wanted: Counter[tuple[str, int]] = Counter()
    for model, told in bills:
        hour = told.get("cacheCreationHourTokens", 0)
        kinds = [told["inputTokens"], told["outputTokens"], told["cacheReadTokens"], told["cacheCreationTokens"] - hour]
        for place, n in enumerate([1, *kinds, hour]):
            wanted[model, place] += n
    assert +by_model == +wanted
    figures = found["figures"]
    assert figures["events"] == len(acts) == sum(found["counts"])
    assert (figures["calls"], figures["failed"]) == (len(ended), sum(row["outcome"] == "failed" for row in ended))
    assert figures["tokens"] == sum(n for (_, place), n in wanted.items() if place)
    assert figures["unpriced"] == (["other"] if any(model == "other" for model, _ in bills) else [])


async def test_messages_are_charged_by_the_prices_of_their_day(datasette: Datasette, empty_db: Events) -> None:
    million = 1_000_000
    happened(empty_db, bill("claude-sonnet-5-5", (million, 0, million, 0, 0)), at="2026-10-06T23:59:59.999Z")
    happened(empty_db, bill("claude-sonnet-5-5", (million, 0, million, 0, 0)), at="2026-10-07T00:00:00.000Z")
    happened(empty_db, bill("claude-opus-4-1-20250805", (0, million, 0, 2 * million, million)), bill("claude-opus-9"))
    found = await asked(datasette, to="2026-10-08T00:00Z")
    models = found["usage"]["models"]
    assert models == ["claude-opus-4-1-20250805", "claude-sonnet-5-5", "claude-opus-9"]
    costs = [(models[row[1]], row[8]) for row in sorted(found["usage"]["rows"])]
    assert sorted(costs, key=str) == [
        ("claude-opus-4-1-20250805", 75 + 18.75 + 30),
        ("claude-opus-9", None),
        ("claude-sonnet-5-5", 2.1),
        ("claude-sonnet-5-5", 2.2),
    ]
    assert found["figures"]["cost"] == 128.05
    assert found["figures"]["unpriced"] == ["claude-opus-9"]


async def test_sessions_are_those_open_in_the_range(datasette: Datasette, empty_db: Events) -> None:
    happened(empty_db, call(session_id="before"), at="2026-10-06T11:59:59.999Z")
    happened(empty_db, call(session_id="after"), at="2026-10-06T13:00:00.000Z")
    happened(empty_db, call(session_id="inside"), call(session_id="other", project="api"))
    happened(empty_db, call(session_id="around"), at="2026-10-06T10:00:00.000Z")
    happened(empty_db, call(session_id="around"), at="2026-10-06T14:00:00.000Z")
    assert (await asked(datasette))["figures"]["sessions"] == 3
    assert (await asked(datasette, project="api"))["figures"]["sessions"] == 1


async def test_a_dozen_names_are_told_and_how_many_more_there_are(datasette: Datasette, empty_db: Events) -> None:
    happened(empty_db, *(call(f"tool{n}", project=f"project{n}") for n in range(15)), call("tool9", project="project7"))
    found = await asked(datasette)
    assert found["of_projects"]["names"][0] == ["project7", 2]
    assert found["tools"]["names"][0]["tool"] == "tool9"
    for key in ("of_projects", "tools"):
        assert (len(found[key]["names"]), found[key]["others"]) == (12, 3)


async def test_a_model_keeps_its_place_whatever_is_asked_for(datasette: Datasette, empty_db: Events) -> None:
    happened(empty_db, bill("late", (9, 9, 9, 9, 0), project="shop"), at="2026-10-06T12:50:00.000Z")
    happened(empty_db, bill("old"), at="2026-10-01T12:00:00.000Z")
    happened(empty_db, bill("early", project="api"))

    async def places(**query: str) -> dict[str, int]:
        usage = (await asked(datasette, **query))["usage"]
        return dict(zip(usage["models"], usage["order"], strict=True))

    assert await places() == {"early": 1, "late": 2}
    assert await places(project="shop") == {"late": 2}
    happened(empty_db, bill("later"), bill("early"), at="2026-10-06T12:59:00.000Z")
    assert await places() == {"early": 1, "late": 2, "later": 3}


async def test_whatever_another_program_writes_there_is_an_answer(datasette: Datasette, empty_db: Events) -> None:
    happened(empty_db, call())
    assert (await asked(datasette))["figures"]["calls"] == 1
    odd = [
        "",
        "NaN",
        "[]",
        '{"inputTokens": NaN}',
        '{"inputTokens": 1e999, "outputTokens": -5}',
        '{"category": {"a": 1}}',
    ]
    odd += ['{"inputTokens": "many", "cacheReadTokens": 9223372036854775807, "cacheCreationHourTokens": 7}', "{" * 2000]
    for payload in odd:
        for kind in ("token_usage", "error", "tool"):
            row = {"timestamp": "2026-10-06T12:05:00Z", "type": kind, "payload": payload, "duration_ms": "soon"}
            empty_db.add(2, model=None, **row)
    found = await asked(datasette)
    assert "NaN" not in json.dumps(found)
    assert "Infinity" not in json.dumps(found)
    assert found["figures"]["failed"] == 0


async def test_a_database_of_an_older_daemon_is_told_so(datasette: Datasette, empty_db: Events) -> None:
    empty_db.connection.execute("drop table outcomes")
    assert await asked(datasette) == {"seq": 0, "outdated": True}


# prices

ENTRY = "input = 1\noutput = 2\ncache_read = 3\ncache_write = 4\ncache_write_hour = 5\n"


async def test_prices_beside_the_database_count_more(datasette: Datasette, empty_db: Events) -> None:
    million = 1_000_000
    happened(empty_db, bill("claude-opus-5-5", (million, 0, 0, 0, 0)), bill("house-model", (0, 0, million, 0, 0)))
    happened(empty_db, bill("claude-opus-5-5", (million, 0, 0, 0, 0)), at="2026-10-06T12:30:00.000Z")
    assert (await asked(datasette))["figures"] | {"cost": 8.0, "unpriced": ["house-model"]} == (await asked(datasette))[
        "figures"
    ]
    own = empty_db.path.with_name("prices.toml")
    own.write_text(f'[[price]]\nmodels = ["claude-opus-5-5", "house-model"]\n{ENTRY}')
    found = await asked(datasette)
    assert (found["figures"]["cost"], found["figures"]["unpriced"], found["prices"]["problem"]) == (5.0, [], "")
    assert found["figures"]["own"]
    own.write_text(f'[[price]]\nmodels = ["claude-opus-5-5"]\nfrom = 2026-10-07\n{ENTRY}')
    found = await asked(datasette)
    assert found["figures"]["cost"] == 0, "it replaces all that is shipped of a model"
    assert found["figures"]["unpriced"] == ["claude-opus-5-5", "house-model"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("price = 1", "[[price]]"),
        ("[[price]]\nmodels = [", "not TOML"),
        (f"[[price]]\nmodels = [{'1' * 5000}]", "not TOML"),
        (f'[[price]]\nmodels = "claude-opus-5"\n{ENTRY}', "number 1, models"),
        (f'[[price]]\nmodels = ["a"]\n{ENTRY}\n[[price]]\nmodels = ["a"]\ninputs = 3\n{ENTRY}', "number 2, the keys"),
        (f'[[price]]\nmodels = ["a"]\nfrom = "soon"\n{ENTRY}', "from is a day"),
        ('[[price]]\nmodels = ["a"]\ninput = "5"', "input is a number"),
        (f'[[price]]\nmodels = ["a"]\n{ENTRY}'.replace("output = 2", "output = nan"), "output is a number"),
        (f'[[price]]\nmodels = ["a"]\n{ENTRY}'.replace("output = 2", f"output = 1{'0' * 400}"), "output is a number"),
        (f'[[price]]\nmodels = ["a"]\n{ENTRY}'.replace("output = 2", "output = -2"), "output is a number"),
        (f'[[price]]\nmodels = ["a"]\n{ENTRY}'.replace("output = 2", "output = true"), "output is a number"),
        ("#" * 70_000, "longer than"),
        ("a = " + "[" * 5000, ""),
        ("\udcff", "UTF-8"),
    ],
)
async def test_a_file_of_prices_that_is_wrong_is_named_and_not_used(
    datasette: Datasette, empty_db: Events, text: str, words: str
) -> None:
    happened(empty_db, bill("claude-opus-5-5", (1_000_000, 0, 0, 0, 0)))
    empty_db.path.with_name("prices.toml").write_bytes(text.encode(errors="surrogateescape"))
    found = await asked(datasette)
    problem = found["prices"]["problem"]
    assert problem.startswith("prices.toml is not used: ")
    assert words in problem
    assert str(empty_db.path.parent) not in problem
    assert (found["figures"]["cost"], found["figures"]["own"]) == (4.0, False)


def test_shipped_prices_tell_caches_apart(tmp_path: Path) -> None:
    """A read costs a tenth of the input at most; writes 1.2 to 1.25 times as much, and twice for an hour."""
    prices = Prices.read(tmp_path / "none.toml")
    assert len(prices.models) > 20
    for several in prices.models.values():
        for price in several:
            given, told, read, written, hour = price.rates
            assert (told, hour) == (5 * given, 2 * given)
            assert 1.2 * given <= written <= 1.25 * given
            assert 0 < read <= 0.12 * given
