"""What Datasette says of the tables, and the saved queries, over a small known story."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from tests.datasette_plugins.conftest import Events
from tests.datasette_plugins.sessions import Sessions, named

from datasette_vibetea.queries import QUERIES
from datasette_vibetea.tables import TABLES

STRANGE = ["1 day', 'x", "-7", "9" * 40]


@pytest.fixture
def story(tmp_path: Path) -> Datasette:
    """Three sessions of the last ten minutes: one asks, one was interrupted, one was killed; and one of a month ago."""
    told = Sessions(tmp_path / "vibetea.db")
    told.start(1, 9, project="shop")
    told.prompt(1, 9)
    done(told, "Edit", 8, context="cart.py", outcome="ok", durationMs=40)
    done(told, "Bash", 8, outcome="failed", durationMs=9000)
    done(told, "Bash", 8, outcome="ok", durationMs=1000)
    done(told, "Bash", 8, outcome="refused")
    told.add("token_usage", 1, 7, **TOKENS)
    told.spawn(1, "a1", "Explore", 7)
    told.agent(1, "finished", 5, agentId="a1")
    told.agent(1, "waiting_permission", 4)
    told.agent(1, "waiting_permission", 3.9)  # Claude Code's reminder
    done(told, "Write", 2, context="[filtered]", outcome="ok")
    told.agent(1, "compacted", 2)
    told.agent(1, "waiting_permission", 1)
    told.prompt(2, 8, project="site", source="desk")
    told.agent(2, "interrupted", 6, project="site", source="desk")
    told.add("error", 2, 6, project="site", source="desk", category="overloaded")
    told.agent(2, "interrupted", 5, project="site", source="desk")
    told.prompt(3, 8, project="site")
    told.tool(3, 7, "WebFetch", project="site")
    told.end(4, "killed", 7, project="site")
    told.prompt(5, 60 * 24 * 40)
    done(told, "Bash", 60 * 24 * 40, session=5, outcome="failed", durationMs=99_000)
    told.close()
    return Datasette([str(tmp_path / "vibetea.db")])


def done(told: Sessions, tool: str, minutes: float, session: int = 1, **more: Any) -> None:
    told.add("tool", session, minutes, tool=tool, status="completed", **more)


TOKENS = {
    "model": "claude-opus-4-6",
    "inputTokens": 10,
    "outputTokens": 200,
    "cacheReadTokens": 3000,
    "cacheCreationTokens": 40,
}


async def asked(datasette: Datasette, query: str, **parameters: str) -> list[dict[str, Any]]:
    answer = await datasette.client.get(f"/vibetea/{query}.json", params={"_shape": "array", **parameters})
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()
    return rows


def some(rows: list[dict[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in rows]


ANSWERS: list[tuple[str, dict[str, str], tuple[str, ...], list[tuple[Any, ...]]]] = [
    ("who_needs_me", {}, ("session_id", "reason", "waiting_minutes"), [(named(1), "permission", 1)]),
    (
        "failures_by_tool",
        {},
        ("tool", "calls", "failed", "refused"),
        [("Bash", 3, 1, 1), ("Edit", 1, 0, 0), ("Write", 1, 0, 0)],
    ),
    ("failures_by_tool", {"project": "site"}, ("tool",), []),
    ("failures_by_tool", {"days": "50"}, ("tool", "failed"), [("Bash", 2), ("Edit", 0), ("Write", 0)]),
    ("slowest_calls", {}, ("tool", "seconds"), [("Bash", 9.0), ("Bash", 1.0), ("Edit", 0.0)]),
    ("slowest_calls", {"tool": "Edit"}, ("tool",), [("Edit",)]),
    (
        "durations_by_tool",
        {},
        ("tool", "calls", "p50_ms", "p95_ms", "longest_ms"),
        [("Bash", 2, 1000, 9000, 9000), ("Edit", 1, 40, 40, 40)],
    ),
    (
        "durations_by_tool",
        {"days": "50"},
        ("tool", "calls", "p50_ms", "p95_ms", "longest_ms", "hours"),
        [("Bash", 3, 9000, 100_000, 100_000, 0.03), ("Edit", 1, 40, 40, 40, 0.0)],
    ),
    ("running_tools", {}, ("tool", "session_id"), [("WebFetch", named(3))]),
    ("permission_waits", {}, ("minutes", "session_id"), [(None, named(1)), (2.0, named(1))]),
    (
        "tokens_by_model_and_day",
        {},
        ("model", "messages", "output_tokens", "cache_read_tokens"),
        [("claude-opus-4-6", 1, 200, 3000)],
    ),
    ("tokens_by_project", {}, ("project", "output_tokens", "output_percent"), [("shop", 200, 100.0)]),
    ("tokens_by_session", {"project": "shop"}, ("session_id", "output_tokens"), [(named(1), 200)]),
    ("most_edited_files", {}, ("file", "edits"), [("[filtered]", 1), ("cart.py", 1)]),
    ("subagents_by_type", {}, ("type", "subagents", "average_minutes"), [("Explore", 1, 2.0)]),
    ("died_or_interrupted", {}, ("state", "session_id"), [("interrupted", named(2)), ("dead", named(4))]),
    ("errors_by_category", {}, ("category", "errors"), [("overloaded", 1)]),
    ("refusals", {}, ("project", "tool", "refused"), [("shop", "Bash", 1)]),
    ("compactions", {}, ("session_id", "compactions", "prompts"), [(named(1), 1, 1)]),
    ("machines", {}, ("source", "sessions", "prompts"), [("laptop", 3, 2), ("desk", 1, 1)]),
    ("quiet_gaps", {"days": "50", "hours": "24"}, ("hours",), [(959.5,)]),
]


async def test_each_answers_what_it_asks(story: Datasette) -> None:
    for query, parameters, columns, rows in ANSWERS:
        found = some(await asked(story, query, **parameters), *columns)
        assert found == [tuple(map(about, row)) for row in rows], (query, parameters)


async def test_what_the_sums_hold_is_asked_of_them_and_not_of_all_events(story: Datasette, tmp_path: Path) -> None:
    names = ("failures_by_tool", "durations_by_tool", "errors_by_category", "refusals")
    before = [await asked(story, name) for name in names]
    with closing(sqlite3.connect(tmp_path / "vibetea.db")) as connection, connection:
        connection.execute("delete from events")
    assert all(before)
    assert [await asked(story, name) for name in names] == before


def about(value: Any) -> Any:
    return pytest.approx(value, abs=0.3) if isinstance(value, float) else value


async def test_days_and_hours_are_those_of_the_servers_clock(story: Datasette) -> None:
    local = [datetime.now(UTC).astimezone() - timedelta(minutes=back) for back in (10, 0)]
    days = {each.date().isoformat() for each in local}
    month = await asked(story, "month_by_day")
    assert {row["day"] for row in month} <= days
    assert [sum(row[name] for row in month) for name in ("sessions", "messages", "input_tokens")] == [4, 1, 10]
    today = await asked(story, "today_by_session")
    if len(days) == 1:  # and it is not just past midnight
        assert some(today, "session_id", "prompts", "calls", "failed", "subagents", "output_tokens")[0] == (
            named(1), 1, 5, 1, 1, 200)  # fmt: skip
        assert len(today) == 4
    hours = await asked(story, "busiest_hours")
    assert {row["hour"] for row in hours} <= {each.hour for each in local}
    weekdays = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    assert sum(row[day] or 0 for row in hours for day in weekdays) == sum(row["events"] for row in hours) == 20


async def test_every_query_is_there_with_its_words_and_takes_whatever_is_typed(empty_db: Events) -> None:
    datasette = Datasette([str(empty_db.path)])
    assert len(QUERIES) >= 15
    for name, query in QUERIES.items():
        assert await asked(datasette, name) == []
        for strange in STRANGE:
            await asked(datasette, name, **dict.fromkeys(re.findall(r":(\w+)", query.sql), strange))
    page = (await datasette.client.get("/vibetea/who_needs_me")).text
    assert QUERIES["who_needs_me"].title in page
    assert QUERIES["who_needs_me"].description in page


async def test_every_table_and_every_column_is_described(empty_db: Events) -> None:
    tables = empty_db.connection.execute(
        r"select name from sqlite_master where type in ('table', 'view') and name not like '\_%' escape '\'"
        " and name not like 'sqlite%'"
    ).fetchall()
    assert {name for (name,) in tables} == set(TABLES)
    datasette = Datasette([str(empty_db.path)])
    for name, table in TABLES.items():
        columns = [row[1] for row in empty_db.connection.execute(f"pragma table_info({name})")]
        assert list(table.columns) == columns
        page = (await datasette.client.get(f"/vibetea/{name}")).text
        for text in (table.description, *table.columns.values()):
            assert escape(text) in page
        (style,) = re.findall(r'href="([^"]*/vibetea/datasette\.css[^"]*)"', page)
        assert (await datasette.client.get(style)).status_code == 200
        assert set(table.facets) | {table.sort_desc} <= set(columns)


def test_the_documentation_names_every_query_and_table() -> None:
    text = (Path(__file__).parents[2] / "docs/dashboard.md").read_text()
    assert [name for name in (*QUERIES, *TABLES) if f"`{name}`" not in text] == []


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("'", "&#39;")


async def test_the_owners_words_win(full_db: Events) -> None:
    tables = {"events": {"description": "Mine", "sort": "seq", "facets": ["source"], "columns": {"seq": "My order"}}}
    queries = {"machines": {"sql": "select 'mine' as whose"}}
    own = {"databases": {"vibetea": {"tables": tables, "queries": queries}}}
    new = {"config": {"databases": {"vibetea": {"queries": queries}}}} if hasattr(Datasette, "allowed") else {}
    datasette = Datasette([str(full_db.path)], metadata=own, **new)
    page = (await datasette.client.get("/vibetea/events")).text
    assert "Mine" in page
    assert "My order" in page
    assert TABLES["events"].description not in page
    assert TABLES["events"].columns["source"] in page
    rows = (await datasette.client.get("/vibetea/events.json?_shape=array")).json()
    assert await asked(datasette, "machines") == [{"whose": "mine"}]
    assert rows[0]["seq"] == 1


async def test_a_database_that_comes_later_has_them_and_another_has_none(empty_db: Events, tmp_path: Path) -> None:
    late = tmp_path / "late.db"
    late.touch()
    datasette = Datasette([str(empty_db.path), str(late)])
    assert (await datasette.client.get("/late/who_needs_me.json")).status_code == 404
    events = Events(late)
    events.connection.close()
    assert (await datasette.client.get("/late/who_needs_me.json?_shape=array")).json() == []
    assert TABLES["usage"].description in (await datasette.client.get("/late/usage")).text
