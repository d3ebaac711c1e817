"""Transcripts: whatever is done to the files, each event is there once."""

import os
import shutil
import signal
import subprocess
import time

import psutil
import pytest
from tests.daemon.session import Session, hook, stamp, tool_hook
from tests.daemon.world import World, wait_until

DAY = 86_400
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it acts as another user")
NOBODY = 64_999


def as_nobody(world: World) -> tuple[str, ...]:
    """What runs a daemon as another user, who is then given the whole machine."""
    for path in (world.root, *world.root.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


def test_new_file_is_read_from_its_first_byte(world: World) -> None:
    world.start()
    session = Session()
    world.write(session, session.prompt(), session.answer(), session.call("t1"), session.result("t1"))
    world.expect(session)


def test_file_from_before_the_start_is_imported(world: World) -> None:
    session = Session()
    world.write(session, session.prompt(), session.answer())
    world.start()
    world.expect(session)
    wait_until(lambda: world.status()["import"]["files_done"] == 1, "the file was never done")


def test_torn_line_waits_for_its_end(world: World) -> None:
    world.start()
    session = Session()
    first, second = session.prompt(), session.answer()
    world.write(session, first, second[:80])
    wait_until(lambda: len(world.ids()) == 3, "the whole line never arrived")
    for byte in second[80:]:
        world.write(session, bytes([byte]))
    world.expect(session)


def test_line_torn_in_the_middle_of_a_character(world: World) -> None:
    world.start()
    session = Session()
    line = session.prompt("grüße ☕").replace(b"gr\\u00fc\\u00dfe \\u2615", "grüße ☕".encode())
    cut = line.index("☕".encode()) + 1
    world.write(session, line[:cut])
    world.write(session, line[cut:])
    world.expect(session)


def test_torn_line_of_a_deleted_file_is_counted(world: World) -> None:
    world.start()
    session, torn = Session(), Session()
    path = world.write(torn, torn.prompt(), torn.answer()[:-20])
    wait_until(lambda: len(world.ids()) == 3, "the whole line never arrived")
    path.unlink()
    torn.keys = {natural for natural in torn.keys if natural[0] != "token_usage"}
    world.expect_counter("line_torn")
    world.write(session, session.prompt())
    world.expect(session, torn)


def test_replaced_file_is_read_to_its_end_and_the_new_one_from_its_start(world: World) -> None:
    world.start()
    old, new = Session(), Session()
    path = world.write(old, old.prompt())
    world.expect(old)
    replacement = path.with_suffix(".new")
    replacement.write_bytes(new.prompt() + new.answer())
    world.write(old, old.answer())
    replacement.replace(path)
    world.expect(old, new)


def test_file_renamed_while_it_grows(world: World) -> None:
    world.start()
    session = Session()
    path = world.write(session, session.prompt())
    world.expect(session)
    with path.open("ab", buffering=0) as file:
        path.rename(path.with_name("elsewhere.jsonl"))
        file.write(session.answer())
    world.expect(session)


@pytest.mark.parametrize("smaller", [True, False], ids=["seen-smaller", "regrown-at-once"])
def test_truncated_in_place_and_regrown(world: World, smaller: bool) -> None:
    world.start()
    old, new = Session(), Session()
    path = world.write(old, old.prompt(), old.answer())
    world.expect(old)
    body = new.prompt() + (b"" if smaller else b"".join(new.answer(200) for _ in range(20)))
    assert (len(body) < path.stat().st_size) is smaller
    with path.open("r+b", buffering=0) as file:
        file.truncate(0)
        file.write(body)
    world.expect(old, new)
    world.write(new, new.answer())
    path.write_bytes(path.read_bytes() + new.answer())
    world.expect(old, new)


def test_inode_reused_after_delete_and_create(world: World) -> None:
    old, new = Session(), Session()
    path = world.write(old, old.prompt(), old.answer())
    with world.daemon():
        world.expect(old)
    inode = path.stat().st_ino
    path.unlink()
    spare = []
    for number in range(2000):
        path.write_bytes(b"")
        if path.stat().st_ino == inode:
            break
        spare.append(path.rename(path.with_name(f"{number}.spare")))
    else:
        pytest.skip("this file system does not reuse inodes")
    path.write_bytes(new.prompt() + new.answer(500) + new.answer(500))
    world.start()
    world.expect(old, new)


def test_copy_of_a_file_adds_nothing(world: World) -> None:
    world.start()
    session = Session()
    path = world.write(session, session.prompt(), session.call("t1"), session.result("t1"), session.answer())
    world.expect(session)
    elsewhere = world.projects / "-home-dev-other"
    elsewhere.mkdir()
    shutil.copy(path, elsewhere / path.name)
    shutil.copy(path, path.with_name("backup.jsonl"))
    last = Session()
    world.write(last, last.prompt())
    world.expect(session, last)


def test_resumed_session_repeats_old_lines_in_a_new_file(world: World) -> None:
    """Compaction and resume copy old lines, of the same session, into a file with another name."""
    world.start()
    session = Session()
    lines = [session.prompt(), session.call("t1"), session.result("t1"), session.answer()]
    world.write(session, *lines)
    world.expect(session)
    (world.projects / "-home-dev-shop/resumed.jsonl").write_bytes(b"".join([*lines, session.prompt()]))
    world.expect(session)


def test_same_line_twice_is_one_event(world: World) -> None:
    world.start()
    session = Session()
    lines = [session.prompt(), session.call("t1"), session.result("t1"), session.answer()]
    world.write(session, *(line for line in lines for _ in range(2)))
    world.expect(session)
    assert world.query("select sum(messages), sum(input_tokens) from usage") == [(2, 240)]


def test_what_is_no_regular_file_of_ours_is_passed_over(world: World) -> None:
    folder = world.projects / "-home-dev-shop"
    folder.mkdir()
    (folder / "loop.jsonl").symlink_to(folder / "loop.jsonl")
    (folder / "passwd.jsonl").symlink_to("/etc/passwd")
    (folder / "folder.jsonl").mkdir()
    (folder / "up").symlink_to(folder.parent)
    os.mkfifo(folder / "pipe.jsonl")
    if os.geteuid() == 0:
        os.mknod(folder / "device.jsonl", 0o20600, os.makedev(1, 5))
        foreign = Session()
        (folder / "foreign.jsonl").write_bytes(foreign.prompt())
        os.chown(folder / "foreign.jsonl", NOBODY, NOBODY)
    inside = Session()
    (folder / "folder.jsonl/inside.jsonl").write_bytes(inside.prompt())
    world.start()
    session = Session()
    world.write(session, session.prompt())
    world.expect(session, inside)


def test_link_put_in_the_place_of_a_followed_file(world: World) -> None:
    world.start()
    session, other, last = Session(), Session(), Session()
    path = world.write(session, session.prompt())
    world.expect(session)
    target = world.root / "outside"
    target.write_bytes(other.prompt())
    path.unlink()
    path.symlink_to(target)
    world.write(last, last.prompt())
    world.expect(session, last)


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
    assert world.status()["watching"] == "polling"
    session = Session()
    world.write(session, session.prompt())
    world.expect(session)
    world.write(session, session.answer())
    world.expect(session)
    assert psutil.Process(daemon.popen.pid).num_fds() <= descriptors + 1
    signal_file.touch()
    wait_until(lambda: world.status()["watching"] == "notifications", "the notifications never came back")
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


def test_line_of_fifty_megabytes_is_passed_over_in_little_memory(world: World) -> None:
    daemon = world.start()
    session = Session()
    before = session.prompt()
    with world.transcript(session).open("wb") as file:
        file.write(before)
        file.write(b'{"type":"user","message":"' + b"x" * 50_000_000 + b'"}\n')
        file.write(session.answer())
    world.expect(session)
    assert world.counters()["line_too_long"] == 1
    assert psutil.Process(daemon.popen.pid).memory_info().rss < 200_000_000


def test_file_of_a_gigabyte(world: World) -> None:
    """A hole of zeros and the end of one line, as a crash leaves it: the lines after it arrive, hooks are answered."""
    daemon = world.start()
    session, other = Session(), Session()
    with world.transcript(session).open("wb") as file:
        file.write(session.prompt())
        file.truncate(1_000_000_000)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + session.answer())
    world.hook(tool_hook(other, "t1"))
    world.expect(session, other)
    assert world.counters()["line_too_long"] == 1
    assert psutil.Process(daemon.popen.pid).memory_info().rss < 200_000_000


def test_hole_of_zeros_costs_its_own_line(world: World) -> None:
    world.start()
    session = Session()
    path = world.write(session, session.prompt())
    world.expect(session)
    os.truncate(path, path.stat().st_size + 4096)
    world.write(session, b'{"type":"user"}\n', session.answer())
    world.expect(session)
    assert world.counters()["line_unparsable"] == 1


def test_byte_order_mark_and_windows_line_ends(world: World) -> None:
    world.start()
    session = Session()
    lines = [session.prompt(), session.answer(), session.prompt("a\u2028b\u0085c")]
    world.write(session, b"\xef\xbb\xbf", *(line.replace(b"\n", b"\r\n") for line in lines), b"\r\n\n")
    world.expect(session)
    assert world.counters() == {}


# what a restart must not cost


def test_restart_reads_on_and_loses_nothing(world: World) -> None:
    session, finished = Session(), Session()
    world.write(finished, finished.prompt(), finished.answer())
    with world.daemon():
        world.write(session, session.prompt(), session.answer())
        world.expect(session, finished)
    offsets = {row[0]: row[1] for row in world.query("select file, offset from _offsets")}
    world.write(session, session.answer(), session.prompt(), session.answer())
    with world.daemon():
        world.expect(session, finished)
        assert world.status()["import"]["files"] == 1
    after = {row[0]: row[1] for row in world.query("select file, offset from _offsets")}
    assert sum(after[file] > offset for file, offset in offsets.items()) == 1
    assert all(after[file] >= offset for file, offset in offsets.items())


def test_restart_goes_on_at_the_prompt_not_at_the_start(world: World) -> None:
    """Bytes well before the last prompt are not read again: overwritten in place, they are not even noticed."""
    session, never = Session(), Session()
    first, second = session.prompt("x" * 5000), session.prompt()
    path = world.write(session, first, second)
    with world.daemon():
        world.expect(session)
    with path.open("r+b", buffering=0) as file:
        file.seek(2000)
        file.write(b"\n" + never.prompt())
        file.seek(0, os.SEEK_END)
        file.write(session.answer())
    world.start()
    world.expect(session)


def test_restart_in_the_middle_of_a_turn_still_knows_the_call(world: World) -> None:
    session = Session()
    with world.daemon():
        world.write(session, session.prompt(), session.answer(), session.call("t1", "Read", file_path="/a/b/auth.ts"))
        world.expect(session)
    world.write(session, session.result("t1"))
    world.start()
    world.expect(session)
    assert world.query("select tool, outcome, payload ->> 'context' from events where status = 'completed'") == [
        ("Read", "ok", "auth.ts")
    ]


def test_restart_in_the_middle_of_a_subagents_work(world: World) -> None:
    agent = Session(agent="a072439bd66e786b1")
    with world.daemon():
        world.write(agent, agent.brief(), agent.call("t1", "Bash"))
        world.expect(agent)
    world.write(agent, agent.result("t1"))
    world.start()
    world.expect(agent)
    assert world.query("select tool, agent_id from events where status = 'completed'") == [("Bash", agent.agent)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_call_made_just_before_the_end_is_told_after_it(world: World, number: signal.Signals) -> None:
    """A start is held back a moment for its refusal; the daemon may end within that moment, and the client too."""
    session = Session()
    daemon = world.start()
    world.write(session, session.prompt())
    world.expect(session)
    world.write(session, session.call("t1"))
    usage = session.ids(world.key())
    wait_until(lambda: len(world.ids() & usage) >= 4, "the line was never read")
    daemon.stop(number, expect=0 if number == signal.SIGTERM else -9)
    world.start()
    world.expect(session)


def test_torn_line_is_completed_while_the_daemon_is_away(world: World) -> None:
    session = Session()
    line = session.answer()
    prompt = session.prompt()
    with world.daemon():
        world.write(session, prompt, line[:50])
        wait_until(lambda: len(world.ids()) >= 2, "the whole line never arrived")
    world.write(session, line[50:])
    session.keys.add(("session", session.id, "started", "startup"))
    world.start()
    world.expect(session)


# calls


def test_refused_call_has_no_start(world: World) -> None:
    world.start()
    session = Session()
    world.write(session, session.prompt(), session.call("t1", "Grep"), session.refusal("t1"))
    world.expect(session)
    assert world.query("select status, outcome from events where type = 'tool'") == [("completed", "refused")]


def test_call_whose_result_never_comes_has_a_start(world: World) -> None:
    world.start()
    session = Session()
    world.write(session, session.prompt(), session.call("t1"))
    world.expect(session)


def test_interrupted_call_completes_as_interrupted(world: World) -> None:
    world.start()
    session = Session()
    world.write(session, session.prompt(), session.call("t1"))
    world.expect(session)
    line = session.line(
        "user",
        interruptedMessageId="msg_1",
        uuid="3c7a35a6-0000-4000-8000-000000000000",
        message={"role": "user", "content": [{"type": "text", "text": "[Request interrupted by user]"}]},
    )
    session.keys |= {
        ("tool", session.id, "t1", "completed"),
        ("agent", session.id, "interrupted", "3c7a35a6-0000-4000-8000-000000000000"),
    }
    world.write(session, line)
    world.expect(session)
    assert world.query("select outcome from events where status = 'completed'") == [("interrupted",)]


def test_subagent_has_a_file_of_its_own(world: World) -> None:
    world.start()
    session = Session()
    agent = Session(id=session.id, agent="a072439bd66e786b1")
    world.write(session, session.prompt(), session.call("t1", "Agent"))
    path = world.transcript(agent)
    path.with_suffix(".meta.json").write_text('{"agentType": "Explore", "description": "private"}')
    world.write(agent, agent.brief(), agent.call("t2"), agent.result("t2"))
    world.expect(session, agent)
    assert world.query("select agent_id, payload ->> 'agentType' from events where type = 'agent_spawn'") == [
        (agent.agent, "Explore")
    ]
    assert {row[0] for row in world.query("select session_id from events")} == {session.id}


def test_more_files_grow_than_are_kept_open(world: World) -> None:
    daemon = world.start()
    sessions = [Session() for _ in range(150)]
    for turn in range(3):
        for session in sessions:
            world.write(session, session.prompt(), session.call(f"t{turn}"))
        for session in sessions:
            world.write(session, session.result(f"t{turn}"), session.answer())
    world.expect(*sessions)
    assert psutil.Process(daemon.popen.pid).num_fds() < 110


def test_lines_older_than_the_import_reaches_are_left_out(world: World) -> None:
    world.start("--since", "2")
    session, old = Session(), Session()
    line = session.prompt().replace(
        b'"timestamp": "' + stamp()[:4].encode(), b'"timestamp": "2001'
    )  # the same line, many years ago
    session.keys.clear()
    world.write(old, line)
    world.write(session, session.prompt())
    world.expect(session)


def test_hook_speaks_first_in_a_session_whose_hooks_report(world: World) -> None:
    """The hook's report is the richer: it knows the duration."""
    world.start()
    session = Session()
    world.hook(tool_hook(session, "t0"))
    prompt = session.prompt()
    session.keys.add(("session", session.id, "started", "startup"))
    world.write(session, prompt, session.call("t1"), session.result("t1"))
    world.hook(hook(session, "PostToolUse", tool_name="Bash", tool_input={}, tool_use_id="t1", duration_ms=1234))
    world.expect(session)
    assert world.query("select duration_ms from events where status = 'completed'") == [(1234,)]
