"""Transcripts: whatever is done to the files, each event is there once."""

import os
import shutil

import psutil
import pytest
from tests.daemon.session import Session, tool_hook
from tests.daemon.world import World, wait_until

NOBODY = 64_999


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
    used = "sum(messages), sum(input_tokens), sum(cache_creation_tokens), sum(cache_creation_hour_tokens)"
    assert world.query(f"select {used} from usage") == [(2, 240, 20, 8)]


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
