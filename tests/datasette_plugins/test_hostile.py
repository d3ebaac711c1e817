"""Names made to be taken for something else, from Claude Code's hooks to every page, JSON and CSV."""

from __future__ import annotations

import csv
import io
import re
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from playwright.sync_api import expect
from tests.daemon.world import World
from tests.datasette_plugins.conftest import Events, served

from datasette_vibetea.pages import PAGES
from datasette_vibetea.queries import QUERIES
from datasette_vibetea.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from playwright.sync_api import Page

HOSTILE = [
    "<script>document.title='taken'</script>",
    "<img src=x onerror=document.title='taken'>",
    "\"'><svg onload=document.title='taken'>",
    "javascript:document.title='taken'",
    "\u202egnp.exe\u202c\u2066\u200b",
    "=cmd|'/C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    "'; drop table events; --",
    "x" * 300,
]
BIDI = re.compile("[\u061c\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069]")
FORMULA = re.compile(r"[=+\-@\t\r]")
NUMBER = re.compile(r"-?\d+(\.\d+)?")
DATA = [f"/-/vibetea/{page.name}.json" for page in PAGES]
TOLD = [
    *(f"/vibetea/{table}{suffix}" for table in TABLES for suffix in (".json?_shape=array", ".csv", "")),
    *(f"/vibetea/{query}.csv" for query in QUERIES),
]


def payloads(name: str) -> list[dict[str, Any]]:
    """What Claude Code would report of a session in whose every name this one stands."""
    session = str(uuid.uuid4())
    base = {
        "session_id": session,
        "cwd": f"/home/dev/{name}",
        "transcript_path": f"/home/dev/.claude/projects/-home-dev-{name}/{session}.jsonl",
        "prompt_id": str(uuid.uuid4()),
        "permission_mode": name,
    }
    edit = {"tool_name": "Edit", "tool_input": {"file_path": f"/home/dev/{name}/{name}.py"}, "tool_use_id": "t1"}
    own = {"tool_name": name, "tool_input": {"file_path": name, "command": name}, "tool_use_id": name}
    agent = {"agent_id": name, "agent_type": name}
    events: list[dict[str, Any]] = [
        {"hook_event_name": "SessionStart", "source": name, "model": name},
        {"hook_event_name": "PostToolUse", **edit, "tool_response": {"filePath": name}, "duration_ms": 3},
        {"hook_event_name": "PostToolUse", **own, "tool_response": name, "duration_ms": 3},
        {"hook_event_name": "SubagentStart", **agent},
        {"hook_event_name": "PostModelSwitch", "from_model": name, "to_model": name},
        {"hook_event_name": "SessionStart", "source": "startup", "session_id": name},
        {"hook_event_name": name},
    ]
    return [base | event for event in events]


def inert(page: Page) -> None:
    """Nothing of a name became anything but text."""
    assert page.title() != "taken"
    assert page.locator("main :is(script, img, iframe, object)").count() == 0
    assert page.locator("[onload], [onerror], a[href^='javascript:']").count() == 0


def test_hooks_full_of_them_leave_nothing_in_page_json_and_csv(
    world: World, open_page: Callable[..., Page], servers: ExitStack
) -> None:
    with world.daemon():
        for name in HOSTILE:
            for payload in payloads(name):
                world.hook(payload)
    # a session whose id is no id is told of by an alias
    assert world.query("select count(distinct session_id) from events") == [(2 * len(HOSTILE),)]
    base, _ = servers.enter_context(served(world.database))
    for path in DATA + TOLD:
        text = httpx.get(base + path).raise_for_status().text
        assert not BIDI.search(text), path
        assert not [name for name in HOSTILE if len(name) > 5 and name in text], path
        if path.endswith(".csv"):
            cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
            assert not [cell for cell in cells if FORMULA.match(cell) and not NUMBER.fullmatch(cell)], path
    page = open_page("about:blank")
    for each in PAGES:
        page.goto(base + each.path)
        expect(page.locator("#connection")).to_have_attribute("data-state", "no_daemon")
        inert(page)
        assert not BIDI.search(page.locator("body").inner_text())


@pytest.mark.both
def test_rows_of_another_program_are_only_text(
    full_db: Events, open_page: Callable[..., Page], servers: ExitStack
) -> None:
    names = ["source", "timestamp", "type", "session_id", "project", "tool", "state", "agent_id", "model"]
    for name in HOSTILE:
        full_db.add(**dict.fromkeys(names, name), payload={"context": name})
    base, _ = servers.enter_context(served(full_db.path))
    page = open_page(f"{base}/vibetea/events")
    cells = page.locator("td.col-project").all_text_contents()
    assert {*HOSTILE[:2], HOSTILE[5]} <= {cell.strip() for cell in cells}
    inert_table(page)
    page.goto(f"{base}/vibetea/slowest_calls")
    inert_table(page)
    rows = httpx.get(f"{base}/vibetea/events.json?_shape=array").raise_for_status().json()
    assert [row["project"] for row in reversed(rows)][10:] == HOSTILE
    told = list(csv.reader(io.StringIO(httpx.get(f"{base}/vibetea/events.csv").text, newline="")))
    place = told[0].index("project")
    assert [row[place] for row in reversed(told[1:])][10:] == HOSTILE  # one cell each, as they are


def inert_table(page: Page) -> None:
    assert page.title() != "taken"
    assert page.locator("td :is(script, img, iframe, object, svg)").count() == 0
    assert page.locator("td :is([onload], [onerror], a[href^='javascript:'])").count() == 0
