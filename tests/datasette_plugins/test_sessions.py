from __future__ import annotations

import json
from contextlib import closing
from itertools import product
from sqlite3 import connect
from typing import TYPE_CHECKING, Any

import pytest
from datasette.app import Datasette
from tests.datasette_plugins.sessions import Sessions, ago, named

from datasette_vibetea import database, sessions
from datasette_vibetea.filters import Filters

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.datasette_plugins.conftest import Events

DATA = "/-/vibetea/sessions.json"


@pytest.fixture
def datasette(daemon: Sessions) -> Datasette:
    return Datasette([str(daemon.path)])


async def asked(datasette: Datasette, **query: str) -> dict[str, Any]:
    answer = await datasette.client.get(DATA, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def numbers(found: dict[str, Any]) -> list[int]:
    """The sessions, by their numbers, in order."""
    return [int(each["session_id"][:4]) for each in found["sessions"]]


async def agents(datasette: Datasette) -> dict[str, str]:
    """The states of the only session's subagents."""
    (session,) = (await asked(datasette))["sessions"]
    return {each["type"]: each["state"] for each in session["agents"]}


async def test_it_shows_just_those_that_the_board_calls_live(datasette: Datasette, daemon: Sessions) -> None:
    """Whatever was told last, however long ago, and by the main agent or a subagent."""
    waits: dict[str, Any] = {"tool": "AskUserQuestion"}
    cases: list[tuple[Callable[..., None], dict[str, Any]]] = [
        (daemon.prompt, {}),
        (daemon.tool, waits),
        (daemon.agent, {"state": "waiting_permission"}),
        (daemon.agent, {"state": "waiting_input"}),
        (daemon.end, {"reason": "logout"}),
    ]
    agents: list[dict[str, Any]] = [{}, {"agentId": "a1"}]
    ages = (1, 29, 31, 1430, 1450)
    for number, ((told, how), agent, age) in enumerate(product(cases, agents, ages), 1):
        daemon.prompt(number, age + 1)
        told(number, minutes=age, **how, **(agent if told != daemon.end else {}))
    with closing(connect(daemon.path)) as connection:
        live = {row[0] for row in connection.execute("select session_id from board where live")}
    found = {each["session_id"] for each in (await asked(datasette))["sessions"]}
    assert found == live
    assert 20 < len(live) < 50


async def test_those_who_wait_come_first_and_then_the_newest(datasette: Datasette, daemon: Sessions) -> None:
    daemon.prompt(1, 4)
    daemon.prompt(2, 1)
    daemon.agent(3, "waiting_permission", 2)
    daemon.agent(4, "waiting_permission", 600)
    daemon.agent(5, "waiting_input", 3)
    daemon.agent(6, "waiting_input", 20)
    daemon.agent(7, "interrupted", 1)
    daemon.end(8, "logout", 2)
    daemon.end(9, "logout", 1)
    daemon.end(10, "killed", 5)
    found = await asked(datasette)
    assert numbers(found) == [4, 5, 3, 2, 1, 7, 6, 10, 9, 8]
    assert [each["state"] for each in found["sessions"]] == [
        *["needs_you"] * 3,
        *["working"] * 2,
        *["interrupted", "idle", "dead"],
        *["ended"] * 2,
    ]
    assert found["seq"] == 10


async def test_a_session_says_what_it_does_and_what_it_took(datasette: Datasette, daemon: Sessions) -> None:
    daemon.prompt(1, 3)
    tokens = {"inputTokens": 1, "outputTokens": 20, "cacheReadTokens": 300, "cacheCreationTokens": 4000}
    daemon.add("token_usage", 1, 2, model="claude-opus-5-5", **tokens)
    daemon.tool(1, 1)
    (session,) = (await asked(datasette))["sessions"]
    assert ago(4) < session.pop("since") < ago(2)
    assert len(session.pop("activity")) == 30
    assert session == {
        "session_id": named(1),
        "source": "laptop",
        "project": "shop",
        "model": "claude-opus-5-5",
        "state": "working",
        "reason": "tool",
        "tool": "Bash",
        "tokens": 4321,
        "prompts": 1,
        "agents": [],
        "present": 0,
    }


async def test_half_an_hour_after_its_last_event_a_session_is_gone(datasette: Datasette, daemon: Sessions) -> None:
    daemon.end(1, "logout", 29)
    daemon.end(2, "logout", 31)
    assert numbers(await asked(datasette)) == [1]


async def test_a_session_whose_client_is_open_stays(datasette: Datasette, daemon: Sessions) -> None:
    daemon.prompt(1, 60 * 72)
    daemon.client(1, "busy", 60 * 72)
    daemon.prompt(2, 60 * 48)
    daemon.client(2, "waiting", 60 * 48, "permission")
    assert numbers(await asked(datasette)) == [2, 1]


async def test_source_and_project_choose_sessions(datasette: Datasette, daemon: Sessions) -> None:
    daemon.prompt(1, 3)
    daemon.prompt(2, 2, source="workstation")
    daemon.prompt(3, 1, project="docs")
    assert numbers(await asked(datasette, source="workstation")) == [2]
    assert numbers(await asked(datasette, project="shop", source="laptop")) == [1]
    assert numbers(await asked(datasette, project="", type="tool")) == []
    found = await asked(datasette, project="none such")
    assert (found["sources"], found["projects"]) == (["laptop", "workstation"], ["shop", "docs"])
    assert found["live"] == 0
    assert (await datasette.client.get(DATA, params={"project": "x" * 301})).status_code == 400


async def test_subagents_are_told_while_they_work_and_for_a_minute_after(
    datasette: Datasette, daemon: Sessions
) -> None:
    daemon.prompt(1, 20)
    for minutes, name in enumerate(["before", "now", "silent", "long", "works"]):
        daemon.spawn(1, name, name, 15 - minutes)
    daemon.agent(1, "finished", 2, agentId="before")
    daemon.agent(1, "finished", 0.5, agentId="now")
    daemon.tool(1, 10, "Bash", agentId="long")
    daemon.tool(1, 1, "Read", agentId="works")
    assert await agents(datasette) == {"now": "ended", "long": "working", "works": "working"}
    daemon.end(1, "logout")
    assert await agents(datasette) == {}


async def test_a_subagent_asks_as_long_as_its_session_does(datasette: Datasette, daemon: Sessions) -> None:
    daemon.prompt(1, 60)
    daemon.spawn(1, "a1", "Explore", 50)
    daemon.agent(1, "waiting_permission", 40, agentId="a1")
    assert await agents(datasette) == {"Explore": "needs_you"}
    daemon.agent(1, "waiting_permission", 3, agentId="a1")
    daemon.client(1, "busy", 1)
    assert await agents(datasette) == {"Explore": "working"}


async def test_a_session_of_many_subagents_names_the_newest_and_counts_the_rest(
    datasette: Datasette, daemon: Sessions
) -> None:
    for number in range(25):
        daemon.spawn(1, f"a{number}", "Explore", 4 - number / 10)
    (session,) = (await asked(datasette))["sessions"]
    assert [each["agent_id"] for each in session["agents"]] == [f"a{number}" for number in range(5, 25)]
    assert session["present"] == 25


async def test_activity_is_events_a_minute_of_the_last_half_hour(datasette: Datasette, daemon: Sessions) -> None:
    daemon.prompt(1)
    for minutes in (0, 10, 10, 28, 45, -3):
        daemon.tool(1, minutes)
    (session,) = (await asked(datasette))["sessions"]
    activity = session["activity"]
    assert len(activity) == 30
    assert sum(activity) == 5
    # a minute may begin between writing and asking
    assert sum(activity[-2:]) == 2
    assert sum(activity[18:20]) == 2
    assert sum(activity[:2]) == 1


async def test_an_activity_of_odd_times_is_still_an_answer(
    datasette: Datasette, daemon: Sessions, empty_db: Events
) -> None:
    daemon.prompt(1)
    for at in ("z", "<b>", "9999-99-99T99:99:99Z", "2999-01-01T00:00:00Z"):
        empty_db.add(session_id=named(1), timestamp=at)
    (session,) = (await asked(datasette))["sessions"]
    assert sum(session["activity"]) == 1


async def test_never_more_than_two_hundred(datasette: Datasette, daemon: Sessions, empty_db: Events) -> None:
    empty_db.connection.executemany(
        "insert into sessions(session_id, source, first_at, last_at, events) values (?, 'laptop', ?, ?, 1)",
        ((named(number), ago(1), ago(1)) for number in range(250)),
    )
    found = await asked(datasette)
    assert len(found["sessions"]) == 200
    assert found["live"] == 250


async def test_old_sessions_cost_nothing(daemon: Sessions, empty_db: Events) -> None:
    daemon.prompt(1, 1)
    daemon.client(2, "busy", 1)

    def steps() -> int:
        counted = 0

        def step() -> int:
            nonlocal counted
            counted += 1
            return 0

        with closing(database.connect(daemon.path)) as connection:
            connection.set_progress_handler(step, 10)
            assert len(sessions.Sessions().read(connection, Filters.parse({}))["sessions"]) == 1
        return counted

    few = steps()
    empty_db.connection.executemany(
        "insert into sessions(session_id, source, first_at, last_at, events) values (?, 'laptop', ?, ?, 1)",
        ((named(number), ago(3000 + number), ago(3000 + number)) for number in range(10, 2010)),
    )
    assert steps() < few + 10


@pytest.mark.parametrize("gone", ["drop view board", "drop view board; drop table agents; drop table clients"])
async def test_a_database_of_before_says_so(
    datasette: Datasette, daemon: Sessions, empty_db: Events, gone: str
) -> None:
    daemon.prompt(1)
    empty_db.connection.executescript(gone)
    found = await asked(datasette)
    assert found["outdated"] is True
    assert found["sessions"] == found["sources"] == found["projects"] == []


async def test_hostile_names_are_values_like_others(datasette: Datasette, daemon: Sessions, empty_db: Events) -> None:
    daemon.prompt(1)
    daemon.spawn(1, "a1", "Explore")
    name = "</script>\"'=cmd|' /C calc'!A0\u202e\u0000\n" + "x" * 300
    empty_db.connection.execute("update sessions set session_id = ?1, project = ?1, source = ?1, model = ?1", (name,))
    empty_db.connection.execute("insert into clients values (?, 1, 'busy', null, ?)", (name, ago(0)))
    found = await asked(datasette)
    assert [found["sessions"][0][each] for each in ("session_id", "project", "source", "model")] == [name] * 4
    assert found["projects"] == []
    assert json.loads(json.dumps(found)) == found
