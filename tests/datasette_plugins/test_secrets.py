"""Nothing of the daemon's own tables can be read through Datasette."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import httpx
import pytest
from datasette.app import Datasette
from tests.datasette_plugins.conftest import Events, served

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
    "select count(*) from _secrets",
    "select name from _status",
    "explain select * from _secrets",
]
PATHS = [
    "/vibetea/_secrets",
    "/vibetea/_secrets.json",
    "/vibetea/_secrets.csv?_stream=1",
    "/vibetea/_secrets/hashing_key.json",
    "/vibetea/_status.json",
    "/vibetea/peek.json",
    "/vibetea/peek.csv",
]


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
@pytest.mark.parametrize("sql", QUERIES)
async def test_no_query_reads_them(datasette: Datasette, key: bytes, sql: str, suffix: str) -> None:
    response = await datasette.client.get(f"/vibetea{suffix}", params={"sql": sql}, follow_redirects=True)
    assert not tells(response, key)
    assert "hashing_key" not in response.text
    refused = "prohibited" in response.text or "not authorized" in response.text
    assert refused or (suffix == ".csv" and not response.text.strip())


@pytest.mark.parametrize("path", PATHS)
async def test_no_page_reads_them(datasette: Datasette, key: bytes, path: str) -> None:
    response = await datasette.client.get(path)
    assert response.status_code == 500
    assert not tells(response, key)


async def test_not_over_attached_databases_either(full_db: Events, key: bytes) -> None:
    datasette = Datasette([str(full_db.path)], memory=True, crossdb=True)
    for sql, refused in {"select * from vibetea._secrets": True, "select seq from vibetea.events": False}.items():
        response = await datasette.client.get("/_memory.json", params={"sql": sql}, follow_redirects=True)
        assert ("prohibited" in response.text) == refused
        assert not tells(response, key)


async def test_not_of_a_file_that_became_a_database_of_events_later(tmp_path: Path) -> None:
    path = tmp_path / "vibetea.db"
    sqlite3.connect(path).close()
    path.touch()
    datasette = Datasette([str(path)], settings={"num_sql_threads": 1})
    assert (await datasette.client.get("/vibetea.json")).status_code == 200
    events = Events(path)
    events.add()
    assert (await datasette.client.get("/vibetea/_secrets.json")).status_code == 500
    assert (await datasette.client.get("/vibetea/events.json")).status_code == 200
    events.connection.close()


async def test_other_databases_keep_their_tables(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    with sqlite3.connect(path) as connection:
        connection.executescript("create table _mine(a); insert into _mine values (7); create table t(a)")
    connection.close()
    response = await Datasette([str(path)]).client.get("/notes/_mine.json?_shape=arrays")
    assert response.json()["rows"] == [[1, 7]]


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


def test_our_server_forbids_them_and_does_not_list_them(full_db: Events, key: bytes) -> None:
    with served(full_db.path) as (address, server):
        assert httpx.get(f"{address}/vibetea/_secrets").status_code == 403
        assert "_secrets" not in httpx.get(f"{address}/vibetea?_show_hidden=1").text
        assert not tells(httpx.get(f"{address}/vibetea.json", params={"sql": QUERIES[0]}), key)
        server.stop()
    assert "_secrets" not in "".join(server.said)
