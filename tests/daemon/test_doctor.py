"""`vibetea doctor`: what is wrong on a machine, as the running daemon or mirror tells it, and how to mend it."""

import json
from collections.abc import Iterator

import pytest
from tests.daemon.scripted_relay import ScriptedRelay, code
from tests.daemon.sending import WAITS, expect_why, hooks, scripted_relay
from tests.daemon.session import Session
from tests.daemon.world import World


@pytest.fixture
def relay(world: World) -> Iterator[ScriptedRelay]:
    with scripted_relay(world) as relay:
        yield relay


def test_doctor_finds_nothing_wrong(world: World) -> None:
    assert world.run("install-hooks").returncode == 0
    with world.daemon():
        done = world.run("doctor")
    assert done.returncode == 0, done.stdout
    assert b"wrong" not in done.stdout


def faults(world: World) -> str:
    done = world.run("doctor")
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    return done.stdout.decode()


def test_doctor_of_a_new_machine(world: World) -> None:
    """A first session is still to come; a folder that is not there is another matter."""
    world.projects.rmdir()
    said = faults(world)
    assert "wrong  daemon\n       not running" in said
    assert "fine   hooks\n       not installed" in said
    for name in ("transcripts", "database", "signing key"):
        assert f"fine   {name}\n       none yet" in said
    for name in ("relay", "supabase"):
        assert f"fine   {name}\n       not used" in said
    (world.root / "claude").rmdir()
    assert f"wrong  transcripts\n       there is no {world.root / 'claude'}" in faults(world)


def test_doctor_of_a_machine_that_waits_for_its_first_session(world: World) -> None:
    world.projects.rmdir()
    assert world.run("install-hooks").returncode == 0
    with world.daemon():
        done = world.run("doctor")
    assert done.returncode == 0, done.stdout


def test_doctor_tells_hooks_that_are_altered_or_switched_off(world: World) -> None:
    world.run("install-hooks")
    settings = world.root / "claude/settings.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"disableAllHooks": True}))
    world.emit.chmod(0o600)
    world.emit.write_text("altered")
    said = faults(world)
    assert "disableAllHooks is set in" in said
    assert "missing or altered" in said
    settings.write_text("{ // mine")
    assert str(settings) in faults(world)


def test_doctor_tells_a_loose_key_a_missing_plugin_and_a_corrupted_database(world: World) -> None:
    world.run("init")
    (world.state / "key.priv").chmod(0o644)
    (world.state / "config.toml").write_text('plugins = ["no_such_plugin"]\n')
    world.database.write_bytes(b"no database " * 1000)
    said = faults(world)
    assert "chmod 600" in said
    assert "no_such_plugin" in said
    assert "wrong  database\n       file is not a database" in said
    world.database.unlink()


def test_doctor_tells_events_of_another_privacy_level(world: World) -> None:
    session = Session()
    world.write(session, session.prompt())
    assert world.run("import").returncode == 0
    world.env["VIBETEA_PRIVACY"] = "strict"
    assert "recorded at `standard`" in faults(world)


# the relay


@pytest.fixture
def unwelcome_world(world: World, relay: ScriptedRelay) -> World:
    """A machine whose daemon was told of a relay that does not know it; this shell names none."""
    world.expected_log = [WAITS]
    relay.key = None
    world.start()
    hooks(world, Session(), 1)
    expect_why(world, "does not accept")
    del world.env["VIBETEA_SERVER_URL"]
    return world


def test_doctor_tells_what_the_daemon_says_of_its_relay(unwelcome_world: World, relay: ScriptedRelay) -> None:
    said = faults(unwelcome_world)
    assert f"wrong  relay\n       {relay.url}: it does not accept this machine's signature (401 unknown_source)" in said
    assert "The daemon tries again within 5 minutes" in said
    assert "1 event waiting" in said


def test_doctor_believes_the_daemon_and_not_this_shell(unwelcome_world: World, relay: ScriptedRelay) -> None:
    unwelcome_world.env["VIBETEA_SERVER_URL"] = "https://other.example"
    assert f"{relay.url}: it does not accept" in faults(unwelcome_world)


@pytest.mark.parametrize("command", ["status", "doctor"])
def test_signature_that_is_refused_may_have_two_causes(world: World, relay: ScriptedRelay, command: str) -> None:
    """A wrong key, or a true one and another address than the relay's own: the code is the same."""
    world.expected_log = [WAITS]
    relay.rule = lambda _: code(401, "invalid_signature")
    world.start()
    hooks(world, Session(), 1)
    expect_why(world)
    said = world.run(command).stdout.decode()
    assert "another key of this machine" in said
    assert "another address (--public-url)" in said


def test_doctor_leaves_out_what_the_last_daemon_waited_for(unwelcome_world: World) -> None:
    unwelcome_world.processes[-1].stop()
    assert "fine   relay" in faults(unwelcome_world)


def test_doctor_calls_nothing_well_that_nobody_asked(world: World) -> None:
    world.run("init")
    world.env["VIBETEA_SUPABASE_URL"] = "https://server.example"
    assert "fine   supabase\n       not asked: only the daemon" in faults(world)
