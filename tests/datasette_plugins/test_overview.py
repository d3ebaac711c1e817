"""The overview's data. Its parts have tests of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from datasette.app import Datasette
    from tests.datasette_plugins.conftest import Events

DATA = "/-/vibetea/overview.json"


async def asked(datasette: Datasette, **query: str) -> dict[str, Any]:
    answer = await datasette.client.get(DATA, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_what_only_events_change_is_told_again_after_one(datasette: Datasette, full_db: Events) -> None:
    whole = await asked(datasette)
    assert set(whole) == {"seq", "sessions", "figures", "latest", "heatmap"}
    assert set(await asked(datasette, since=str(whole["seq"]))) == {"seq", "sessions"}
    (newest,) = full_db.add(tool="Bash")
    again = await asked(datasette, since=str(whole["seq"]))
    assert (again["seq"], again["latest"][0]["seq"]) == (newest, newest)
    assert set(await asked(datasette, since="now")) == {"seq", "sessions"}


@pytest.mark.parametrize("since", ["soon", "-1", "1.5", "9" * 19, "\u0663"])
async def test_a_place_that_is_none_is_refused(datasette: Datasette, since: str) -> None:
    answer = await datasette.client.get(DATA, params={"since": since})
    assert (answer.status_code, answer.json()["error"]) == (400, "since is the seq of an answer, or now")
