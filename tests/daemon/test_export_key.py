"""`vibetea export-key`: the key to where it is wanted, and nowhere else."""

import os
import pty
import subprocess
import sys

from tests.daemon.world import World

from vibetea_protocol.signing import public_key

GOLDEN_SEED = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def test_what_it_prints_makes_the_same_machine_elsewhere(world: World) -> None:
    registration = world.run("init").stdout
    done = world.run("export-key")
    assert (done.returncode, done.stderr) == (0, b"")
    world.env |= {"VIBETEA_PRIVATE_KEY": done.stdout.decode().strip(), "VIBETEA_HOME": str(world.root / "elsewhere")}
    assert world.run("init").stdout == registration
    assert not (world.root / "elsewhere/key.priv").exists()


def test_a_key_of_the_environment_wins(world: World) -> None:
    world.run("init")
    world.env["VIBETEA_PRIVATE_KEY"] = GOLDEN_SEED
    assert world.run("export-key").stdout.decode() == f"{GOLDEN_SEED}\n"


def test_without_a_key_it_says_what_makes_one_and_makes_none(world: World) -> None:
    done = world.run("export-key")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"vibetea init" in done.stderr
    assert not (world.state / "key.priv").exists()


def test_a_key_others_can_read_is_refused(world: World) -> None:
    world.run("init")
    (world.state / "key.priv").chmod(0o644)
    done = world.run("export-key")
    assert (done.returncode, done.stdout) == (78, b"")
    assert b"chmod 600" in done.stderr


def test_on_a_terminal_it_warns(world: World) -> None:
    world.run("init")
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "vibetea_daemon", "export-key"]
    done = subprocess.run(command, env=world.env, stdout=slave, stderr=subprocess.PIPE, timeout=60, check=True)
    os.close(slave)
    printed = os.read(master, 1000).decode().strip()
    os.close(master)
    seed = (world.state / "key.priv").read_bytes()
    assert public_key(seed).encode() + b"\n" == (world.state / "key.pub").read_bytes()
    assert len(printed) == 44
    assert b"private key" in done.stderr
    assert printed.encode() not in done.stderr
