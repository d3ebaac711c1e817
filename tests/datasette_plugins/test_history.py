from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aiohttp import web
from datasette.app import Datasette
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.datasette_plugins.activity import happened
from tests.datasette_plugins.conftest import Server, started
from tests.datasette_plugins.supabase import TOKEN, Supabase, failing

from datasette_vibetea import history, supabase

if TYPE_CHECKING:
    from tests.datasette_plugins.conftest import Events

DATA = "/-/vibetea/history.json"
NOON = 1_973_808  # 2026-04-17T12:00Z in quarter hours
DAY = {"from": "2026-04-17T00:00Z", "to": "2026-04-18T00:00Z"}


def over(events: Events, **config: Any) -> Datasette:
    """A Datasette over these events whose plugin is configured so."""
    return Datasette([str(events.path)], metadata={"plugins": {"datasette-vibetea": config}})


@pytest.fixture
def datasette(empty_db: Events, functions: Supabase, monkeypatch: pytest.MonkeyPatch) -> Datasette:
    """One that has a history to ask for, its token in the environment."""
    monkeypatch.setenv("VIBETEA_SUBSCRIBER_TOKEN", f"{TOKEN}\n")
    return over(empty_db, history={"url": f"{functions.url}/", "token": {"$env": "VIBETEA_SUBSCRIBER_TOKEN"}})


async def asked(datasette: Datasette, **query: str) -> dict[str, Any]:
    answer = await datasette.client.get(DATA, params=DAY | query)
    assert answer.status_code == 200, answer.text
    assert TOKEN not in answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_hours_before_a_source_was_first_seen_are_added(
    datasette: Datasette, empty_db: Events, functions: Supabase
) -> None:
    """What this database holds wins, its first hour too; of a machine it never saw everything is new."""
    happened(empty_db, "2026-04-17T12:30:00Z")
    for hour in (9, 11, 12, 13):
        functions.add("2026-04-17", hour, hour)
        functions.add("2026-04-17", hour, 100, "build-server")
    functions.add("2026-04-16", 23, 1)
    functions.add("2026-04-18", 0, 1, "build-server")
    found = await asked(datasette)
    assert found == {
        "state": "there",
        "hours": [[NOON - 12, 109], [NOON - 4, 111], [NOON, 100], [NOON + 4, 100]],
    }
    assert (await asked(datasette, source="laptop"))["hours"] == [[NOON - 12, 9], [NOON - 4, 11]]
    assert functions.asked == [{"days": "30"}]


async def test_an_empty_database_gets_all_there_is(datasette: Datasette, functions: Supabase) -> None:
    functions.add("2026-04-17", 12, 5)
    assert (await asked(datasette))["hours"] == [[NOON, 5]]


async def test_is_asked_once_for_some_minutes_and_by_all_at_once(
    datasette: Datasette, functions: Supabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as soon:
        soon.setitem(history.FRESH_SECONDS, "there", 0.0)
        await asked(datasette)
        await asked(datasette)
    assert functions.asked == [{"days": "30"}] * 2
    await asyncio.gather(*(asked(datasette, source=f"machine{number}") for number in range(5)))
    assert len(functions.asked) == 3
    week = (await datasette.client.get(DATA)).json()
    assert (week["state"], functions.asked[3:]) == ("there", [{"days": "7"}])
    await asked(datasette)
    assert len(functions.asked) == 4


@pytest.mark.parametrize("query", [{"project": "shop"}, {"type": "tool"}, {"tool": "Read"}])
async def test_a_choice_it_knows_nothing_of_is_not_asked_for(
    datasette: Datasette, functions: Supabase, query: dict[str, str]
) -> None:
    functions.add("2026-04-17", 12, 5)
    assert await asked(datasette, **query) == {"state": "unknowable", "hours": []}
    assert functions.asked == []


async def test_without_one_nothing_is_asked(empty_db: Events) -> None:
    assert await asked(over(empty_db)) == {"state": "none", "hours": []}


@pytest.mark.parametrize(
    "url",
    ["http://supabase.example", "http://127.0.0.1.example", "ftp://127.0.0.1", "file:///etc/passwd", "", 7, None],
)
async def test_is_asked_in_clear_on_this_machine_only(empty_db: Events, url: Any) -> None:
    assert (await asked(over(empty_db, history={"url": url, "token": TOKEN})))["state"] == "misconfigured"


async def test_a_token_that_is_not_the_functions_is_refused(empty_db: Events, functions: Supabase) -> None:
    datasette = over(empty_db, history={"url": functions.url, "token": "another"})
    assert await asked(datasette) == {"state": "refused", "hours": []}
    await asked(datasette)
    assert len(functions.asked) == 1, "it is not hammered"


@pytest.mark.parametrize("token", ["", None, {"$env": "NOT_SET"}])
async def test_without_a_token_nothing_is_asked(empty_db: Events, functions: Supabase, token: Any) -> None:
    datasette = over(empty_db, history={"url": functions.url, "token": token})
    assert await asked(datasette) == {"state": "untold", "hours": []}
    assert not functions.asked


async def silent(request: web.Request) -> web.Response:
    await asyncio.sleep(3600)
    return web.Response()


async def elsewhere(request: web.Request) -> web.Response:
    raise web.HTTPFound("/functions/v1/other")


async def huge(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b" " * 65_536)


async def cut(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": "1000"})
    await answer.prepare(request)
    await answer.write(b'{"aggregates": [')
    return answer


@pytest.mark.parametrize("instead", [silent, failing, elsewhere, huge, cut])
async def test_whatever_it_does_the_answer_is_that_there_is_none(
    datasette: Datasette, functions: Supabase, monkeypatch: pytest.MonkeyPatch, instead: Any
) -> None:
    monkeypatch.setattr(supabase, "SECONDS", 1.0)
    monkeypatch.setattr(supabase, "MOST_BYTES", 2**20)
    functions.instead = instead
    assert await asked(datasette) == {"state": "useless", "hours": []}
    assert len(functions.asked) == 1, "no redirect is followed"


async def test_one_that_is_gone_is_useless_and_the_rest_is_there(
    datasette: Datasette, empty_db: Events, functions: Supabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIBETEA_SUBSCRIBER_TOKEN", TOKEN)
    gone = over(empty_db, history={"url": "http://127.0.0.1:1/functions/v1", "token": TOKEN})
    assert (await asked(gone))["state"] == "useless"
    assert (await gone.client.get("/-/vibetea/heatmap.json")).status_code == 200


ROW = {"source": "laptop", "date": "2026-04-17", "hour": 12, "eventCount": 5}


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"<html>",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b'{"aggregates": {}}',
        *(json.dumps({"aggregates": [row]}).encode() for row in ([], "x", {}, *({**ROW, **wrong} for wrong in (
            {"source": 7}, {"source": None}, {"date": "2026-02-30"}, {"date": "17.4.2026"}, {"date": 7}, {"hour": 24},
            {"hour": -1}, {"hour": True}, {"hour": 1.5}, {"hour": "1"}, {"eventCount": -1}, {"eventCount": 2**40},
            {"eventCount": "5"}, {"eventCount": False}, {"eventCount": 1e400},
        )))),
    ],
)  # fmt: skip
async def test_an_answer_that_is_no_count_of_hours_is_useless(
    datasette: Datasette, functions: Supabase, said: bytes
) -> None:
    async def say(request: web.Request) -> web.Response:
        return web.Response(body=said, content_type="application/json")

    functions.instead = say
    assert await asked(datasette) == {"state": "useless", "hours": []}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
row = st.fixed_dictionaries(
    {},
    optional={
        "source": anything | st.just("laptop"),
        "date": anything | st.just("2026-04-17"),
        "hour": anything | st.integers(0, 23),
        "eventCount": anything | st.integers(0, 9),
        "secret": anything,
    },
)


@given(aggregates=anything | st.lists(row, max_size=3))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_nothing_but_numbers_of_hours_comes_through(
    empty_db: Events, functions: Supabase, aggregates: Any
) -> None:
    async def say(request: web.Request) -> web.Response:
        return web.Response(text=json.dumps({"aggregates": aggregates, "secret": TOKEN}))

    functions.instead = say
    found = await asked(over(empty_db, history={"url": functions.url, "token": TOKEN}))
    assert found.keys() == {"state", "hours"}
    assert found["state"] in {"there", "useless"}
    assert all(slot in range(NOON - 48, NOON + 48) and type(n) is int for slot, n in found["hours"])


async def test_a_page_of_another_origin_gets_nothing_and_asks_nothing(
    datasette: Datasette, functions: Supabase
) -> None:
    answer = await datasette.client.get(DATA, params=DAY, headers={"origin": "http://evil.example"})
    assert answer.status_code == 403
    assert functions.asked == []


async def test_a_stranger_asks_nothing(empty_db: Events, functions: Supabase) -> None:
    datasette = over(empty_db, history={"url": functions.url, "token": TOKEN})
    closed = Datasette(
        [str(empty_db.path)],
        metadata={
            "allow": {"id": "root"},
            "plugins": {"datasette-vibetea": {"history": {"url": functions.url, "token": TOKEN}}},
        },
    )
    assert (await closed.client.get(DATA, params=DAY)).status_code == 403
    assert functions.asked == []
    assert (await datasette.client.get(DATA, params=DAY)).status_code == 200


def test_the_command_takes_it_from_the_environment_and_shows_the_token_to_nobody(
    empty_db: Events, functions: Supabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    functions.add("2026-04-17", 12, 5)
    monkeypatch.setenv("VIBETEA_HOME", str(empty_db.path.parent))
    monkeypatch.setenv("VIBETEA_SUPABASE_URL", functions.url)
    monkeypatch.setenv("VIBETEA_SUBSCRIBER_TOKEN", TOKEN)
    server = Server(started([sys.executable, "-m", "vibetea_daemon", "dashboard", "--no-open", "--port", "0"]))
    try:
        address = server.address()
        assert httpx.get(f"{address}{DATA}", params=DAY).json() == {"state": "there", "hours": [[NOON, 5]]}
        for place in ("metadata", "config", "plugins", "settings"):
            assert TOKEN not in httpx.get(f"{address}/-/{place}.json").text
    finally:
        server.end()
    assert TOKEN not in "".join(server.said)
