from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from datasette.app import Datasette
from tests.datasette_plugins.sse import opened

if TYPE_CHECKING:
    from pathlib import Path

    from tests.datasette_plugins.conftest import Events

ROOT: dict[str, Any] = {"allow": {"id": "root"}}
LEVELS: dict[str, dict[str, Any]] = {
    "instance": ROOT,
    "database": {"databases": {"vibetea": ROOT}},
    "table": {"databases": {"vibetea": {"tables": {"events": ROOT}}}},
}
NAMES = ("sessions", "live", "heatmap", "statistics", "stream")
PAGES = ["/-/vibetea", *(f"/-/vibetea/{name}" for name in NAMES)]
ANSWERS = ("overview", "sessions", "live", "older", "heatmap", "history", "statistics")
DATA = [f"/-/vibetea/{name}.json" for name in ANSWERS]
PATHS = PAGES + DATA


@pytest.fixture(params=LEVELS)
def closed(request: pytest.FixtureRequest, full_db: Events) -> Datasette:
    """Open to root alone, by a rule at one of the three levels."""
    return Datasette([str(full_db.path)], metadata=LEVELS[request.param])


def as_root(datasette: Datasette) -> dict[str, str]:
    return {"cookie": f"ds_actor={datasette.sign({'a': {'id': 'root'}}, 'actor')}"}


@pytest.mark.parametrize("path", PATHS)
async def test_a_stranger_gets_nothing(closed: Datasette, path: str) -> None:
    async with opened(closed.app(), path=path) as answer:
        assert answer.status == 403


@pytest.mark.parametrize("path", PATHS)
async def test_whoever_is_allowed_gets_an_answer(closed: Datasette, path: str) -> None:
    async with opened(closed.app(), path=path, headers=as_root(closed)) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("path", PATHS)
async def test_without_rules_everybody_gets_an_answer(datasette: Datasette, path: str) -> None:
    async with opened(datasette.app(), path=path) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("path", PATHS)
async def test_a_stranger_does_not_learn_that_there_is_no_database(tmp_path: Path, path: str) -> None:
    datasette = Datasette([str(tmp_path / "vibetea.db")], metadata=ROOT)
    async with opened(datasette.app(), path=path) as answer:
        assert answer.status == 403
    async with opened(datasette.app(), path=path, headers=as_root(datasette)) as answer:
        assert answer.status == (404 if path in DATA else 200)


async def test_the_menu_leads_only_those_in_who_may_enter(full_db: Events) -> None:
    datasette = Datasette([str(full_db.path)], metadata=LEVELS["table"])
    link = 'href="/-/vibetea"'
    assert link not in (await datasette.client.get("/")).text
    assert link in (await datasette.client.get("/", headers=as_root(datasette))).text
