"""What the board says of the real client's sessions while a person works with them, with hooks and without."""

import json
import os
import re
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect
from tests.claude_code.calls import bash, held, held_until
from tests.claude_code.interactive import QUESTION
from tests.claude_code.model import ModelServer, Turn, ending
from tests.claude_code.scenario import Scenario, run
from tests.claude_code.stage import Stage
from tests.claude_code.terminal import Terminal
from tests.daemon.world import wait_until
from tests.datasette_plugins.conftest import served
from tests.e2e.ways import WATCHING, Ways

DIALOG = "Do you want to proceed?"
ENDED = {"ended"}
GONE = {"ended", "dead"}
RESTS = {"needs_you turn_finished"}


@dataclass
class Played:
    """A scenario in the making, and the boards of those who watch."""

    stage: Stage
    ways: Ways

    def expect(self, session: str, *wanted: str) -> None:
        """Wait until every board shows one of these: a state, or a state and its reason."""

        def shown(way: str) -> str:
            rows = self.ways.board(way, self.stage.run.sessions[session])
            return rows[0] if rows else "nothing"

        wait_until(
            lambda: all(any(shown(way).startswith(one) for one in wanted) for way in WATCHING),
            lambda: f"{session}: wanted {wanted}, { ({way: shown(way) for way in WATCHING}) }",
            seconds=60,
        )

    def terminal(self, session: str, *options: str) -> Terminal:
        """A client that is not left by `/exit`."""
        command = [str(self.stage.claude), "--dangerously-skip-permissions", *options]
        if "--resume" not in options:
            self.stage.run.sessions[session] = "5e55105e-0000-4000-8000-000000000001"
            command += ["--session-id", self.stage.run.sessions[session]]
        return Terminal(command, self.stage.run.project, self.stage.environment)

    def go(self) -> None:
        """Let the held tool end."""
        (self.stage.run.home / "go").touch()

    def pid(self) -> int:
        """The one open client's process."""
        (file,) = (self.stage.run.home / ".claude/sessions").glob("*.json")
        return int(json.loads(file.read_text())["pid"])


Play = Callable[[Callable[[Played], None], Scenario], None]


@pytest.fixture
def play(claude: Path, model: ModelServer) -> Iterator[Play]:
    """Play a scenario, its own way of playing replaced by the given one."""
    with tempfile.TemporaryDirectory(prefix="vt-") as folder:
        ways = Ways(Path(folder), WATCHING)

        def now(what: Callable[[Played], None], scenario: Scenario) -> None:
            watched = Scenario(scenario.name, lambda stage: what(Played(stage, ways)), scenario.steps)
            ways.prepare()
            run(watched, ways.home(), claude, model, ways.settings)

        yield now
        ways.stop()


Card = Callable[[Played, str], Locator]


@pytest.fixture
def card(open_page: Any, servers: ExitStack) -> Card:
    """Opens the overview, and finds the card of a session on it."""

    def opened(played: Played, session: str) -> Locator:
        base, _ = servers.enter_context(served(played.ways.root / "both/vibetea.db"))
        page = open_page(f"{base}/-/vibetea")
        found: Locator = page.locator(f'.card[data-session="{played.stage.run.sessions[session]}"]')
        return found

    return opened


HELD = Scenario("a held tool", lambda _: None, {"work": [Turn("CANARY", [held_until("work", "go")])]})


def test_a_permission(play: Play, card: Card) -> None:
    def person(played: Played) -> None:
        stage = played.stage
        with stage.terminal("main", "--permission-mode", "default") as screen:
            shown = card(played, "main")
            stage.say(screen, "main", "work")
            screen.wait_for(DIALOG)
            played.expect("main", "needs_you permission")
            expect(shown).to_contain_text("Needs permission · Bash · waiting")
            expect(shown.page).to_have_title(re.compile(r"^\(1\) "))
            screen.press_until("Enter", lambda: DIALOG not in screen.text(), "the dialog's end")
            played.expect("main", "working tool")
            expect(shown).to_contain_text("Working · Bash")
            assert not (stage.run.home / "go").exists(), "the tool still runs"
            played.go()
            stage.finish("main", "work")
            played.expect("main", *RESTS)
            expect(shown).to_contain_text("Turn finished")
        played.expect("main", *ENDED)
        expect(shown).to_have_attribute("data-state", "ended")

    play(person, HELD)


def test_a_question(play: Play) -> None:
    def person(played: Played) -> None:
        stage = played.stage
        with stage.terminal("main") as screen:
            stage.say(screen, "main", "doubt")
            screen.wait_for("Enter to select")
            played.expect("main", "needs_you question")
            screen.press_until("Enter", lambda: "Enter to select" not in screen.text(), "the answer")
            stage.finish("main", "doubt")
            played.expect("main", *RESTS)

    play(person, QUESTION)


def test_escape(play: Play, card: Card) -> None:
    def person(played: Played) -> None:
        stage = played.stage
        with stage.terminal("main") as screen:
            shown = card(played, "main")
            stage.say(screen, "main", "work")
            played.expect("main", "working tool")
            expect(shown).to_contain_text("Working")
            stage.interrupt(screen, "main")
            played.expect("main", "interrupted")
            expect(shown).to_contain_text("Interrupted")
            stage.say(screen, "main", "talk")
            screen.wait_for("CANARY first words")
            played.expect("main", "working prompt")
            stage.interrupt(screen, "main")
            played.expect("main", "interrupted")

    steps = {"work": [Turn("CANARY", [held("cut")])], "talk": [Turn("CANARY first words\n\nand more\n\n", hangs=True)]}
    play(person, Scenario("Escape", lambda _: None, steps))


def test_a_client_killed_and_its_session_resumed(play: Play, card: Card) -> None:
    def person(played: Played) -> None:
        stage = played.stage
        with played.terminal("main") as screen:
            screen.wait_for("❯")
            shown = card(played, "main")
            stage.say(screen, "main", "work")
            played.expect("main", "working tool")
            os.kill(played.pid(), signal.SIGKILL)
            played.expect("main", "dead killed")
            expect(shown).to_contain_text("Died (process gone)")
        played.go()
        with played.terminal("main", "--resume", stage.run.sessions["main"]) as screen:
            screen.wait_for("❯")
            played.expect("main", "idle started", "interrupted")
            stage.ask(screen, "main", "after")
            played.expect("main", *RESTS)

    play(person, HELD)


def test_a_terminal_closed(play: Play) -> None:
    def person(played: Played) -> None:
        with played.terminal("main") as screen:
            screen.wait_for("❯")
            played.stage.say(screen, "main", "work")
            played.expect("main", "working tool")
        played.expect("main", *GONE)

    play(person, HELD)


def test_cleared_and_compacted(play: Play) -> None:
    def person(played: Played) -> None:
        stage = played.stage
        with stage.terminal("main") as screen:
            stage.ask(screen, "main", "before")
            stage.say(screen, "main", "clear", "/clear")
            screen.wait_until(lambda text: ending("before") not in text, "an empty screen")
            played.expect("main", *ENDED)
            stage.say(screen, "cleared", "after")
            stage.adopt("cleared")
            stage.finish("cleared", "after")
            played.expect("cleared", *RESTS)
            stage.say(screen, "cleared", "compact", "/compact")
            stage.wait_for_line("cleared", lambda line: line.get("subtype") == "compact_boundary", "the compaction")
            screen.wait_for("Compacted")
            played.expect("cleared", *RESTS)
            stage.ask(screen, "cleared", "again")
            played.expect("cleared", *RESTS)
        played.expect("cleared", *ENDED)

    play(person, Scenario("cleared", lambda _: None, {"before": [Turn("CANARY", [bash("early", "echo CANARY")])]}))


def test_without_a_terminal_and_over_a_sleep(play: Play) -> None:
    def person(played: Played) -> None:
        process = played.stage.start("main", "work")
        played.expect("main", "working tool")
        everything = [process.pid, *(daemon.popen.pid for daemon in played.ways.processes.values())]
        for pid in everything:
            os.kill(pid, signal.SIGSTOP)
        played.go()
        for pid in everything:
            os.kill(pid, signal.SIGCONT)
        process.communicate(timeout=60)
        played.expect("main", *ENDED)

    play(person, HELD)
