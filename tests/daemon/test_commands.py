"""Every command through the front door, as a user would call it."""

import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.daemon.recorded import hook_payloads
from tests.daemon.session import Session
from tests.daemon.world import World

from vibetea_daemon.cli import main
from vibetea_protocol import Event

ROOT = Path(__file__).parents[2]
GOLDEN_SEED = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
GOLDEN_KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
HEAVY = ("pydantic", "msgspec", "datasette", "sqlite_utils", "watchdog", "nacl", "uvicorn", "asyncio", "logging")


@pytest.fixture
def imported_world(world: World) -> World:
    """A machine whose one session was imported."""
    session = Session()
    world.write(session, session.prompt(), session.call("t1"), session.result("t1"))
    assert world.run("import").returncode == 0
    return world


@pytest.mark.parametrize("arguments", [["--help"], ["status"], ["status", "--json"]], ids=" ".join)
def test_nothing_heavy_is_imported_for_a_quick_answer(world: World, arguments: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "vibetea_daemon", *arguments]
    done = subprocess.run(command, env=world.env, capture_output=True, text=True, check=False)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert "click" in imported
    assert not [name for name in imported if name.split(".")[0] in HEAVY]


def test_every_command_is_explained_and_documented() -> None:
    readme = (ROOT / "README.md").read_text()
    for name, command in main.commands.items():
        assert command.help, name
        assert name in readme, f"README.md does not tell of {name}"
        assert all(option.help for option in command.params if isinstance(option, click.Option)), name


def test_every_setting_is_documented() -> None:
    used = set()
    for folder in ("daemon", "hooks"):
        for file in (ROOT / folder).rglob("*.py"):
            used |= set(re.findall(r"VIBETEA_[A-Z_]+", file.read_text()))
    assert "VIBETEA_HOME" in used
    documented = (ROOT / "docs/configuration.md").read_text()
    assert not {name for name in used if f"`{name}`" not in documented}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VIBETEA_PRIVACY", "none"),
        ("VIBETEA_SOURCE_ID", "has space"),
        ("VIBETEA_SOURCE_ID", "x" * 65),
        ("VIBETEA_PRIVATE_KEY", "bm90IGEga2V5"),
        ("VIBETEA_PRIVATE_KEY", ""),
        ("VIBETEA_HOME", "/proc/vibetea"),
    ],
)
def test_setting_that_cannot_be_used_is_refused_by_name(world: World, name: str, value: str) -> None:
    world.env[name] = value
    done = world.run("init")
    assert done.returncode == 78
    assert name in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_config_file_that_cannot_be_read_is_refused(world: World) -> None:
    (world.state / "config.toml").write_text("privacy = ")
    done = world.run("status")
    assert (done.returncode, b"config.toml" in done.stderr) == (78, True)


def test_config_file_is_overruled_by_the_environment(world: World) -> None:
    (world.state / "config.toml").write_text('source_id = "from-file"\nprivacy = "strict"\n')
    assert world.run("init").stdout.startswith(b"laptop:")
    del world.env["VIBETEA_SOURCE_ID"]
    assert world.run("init").stdout.startswith(b"from-file:")


def test_init_makes_a_private_key_once(world: World) -> None:
    first, second = world.run("init"), world.run("init")
    assert first.stdout == second.stdout
    assert re.fullmatch(rb"laptop:[A-Za-z0-9+/]{43}=\n", first.stdout)
    assert stat.S_IMODE((world.state / "key.priv").stat().st_mode) == 0o600
    assert (world.state / "key.pub").read_text().strip() == first.stdout.decode().strip().partition(":")[2]


def test_init_takes_the_key_of_the_environment(world: World) -> None:
    world.env["VIBETEA_PRIVATE_KEY"] = GOLDEN_SEED
    assert world.run("init").stdout.decode() == f"laptop:{GOLDEN_KEY}\n"
    assert not (world.state / "key.priv").exists()


def test_key_that_others_can_read_is_refused(world: World) -> None:
    world.run("init")
    (world.state / "key.priv").chmod(0o644)
    done = world.run("init")
    assert (done.returncode, b"chmod 600" in done.stderr) == (78, True)


def test_status_without_anything(world: World) -> None:
    done = world.run("status")
    assert done.returncode == 1
    assert b"not running; start it with" in done.stdout
    assert b"vibetea install-hooks" in done.stdout


def test_status_of_a_running_daemon(world: World) -> None:
    session = Session()
    daemon = world.start()
    world.write(session, session.prompt(), b"{not json}\n")
    world.expect(session)
    world.expect_counter("line_unparsable")
    found = json.loads(world.run("status", "--json").stdout)
    assert found["running"]
    assert found["daemon"]["pid"] == daemon.popen.pid
    assert (found["events"], found["sessions"]) == (len(world.ids()), 1)
    assert found["dropped"] == {"line_unparsable": 1}
    shown = world.run("status")
    assert shown.returncode == 0
    assert b"1 line_unparsable" in shown.stdout


def test_import_counts_only_what_is_new(world: World) -> None:
    session = Session()
    path = world.write(session, session.prompt(), session.call("t1"), session.result("t1"))
    first = world.run("import", str(path))
    assert first.stdout.decode().splitlines()[-1] == f"{len(session.keys)} new events from 1 transcripts"
    assert world.run("import").stdout.decode().splitlines()[-1] == "0 new events from 1 transcripts"


def test_import_leaves_out_what_is_too_old(world: World) -> None:
    session = Session()
    world.write(session, session.prompt())
    assert b"0 new events" in world.run("import", "--since", "0").stdout


def test_import_beside_a_running_daemon(world: World, tmp_path: Path) -> None:
    live, old = Session(), Session()
    world.start()
    world.write(live, live.prompt())
    elsewhere = tmp_path / "-home-dev-shop" / f"{old.id}.jsonl"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(old.prompt() + old.call("t9") + old.result("t9"))
    assert world.run("import", str(tmp_path)).returncode == 0
    world.expect(live, old)


def test_import_says_what_it_skipped(world: World, tmp_path: Path) -> None:
    link = tmp_path / "x.jsonl"
    link.symlink_to("/etc/passwd")
    done = world.run("import", str(link))
    assert b"1 files skipped" in done.stderr


def test_audit_prints_the_very_bytes(imported_world: World) -> None:
    lines = imported_world.run("audit").stdout.splitlines()
    assert {Event.model_validate_json(line).id for line in lines} == imported_world.ids()
    assert [Event.model_validate_json(line).wire() for line in lines] == lines
    assert len(imported_world.run("audit", "-n", "2").stdout.splitlines()) == 2


def test_audit_without_a_database(world: World) -> None:
    done = world.run("audit")
    assert (done.returncode, b"vibetea up" in done.stderr) == (1, True)


def test_audit_explains_a_hook(world: World) -> None:
    payload = hook_payloads()["PostToolUse-Edit"]
    explained = world.run("audit", "--explain", "-", input=json.dumps(payload).encode()).stdout.decode()
    assert "used: tool_input.file_path -> payload.context\n" in explained
    assert "used: duration_ms -> payload.durationMs\n" in explained
    assert "discarded: tool_input.new_string\n" in explained
    assert "CANARY" not in explained


def test_audit_explains_a_transcript_line(world: World) -> None:
    session = Session()
    explained = world.run("audit", "--explain", "-", input=session.call("t1")).stdout.decode()
    assert "used: message.usage.input_tokens -> " in explained
    assert "leaves: {" in explained


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff"])
def test_audit_explains_no_garbage(world: World, raw: bytes) -> None:
    done = world.run("audit", "--explain", "-", input=raw)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr


def test_plugins_are_listed(world: World) -> None:
    (world.state / "config.toml").write_text('plugins = ["no_such_plugin"]\n')
    listed = {plugin["name"]: plugin for plugin in json.loads(world.run("plugins", "--json").stdout)}
    assert listed["vibetea_daemon.sources.transcripts"]["hooks"] == ["vibetea_sources"]
    assert "no_such_plugin" in listed["no_such_plugin"]["error"]
    assert b"from config.toml" in world.run("plugins").stdout


def test_hooks_go_in_and_out(world: World) -> None:
    settings = world.root / "claude/settings.json"
    before = b'{"model": "opus"}\n'
    settings.write_bytes(before)
    dry = world.run("install-hooks", "--dry-run")
    assert b"vibetea-emit.py" in dry.stdout
    assert settings.read_bytes() == before
    assert world.run("install-hooks").returncode == 0
    assert json.loads(world.run("status", "--json").stdout)["hooks_installed"]
    assert world.run("uninstall-hooks").returncode == 0
    assert settings.read_bytes() == before


def test_settings_with_comments_are_left_alone(world: World) -> None:
    settings = world.root / "mine.json"
    settings.write_text("{ // mine\n}")
    done = world.run("install-hooks", "--settings", str(settings))
    assert done.returncode == 1
    assert settings.read_text() == "{ // mine\n}"
