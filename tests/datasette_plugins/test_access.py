from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from datasette.app import Datasette
from tests.datasette_plugins.sse import opened

from datasette_vibetea.pages import PAGES as OURS
from datasette_vibetea.queries import QUERIES
from datasette_vibetea.tables import TABLES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.datasette_plugins.conftest import Events

ROOT: dict[str, Any] = {"allow": {"id": "root"}}
LEVELS: dict[str, dict[str, Any]] = {
    "instance": ROOT,
    "database": {"databases": {"vibetea": ROOT}},
    "table": {"databases": {"vibetea": {"tables": {"events": ROOT}}}},
}
PAGES = [*(page.path for page in OURS), "/-/vibetea/stream"]
DATA = [f"/-/vibetea/{name}.json" for name in (*(page.name for page in OURS), "older", "history")]
PATHS = PAGES + DATA


@pytest.fixture(params=LEVELS)
def closed(request: pytest.FixtureRequest, full_db: Events) -> Datasette:
    """Open to root alone, by a rule at one of the three levels."""
    return Datasette([str(full_db.path)], metadata=LEVELS[request.param])


def as_root(datasette: Datasette) -> dict[str, str]:
    return {"cookie": f"ds_actor={datasette.sign({'a': {'id': 'root'}}, 'actor')}"}


async def statuses(datasette: Datasette, headers: dict[str, str] | None = None) -> dict[str, int]:
    """Of all there is of ours, the stream too, which does not end by itself."""
    app, found = datasette.app(), {}
    for path in PATHS:
        async with opened(app, path=path, headers=headers) as answer:
            found[path] = answer.status
    return found


async def test_a_stranger_gets_nothing_and_whoever_is_allowed_an_answer(closed: Datasette) -> None:
    assert await statuses(closed) == dict.fromkeys(PATHS, 403)
    assert await statuses(closed, as_root(closed)) == dict.fromkeys(PATHS, 200)


async def test_without_rules_everybody_gets_an_answer(datasette: Datasette) -> None:
    assert await statuses(datasette) == dict.fromkeys(PATHS, 200)


async def test_a_stranger_does_not_learn_that_there_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "vibetea.db").touch()
    datasette = Datasette([str(tmp_path / "vibetea.db")], metadata=ROOT)
    assert await statuses(datasette) == dict.fromkeys(PATHS, 403)
    assert await statuses(datasette, as_root(datasette)) == {path: 404 if path in DATA else 200 for path in PATHS}


async def test_the_menu_leads_only_those_in_who_may_enter(full_db: Events) -> None:
    datasette = Datasette([str(full_db.path)], metadata=LEVELS["table"])
    link = 'href="/-/vibetea"'
    assert link not in (await datasette.client.get("/")).text
    assert link in (await datasette.client.get("/", headers=as_root(datasette))).text


SQL = "select project, seq from events"
TELLING = [
    *(f"/vibetea/{table}{suffix}" for table in TABLES for suffix in ("", ".json", ".csv?_stream=1")),
    "/vibetea/events/1.json",
    *(f"/vibetea/{query}.json" for query in QUERIES),
    "/vibetea/slowest_calls",
    "/vibetea/slowest_calls.csv",
    *(f"/vibetea{suffix}?sql={SQL}" for suffix in ("", ".json", ".csv")),
    "/vibetea.json?sql=select project from sessions",
    "/_memory.json?sql=select project from vibetea.events",
]
NAMED = "shop"
"""The project of all events there are."""


@pytest.mark.parametrize("level", LEVELS)
async def test_nothing_of_datasettes_own_tells_a_stranger(full_db: Events, level: str) -> None:
    full_db.connection.execute(
        "insert into sessions(session_id, source, project, first_at, last_at, events) "
        "select session_id, source, project, min(timestamp), max(timestamp), count(*) from events group by session_id"
    )
    datasette = Datasette([str(full_db.path)], metadata=LEVELS[level], memory=True, crossdb=True)
    shut = {path: await datasette.client.get(path, follow_redirects=True) for path in TELLING}
    assert {path: answer.status_code for path, answer in shut.items()} == dict.fromkeys(TELLING, 403)
    new = hasattr(datasette, "allowed")  # 1.0
    listing = ["/", "/vibetea", "/vibetea.json", "/vibetea?_show_hidden=1", "/-/databases.json"]
    for path in listing + ["/-/jump.json?q=e", "/-/schema.json", "/vibetea/-/queries.json"] * new:
        shut[path] = await datasette.client.get(path, follow_redirects=True)
    names = [f'"{name}"' for name in (*TABLES, *QUERIES)]
    for path, answer in shut.items():
        assert NAMED not in answer.text, path
        assert not [name for name in names if path.endswith(".json") and name in answer.text], path
    # a client forgets its cookie when it is led on to the page of 1.0 for SQL
    told = [re.sub(r"(\.\w+)?\?sql=", r"/-/query\1?sql=", path) if new else path for path in TELLING]
    for path in told:
        assert (await datasette.client.get(path, headers=as_root(datasette))).status_code == 200, path


async def test_a_rule_for_one_of_them_does_not_open_it_to_those_who_may_not_see_the_events(full_db: Events) -> None:
    rules = {"events": ROOT, "sessions": {"allow": True}}
    datasette = Datasette([str(full_db.path)], metadata={"databases": {"vibetea": {"tables": rules}}})
    assert (await datasette.client.get("/vibetea/sessions.json")).status_code == 403


async def test_other_databases_stay_open(full_db: Events, tmp_path: Path) -> None:
    notes = tmp_path / "notes.db"
    with sqlite3.connect(notes) as connection:
        connection.execute("create table notes(a)")
    connection.close()
    rules = {"databases": {"vibetea": {"tables": {"events": ROOT}}}}
    datasette = Datasette([str(full_db.path), str(notes)], metadata=rules)
    for path in ("/notes", "/notes/notes.json", "/notes.json?sql=select a from notes"):
        assert (await datasette.client.get(path, follow_redirects=True)).status_code == 200


@pytest.mark.parametrize("rules", [{}, *LEVELS.values()])
async def test_nobody_downloads_the_file_with_the_daemons_key(full_db: Events, rules: dict[str, Any]) -> None:
    datasette = Datasette([], immutables=[str(full_db.path)], metadata=rules)
    for headers in ({}, as_root(datasette)):
        assert (await datasette.client.get("/vibetea.db", headers=headers)).status_code == 403
