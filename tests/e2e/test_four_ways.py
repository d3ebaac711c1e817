"""The real client's sessions give the same events by hooks, by transcripts, by both, and when the daemon comes late."""

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


@pytest.fixture
def ways() -> Iterator[Ways]:
    with tempfile.TemporaryDirectory(prefix="vt-") as folder:
        found = Ways(Path(folder), Path(folder, "home"))
        yield found
        found.stop()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_four_ways_agree(scenario: Scenario, ways: Ways, claude: Path, model: ModelServer) -> None:
    played = run(scenario, ways.home, claude, model, ways.prepare())
    ways.start("afterwards")

    expected = {
        "hooks": expected_of(scenario, "h", "ht"),
        "transcripts": expected_of(scenario, "t", "ht"),
        "both": expected_of(scenario, "h", "t", "ht"),
        "afterwards": expected_of(scenario, "h", "t", "ht"),
    }
    perhaps = {way: perhaps_of(scenario, way) for way in WAYS}

    def agrees(way: str) -> bool:
        found = told(ways, way, played)
        return not expected[way] - found and not found - expected[way] - perhaps[way]

    def difference() -> str:
        found = {way: told(ways, way, played) for way in WAYS}
        return "\n".join(
            f"{way}: missing {dict(expected[way] - found[way])}, too much {dict(found[way] - expected[way])}"
            for way in WAYS
        )

    wait_until(lambda: all(map(agrees, WAYS)), difference)
    if scenario is interactive.TASKS:
        for way in ("transcripts", "both", "afterwards"):  # task lists are files of the client's own
            wait_until(lambda way=way: TASKS_AT_THE_END in ways.stories(way, played), f"no task list in {way}")
    ways.stop()
    assert all(map(agrees, WAYS)), difference()

    identified = {way: ways.identified(way, played) for way in WAYS}
    shared = identified["hooks"].keys() & identified["transcripts"].keys()
    both_see, both_must = Counter(identified["hooks"][event] for event in shared), expected_of(scenario, "ht")
    assert not both_must - both_see, "hook and transcript disagree on an id"
    assert not both_see - both_must - perhaps["hooks"]
    for event in shared:
        assert len({identified[way][event] for way in WAYS}) == 1, "the ways disagree on what an event says"
    for way in WAYS:
        assert set(ways.counters(way)) <= {"tool_unknown"}
        assert " ERROR " not in ways.processes[way].text
    for way in HOOKED:
        assert not ways.inbox(way)
    assert ways.durations("hooks") == ways.durations("afterwards"), "the transcript overtook a hook"
