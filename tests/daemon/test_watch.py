"""Finding the transcripts: with notifications, without them, and when there are very many."""

import os
import shutil
import signal
import subprocess
import time

import psutil
import pytest
from tests.daemon.session import Session
from tests.daemon.world import World, wait_until

DAY = 86_400
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it acts as another user")
NOBODY = 64_999


def as_nobody(world: World) -> tuple[str, ...]:
    """What runs a daemon as another user, who is then given the whole machine."""
    for path in (world.root, *world.root.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


@as_root
def test_unreadable_file_is_logged_once_and_read_when_it_can_be(world: World) -> None:
    world.expected_log = ["a transcript cannot be read: Permission denied"]
    world.projects.chmod(0o777)
    hidden, session = Session(), Session()
    path = world.write(hidden, hidden.prompt())
    wrapper = as_nobody(world)
    path.chmod(0)
    (world.projects / "closed").mkdir(mode=0)
    daemon = world.start(wrapper=wrapper)
    (path.parent / f"{session.id}.jsonl").write_bytes(session.prompt())
    os.chown(path.parent / f"{session.id}.jsonl", NOBODY, NOBODY)
    world.expect(session)
    os.chown(path, NOBODY, NOBODY)  # a change that is no permission to read
    world.write(session, session.answer())
    world.expect(session)
    path.chmod(0o600)
    world.expect(session, hidden)
    assert daemon.text.count("cannot be read") == 1


def test_root_missing_at_the_start_and_made_later(world: World) -> None:
    world.projects.rmdir()
    world.projects.parent.rmdir()
    world.start()
    session = Session()
    world.write(session, session.prompt())
    world.expect(session)
    world.write(session, session.answer())
    world.expect(session)


def test_root_deleted_and_made_again(world: World) -> None:
    world.start()
    old, new = Session(), Session()
    world.write(old, old.prompt())
    world.expect(old)
    shutil.rmtree(world.projects)
    world.write(new, new.prompt())
    world.expect(old, new)
    world.write(new, new.answer())
    world.expect(old, new)


@pytest.mark.parametrize("limit", ["max_inotify_instances", "max_inotify_watches"])
def test_no_inotify_to_be_had_means_polling_until_there_is(world: World, limit: str) -> None:
    """The limits are those of a user namespace of the daemon's own, so that nobody else runs into them."""
    if subprocess.run(["unshare", "--user", "--map-root-user", "true"], check=False).returncode:
        pytest.skip("needs user namespaces")
    world.expected_log = ["no file notifications to be had"]
    signal_file, setting = world.root / "plenty", f"/proc/sys/user/{limit}"
    script = f'echo 0 > {setting}; (until [ -e {signal_file} ]; do sleep 0.05; done; echo 99 > {setting}) & exec "$@"'
    daemon = world.start(wrapper=("unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"))
    descriptors = psutil.Process(daemon.popen.pid).num_fds()
    wait_until(lambda: world.status().get("watching") == "polling", "it never said how it watches")
    session = Session()
    world.write(session, session.prompt())
    world.expect(session)
    world.write(session, session.answer())
    world.expect(session)
    assert psutil.Process(daemon.popen.pid).num_fds() <= descriptors + 1
    signal_file.touch()
    wait_until(lambda: world.status().get("watching") == "notifications", "the notifications never came back")
    world.write(session, session.answer())
    world.expect(session)
    assert daemon.text.count("no file notifications") == 1


def test_inotify_queue_overflow_loses_nothing(world: World) -> None:
    daemon = world.start()
    session, late = Session(), Session()
    world.write(session, session.prompt())
    world.expect(session)
    folder = world.projects / "-home-dev-shop"
    paths = [folder / "a.txt", folder / "b.txt"]
    for path in paths:
        path.touch()
    daemon.popen.send_signal(signal.SIGSTOP)
    for _ in range(10_000):  # the queue holds 16 384; like events in a row are one
        for path in paths:
            os.utime(path)
    world.write(session, session.answer())
    world.write(late, late.prompt())
    daemon.popen.send_signal(signal.SIGCONT)
    world.expect(session, late)
    world.write(late, late.answer())
    world.expect(session, late)


def test_what_the_watcher_complains_of_is_in_no_log(world: World) -> None:
    """It warns, with paths, when folders appear faster than it can watch them."""
    world.env["PYTHONWARNINGS"] = "always"
    daemon = world.start()
    session = Session()
    for number in range(300):
        (world.projects / f"private-{number}/a/subagents").mkdir(parents=True)
    world.write(session, session.prompt())
    world.expect(session)
    assert "private" not in daemon.text


def test_ten_thousand_old_files(world: World) -> None:
    line = Session().prompt()
    long_ago = time.time() - 60 * DAY
    for folder in range(200):
        (world.projects / f"p{folder}").mkdir()
        for file in range(50):
            path = world.projects / f"p{folder}/{file}.jsonl"
            path.write_bytes(line)
            os.utime(path, (long_ago, long_ago))
    daemon = world.start()
    session = Session()
    world.write(session, session.prompt())
    world.expect(session)
    assert psutil.Process(daemon.popen.pid).num_fds() < 200
