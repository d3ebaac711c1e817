"""The real client's sessions give the same events by hooks, by transcripts, by both, and when the daemon comes late."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.claude_code import headless, interactive
from tests.claude_code.model import ModelServer
from tests.claude_code.scenario import Scenario, run
from tests.claude_code.stage import Run
from tests.daemon.world import wait_until
from tests.e2e.expected import EXPECTED, TASKS_AT_THE_END
from tests.e2e.ways import HOOKED, WATCHING, WAYS, Ways

SCENARIOS = (*headless.SCENARIOS, *interactive.SCENARIOS)


def expected_of(scenario: Scenario, *marks: str) -> Counter[str]:
    """The stories of the lines that begin with one of these marks."""
    stories: Counter[str] = Counter()
    for line in EXPECTED[scenario.name].strip().splitlines():
        mark, _, story = line.strip().partition(" ")
        times = 1
        if story.startswith("x"):
            first, _, story = story.partition(" ")
            times = int(first[1:])
        if mark in marks:
            stories[story] += times
    return stories


def perhaps_of(scenario: Scenario, way: str) -> Counter[str]:
    """The stories this way may see once more."""
    perhaps = expected_of(scenario, "?")
    if way in HOOKED:
        perhaps += expected_of(scenario, "h?")
    if way in WATCHING:
        perhaps += expected_of(scenario, "c")
    if way in WATCHING and way not in HOOKED:  # that a client went is seen, but not why
        for story, n in expected_of(scenario, "h").items():
            said, _, reason = story.rpartition(" ")
            if said.endswith("session ended") or reason == "summary":
                perhaps[story if reason == "summary" else f"{said} other"] += n
    return perhaps


def told(ways: Ways, way: str, played: Run) -> Counter[str]:
    """What a way saw, without task lists: their passing states are seen or not."""
    stories = ways.stories(way, played)
    return Counter({story: n for story, n in stories.items() if "todo_progress" not in story})


def difference(ways: Ways, scenario: Scenario, played: Run) -> str:
    """What a way saw otherwise than expected; empty when all of them agree."""
    expected = {
        "hooks": expected_of(scenario, "h", "ht"),
        "transcripts": expected_of(scenario, "t", "ht"),
        "both": expected_of(scenario, "h", "t", "ht"),
        "afterwards": expected_of(scenario, "h", "t", "ht"),
    }
    found = {way: told(ways, way, played) for way in WAYS}
    missing = {way: expected[way] - found[way] for way in WAYS}
    too_much = {way: found[way] - expected[way] - perhaps_of(scenario, way) for way in WAYS}
    return "\n".join(
        f"{way}: missing {dict(missing[way])}, too much {dict(too_much[way])}"
        for way in WAYS
        if missing[way] or too_much[way]
    )


@pytest.fixture(scope="module")
def installed() -> Iterator[list[Ways]]:
    """All installations. What was played on them must still be told alike when their daemons have ended, in order."""
    found: list[Ways] = []
    yield found
    for ways in found:
        ways.stop()
    errors = [process.text for ways in found for process in ways.processes.values() if " ERROR " in process.text]
    left = [frame for ways in found for way in HOOKED for frame in ways.inbox(way)]
    differences = [difference(ways, *played) for ways in found for played in ways.played]
    for ways in found:
        shutil.rmtree(ways.root)
    assert not any(differences), differences
    assert not errors, errors
    assert not left, left


@pytest.fixture
def ways(installed: list[Ways]) -> Iterator[Ways]:
    """One for many scenarios, as four daemons are dear to start; a new one after a scenario that failed on it."""
    if not installed:
        installed.append(Ways(Path(tempfile.mkdtemp(prefix="vt-"))))
        installed[-1].prepare()
    ways = installed[-1]
    before = len(ways.played)
    yield ways
    if len(ways.played) == before:
        installed.remove(ways)
        ways.stop()
        shutil.rmtree(ways.root)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_four_ways_agree(scenario: Scenario, ways: Ways, claude: Path, model: ModelServer) -> None:
    played = run(scenario, ways.home(), claude, model, ways.settings)
    ways.start("afterwards")
    wait_until(lambda: not difference(ways, scenario, played), lambda: difference(ways, scenario, played))
    if scenario is interactive.TASKS:
        for way in ("transcripts", "both", "afterwards"):  # task lists are files of the client's own
            wait_until(lambda way=way: TASKS_AT_THE_END in ways.stories(way, played), f"no task list in {way}")
    ways.processes["afterwards"].stop()
    assert not difference(ways, scenario, played), difference(ways, scenario, played)

    identified = {way: ways.identified(way, played) for way in WAYS}
    shared = identified["hooks"].keys() & identified["transcripts"].keys()
    both_see, both_must = Counter(identified["hooks"][event] for event in shared), expected_of(scenario, "ht")
    assert not both_must - both_see, "hook and transcript disagree on an id"
    assert not both_see - both_must - perhaps_of(scenario, "hooks")
    for event in shared:
        assert len({identified[way][event] for way in WAYS}) == 1, "the ways disagree on what an event says"
    for way in WAYS:
        assert set(ways.counters(way)) <= {"tool_unknown"}
        assert " ERROR " not in ways.processes[way].text
    for way in HOOKED:
        assert not ways.inbox(way)
    assert ways.durations("hooks") == ways.durations("afterwards"), "the transcript overtook a hook"
    ways.played.append((scenario, played))
