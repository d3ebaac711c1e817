"""Who may send: the variable's grammar, the keys file, two keys of a source, and keys that come and go meanwhile."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.relay.world import Sender, relaying

from vibetea_relay.errors import RelayConfigError
from vibetea_relay.keys import Registry, parse_variable, read_file

A, B, C = Sender("a"), Sender("b"), Sender("c")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.02)


# the variable


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", {}),
        (" , ,, ", {}),
        (f"a:{A.public}", {"a": (A.key,)}),
        (f" a : {A.public} ,b:{B.public},", {"a": (A.key,), "b": (B.key,)}),
        (f"a:{A.public},a:{B.public}", {"a": (B.key,)}),
        (f"a b:{A.public}", {"a b": (A.key,)}),
    ],
)
def test_variable(text: str, wanted: dict[str, tuple[bytes, ...]]) -> None:
    assert parse_variable(text) == wanted


@pytest.mark.parametrize(
    ("text", "blamed"),
    [
        ("desk:AAAA", "desk"),
        ("desk:", "desk"),
        (f"desk:x:{A.public}", "desk"),
        (f"desk:{A.public.rstrip('=')}", "desk"),
        (f"laptop:{B.public},desk:{A.public[:-2]}!=", "desk"),
        (A.public, "part 1"),
        (f"a:{A.public},:{A.public}", "part 2"),
    ],
)
def test_variable_that_cannot_be_used_names_the_source_and_no_key(text: str, blamed: str) -> None:
    with pytest.raises(RelayConfigError, match=blamed) as raised:
        parse_variable(text)
    assert "VIBETEA_PUBLIC_KEYS" in str(raised.value)
    assert A.public[:8] not in str(raised.value)


names = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":,#"), min_size=1)


@given(st.dictionaries(names, st.binary(min_size=32, max_size=32)), st.sampled_from([",", " , ", ",,"]))
def test_any_names_and_keys(keys: dict[str, bytes], comma: str) -> None:
    from base64 import b64encode

    text = comma.join(f"{source}:{b64encode(key).decode()}" for source, key in keys.items())
    assert parse_variable(text) == {source: (key,) for source, key in keys.items()}


# the file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_file(file: Path) -> None:
    file.write_text(f"# the office\n\na:{A.public}\n  a: {B.public}  # the new one\r\nb:{B.public}\nb:{B.public}\n")
    assert read_file(file) == {"a": (A.key, B.key), "b": (B.key,)}


@pytest.mark.parametrize(
    ("content", "blamed"),
    [
        (f"a:{A.public}\na:{B.public}\na:{C.public}\n".encode(), "more than 2 keys of a"),
        (f"a:{A.public}\nwhatever\n".encode(), "line 2"),
        (b"\ndesk:AAAA\n", "line 2: the key of desk"),
        (b"\xff\xfe", "UTF-8"),
        (b"", "names nobody"),
        (b"# nobody\n\n", "names nobody"),
        (None, "cannot be read"),
    ],
)
def test_file_that_cannot_be_used_at_the_start(file: Path, content: bytes | None, blamed: str) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RelayConfigError, match=blamed):
        Registry({}, file)


def test_file_is_looked_at_once_a_second_and_taken_when_it_stays_the_same(file: Path) -> None:
    clock = Clock()
    file.write_text(f"a:{A.public}\n")
    registry = Registry({}, file, clock)
    file.write_text(f"b:{B.public}\nc:{C.public}\n")
    for now in (0.9, 1.0, 1.9):
        clock.now = now
        assert registry.keys("a") == (A.key,)
    clock.now = 2.0
    assert (registry.keys("a"), registry.keys("b")) == ((), (B.key,))


def test_file_that_is_being_written_is_not_taken(file: Path) -> None:
    """Every look sees more of it, and every part is well-formed."""
    clock = Clock()
    file.write_text(f"a:{A.public}\nb:{B.public}\n")
    registry = Registry({}, file, clock)
    parts = [
        "",
        "# the off",
        "# the office\n",
        f"# the office\nb:{B.public}\n",
        f"# the office\nb:{B.public}\nc:{C.public}\n",
    ]
    for now, part in enumerate(parts, 1):
        clock.now = now
        file.write_text(part)
        assert (registry.keys("a"), registry.keys("c"), registry.stale) == ((A.key,), (), False)
    clock.now += 1
    assert (registry.keys("a"), registry.keys("b"), registry.keys("c")) == ((), (B.key,), (C.key,))


def test_file_that_was_written_a_while_ago_is_taken_at_the_first_look(file: Path) -> None:
    """Nobody sent anything since: the first who does may be the one whose key was taken back."""
    clock = Clock()
    file.write_text(f"a:{A.public}\n")
    registry = Registry({}, file, clock)
    file.write_text(f"b:{B.public}\n")
    os.utime(file, (time.time() - 2, time.time() - 2))
    clock.now = 1
    assert (registry.keys("a"), registry.keys("b")) == ((), (B.key,))


@pytest.mark.parametrize("content", ["", "# nobody\n"])
def test_file_that_names_nobody_is_broken(file: Path, content: str) -> None:
    clock = Clock()
    file.write_text(f"a:{A.public}\n")
    registry = Registry({}, file, clock)
    file.write_text(content)
    for clock.now in (1, 2):
        assert registry.keys("a") == (A.key,)
    assert registry.stale


@pytest.mark.parametrize("content", [f"b:{B.public}\n", f"b:{B.public}\n# and nobody else\n"], ids=["inode", "size"])
def test_change_that_keeps_the_time_is_seen(file: Path, content: str) -> None:
    """A coarse clock, or a tool that copies times: another file of the same size, or the same file with another."""
    clock = Clock()
    file.write_text(f"a:{A.public}\n")
    found = file.stat()
    registry = Registry({}, file, clock)
    other = file.with_suffix(".new") if len(content) == found.st_size else file
    other.write_text(content)
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.replace(file)
    for clock.now in (1, 2):
        registry.look()
    assert (registry.keys("a"), registry.keys("b")) == ((), (B.key,))


def test_broken_file_keeps_the_last_good_keys_and_is_told_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    file.write_text(f"a:{A.public}\n")
    registry = Registry({}, file, clock)
    for now, content in enumerate([f"b:{B.public}x\n", None, None, None, f"b:{B.public}\n", None], 1):
        clock.now = now
        if content:
            file.write_text(content)
        held = registry.keys("a")
        assert (held, registry.stale) == (((A.key,), now > 1) if now < 6 else ((), False))
    assert [record.levelname for record in caplog.records if record.name.startswith("vibetea")] == ["ERROR"]
    assert B.public not in caplog.text


def test_file_that_went_away_keeps_its_keys(file: Path) -> None:
    clock = Clock()
    file.write_text(f"a:{A.public}\n")
    registry = Registry({}, file, clock)
    file.unlink()
    for clock.now in (1, 2):
        assert registry.keys("a") == (A.key,)
    assert registry.stale
    file.write_text(f"b:{B.public}\n")
    for clock.now in (3, 4):
        registry.look()
    assert (registry.keys("a"), registry.stale) == ((), False)


# through the relay


async def test_both_keys_of_a_source_are_good(file: Path) -> None:
    old, new = Sender("laptop", b"o" * 32), Sender("laptop", b"n" * 32)
    file.write_text(f"laptop:{old.public}\nlaptop:{new.public}\n")
    async with relaying(keys_file=file) as relay:
        for number, sender in enumerate((old, new, old)):
            assert (await relay.send(sender, sender.body(number))).status == 202
        refused = await relay.send(Sender("laptop", b"x" * 32), b"[]")
        assert refused.code == "invalid_signature"


async def test_key_is_added_revoked_and_a_broken_file_survived_without_a_restart(file: Path) -> None:
    """1. One key. 2. A second is added. 3. The first is revoked, by a new file renamed into place. 4. A broken file."""
    file.write_text(f"a:{A.public}\n")
    async with relaying(keys_file=file) as relay:

        async def is_answered(sender: Sender, status: int) -> bool:
            return (await relay.send(sender, b"[]")).status == status

        async def keys_are(state: str) -> bool:
            return (await relay.get("/health")).json["keys"] == state

        assert await is_answered(A, 202)
        assert await is_answered(B, 401)
        file.write_text(f"a:{A.public}\nb:{B.public}\n")
        await until(lambda: is_answered(B, 202))
        assert await is_answered(A, 202)

        replacement = file.with_suffix(".new")
        replacement.write_text(f"b:{B.public}\n")
        replacement.replace(file)
        await until(lambda: is_answered(A, 401))
        assert await is_answered(B, 202)

        assert await keys_are("ok")
        file.write_text("b:broken\n")
        await until(lambda: keys_are("stale"))
        assert await is_answered(B, 202)
