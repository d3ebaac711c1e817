"""Bad input costs itself only: it is counted, its content is in no log and no row, and all around it arrives."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.frames import frame, send, spool
from tests.daemon.session import Session, hook, tool_hook
from tests.daemon.world import World, wait_until

MARKER = b"MARKER5e1f"
DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    """One daemon that has to survive all of it."""
    with tempfile.TemporaryDirectory(prefix="vt-") as root:
        world = World.make(Path(root))
        world.expected_log = ["a frame of another version waits in the inbox"]
        world.start()
        yield world
        world.end()
        for name in ("vibetea.db", "vibetea.db-wal", "daemon-0.log"):
            for path in (world.state / name, world.root / name):
                assert not path.exists() or MARKER not in path.read_bytes()


def with_part(good: bytes, part: bytes) -> bytes:
    """A document with one more part at its end, and the marker."""
    return good.rstrip()[:-1] + b', "note": "' + MARKER + b'", ' + part + b"}"


def variants(good: bytes, known_text: bytes, known_number: bytes) -> dict[str, tuple[bytes, str]]:
    """Bad documents made of a good one, and the reason each is counted under."""
    return {
        "empty": (b"  ", "unparsable"),
        "no JSON": (b"{" + MARKER + b"}", "unparsable"),
        "truncated": (with_part(good, b'"x": 1')[:-2], "unparsable"),
        "two documents": (with_part(good, b'"x": 1') + b"{}", "unparsable"),
        "a list": (b'["' + MARKER + b'"]', "shape"),
        "a string": (b'"' + MARKER + b'"', "shape"),
        "a number": (b"42", "shape"),
        "null": (b"null", "shape"),
        "an empty object": (b"{}", "shape"),
        "NaN": (with_part(good, b'"x": NaN'), "unparsable"),
        "NaN where a number is read": (with_part(good, known_number + b": NaN"), "unparsable"),
        "Infinity": (with_part(good, b'"x": -Infinity'), "unparsable"),
        "lone surrogate": (with_part(good, b'"x": "\\ud800"'), "unparsable"),
        "lone surrogate where text is read": (with_part(good, known_text + b': "\\udfff"'), "unparsable"),
        "lone surrogate as key": (with_part(good, b'"\\ud800": 1'), "unparsable"),
        "surrogate in UTF-8": (with_part(good, b'"x": "\xed\xa0\x80"'), "encoding"),
        "invalid UTF-8": (with_part(good, b'"x": "\xff"'), "encoding"),
        "invalid UTF-8 where text is read": (with_part(good, known_text + b': "\xff"'), "encoding"),
        "invalid UTF-8 as key": (with_part(good, b'"\xc3\x28": 1'), "encoding"),
        "100 000 deep": (with_part(good, b'"x": ' + DEEP), "depth"),
        "100 000 deep where text is read": (with_part(good, known_text + b": " + DEEP), "depth"),
        "100 000 deep and no end": (with_part(good, b'"x": ' + b"[" * 100_000), "depth"),
        "NUL byte in a text": (with_part(good, b'"x": "a\0b"'), "unparsable"),
        "NUL byte between": (with_part(good, b'\0"x": 1'), "unparsable"),
        "control character": (with_part(good, b'"x": "\x1b[31m"'), "unparsable"),
        "leading zero": (with_part(good, b'"x": 01'), "unparsable"),
        "bad escape": (with_part(good, b'"x": "\\q"'), "unparsable"),
    }


def harmless(good: bytes, known_text: bytes, known_number: bytes) -> dict[str, bytes]:
    """Documents that are odd in a place nobody reads, or of a value that counts as absent."""
    return {
        "5 000 digits": with_part(good, b'"x": ' + b"9" * 5000),
        "5 000 digits where a number is read": with_part(good, known_number + b": " + b"9" * 5000),
        "30 digits where a number is read": with_part(good, known_number + b": " + b"9" * 30),
        "1e400": with_part(good, b'"x": 1e400'),
        "1e400 where a number is read": with_part(good, known_number + b": 1e400"),
        "minus zero": with_part(good, known_number + b": -0"),
        "a fraction": with_part(good, known_number + b": 1.5"),
        "a negative number": with_part(good, known_number + b": -5"),
        "text where a number is read": with_part(good, known_number + b': "' + MARKER + b'"'),
        "an object where text is read": with_part(good, known_text + b': {"' + MARKER + b'": 1}'),
        "NUL escape": with_part(good, b'"x": "\\u0000"'),
        "NUL escape where text is read": with_part(good, known_text + b': "/\\u0000/' + MARKER + b' x"'),
        "duplicate keys": with_part(good, b'"note": 1, "x": {"x": 1, "x": 2}, ' + known_text + b': "/a/shop"'),
        "unknown fields": with_part(good, b'"' + MARKER + b'": {"' + MARKER + b'": ["' + MARKER + b'"]}'),
        "line and paragraph separators": with_part(good, '"x": "\u2028\u2029\u0085"'.encode()),
        "bidirectional and zero-width characters": with_part(good, '"x": "\u202e\u200b\ufeff"'.encode()),
    }


# hooks


def one_hook() -> tuple[Session, bytes]:
    session = Session()
    return session, json.dumps(
        hook(session, "PostToolUse", tool_name="Bash", tool_use_id="bad", tool_input={})
    ).encode()


BAD_HOOKS = variants(one_hook()[1], b'"cwd"', b'"duration_ms"') | {
    "byte order mark": (b"\xef\xbb\xbf" + one_hook()[1], "unparsable"),
    "no session": (b'{"hook_event_name": "Stop", "x": "' + MARKER + b'"}', "shape"),
    "session of another type": (with_part(one_hook()[1], b'"session_id": 5'), "shape"),
    "event of another type": (with_part(one_hook()[1], b'"hook_event_name": ["' + MARKER + b'"]'), "shape"),
    "empty session": (with_part(one_hook()[1], b'"session_id": ""'), "shape"),
    "50 MB": (b'{"x": "' + MARKER * 5_000_000 + b'"}', "oversize"),
}


@pytest.mark.parametrize("name", BAD_HOOKS)
def test_bad_hook_payload(shared: World, name: str) -> None:
    raw, reason = BAD_HOOKS[name]
    before = shared.counters().get(f"hook_{reason}", 0)
    session = Session()
    shared.hook(tool_hook(session, "before"))
    shared.hook(raw)
    shared.hook(tool_hook(session, "after"))
    expect_all_of(shared, session)
    wait_until(
        lambda: shared.counters().get(f"hook_{reason}", 0) == before + 1,
        lambda: f"hook_{reason} did not move by one: {shared.counters()}",
    )
    assert shared.inboxed() == []


HARMLESS = sorted(harmless(b"{}", b'"x"', b'"x"'))


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_hook_payload(shared: World, name: str) -> None:
    session, good = one_hook()
    session.keys.add(("tool", session.id, "bad", "completed"))
    before = shared.counters()
    shared.hook(harmless(good, b'"cwd"', b'"duration_ms"')[name])
    expect_all_of(shared, session)
    assert shared.counters() == before


def test_unknown_event_and_unknown_tool_pass_without_their_names(shared: World) -> None:
    session = Session()
    before = shared.counters()
    shared.hook(hook(session, MARKER.decode(), message=MARKER.decode()))
    shared.hook(hook(session, "PreToolUse", tool_name=MARKER.decode(), tool_use_id="t1", tool_input={}))
    rows = shared.query("select type, tool, state from events where session_id = ? order by seq", session.id)
    assert rows == [("activity", None, "other"), ("tool", "other", None)]
    for name in ("activity_unknown", "tool_unknown"):
        assert shared.counters()[name] == before.get(name, 0) + 1


# transcripts


def one_line() -> tuple[Session, bytes]:
    session = Session()
    line = session.line("user", promptId="p1", message={"role": "user", "content": "x"})
    return session, line


BAD_LINES = {
    name: case
    for name, case in variants(one_line()[1], b'"sessionId"', b'"apiErrorStatus"').items()
    if name != "empty"  # an empty line is none
} | {
    "no type": (b'{"message": "' + MARKER + b'"}', "shape"),
    "type of another type": (b'{"type": ["' + MARKER + b'"]}', "shape"),
    "unknown type": (b'{"type": "' + MARKER + b'"}', "unknown_line"),
    "no time": (b'{"type": "user", "message": "' + MARKER + b'"}', "timestamp"),
    "a time of its own kind": (with_part(one_line()[1], b'"timestamp": "' + MARKER + b'"'), "timestamp"),
    "a time without a zone": (with_part(one_line()[1], b'"timestamp": "2026-01-01T00:00:00"'), "timestamp"),
    "message of another type": (with_part(one_line()[1], b'"message": ["' + MARKER + b'"]'), "shape"),
    "content 100 000 deep": (with_part(one_line()[1], b'"message": {"content": ' + DEEP + b"}"), "depth"),
    "hole of zeros": (b"\0" * 4096 + one_line()[1].rstrip(), "unparsable"),
    "50 MB": (b'{"x": "' + MARKER * 5_000_000 + b'"}', "too_long"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_bad_line(shared: World, name: str) -> None:
    raw, reason = BAD_LINES[name]
    before = shared.counters().get(f"line_{reason}", 0)
    session = Session()
    shared.write(session, session.prompt(), raw, b"\n", session.answer())
    expect_all_of(shared, session)
    wait_until(
        lambda: shared.counters().get(f"line_{reason}", 0) == before + 1,
        lambda: f"line_{reason} did not move by one: {shared.counters()}",
    )


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_line(shared: World, name: str) -> None:
    session = Session()
    before = shared.counters()
    prompt = session.prompt()
    line = harmless(session.answer(), b'"cwd"', b'"apiErrorStatus"')[name]
    shared.write(session, prompt, line, b"\n", session.answer())
    expect_all_of(shared, session)
    assert shared.counters() == before


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z", "2999-01-01T00:00:00+14:00"]
)
def test_act_of_an_impossible_time_is_counted(shared: World, at: str) -> None:
    session = Session()
    before = shared.counters().get("act_timestamp", 0)
    impossible = session.line("assistant", timestamp=at, isApiErrorMessage=True)
    shared.write(session, session.prompt(), session.answer(), impossible, session.answer())
    expect_all_of(shared, session)
    if at > "2":
        assert shared.counters()["act_timestamp"] == before + 1


# frames


FRAMES = {
    "of a newer version": (frame(MARKER, version=2), "version"),
    "garbage": (MARKER * 100, "version"),
    "longer than allowed": (frame(MARKER, length=2**32 - 1), "oversize"),
    "of no length": (frame(b""), "oversize"),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "version"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_bad_frame_at_the_socket(shared: World, name: str) -> None:
    raw, reason = FRAMES[name]
    before = shared.counters().get(f"hook_{reason}", 0)
    answer = send(shared, raw)
    assert answer == (b"\x06" if name == "of no length" else b"")
    wait_until(lambda: shared.counters().get(f"hook_{reason}", 0) == before + 1, "it was not counted")
    session = Session()
    shared.hook(tool_hook(session, "after"))
    expect_all_of(shared, session)


@pytest.mark.parametrize("length", [0, 1, 8, 12, 13, 40])
def test_frame_cut_short_becomes_nothing(shared: World, length: int) -> None:
    """A hook killed while it writes: half a frame is never half an event, and its descriptor is given back."""
    session, lost = Session(), Session()
    raw = frame(tool_hook(lost, "cut"))
    for _ in range(20):
        assert send(shared, raw[:length]) == b""
    shared.hook(tool_hook(session, "after"))
    expect_all_of(shared, session)
    assert shared.query("select count(*) from events where session_id = ?", lost.id) == [(0,)]


def test_frame_that_never_ends_is_given_up(shared: World) -> None:
    session = Session()
    raw = frame(tool_hook(session, "slow"))
    assert send(shared, raw[:50], finish=False) == b""
    assert shared.query("select count(*) from events where session_id = ?", session.id) == [(0,)]


def test_frame_in_single_bytes(shared: World) -> None:
    from tests.daemon.frames import connect

    session = Session()
    with connect(shared) as connection:
        for byte in frame(tool_hook(session, "dripped")):
            connection.send(bytes([byte]))
        assert connection.recv(1) == b"\x06"
    expect_all_of(shared, session)


def test_bad_frames_in_the_inbox(shared: World) -> None:
    session = Session()
    before: dict[str, Any] = shared.counters()
    spool(shared, "1-1", b"")
    spool(shared, "1-2", frame(tool_hook(Session(), "cut"))[:-5])
    spool(shared, "1-3", frame(b"{" + MARKER + b"}"))
    spool(shared, "1-4", frame(tool_hook(Session(), "newer"), version=2))
    (shared.inbox / "1-5.frame").symlink_to("/etc/passwd")
    (shared.inbox / "1-6.frame").mkdir()
    spool(shared, "1-7", frame(tool_hook(session, "good")))
    expect_all_of(shared, session)
    wait_until(lambda: len(shared.inboxed()) == 3, lambda: str(shared.inboxed()))
    assert [path.stem for path in shared.inboxed()] == ["1-4", "1-5", "1-6"]
    after = shared.counters()
    assert after["hook_truncated"] == before.get("hook_truncated", 0) + 2
    assert after["hook_unparsable"] == before.get("hook_unparsable", 0) + 1
    (shared.inbox / "1-5.frame").unlink()
    (shared.inbox / "1-6.frame").rmdir()
    (shared.inbox / "1-4.frame").unlink()


def expect_all_of(world: World, session: Session) -> None:
    """Everything of this session is there, and nothing else of it."""
    key = world.key()

    def found() -> set[str]:
        return {row[0] for row in world.query("select id from events where session_id = ?", session.id)}

    wait_until(
        lambda: found() == session.ids(key),
        lambda: (
            f"{len(found())} of {len(session.keys)} there: "
            f"{world.query('select type, payload from events where session_id = ?', session.id)} {world.counters()}"
        ),
    )
