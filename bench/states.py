"""From what happens in the real client to what its card on the overview says, in seconds, with hooks installed.

A permission counts from the moment its hook was started, Escape from the key, a kill from the signal. `python
bench/states.py [--rounds N]`
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from measure import table
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))  # the real client is driven as the tests do it
from tests.claude_code.client import executable
from tests.claude_code.model import ModelServer
from tests.claude_code.scenario import Scenario, run
from tests.datasette_plugins.conftest import CHROMIUM, served
from tests.e2e.test_states import DIALOG, HELD, Played
from tests.e2e.ways import WATCHING, Ways

if TYPE_CHECKING:
    from playwright.sync_api import Page

AIMS: Final = {"permission → needs you": "1", "Escape → interrupted": "", "kill -9 → dead": "15"}
WATCH: Final = """
window.turned = {};
const look = () => {
  const at = (performance.timeOrigin + performance.now()) / 1000;
  for (const { dataset } of document.querySelectorAll(".card")) turned[`${dataset.session} ${dataset.state}`] ??= at;
};
document.addEventListener("DOMContentLoaded", () => {
  const all = { subtree: true, childList: true, attributes: true, attributeFilter: ["data-state", "data-session"] };
  new MutationObserver(look).observe(document.getElementById("board"), all);
});
"""


def turned(page: Page, session: str, state: str) -> float:
    """When the card came to say so, in seconds since the epoch."""
    name = f"{session} {state}"
    page.wait_for_function("name => turned[name]", arg=name, timeout=60_000)
    return float(page.evaluate("name => turned[name]", name))


def asked(database: Path, session: str) -> float:
    """When the client asked for the permission, by its hook's own clock."""
    sql = "select timestamp from events where session_id = ? and state = 'waiting_permission'"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return datetime.fromisoformat(db.execute(sql, [session]).fetchone()[0]).timestamp()


def play(played: Played, page: Page) -> list[float]:
    """One permission, one Escape and one kill."""
    stage = played.stage
    with stage.terminal("main", "--permission-mode", "default") as screen:
        stage.say(screen, "main", "work")
        screen.wait_for(DIALOG)
        session = stage.run.sessions["main"]
        needed = turned(page, session, "needs_you") - asked(played.ways.root / "both/vibetea.db", session)
        screen.press_until("Enter", lambda: DIALOG not in screen.text(), "the dialog's end")
        played.expect("main", "working tool")
        pressed = time.time()
        stage.interrupt(screen, "main")
        stopped = turned(page, session, "interrupted") - pressed
    with played.terminal("second") as screen:
        screen.wait_for("❯")
        stage.say(screen, "second", "again")
        session = stage.run.sessions["second"]
        turned(page, session, "working")
        killed = time.time()
        os.kill(played.pid(), signal.SIGKILL)
        died = turned(page, session, "dead") - killed
    return [needed, stopped, died]


def measured(model: ModelServer) -> list[float]:
    """A client, its daemons and the page, all made for this once."""
    with tempfile.TemporaryDirectory(prefix="vt-") as folder, ExitStack() as stack, sync_playwright() as playwright:
        ways = Ways(Path(folder), WATCHING)
        ways.prepare()
        stack.callback(ways.stop)
        base, _ = stack.enter_context(served(ways.root / "both/vibetea.db"))
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page()
        page.add_init_script(WATCH)
        page.goto(f"{base}/-/vibetea")
        page.wait_for_selector('[data-state="live"]')
        found: list[float] = []
        scenario = Scenario("states", lambda stage: found.extend(play(Played(stage, ways), page)), STEPS)
        run(scenario, ways.home(), executable(), model, ways.settings)
        browser.close()
        return found


STEPS: Final = {**HELD.steps, "again": HELD.steps["work"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with ModelServer() as model:
        found = [measured(model) for _ in range(rounds)]
    rows = [
        [name, *sorted(each), aim] for (name, aim), each in zip(AIMS.items(), zip(*found, strict=True), strict=True)
    ]
    print(table(rows, ["seconds until the card says so", *map(str, range(1, rounds + 1)), "aim <="]))


if __name__ == "__main__":
    main()
