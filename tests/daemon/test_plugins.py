"""Plugins from outside: loaded only when named, and harmful to nobody else."""

import json
from pathlib import Path

import pytest
from tests.daemon.session import Session, tool_hook
from tests.daemon.world import World, wait_until

SESSION = "0b5e7a52-7b1f-4a2c-9d53-7f2f1c3f8f10"
ACT = f'Act(type="activity", key=("outside", "1"), session="{SESSION}", at=time.time_ns(), cwd="/a/shop", kind="other")'
HEAD = """
import sys, time
from pathlib import Path
from collections import Counter
from vibetea_daemon.acts import Act, BadInput
from vibetea_daemon.hookspecs import hookimpl
"""
SOURCE = """
class Outside:
    name = "outside"
    def prepare(self, ingest, stop): {prepare}
    def run(self, ingest, stop): {run}

@hookimpl
def vibetea_sources(): return [Outside()]
"""


def install(world: World, text: str, *, name: str = "outside_plugin", named: bool = True) -> Path:
    """Put a plugin where Python finds it, and its name into `config.toml` if it is to be loaded."""
    folder = world.root / "site"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.py"
    path.write_text(HEAD + text)
    world.env["PYTHONPATH"] = str(folder)
    if named:
        (world.state / "config.toml").write_text(f'plugins = ["{name}"]\n')
    return path


def outside() -> Session:
    return Session(id=SESSION, keys={("activity", "outside", "1")})


def expect_all_else_works(world: World, *more: Session) -> None:
    """Hooks, the inbox and transcripts."""
    session = Session()
    world.hook(tool_hook(session, "t1"))
    world.write(session, session.prompt(), session.answer())
    session.keys.add(("session", session.id, "started", "startup"))
    world.expect(session, *more)


def test_named_source_is_run(world: World) -> None:
    install(world, SOURCE.format(prepare="pass", run=f"ingest.lines([{ACT}], Counter())"))
    world.start()
    expect_all_else_works(world, outside())
    listed = json.loads(world.run("plugins", "--json").stdout)
    assert listed[-1] == {"name": "outside_plugin", "built_in": False, "hooks": ["vibetea_sources"], "error": ""}


def test_one_that_is_not_named_is_not_even_imported(world: World) -> None:
    trace = world.root / "imported"
    install(world, f'Path("{trace}").touch()\n' + SOURCE.format(prepare="pass", run="pass"), named=False)
    world.start()
    expect_all_else_works(world)
    assert not trace.exists()
    assert "outside" not in world.run("plugins").stdout.decode()


def test_normaliser_takes_what_is_its_own(world: World) -> None:
    install(
        world,
        "@hookimpl\n"
        "def vibetea_frame_acts(stamp, payload):\n"
        f'    return [{ACT}] if payload.startswith(b"OUTSIDE") else None\n',
    )
    world.start()
    world.hook(b"OUTSIDE of everything")
    expect_all_else_works(world, outside())


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("raise RuntimeError('private')", "RuntimeError"),
        ("sys.exit(3)", "SystemExit"),
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("this is no Python", "SyntaxError"),
        ("@hookimpl\ndef vibetea_misspelt(): pass", "PluginValidationError"),
    ],
)
def test_one_that_cannot_be_loaded(world: World, text: str, error: str) -> None:
    world.expected_log = [rf"plugin outside_plugin is not in use: {error}$"]
    install(world, text)
    daemon = world.start()
    expect_all_else_works(world)
    assert daemon.text.count("not in use") == 1
    listed = json.loads(world.run("plugins", "--json").stdout)
    assert listed[-1]["name"] == "outside_plugin"
    assert error in listed[-1]["error"]


@pytest.mark.parametrize("failure", ["1 / 0", "sys.exit(3)"])
@pytest.mark.parametrize("place", ["prepare", "run"])
def test_source_that_raises(world: World, place: str, failure: str) -> None:
    error = "SystemExit" if "exit" in failure else "ZeroDivisionError"
    world.expected_log = [rf"source outside failed: {error}$"]
    install(world, SOURCE.format(**{"prepare": "pass", "run": "pass"} | {place: failure}))
    world.start()
    wait_until(lambda: "source_outside" in world.status(), lambda: str(world.status()))
    assert world.status()["source_outside"]["error"] == error
    expect_all_else_works(world)


def test_sources_that_cannot_be_made(world: World) -> None:
    world.expected_log = [r"plugin outside_plugin has no sources: ZeroDivisionError$"]
    install(world, "@hookimpl\ndef vibetea_sources(): return 1 / 0\n")
    world.start()
    expect_all_else_works(world)


def test_source_that_never_ends_does_not_keep_the_daemon_from_ending(world: World) -> None:
    world.expected_log = [r"source outside does not end$"]
    install(world, SOURCE.format(prepare="pass", run="time.sleep(99)"))
    daemon = world.start()
    expect_all_else_works(world)
    daemon.stop()


def test_source_that_never_gets_ready_keeps_nobody_waiting(world: World) -> None:
    install(world, SOURCE.format(prepare="time.sleep(99)", run="pass"))
    world.expected_log = [r"source outside does not end$"]
    world.start()
    expect_all_else_works(world)


def test_source_that_hands_in_what_is_no_act(world: World) -> None:
    world.expected_log = [r"source outside failed: AttributeError$", r"an act cannot be told: \w+$"]
    bad = 'Act(type="session_metrics", key=("k",), session="s", at=time.time_ns(), cwd="/")'
    install(
        world, SOURCE.format(prepare="pass", run=f"(ingest.lines([{bad}], Counter()), ingest.lines([1], Counter()))")
    )
    world.start()
    wait_until(lambda: "act_failed" in world.counters(), lambda: str(world.counters()))
    expect_all_else_works(world)


@pytest.mark.parametrize(
    "body", ["1 / 0", "sys.exit(3)", "return 'garbage'", "return [1, 2]", "return {'type': 'tool'}", "return 5"]
)
def test_normaliser_that_fails_leaves_the_payload_to_the_next(world: World, body: str) -> None:
    world.expected_log = [r"plugin outside_plugin failed: \w+$"]
    install(
        world,
        f"@hookimpl\ndef vibetea_frame_acts(payload): {body}\n@hookimpl\ndef vibetea_transcript_reader(path): {body}\n",
    )
    daemon = world.start()
    session = Session()
    for number in range(8):
        world.hook(tool_hook(session, f"x{number}"))
    expect_all_else_works(world, session)
    assert world.counters()["plugin_failed_outside_plugin"] == 5
    assert daemon.text.count("outside_plugin failed") == 5


def test_reader_that_fails_costs_its_own_file(world: World) -> None:
    world.expected_log = [r"a transcript's reader failed: ZeroDivisionError$"]
    reader = (
        "class Reader:\n"
        "    resumable = True\n"
        "    session = 's'\n"
        "    def acts(self, raw): return ()\n"
        "    def settle(self, now, hooked): return 1 / 0\n"
        "    def unsettled(self): return False\n"
    )
    install(
        world,
        reader + "@hookimpl\ndef vibetea_transcript_reader(path):\n"
        "    return Reader() if path.stem == 'theirs' else None\n",
    )
    theirs = world.projects / "p"
    theirs.mkdir()
    (theirs / "theirs.jsonl").write_text("{}\n")
    daemon = world.start()
    expect_all_else_works(world)
    assert daemon.text.count("reader failed") == 1
