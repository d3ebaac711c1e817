"""Nothing of the daemon's own tables can be read through Datasette."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from typing import TYPE_CHECKING

import httpx
import pytest
from datasette.app import Datasette
from tests.datasette_plugins.conftest import Events

if TYPE_CHECKING:
    from pathlib import Path

VIEW = "create view peek as select hex(value) as value from _secrets"
QUERIES = [
    "select * from _secrets",
    'select hex(value) from main."_SECRETS"',
    "select (select hex(value) from _secrets) as value",
    "select hex(s.value) from events left join _secrets s on true",
    "with s as (select * from _secrets) select hex(value) from s",
    "select value from peek",
    "select group_concat(hex(value)) from _secrets union select ''",
    "select hex(value) from events, _secrets union all select seq from events",
    "select 1 from _secrets where hex(value) like '%'",
    "select count(value) from _secrets",
    "select count(*) from _secrets where value > x'80'",
    "select rowid from _offsets",
    "select name from _status",
    "explain select * from _secrets",
]
PATHS = [
    "/vibetea/_secrets",
    "/vibetea/_secrets.json",
    "/vibetea/_secrets.csv?_stream=1",
    "/vibetea/_secrets/hashing_key.json",
    "/vibetea/_status.json",
    "/vibetea/sqlite_sequence",
]
LISTED = r"hidden table|/vibetea/(?:_|sqlite_)|from _"
"""What a page would hold that leads to one of the daemon's tables."""
VIEWS = ["/vibetea/peek.json", "/vibetea/peek.csv"]


@pytest.fixture
def key(full_db: Events) -> bytes:
    """The hashing key of a database in which somebody made a view over it, too."""
    full_db.connection.execute(VIEW)
    (value,) = full_db.connection.execute("select value from _secrets").fetchone()
    return bytes(value)


def tells(response: httpx.Response, key: bytes) -> bool:
    """Whether the key is in the answer, in any of the ways Datasette writes bytes."""
    from base64 import b64encode

    return any(word in response.text for word in (key.hex().upper(), key.hex(), b64encode(key).decode()))


@pytest.mark.parametrize("suffix", [".json", ".csv", ""])
async def test_no_query_reads_them(datasette: Datasette, key: bytes, suffix: str) -> None:
    for sql in QUERIES:
        response = await datasette.client.get(f"/vibetea{suffix}", params={"sql": sql}, follow_redirects=True)
        assert response.status_code == 200
        assert not tells(response, key), sql
        assert "hashing_key" not in response.text, sql


@pytest.mark.parametrize(("path", "status"), [(path, 403) for path in PATHS] + [(path, 200) for path in VIEWS])
async def test_no_page_reads_them(datasette: Datasette, key: bytes, path: str, status: int) -> None:
    response = await datasette.client.get(path)
    assert response.status_code == status
    assert not tells(response, key)


@pytest.mark.parametrize("actor", [None, {"id": "root"}])
async def test_only_what_is_meant_for_people_is_listed(full_db: Events, actor: dict[str, str] | None) -> None:
    datasette = Datasette([str(full_db.path)], metadata={"databases": {"vibetea": {"tables": {"_status": {}}}}})
    cookies = {"ds_actor": datasette.sign({"a": actor}, "actor")} if actor else {}
    listed = await datasette.client.get("/vibetea.json?_show_hidden=1", cookies=cookies)
    meant = {"events", "sessions", "agents", "clients", "activity", "outcomes", "durations", "usage"}
    assert {table["name"] for table in listed.json()["tables"]} == meant
    for path in ("/", "/vibetea", "/vibetea?_show_hidden=1"):
        page = await datasette.client.get(path, cookies=cookies)
        assert page.status_code == 200
        assert not re.search(LISTED, page.text)


async def test_a_rule_of_the_owner_does_not_open_them(full_db: Events, key: bytes) -> None:
    rules = {"databases": {"vibetea": {"tables": {"_secrets": {"allow": True}}}}}
    response = await Datasette([str(full_db.path)], metadata=rules).client.get("/vibetea/_secrets.json")
    assert response.status_code == 403
    assert not tells(response, key)


async def test_how_many_rows_they_have_is_no_secret(datasette: Datasette) -> None:
    sql = "select count(*) from _secrets"
    params = {"sql": sql, "_shape": "arrayfirst"}
    response = await datasette.client.get("/vibetea.json", params=params, follow_redirects=True)
    assert response.json() == [1]


async def test_not_over_attached_databases_either(full_db: Events, key: bytes) -> None:
    datasette = Datasette([str(full_db.path)], memory=True, crossdb=True)
    sql = "select hex(value) as value, (select count(*) from vibetea.events) as events from vibetea._secrets"
    response = await datasette.client.get(
        "/_memory.json", params={"sql": sql, "_shape": "array"}, follow_redirects=True
    )
    assert response.json() == [{"value": "", "events": 10}]
    assert not tells(response, key)


async def test_not_of_a_file_that_became_a_database_of_events_later(tmp_path: Path) -> None:
    path = tmp_path / "vibetea.db"
    sqlite3.connect(path).close()
    path.touch()
    datasette = Datasette([str(path)], settings={"num_sql_threads": 1})
    assert (await datasette.client.get("/vibetea.json")).status_code == 200
    events = Events(path)
    events.add()
    (key,) = events.connection.execute("select value from _secrets").fetchone()
    while (response := await datasette.client.get("/vibetea/_secrets.json")).status_code != 403:
        assert not tells(response, key)
        await asyncio.sleep(0.02)  # the catalogue of Datasette 1.0 is a second behind
    assert not re.search(LISTED, (await datasette.client.get("/vibetea?_show_hidden=1")).text)
    assert (await datasette.client.get("/vibetea/events.json")).status_code == 200
    events.connection.close()


async def test_other_databases_keep_their_tables(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    with sqlite3.connect(path) as connection:
        connection.executescript("create table _mine(a); insert into _mine values (7); create table t(a)")
    connection.close()
    datasette = Datasette([str(path)])
    response = await datasette.client.get("/notes/_mine.json?_shape=arrays")
    assert response.json()["rows"] == [[1, 7]]
    assert "_mine" in (await datasette.client.get("/notes?_show_hidden=1")).text


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/vibetea",
        "/vibetea/events?_facet=type&_facet=project",
        "/vibetea/events.csv",
        "/vibetea/events/1",
        "/vibetea/sessions",
        "/vibetea/activity",
        "/vibetea/usage",
        "/vibetea.json?sql=select+count(*)+from+events",
    ],
)
async def test_everything_else_can_be_read(datasette: Datasette, path: str) -> None:
    assert (await datasette.client.get(path, follow_redirects=True)).status_code == 200
