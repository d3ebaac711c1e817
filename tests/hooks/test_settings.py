"""Installing into, and leaving, settings files of every kind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vibetea_hooks import entries
from vibetea_hooks.settings import (
    SettingsError,
    check,
    install,
    installed,
    settings_path,
    switched_off,
    uninstall,
)

from .conftest import PYTHON, Home, run

PRETTY = {
    "model": "opus",
    "permissions": {"allow": ["Bash(git:*)"]},
    "hooks": {
        "Stop": [{"matcher": "", "hooks": [{"type": "command", "command": "say done"}]}],
        "PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "guard", "timeout": 10}]}],
    },
    "zzz": None,
}


def pretty(indent: int | str = 2, **how: object) -> bytes:
    return json.dumps(PRETTY, indent=indent, **how).encode()  # type: ignore[arg-type]


ACCEPTED = {
    "empty object": b"{}",
    "empty object, newline": b"{}\n",
    "empty object, odd blanks": b" \n{ \t\n } \n\n",
    "two spaces": pretty(2) + b"\n",
    "four spaces": pretty(4) + b"\n",
    "tabs": pretty("\t") + b"\n",
    "no indentation": pretty("") + b"\n",
    "no newline at the end": pretty(),
    "three newlines at the end": pretty() + b"\n\n\n",
    "CRLF": pretty().replace(b"\n", b"\r\n") + b"\r\n",
    "one line": json.dumps(PRETTY).encode(),
    "one tight line": json.dumps(PRETTY, separators=(",", ":")).encode(),
    "byte order mark": b"\xef\xbb\xbf" + pretty(),
    "commas first": b'{ "a": 1\n, "hooks": { "Stop": [ ]\n  , "Setup": []\n  }\n}\n',
    "blanks everywhere": b'{\n\n  "a" :  1 ,\n\n\n  "hooks" : { "Stop" : [ ] , "Other" : [ { } ] }\n\n}',
    "hooks on one line of many": b'{\n  "hooks": {"Stop": [{"hooks": []}], "Other": []},\n  "model": "x"\n}\n',
    "a group on one line of many": b'{\n\t"hooks": {\n\t\t"Stop": [{"matcher": "", "hooks": []}]\n\t}\n}\n',
    "hooks empty": b'{"hooks": {}}',
    "hooks first": b'{\n  "hooks": {\n    "Stop": []\n  },\n  "model": "x"\n}\n',
    "literal and escaped letters": '{\n  "é": "caf\\u00e9 ☕ \\/ \\ud83d\\ude00 \u2028"\n}'.encode(),
    "a lone surrogate": b'{"a": "\\ud800"}',
    "numbers as written": b'{"a": 1.0, "b": 1E2, "c": -0, "d": 12345678901234567890, "e": 1e400, "f": '
    + b"9" * 5000
    + b"}",
    "duplicate keys of the user's own": b'{"a": 1, "a": 2}',
    "braces and quotes in strings": b'{"a": "}{][\\"hooks\\": //", "b\\"": {"hooks": {"Stop": "no"}}}',
    "hooks deeper down": b'{"x": {"hooks": {"Stop": []}}, "hooks": {"Stop": [{"hooks": []}]}}',
    "groups of unknown shape": b'{"hooks": {"Stop": [null, 1, {"hooks": "x"}, {"hooks": [1, {"args": [1]}]}], "A": 5}}',
    "unknown events": b'{"hooks": {"Tomorrow": [{"hooks": []}], "FileChanged": [{"matcher": "x", "hooks": []}]}}',
    "large": json.dumps({f"k{n}": ["x" * 50] * 10 for n in range(500)}, indent=2).encode(),
}

REFUSED = {
    "empty": (b"", "it is empty"),
    "blanks": (b" \n\t", "it is empty"),
    "byte order mark only": (b"\xef\xbb\xbf", "it is empty"),
    "line comment": (b'{\n  // mine\n  "a": 1\n}', "line 2"),
    "block comment": (b'/* mine */ {"a": 1}', "line 1"),
    "trailing comma": (b'{\n  "a": 1,\n}', "line [23]"),
    "truncated": (b'{\n  "hooks": {', "line 2"),
    "single quotes": (b"{'a': 1}", "line 1"),
    "two documents": (b"{}\n{}", "line 2"),
    "a list": (b"[]", "must hold an object"),
    "null": (b"null", "must hold an object"),
    "hooks a list": (b'{"hooks": []}', '"hooks" must be an object'),
    "hooks null": (b'{"hooks": null}', '"hooks" must be an object'),
    "event an object": (b'{"hooks": {"Stop": {}}}', '"Stop" in its "hooks" must be a list'),
    "event null": (b'{"hooks": {"Stop": null}}', '"Stop" in its "hooks" must be a list'),
    "hooks twice": (b'{"hooks": {}, "hooks": {}}', '"hooks" stands in it twice'),
    "event twice": (b'{"hooks": {"Stop": [], "Stop": []}}', '"Stop" stands in it twice'),
    "NaN": (b'{"a": NaN}', "NaN is not JSON"),
    "nested too deeply": (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    "not UTF-8": (b'{\n"a": "\xff"}', "line 2 is not UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "a raw control character": (b'{"a": "\x01"}', "line 1"),
}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A settings file that does not exist yet, in a folder that does."""
    (tmp_path / ".claude").mkdir()
    return tmp_path / ".claude" / "settings.json"


@pytest.fixture
def pretty_file(file: Path) -> Path:
    file.write_bytes(pretty())
    return file


def without_ours(document: object) -> object:
    """The document as its user sees it: our handlers, and what only they filled, taken out."""
    assert isinstance(document, dict)
    hooks = {}
    for event, groups in document.get("hooks", {}).items():
        left = []
        for group in groups if isinstance(groups, list) else []:
            handlers = group.get("hooks") if isinstance(group, dict) else None
            theirs = [one for one in handlers if not entries.is_ours(one)] if isinstance(handlers, list) else None
            if theirs is None or theirs == handlers:
                left.append(group)
        hooks[event] = left if isinstance(groups, list) else groups
    return {**{key: value for key, value in document.items() if key != "hooks"}, "hooks": hooks}


def names(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.iterdir())


def as_data(content: bytes) -> object:
    return json.loads(content.decode("utf-8-sig"), parse_int=float)


@pytest.mark.parametrize("content", [pytest.param(content, id=name) for name, content in ACCEPTED.items()])
def test_in_and_out_again(file: Path, state: Path, content: bytes) -> None:
    file.write_bytes(content)
    change = install(file, state)
    after = file.read_bytes()

    assert change.changed
    (backup,) = (state / "settings").glob("*.backup")
    assert backup.read_bytes() == content
    assert str(backup) in change.messages[1]
    assert installed(file) == entries.EVENTS
    theirs, mixed = as_data(content), as_data(after)
    assert isinstance(theirs, dict)
    assert isinstance(mixed, dict)
    assert list(mixed) == list(dict.fromkeys([*theirs, "hooks"]))
    present = without_ours(mixed)
    assert isinstance(present, dict)
    added_events = {event: [] for event in entries.EVENTS if event not in theirs.get("hooks", {})}
    assert present == {**theirs, "hooks": {**theirs.get("hooks", {}), **added_events}}

    again = install(file, state)
    assert not again.changed
    assert file.read_bytes() == after

    assert uninstall(file, state).changed
    assert file.read_bytes() == content
    assert not uninstall(file, state).changed


@pytest.mark.parametrize("content", [pytest.param(content, id=name) for name, content in ACCEPTED.items()])
def test_out_by_marker_when_the_user_has_edited_since(file: Path, state: Path, content: bytes) -> None:
    file.write_bytes(content)
    install(file, state)
    file.write_bytes(file.read_bytes() + b"\n")
    uninstall(file, state)
    assert as_data(file.read_bytes()) == as_data(content)
    assert file.read_bytes().endswith(b"\n")


@pytest.mark.parametrize(("content", "reason"), [pytest.param(*case, id=name) for name, case in REFUSED.items()])
def test_left_as_it_is(file: Path, state: Path, content: bytes, reason: str) -> None:
    file.write_bytes(content)
    for act in (install, uninstall):
        with pytest.raises(SettingsError, match=reason) as error:
            act(file, state)
        assert str(file) in str(error.value)
        assert "\n" not in str(error.value)
        with pytest.raises(SettingsError, match=reason):
            act(file, state, dry_run=True)
    assert file.read_bytes() == content
    assert names(file.parent) == ["settings.json"]


def test_only_whole_lines_are_added(pretty_file: Path, state: Path) -> None:
    before = pretty_file.read_text().splitlines()
    install(pretty_file, state)
    after = iter(pretty_file.read_text().splitlines())
    assert all(any(line in (other, other.removesuffix(",")) for other in after) for line in before)


@pytest.mark.parametrize("groups", ['"Stop": [{"hooks": []}]', '"Other": [], "Setup": []', ""])
def test_a_line_of_hooks_in_a_document_of_many_lines_is_gone_on_with_in_new_lines(
    file: Path, state: Path, groups: str
) -> None:
    before = f'{{\n    "model": "x",\n    "hooks": {{{groups}}}\n}}\n'
    file.write_text(before)
    install(file, state)
    lines = file.read_text().splitlines()
    assert lines[2].startswith(f'    "hooks": {{{groups[:10]}')
    new = [event for event in entries.EVENTS if f'"{event}"' not in groups]
    assert [line for line in lines if any(f'"{event}": [' in line for event in new)] == [
        f'        "{event}": [' for event in new
    ]
    file.write_text(file.read_text() + "\n")
    uninstall(file, state)
    assert file.read_text() == before + "\n"


def test_the_layout_is_the_users(file: Path, state: Path) -> None:
    """What the standard library would have written in the same style is what comes out."""
    for indent, ending in ((2, "\n"), (4, ""), ("\t", "\n"), (None, "")):
        file.write_text(json.dumps(PRETTY, indent=indent) + ending)
        install(file, state)
        assert file.read_text() == json.dumps(json.loads(file.read_text()), indent=indent) + ending


# ---- what is registered


def test_the_registered_command_delivers(home: Home, file: Path) -> None:
    install(file, home.path)
    for groups in json.loads(file.read_bytes())["hooks"].values():
        ((entry,),) = [group["hooks"] for group in groups]
        assert entry["type"] == "command"
    assert run([entry["command"], *entry["args"]], input=b"{}") == (0, b"", b"")
    assert [payload for _, payload in home.spooled()] == [b"{}"]


def test_dangerous_events_are_never_registered(file: Path, state: Path) -> None:
    install(file, state)
    assert not {"WorktreeCreate", "MessageDisplay", "FileChanged"} & set(installed(file))
    assert len(set(entries.EVENTS)) == len(entries.EVENTS)


def test_the_interpreter_is_the_base_one(file: Path, state: Path) -> None:
    install(file, state)
    command = json.loads(file.read_bytes())["hooks"]["Stop"][0]["hooks"][0]["command"]
    assert Path(command).is_absolute()
    status, output, _ = run([command, "-I", "-S", "-c", "import sys; print(sys.prefix == sys.base_prefix)"])
    assert (status, output) == (0, b"True\n")


def told_interpreter(python: Path) -> str:
    code = "from vibetea_hooks.entries import interpreter; print(interpreter())"
    status, output, errors = run([str(python), "-c", code], env={"PYTHONPATH": str(Path(entries.__file__).parents[1])})
    assert (status, errors) == (0, b"")
    return output.decode().rstrip("\n")


@pytest.mark.parametrize("option", ["--symlinks", "--copies"])
@pytest.mark.parametrize("linked", ["prefix", "program"])
def test_the_interpreter_keeps_the_name_that_an_upgrade_keeps(tmp_path: Path, option: str, linked: str) -> None:
    """1. A package manager links to the version it has. 2. An environment is made. Result: the link, not its target."""
    stable = tmp_path / "opt/bin/python3"
    if linked == "prefix":
        stable.parent.parent.symlink_to(Path(PYTHON).parents[1])
    else:
        stable.parent.mkdir(parents=True)
        stable.symlink_to(PYTHON)
    environment = tmp_path / "environment"
    assert told_interpreter(stable) == str(stable)
    status, _, errors = run([str(stable), "-m", "venv", "--without-pip", option, str(environment)])
    assert (status, errors) == (0, b"")
    told = told_interpreter(environment / "bin/python3")
    if linked == "prefix" or option == "--symlinks":
        assert Path(told).parent == stable.parent
    shutil.rmtree(environment)
    assert run([told, "-I", "-S", "-c", "import sys; print(sys.prefix == sys.base_prefix)"]) == (0, b"True\n", b"")


def test_the_interpreter_is_no_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = tmp_path / "python3"
    shim.write_text(f"#!/bin/sh\nexec '{PYTHON}' \"$@\"\n")
    shim.chmod(0o700)
    for name in ("executable", "_base_executable"):
        monkeypatch.setattr(sys, name, str(shim))
    assert Path(entries.interpreter()).samefile(PYTHON)


def test_a_name_for_the_shell_stays_a_name(file: Path, tmp_path: Path) -> None:
    state = tmp_path / "a b $(touch hacked) 'q' \"é"
    install(file, state)
    entry = json.loads(file.read_bytes())["hooks"]["Stop"][0]["hooks"][0]
    assert entry["args"] == ["-I", "-S", "-c", entries.STARTER, f"{state}/vibetea-emit.py"]
    assert uninstall(file, state).changed
    assert not file.exists()


def test_a_state_directory_json_cannot_name_is_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not UTF-8"):
        install(file, tmp_path / os.fsdecode(b"\xff"))
    assert not file.exists()


def test_an_older_entry_of_ours_is_brought_up_to_date_in_its_place(pretty_file: Path, state: Path) -> None:
    install(pretty_file, state)
    expected = pretty_file.read_bytes()
    pretty_file.write_bytes(expected.replace(b"python3", b"python2").replace(str(state).encode(), b"/old place"))
    assert check(pretty_file, state)
    assert install(pretty_file, state).changed
    assert as_data(pretty_file.read_bytes()) == as_data(expected)
    assert not check(pretty_file, state)


def test_an_entry_that_names_the_script_to_python_itself_is_ours_too(pretty_file: Path, state: Path) -> None:
    """The form of the first versions, which blocks Claude Code once the script is gone."""
    install(pretty_file, state)
    current = pretty_file.read_bytes()
    former = current.replace(b'        "-c",\n', b"").replace(json.dumps(entries.STARTER).encode() + b",", b"")
    assert former.count(b"-c") == former.count(b"posix") == 0
    pretty_file.write_bytes(former)
    assert installed(pretty_file) == entries.EVENTS
    assert check(pretty_file, state) == (f"The command registered in {pretty_file} is out of date",)
    assert install(pretty_file, state).changed
    assert as_data(pretty_file.read_bytes()) == as_data(current)
    pretty_file.write_bytes(former)
    assert uninstall(pretty_file, state).changed
    assert json.loads(pretty_file.read_bytes()) == PRETTY


def test_leaving_after_an_upgrade_of_python_still_restores_every_byte(
    file: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b'{ "hooks" : { "Stop" : [ ] } }'
    file.write_bytes(content)
    install(file, state)
    (tmp_path / "python3.99").symlink_to(PYTHON)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3.99"))
    assert any("out of date" in fault for fault in check(file, state))
    assert install(file, state).changed
    assert not install(file, state).changed
    assert b"/python3.99" in file.read_bytes()
    uninstall(file, state)
    assert file.read_bytes() == content


def test_a_handler_of_ours_in_a_group_of_the_users_is_taken_out_alone(pretty_file: Path, state: Path) -> None:
    install(pretty_file, state)
    document = json.loads(pretty_file.read_bytes())
    ours = document["hooks"]["Stop"].pop()["hooks"]
    document["hooks"]["Stop"][0]["hooks"] += ours
    pretty_file.write_text(json.dumps(document, indent=2))
    assert not install(pretty_file, state).changed
    uninstall(pretty_file, state)
    assert json.loads(pretty_file.read_bytes()) == PRETTY


def test_a_narrowed_matcher_of_ours_is_widened_again(pretty_file: Path, state: Path) -> None:
    install(pretty_file, state)
    document = json.loads(pretty_file.read_bytes())
    document["hooks"]["PreToolUse"][1]["matcher"] = "Bash"
    pretty_file.write_text(json.dumps(document, indent=2))
    assert install(pretty_file, state).changed
    assert json.loads(pretty_file.read_bytes())["hooks"]["PreToolUse"][1].get("matcher", "") == ""


def test_edits_made_since_survive_leaving(pretty_file: Path, state: Path) -> None:
    install(pretty_file, state)
    document = json.loads(pretty_file.read_bytes())
    document["env"] = {"A": "é"}
    document["hooks"]["Stop"].insert(0, {"hooks": [{"type": "command", "command": "new"}]})
    pretty_file.write_text(json.dumps(document, indent=4, ensure_ascii=False))
    uninstall(pretty_file, state)
    left = json.loads(pretty_file.read_bytes())
    assert left.pop("env") == {"A": "é"}
    assert left["hooks"]["Stop"].pop(0)["hooks"][0]["command"] == "new"
    assert left == PRETTY


# ---- the file itself


def test_a_file_and_a_folder_we_made_are_removed_again(tmp_path: Path, state: Path) -> None:
    file = settings_path("project", tmp_path / "unused", tmp_path)
    install(file, state)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert uninstall(file, state).changed
    assert not file.parent.exists()


def test_a_folder_we_made_stays_when_it_is_used(tmp_path: Path, state: Path) -> None:
    file = settings_path("local", tmp_path / "unused", tmp_path)
    install(file, state)
    (file.parent / "agents").mkdir()
    uninstall(file, state)
    assert names(file.parent) == ["agents"]


def test_a_file_removed_since_is_nothing_to_do(file: Path, state: Path) -> None:
    install(file, state)
    file.unlink()
    assert not uninstall(file, state).changed
    assert installed(file) == ()


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640, 0o755])
def test_the_mode_stays(pretty_file: Path, state: Path, mode: int) -> None:
    pretty_file.chmod(mode)
    install(pretty_file, state)
    assert pretty_file.stat().st_mode & 0o777 == mode
    uninstall(pretty_file, state)
    assert pretty_file.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_what_we_make_is_private_under_any_umask(file: Path, state: Path, umask: int) -> None:
    former = os.umask(umask)
    try:
        install(file, state)
    finally:
        os.umask(former)
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / "vibetea-emit.py").stat().st_mode & 0o777 == 0o500
    assert file.stat().st_mode & 0o777 == 0o600
    assert all(kept.stat().st_mode & 0o077 == 0 for kept in state.rglob("*"))


def test_a_link_is_written_through(pretty_file: Path, state: Path, tmp_path: Path) -> None:
    dotfiles = tmp_path / "dotfiles"
    dotfiles.mkdir()
    pretty_file.rename(dotfiles / "claude.json")
    (tmp_path / "middle").symlink_to("dotfiles/claude.json")
    pretty_file.symlink_to("../middle")
    install(pretty_file, state)
    assert pretty_file.readlink() == Path("../middle")
    assert installed(dotfiles / "claude.json") == entries.EVENTS
    assert names(dotfiles) == ["claude.json"]
    uninstall(pretty_file, state)
    assert (dotfiles / "claude.json").read_bytes() == pretty()
    assert pretty_file.is_symlink()


def test_a_link_to_nothing_is_written_through(file: Path, state: Path, tmp_path: Path) -> None:
    file.symlink_to(tmp_path / "new.json")
    install(file, state)
    assert installed(tmp_path / "new.json") == entries.EVENTS
    uninstall(file, state)
    assert file.is_symlink()
    assert not (tmp_path / "new.json").exists()


def test_what_is_no_file_is_refused(file: Path, state: Path, tmp_path: Path) -> None:
    file.symlink_to(file)
    with pytest.raises(SettingsError, match="leads nowhere"):
        install(file, state)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(SettingsError, match="is not a file"):
        install(file, state)
    with pytest.raises(SettingsError, match="is not a file"):
        install(tmp_path, state)
    with pytest.raises(SettingsError, match="nothing was changed"):
        install(tmp_path / "no" / "such" / "settings.json", state)


def test_a_read_only_file_is_refused(pretty_file: Path, state: Path) -> None:
    pretty_file.chmod(0o444)
    with pytest.raises(SettingsError, match="chmod u\\+w"):
        install(pretty_file, state)
    assert pretty_file.read_bytes() == pretty()


@pytest.mark.usefixtures("as_root")
def test_another_users_file_or_link_is_refused(pretty_file: Path, state: Path, tmp_path: Path) -> None:
    os.chown(pretty_file, 65534, 65534)
    link = tmp_path / "link"
    link.symlink_to(pretty_file)
    for path in (pretty_file, link):
        with pytest.raises(SettingsError, match="belongs to another user"):
            install(path, state)
    os.chown(pretty_file, 0, 0)
    os.chown(link, 65534, 65534, follow_symlinks=False)
    with pytest.raises(SettingsError, match="belongs to another user"):
        install(link, state)
    assert pretty_file.read_bytes() == pretty()


@pytest.mark.usefixtures("as_root")
def test_the_group_stays(pretty_file: Path, state: Path) -> None:
    os.chown(pretty_file, -1, 65534)
    install(pretty_file, state)
    assert pretty_file.stat().st_gid == 65534


@pytest.mark.usefixtures("as_root")
def test_a_full_disk_leaves_the_file_as_it_is(tmp_path: Path, state: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], check=True)
    try:
        (disk / "settings.json").write_bytes(pretty())
        (disk / "filler").write_bytes(bytes(8192))
        with pytest.raises(SettingsError, match="No space left"):
            install(disk / "settings.json", state)
        assert (disk / "settings.json").read_bytes() == pretty()
        assert names(disk) == ["filler", "settings.json"]
    finally:
        subprocess.run(["umount", disk], check=True)


# ---- the state directory


def test_a_dry_run_writes_nothing(file: Path, pretty_file: Path, state: Path, tmp_path: Path) -> None:
    change = install(pretty_file, state, dry_run=True)
    assert change.changed
    assert f"+++ {pretty_file}" in change.diff
    assert all(f'+    "{event}": [' in change.diff for event in entries.EVENTS if event not in PRETTY["hooks"])  # type: ignore[operator]
    assert names(tmp_path) == [".claude"]
    assert pretty_file.read_bytes() == pretty()

    real = install(pretty_file, state)
    assert real.diff == change.diff
    assert uninstall(pretty_file, state, dry_run=True).diff.count("\n-") > len(entries.EVENTS)
    assert installed(pretty_file) == entries.EVENTS


def test_a_dry_run_shows_a_file_that_would_be_made(file: Path, state: Path) -> None:
    assert install(file, state, dry_run=True).diff.startswith(f"--- /dev/null\n+++ {file}\n")
    assert not file.exists()


def test_leaving_works_when_the_state_directory_is_gone(pretty_file: Path, state: Path) -> None:
    install(pretty_file, state)
    subprocess.run(["rm", "-r", state], check=True)
    change = uninstall(pretty_file, state)
    assert change.messages == (f"Changed {pretty_file}.",)
    assert json.loads(pretty_file.read_bytes()) == PRETTY
    assert not state.exists()


def test_a_spoilt_record_is_as_good_as_none(pretty_file: Path, state: Path) -> None:
    install(pretty_file, state)
    for record in (state / "settings").glob("*.json"):
        record.write_bytes(b'{"before": 5}')
    uninstall(pretty_file, state)
    assert json.loads(pretty_file.read_bytes()) == PRETTY


def test_an_altered_script_is_noticed_and_renewed(pretty_file: Path, state: Path) -> None:
    install(pretty_file, state)
    script = state / "vibetea-emit.py"
    script.chmod(0o700)
    assert any("missing or altered" in fault for fault in check(pretty_file, state))
    script.write_text("print('hi')")
    assert not install(pretty_file, state).changed
    assert not check(pretty_file, state)
    assert script.stat().st_mode & 0o777 == 0o500


def test_a_state_directory_others_can_write_to_is_refused(pretty_file: Path, state: Path) -> None:
    state.mkdir()
    state.chmod(0o777)
    with pytest.raises(SettingsError, match="chmod 700"):
        install(pretty_file, state)
    assert pretty_file.read_bytes() == pretty()


# ---- what status and doctor ask


def test_nothing_installed(file: Path, state: Path) -> None:
    assert installed(file) == ()
    assert check(file, state) == (f"30 of 30 events are not registered in {file}",)
    assert switched_off(file) == ()


def test_a_missing_event_is_noticed(pretty_file: Path, state: Path) -> None:
    install(pretty_file, state)
    document = json.loads(pretty_file.read_bytes())
    del document["hooks"]["Setup"]
    pretty_file.write_text(json.dumps(document))
    assert check(pretty_file, state) == (f"1 of 30 events are not registered in {pretty_file}",)
    assert "Setup" not in installed(pretty_file)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('{"disableAllHooks": true}', 1),
        ('{"disableAllHooks": true, "allowManagedHooksOnly": true}', 2),
        ('{"disableAllHooks": false}', 0),
        ('{"disableAllHooks": 1}', 0),
        ("[]", 0),
    ],
)
def test_switches_that_turn_hooks_off(file: Path, content: str, found: int) -> None:
    file.write_text(content)
    assert len(switched_off(file, file.with_name("absent.json"))) == found


def test_unreadable_settings_are_said_to_be(file: Path, state: Path) -> None:
    file.write_text("{")
    for ask in (lambda: installed(file), lambda: check(file, state), lambda: switched_off(file)):
        with pytest.raises(SettingsError, match="line 1 is not JSON"):
            ask()


def test_the_settings_file_of_each_scope() -> None:
    claude, project = Path("/h/.claude"), Path("/p")
    assert settings_path("user", claude, project) == Path("/h/.claude/settings.json")
    assert settings_path("project", claude, project) == Path("/p/.claude/settings.json")
    assert settings_path("local", claude, project) == Path("/p/.claude/settings.local.json")
