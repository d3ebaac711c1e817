from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from datasette.app import Datasette

from datasette_vibetea.pages import PAGES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.datasette_plugins.conftest import Events


@pytest.mark.parametrize("base", ["/", "/tea/"])
async def test_every_address_of_the_page_knows_the_base(full_db: Events, base: str) -> None:
    datasette = Datasette([str(full_db.path)], settings={"base_url": base})
    page = (await datasette.client.get("/-/vibetea")).text
    assert f'data-stream="{base}-/vibetea/stream"' in page
    assert f'data-rows="{base}vibetea/events"' in page
    for address in re.findall(r'(?:href|src)="([^"?]+)"', page):
        assert address.startswith(base)
        assert (await datasette.client.get(address.removeprefix(base.rstrip("/")))).status_code == 200


async def test_the_page_allows_nothing_inline_and_nothing_foreign(datasette: Datasette) -> None:
    response = await datasette.client.get("/-/vibetea")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.search(r"<style|style=|<script(?![^>]*\bsrc=)|\son\w+=", response.text)


@pytest.mark.parametrize("invented", [True, False])
async def test_every_page_says_whether_its_sessions_are_invented(full_db: Events, invented: bool) -> None:
    metadata = {"plugins": {"datasette-vibetea": {"invented": invented}}}
    datasette = Datasette([str(full_db.path)], metadata=metadata)
    for page in PAGES:
        assert ("invented sessions" in (await datasette.client.get(page.path)).text) == invented


@pytest.mark.parametrize("path", ["/-/vibetea", "/vibetea/events.json", "/-/static-plugins/vibetea/live.js"])
async def test_browsers_neither_guess_nor_lend(datasette: Datasette, path: str) -> None:
    headers = (await datasette.client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"


async def test_the_menu_links_to_the_page(datasette: Datasette) -> None:
    assert '<a href="/-/vibetea">VibeTea</a>' in (await datasette.client.get("/")).text


async def test_without_a_database_there_is_a_page_and_no_menu_link(tmp_path: Path) -> None:
    (tmp_path / "vibetea.db").touch()
    response = await Datasette([str(tmp_path / "vibetea.db")]).client.get("/-/vibetea")
    assert response.status_code == 200
    assert 'data-rows=""' in response.text
    assert "VibeTea</a>" not in response.text


async def test_a_visitor_cannot_build_an_enormous_value(datasette: Datasette) -> None:
    sql = "select length(hex(zeroblob(50000000))) as n"
    response = await datasette.client.get("/vibetea.json", params={"sql": sql}, follow_redirects=True)
    assert response.status_code == 400
