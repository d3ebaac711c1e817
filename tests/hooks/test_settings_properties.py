"""Settings nobody thought of, and somebody else editing them at the same moment."""

from __future__ import annotations

import json
import subprocess
import tempfile
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibetea_hooks import entries, target
from vibetea_hooks.settings import SettingsError, install, installed, uninstall

from .conftest import PYTHON

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
handlers = st.fixed_dictionaries(
    {"type": st.just("command"), "command": st.text(max_size=10)},
    optional={"timeout": st.integers(1, 600), "args": st.lists(st.text(max_size=5), max_size=2)},
)
groups = st.fixed_dictionaries(
    {"hooks": st.lists(handlers, max_size=3)}, optional={"matcher": st.text(max_size=6), "x": values}
)
hooks = st.dictionaries(
    st.sampled_from([*entries.EVENTS, "WorktreeCreate", "Tomorrow"]), st.lists(groups, max_size=3), max_size=5
)
documents = st.dictionaries(st.text(max_size=8).filter(lambda key: key != "hooks"), values, max_size=4).flatmap(
    lambda rest: st.fixed_dictionaries({}, optional={"hooks": hooks}).flatmap(
        lambda ours: st.permutations([*rest.items(), *ours.items()]).map(dict)
    )
)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A settings file in any of the layouts that programs write."""
    text = json.dumps(
        draw(documents),
        indent=draw(st.sampled_from([None, 0, 1, 2, 4, "\t"])),
        ensure_ascii=draw(st.booleans()),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")])),
    )
    text += draw(st.sampled_from(["", "\n", "\n\n", " "]))
    text = text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))
    return (draw(st.sampled_from(["", "\ufeff"])) + text).encode(errors="surrogatepass")


def is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def as_data(content: bytes) -> dict[str, object]:
    document = json.loads(content.decode("utf-8-sig"))
    assert isinstance(document, dict)
    return document


@given(files().filter(is_utf8))
@settings(deadline=None, max_examples=120)
def test_install_and_uninstall_are_inverse_and_touch_nothing_else(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as top:
        file, state = Path(top) / "settings.json", Path(top) / "state"
        file.write_bytes(content)
        install(file, state)
        mixed = file.read_bytes()
        assert installed(file) == entries.EVENTS
        assert not install(file, state).changed
        assert file.read_bytes() == mixed

        file.write_bytes(mixed + b" ")  # somebody else's edit: the record no longer holds
        uninstall(file, state)
        assert json.dumps(as_data(file.read_bytes())) == json.dumps(as_data(content))

        file.write_bytes(mixed)
        install(file, state)
        file.write_bytes(content)
        install(file, state)
        uninstall(file, state)
        assert file.read_bytes() == content


@given(files().filter(is_utf8), st.data())
@settings(deadline=None, max_examples=60)
def test_a_truncated_file_is_never_written(content: bytes, data: st.DataObject) -> None:
    whole = content.rstrip()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with tempfile.TemporaryDirectory() as top:
        file, state = Path(top) / "settings.json", Path(top) / "state"
        file.write_bytes(cut)
        with pytest.raises(SettingsError):
            install(file, state)
        assert file.read_bytes() == cut


EDITOR = textwrap.dedent("""
    # Adds one number at a time to the list in the settings and looks whether the last one is still there.
    import json, os, random, sys, threading, time
    path, stop = sys.argv[1], threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    count = lost = 0
    while not stop.is_set():
        document = json.load(open(path))
        lost += document["mine"] != list(range(count))
        document["mine"] = list(range(count := count + 1))
        with open(path + ".new", "w") as file:
            json.dump(document, file, indent=2)
        os.replace(path + ".new", path)
        time.sleep(random.uniform(0.005, 0.03))
    print(count, lost)
""")


def test_no_edit_of_a_program_that_writes_all_the_time_is_lost(tmp_path: Path) -> None:
    """1. An editor changes the file every few milliseconds. 2. We come and go. Result: its every edit is there."""
    file, state = tmp_path / "settings.json", tmp_path / "state"
    file.write_text('{"mine": []}')
    with subprocess.Popen(
        [PYTHON, "-W", "ignore", "-c", EDITOR, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as editor:
        edits, deadline = 0, time.monotonic() + 60
        while edits < 60 and time.monotonic() < deadline:
            for act in (install, uninstall):
                with suppress(SettingsError):  # on a busy machine the other one may always be quicker
                    act(file, state)
                mine = as_data(file.read_bytes())["mine"]
                assert isinstance(mine, list)
                edits = len(mine)
        output, _ = editor.communicate()
    count, lost = map(int, output.split())
    assert count >= 60
    assert lost == 0
    assert as_data(file.read_bytes())["mine"] == list(range(count))


@pytest.mark.parametrize("platform", ["linux", "other"])
def test_an_edit_that_comes_while_we_write_is_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    """1. We have read and planned. 2. Another program replaces the file. Result: its edit and our hooks."""
    file, state = tmp_path / "settings.json", tmp_path / "state"
    file.write_text("{}")
    really_write = target.write
    edits = iter(['{"first": 1}', '{"first": 1, "second": 2}'])

    def write_and_be_overtaken(path: Path, content: bytes, mode: int = 0o600, like: Path | None = None) -> None:
        really_write(path, content, mode, like)
        if like == file and (edit := next(edits, None)) is not None:
            file.write_text(edit)

    monkeypatch.setattr(target, "write", write_and_be_overtaken)
    monkeypatch.setattr(target.sys, "platform", platform)
    install(file, state)
    assert as_data(file.read_bytes()).keys() == {"first", "second", "hooks"}
    assert installed(file) == entries.EVENTS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["settings.json", "state"]


def test_a_file_made_while_we_make_one_is_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, state = tmp_path / "settings.json", tmp_path / "state"
    really_write = target.write

    def write_second(path: Path, content: bytes, mode: int = 0o600, like: Path | None = None) -> None:
        really_write(path, content, mode, like)
        if like == file and not file.exists():
            file.write_text('{"mine": 1}')

    monkeypatch.setattr(target, "write", write_second)
    install(file, state)
    assert as_data(file.read_bytes()).keys() == {"mine", "hooks"}
    uninstall(file, state)
    assert file.read_text() == '{"mine": 1}'


def test_an_edit_within_the_exchange_itself_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1. The last comparison was equal. 2. Another program replaces the file. Result: put back, and merged."""
    file, state = tmp_path / "settings.json", tmp_path / "state"
    file.write_text("{}")
    really_rename = target._rename
    edits = iter(['{"mine": 1}'])

    def rename_second(source: Path, to: Path, flag: int) -> bool:
        if (edit := next(edits, None)) is not None:
            file.write_text(edit)
        return really_rename(source, to, flag)

    monkeypatch.setattr(target, "_rename", rename_second)
    install(file, state)
    assert as_data(file.read_bytes()).keys() == {"mine", "hooks"}


def test_settings_that_never_rest_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, state = tmp_path / "settings.json", tmp_path / "state"
    file.write_text("{}")
    really_write = target.write
    number = iter(range(1000))

    def write_and_be_overtaken(path: Path, content: bytes, mode: int = 0o600, like: Path | None = None) -> None:
        really_write(path, content, mode, like)
        if like == file:
            file.write_text(json.dumps({"n": next(number)}))

    monkeypatch.setattr(target, "write", write_and_be_overtaken)
    with pytest.raises(SettingsError, match="being changed all the time"):
        install(file, state)
    assert as_data(file.read_bytes()).keys() == {"n"}
