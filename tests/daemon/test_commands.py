"""Every command through the front door, as a user would call it."""

import json
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from tests.daemon.recorded import hook_payloads
from tests.daemon.session import Session
from tests.daemon.world import World, wait_until

from vibetea_daemon import demo
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
        assert command.get_short_help_str(limit=45) == command.short_help, "cut off in --help"
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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('privcy = "strict"', "did you mean privacy?"),
        ('VIBETEA_PRIVACY = "strict"', "did you mean privacy?"),
        ("[nonsense]", "there are: claude_dir"),
        ("privacy = 1", "privacy must be a string"),
        ('privacy = "none"', "privacy in {file} is 'none'"),
        ('privacy = ""', "privacy in {file} is ''"),
        ('source_id = ""', "source_id in {file} is ''"),
        ('source_id = "has space"', "source_id in {file} is 'has space'"),
        ("basename_allowlist = true", "basename_allowlist must be a string or a list of strings"),
        ('plugins = "mine"', "plugins must be a list of strings"),
        ("plugins = [1]", "plugins must be a list of strings"),
    ],
)
def test_setting_of_the_file_that_cannot_be_used_is_refused_by_name(world: World, text: str, told: str) -> None:
    world.env.pop("VIBETEA_SOURCE_ID")
    file = world.state / "config.toml"
    file.write_text(text)
    done = world.run("status")
    said = done.stderr.decode()
    assert done.returncode == 78
    assert str(file) in said
    assert told.format(file=file) in said
    assert "VIBETEA" not in said.replace(text, "").partition("there is no setting")[0]


def test_slip_in_a_variables_name_is_refused_and_a_strange_one_left_alone(world: World) -> None:
    world.env |= {"VIBETEA_SOMETHING_ELSE": "1", "VIBETEA_PUBLIC_KEYS": "a relay's"}
    assert world.run("init").returncode == 0
    world.env["VIBETEA_SUPABAS_URL"] = "https://server.example"
    done = world.run("status")
    assert done.returncode == 78
    assert b"there is no VIBETEA_SUPABAS_URL; did you mean VIBETEA_SUPABASE_URL?" in done.stderr


def test_socket_in_a_folder_others_can_write_to_is_refused_and_the_folder_left(world: World) -> None:
    folder = world.root / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    world.env["VIBETEA_SOCKET"] = str(folder / "x.sock")
    done = world.run("daemon")
    assert (done.returncode, b"VIBETEA_SOCKET" in done.stderr) == (78, True)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o1777


def test_socket_in_a_folder_of_a_folder_that_is_missing_is_refused(world: World) -> None:
    world.env["VIBETEA_SOCKET"] = str(world.root / "no" / "such" / "x.sock")
    done = world.run("daemon")
    assert (done.returncode, b"VIBETEA_SOCKET" in done.stderr) == (78, True)
    assert not (world.root / "no").exists()


def test_socket_in_a_folder_of_ours_leaves_the_folder_as_it_is(world: World) -> None:
    folder = world.root / "mine"
    folder.mkdir()
    folder.chmod(0o755)
    world.env["VIBETEA_SOCKET"] = str(folder / "x.sock")
    with world.daemon():
        assert (folder / "x.sock").is_socket()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_config_file_is_overruled_by_the_environment(world: World) -> None:
    (world.state / "config.toml").write_text('source_id = "from-file"\nprivacy = "strict"\n')
    assert world.run("init").stdout.startswith(b"laptop:")
    del world.env["VIBETEA_SOURCE_ID"]
    assert world.run("init").stdout.startswith(b"from-file:")


def test_folder_claude_code_was_told_of_is_ours_too(world: World) -> None:
    """Claude Code's own variable, unless ours says otherwise."""
    ours = world.env.pop("VIBETEA_CLAUDE_DIR")
    world.env["CLAUDE_CONFIG_DIR"] = str(world.root / "moved")
    world.run("install-hooks")
    assert (world.root / "moved/settings.json").exists()
    world.env["VIBETEA_CLAUDE_DIR"] = ours
    world.run("install-hooks")
    assert (Path(ours) / "settings.json").exists()


@pytest.mark.parametrize("name", ["VIBETEA_HOME", "VIBETEA_KEY_PATH"])
def test_tilde_is_the_home_folder(world: World, name: str) -> None:
    world.env[name] = "~/elsewhere"
    world.run("init", folder=world.root)
    assert (Path(world.env["HOME"]) / "elsewhere/key.priv").exists()
    assert not (world.root / "~").exists()


def test_tilde_of_somebody_else_is_refused(world: World) -> None:
    world.env["VIBETEA_HOME"] = "~anna/x"
    done = world.run("status")
    assert (done.returncode, b"~anna/x: only your own home" in done.stderr) == (78, True)


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


def test_two_processes_at_once_have_one_key(world: World) -> None:
    command = [sys.executable, "-m", "vibetea_daemon", "init"]
    both = [subprocess.Popen(command, env=world.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    lines = {process.communicate(timeout=60)[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(lines) == 1
    assert sorted(path.name for path in world.state.glob("*key*")) == ["key.priv", "key.pub"]


def test_init_explains_its_line_beside_it(world: World) -> None:
    said = world.run("init").stderr
    assert b"relay" in said
    assert b"VIBETEA_SOURCE_ID" in said


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


def test_status_of_a_daemon_that_is_gone_says_nothing_in_its_name(world: World) -> None:
    with world.daemon():
        assert b"watching     by" in world.run("status").stdout
    shown = world.run("status").stdout
    assert b"not running" in shown
    assert b"watching" not in shown
    assert b"dropped" not in shown


def test_database_of_a_folder_with_a_hash_in_its_name(imported_world: World) -> None:
    moved = imported_world.state.rename(imported_world.root / "state #1?")
    imported_world.env["VIBETEA_HOME"] = str(moved)
    found = json.loads(imported_world.run("status", "--json").stdout)
    assert found["events"] > 0
    assert imported_world.run("audit").stdout


@pytest.fixture
def corrupted_world(world: World) -> Iterator[World]:
    """A machine whose database is none."""
    world.database.write_bytes(b"no database " * 1000)
    yield world
    world.database.unlink()


def test_status_tells_a_corrupted_database(corrupted_world: World) -> None:
    assert b"database     unreadable: " in corrupted_world.run("status").stdout


@pytest.mark.parametrize("arguments", [["audit"], ["audit", "--explain", "-"], ["import"], ["init"], ["daemon"]])
def test_corrupted_database_is_a_sentence(corrupted_world: World, arguments: list[str]) -> None:
    done = corrupted_world.run(*arguments, given=b'{"hook_event_name": "Stop"}')
    assert done.returncode == 1
    assert done.stdout == b""
    assert re.search(rb"^Error: .*database", done.stderr, re.MULTILINE)
    assert b"Traceback" not in done.stderr


def test_file_that_cannot_be_opened_is_a_sentence(imported_world: World) -> None:
    imported_world.database.rename(imported_world.root / "kept")
    imported_world.database.mkdir()
    done = imported_world.run("import")
    assert (done.returncode, b"Traceback" in done.stderr) == (1, False)
    imported_world.database.rmdir()


def test_import_counts_only_what_is_new(world: World) -> None:
    session = Session()
    path = world.write(session, session.prompt(), session.call("t1"), session.result("t1"))
    first = world.run("import", str(path))
    assert first.stdout.decode().splitlines()[-1] == f"{len(session.keys)} new events from 1 transcript"
    assert world.run("import").stdout.decode().splitlines()[-1] == "0 new events from 1 transcript"


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
    skipped = [tmp_path / f"{number}.jsonl" for number in range(4)]
    skipped[0].symlink_to("/etc/passwd")
    for path, content in zip(skipped[1:], (b"", b"hello\n", b'{"type": "unheard-of"}\n'), strict=True):
        path.write_bytes(content)
    for path in skipped:
        done = world.run("import", str(path))
        assert b"1 file skipped" in done.stderr
        assert done.stdout == b"0 new events from 0 transcripts\n"
        assert done.returncode == 1
    session = Session()
    good = world.write(session, session.prompt())
    done = world.run("import", *map(str, skipped), str(good))
    assert done.returncode == 0
    assert b"4 files skipped" in done.stderr


def test_import_without_a_folder_of_transcripts(world: World) -> None:
    world.env["VIBETEA_CLAUDE_DIR"] = str(world.root / "nowhere")
    done = world.run("import")
    assert (done.returncode, b"VIBETEA_CLAUDE_DIR" in done.stderr) == (1, True)
    assert b"Traceback" not in done.stderr


def test_audit_prints_the_very_bytes(imported_world: World) -> None:
    lines = imported_world.run("audit").stdout.splitlines()
    assert {Event.model_validate_json(line).id for line in lines} == imported_world.ids()
    assert [Event.model_validate_json(line).wire() for line in lines] == lines
    assert len(imported_world.run("audit", "-n", "2").stdout.splitlines()) == 2


def test_audit_without_a_database(world: World) -> None:
    done = world.run("audit")
    assert (done.returncode, b"vibetea up" in done.stderr) == (1, True)


@pytest.mark.parametrize("level", ["standard", "strict"])
def test_audit_warns_of_events_recorded_at_another_level(imported_world: World, level: str) -> None:
    imported_world.env["VIBETEA_PRIVACY"] = level
    done = imported_world.run("audit")
    assert (b"recorded at `standard`, not sent" in done.stderr) == (level == "strict")
    assert (done.stdout == b"") == (level == "strict")


def explained(world: World, document: object) -> dict[str, list[str]]:
    """What each output came from, and under `discarded` all the rest."""
    done = world.run("audit", "--explain", "-", given=json.dumps(document).encode())
    assert done.returncode == 0
    assert b"CANARY" not in done.stdout
    found: dict[str, list[str]] = {"discarded": []}
    for line in done.stdout.decode().splitlines():
        if line.startswith("discarded: "):
            found["discarded"].append(line.removeprefix("discarded: "))
        elif "  <- " in line:
            output, _, inputs = line.partition("  <- ")
            found[output] = inputs.split(", ")
        else:
            assert line.startswith(("leaves: {", "nothing leaves"))
    return found


def test_audit_explains_a_hook(world: World) -> None:
    found = explained(world, hook_payloads()["PostToolUse-Edit"])
    assert found["payload.context"] == ["tool_name", "tool_input.file_path"]
    assert found["payload.durationMs"] == ["duration_ms"]
    assert "hook_event_name" in found["type"]
    assert "tool_input.new_string" in found["discarded"]
    assert not [output for output in found if "dropped" in output]


@pytest.mark.parametrize(
    ("event", "field", "output"),
    [
        ({"hook_event_name": "UserPromptSubmit", "prompt": "CANARY"}, "prompt", "type"),
        ({"hook_event_name": "Stop", "stop_hook_active": False}, "stop_hook_active", "id"),
        (
            {
                "hook_event_name": "Stop",
                "cwd": "/home/dev/shop/src",
                "transcript_path": "/p/-home-dev-shop-src/x.jsonl",
            },
            "transcript_path",
            "payload.project",
        ),
    ],
    ids=["prompt", "stop_hook_active", "transcript_path"],
)
def test_audit_names_what_only_decides(world: World, event: dict[str, object], field: str, output: str) -> None:
    assert field in explained(world, {"session_id": "s", "prompt_id": "p"} | event)[output]


def test_audit_explains_a_transcript_line(world: World) -> None:
    found = explained(world, json.loads(Session().answer()))
    assert found["payload.inputTokens"] == ["message.usage.input_tokens"]
    assert "timestamp" in found["timestamp"]


def test_audit_says_that_the_beginning_of_a_prompt_decides(world: World) -> None:
    assert "message.content" in explained(world, json.loads(Session().prompt("CANARY")))["type"]


def test_audit_explains_that_nothing_leaves(world: World) -> None:
    assert world.run("audit", "--explain", "-", given=b"{}").stdout == b"nothing leaves\n"
    done = world.run("audit", "--explain", "-", given=b'{"type": "mode", "mode": "plan"}')
    assert done.stdout.splitlines()[0] == b"nothing leaves"


def test_audit_explains_one_line_only(world: World) -> None:
    session = Session()
    done = world.run("audit", "--explain", "-", given=session.prompt() + session.answer())
    assert (done.returncode, b"a single one" in done.stderr) == (1, True)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff", b'{"a":' * 600 + b"1" + b"}" * 600])
def test_audit_explains_no_garbage(world: World, raw: bytes) -> None:
    done = world.run("audit", "--explain", "-", given=raw)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr


def test_plugins_are_listed(world: World) -> None:
    (world.state / "config.toml").write_text('plugins = ["no_such_plugin"]\n')
    done = world.run("plugins", "--json")
    assert done.returncode == 1
    listed = {plugin["name"]: plugin for plugin in json.loads(done.stdout)}
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


@pytest.mark.parametrize(("scope", "warned"), [("user", False), ("project", True), ("local", False)])
def test_hooks_in_a_file_that_others_share_are_warned_of(world: World, scope: str, warned: bool) -> None:
    project = world.root / "project"
    project.mkdir()
    for arguments in (("--dry-run",), ()):
        done = world.run("install-hooks", "--scope", scope, *arguments, folder=project)
        assert done.returncode == 0
        assert (b"--scope local" in done.stderr) is warned
        assert b"Warning" not in done.stdout
    done = world.run("uninstall-hooks", "--scope", scope, folder=project)
    assert (done.returncode, done.stderr) == (0, b"")
    assert not (project / ".claude").exists()


def test_settings_with_comments_are_left_alone(world: World) -> None:
    settings = world.root / "mine.json"
    settings.write_text("{ // mine\n}")
    done = world.run("install-hooks", "--settings", str(settings))
    assert done.returncode == 1
    assert settings.read_text() == "{ // mine\n}"


def test_dashboard_says_where_it_is_and_how_it_ends(imported_world: World) -> None:
    command = [sys.executable, "-m", "vibetea_daemon", "dashboard", "--no-open", "--port", "0"]
    with subprocess.Popen(command, env=imported_world.env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        said = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert re.fullmatch(r"VibeTea is at http://\S+  \(Ctrl-C ends it\)\n", said)


def test_invented_sessions_tell_of_all_that_happens(world: World) -> None:
    demo.write_history(world.projects, datetime.now(UTC))
    assert world.run("import").returncode == 0
    told = {row[0] for row in world.query("select type from events")}
    assert told >= {"session", "activity", "agent", "tool", "token_usage", "agent_spawn", "skill_invocation", "error"}
    assert world.query("select count(*) from events where agent_id is not null and type = 'tool'") != [(0,)]
    assert not world.counters()


def test_invented_sessions_report_by_hooks_too(world: World) -> None:
    (world.root / "vibetea").symlink_to(world.state)
    world.start()
    stop = threading.Event()
    inventor = threading.Thread(target=demo.live, args=(world.projects, stop))
    inventor.start()
    try:
        timed = "select count(*) from events where duration_ms is not null"
        wait_until(lambda: world.query(timed) != [(0,)], "no hook ever told a duration", 60)
    finally:
        stop.set()
        inventor.join()
    assert not world.counters()
