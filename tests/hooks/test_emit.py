"""The hook script, run as Claude Code runs it."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from .conftest import ACK, PYTHON, Home, Listener, read_frame, registered, run

PAYLOAD = b'{"hook_event_name":"Stop","session_id":"0"}'
MIB = 1 << 20


def test_an_acknowledged_payload_goes_to_the_daemon_only(home: Home, daemon: Listener) -> None:
    before = time.time_ns()
    home.emit(PAYLOAD)
    stamp, payload = read_frame(daemon.frames[0])
    assert payload == PAYLOAD
    assert before < stamp < time.time_ns()
    assert home.spooled() == []


def nobody_listens(home: Home) -> ExitStack:
    return ExitStack()


def daemon_died(home: Home) -> ExitStack:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(home.socket))
    return ExitStack()


def not_a_socket(home: Home) -> ExitStack:
    home.socket.write_bytes(b"")
    return ExitStack()


def a_directory(home: Home) -> ExitStack:
    home.socket.mkdir()
    return ExitStack()


def never_accepts(home: Home) -> ExitStack:
    stack = ExitStack()
    listener = stack.enter_context(socket.socket(socket.AF_UNIX))
    listener.bind(str(home.socket))
    listener.listen(8)
    return stack


def backlog_full(home: Home) -> ExitStack:
    stack = ExitStack()
    listener = stack.enter_context(socket.socket(socket.AF_UNIX))
    listener.bind(str(home.socket))
    listener.listen(0)
    for _ in range(3):
        waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
        waiting.setblocking(False)
        waiting.connect_ex(str(home.socket))
    return stack


def stopped_process(home: Home) -> ExitStack:
    stack = ExitStack()
    code = (
        "import socket,sys,time\ns=socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen(64)\n"
        "print(flush=True)\ntime.sleep(600)"
    )
    process = subprocess.Popen([PYTHON, "-c", code, str(home.socket)], stdout=subprocess.PIPE)
    stack.enter_context(process)
    stack.callback(process.kill)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGSTOP)
    return stack


def answering(answer: bytes | None) -> Callable[[Home], ExitStack]:
    def start(home: Home) -> ExitStack:
        stack = ExitStack()
        stack.enter_context(Listener(home.socket, answer))
        return stack

    return start


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(nobody_listens, id="no daemon"),
        pytest.param(daemon_died, id="stale socket"),
        pytest.param(not_a_socket, id="a file instead of a socket"),
        pytest.param(a_directory, id="a directory instead of a socket"),
        pytest.param(never_accepts, id="wedged before accepting"),
        pytest.param(backlog_full, id="backlog full"),
        pytest.param(stopped_process, id="daemon stopped by a signal"),
        pytest.param(answering(None), id="never answers"),
        pytest.param(answering(b""), id="closes without an answer"),
        pytest.param(answering(b"\x15"), id="answers no"),
        pytest.param(answering(b"{}"), id="answers something else"),
    ],
)
def test_without_the_right_answer_the_frame_waits_in_the_inbox(home: Home, state: Callable[[Home], ExitStack]) -> None:
    before = time.time_ns()
    with state(home):
        home.emit(PAYLOAD)
    ((stamp, payload),) = home.spooled()
    assert payload == PAYLOAD
    assert before < stamp < time.time_ns()
    assert next(home.inbox.iterdir()).name.startswith(f"{stamp}-")


def test_a_daemon_that_reads_nothing_still_leaves_word_of_a_large_payload(home: Home) -> None:
    with never_accepts(home):
        home.emit(b"x" * MIB)
    assert [payload for _, payload in home.spooled()] == [b""]


def test_many_hooks_at_once_on_a_wedged_daemon_lose_nothing(home: Home) -> None:
    payloads = [b'{"n":%d}' % number for number in range(40)]
    with stopped_process(home):
        running = []
        for payload in payloads:
            process = subprocess.Popen(home.command(), stdin=subprocess.PIPE, env={})
            assert process.stdin is not None
            process.stdin.write(payload)
            process.stdin.close()
            running.append(process)
        assert [process.wait(60) for process in running] == [0] * len(payloads)
    assert sorted(payload for _, payload in home.spooled()) == sorted(payloads)


def test_hooks_that_all_find_no_inbox_lose_nothing(home: Home) -> None:
    """The script stands ready in each of them; then all get their input in the same moment."""
    payloads = [b'{"n":%d}' % number for number in range(8)]
    for _ in range(12):
        shutil.rmtree(home.inbox, ignore_errors=True)
        with ExitStack() as stack:
            running = []
            for payload in payloads:
                process = stack.enter_context(subprocess.Popen(home.command(), stdin=subprocess.PIPE, env={}))
                assert process.stdin is not None
                process.stdin.write(payload)
                process.stdin.flush()
                running.append(process)
            for process in running:
                assert process.stdin is not None
                process.stdin.close()
            assert [process.wait(60) for process in running] == [0] * len(payloads)
        assert sorted(payload for _, payload in home.spooled()) == payloads


# ---- where the socket is


def test_the_environment_names_another_socket(home: Home) -> None:
    address = home.path / "elsewhere.sock"
    with Listener(address, ACK) as daemon:
        home.emit(PAYLOAD, env={"VIBETEA_SOCKET": str(address)})
    assert len(daemon.frames) == 1
    assert home.spooled() == []


@pytest.mark.parametrize("written", ["{}", "{}\n"], ids=["bare", "with a newline"])
def test_a_long_state_directory_is_reached_through_the_pointer_file(
    home_called: Callable[[str], Home], written: str
) -> None:
    home = home_called("long-" * 40)
    short = home.path.parent / "s"
    (home.path / "socket-path").write_text(written.format(short))
    with Listener(short, ACK) as daemon:
        home.emit(PAYLOAD)
    assert len(daemon.frames) == 1


def test_a_long_state_directory_without_a_pointer_file_uses_the_inbox(home_called: Callable[[str], Home]) -> None:
    home = home_called("long-" * 40)
    home.emit(PAYLOAD)
    assert len(home.spooled()) == 1


@pytest.mark.parametrize(
    "name",
    ["with space", "$(touch hacked)", "'quo\"ted'", "élan-茶", os.fsdecode(b"not-\xff-utf8"), "new\nline"],
)
def test_any_name_of_the_state_directory(home_called: Callable[[str], Home], name: str) -> None:
    home = home_called(name)
    home.emit(PAYLOAD)
    assert len(home.spooled()) == 1
    with Listener(home.socket, ACK) as daemon:
        home.emit(PAYLOAD)
    assert len(daemon.frames) == 1
    assert sorted(file.name for file in home.path.iterdir()) == [
        "__pycache__",
        "inbox",
        "vibetea-emit.py",
        "vibetea.sock",
    ]


# ---- what arrives


@pytest.mark.parametrize(
    ("size", "kept"),
    [
        pytest.param(65_536, 65_536, id="64 KiB"),
        pytest.param(65_537, 0, id="over 64 KiB"),
        pytest.param(10_000_000, 0, id="10 MB"),
        pytest.param(16 * MIB + 1, 0, id="over 16 MiB"),
    ],
)
def test_what_the_inbox_takes(home: Home, size: int, kept: int) -> None:
    home.emit(b"x" * size)
    ((_, payload),) = home.spooled()
    assert payload == b"x" * kept


@pytest.mark.parametrize(
    ("size", "kept"), [pytest.param(2 * MIB, 2 * MIB, id="2 MiB"), pytest.param(16 * MIB + 1, 0, id="over 16 MiB")]
)
def test_what_the_socket_takes(home: Home, daemon: Listener, size: int, kept: int) -> None:
    home.emit(b"x" * size)
    ((_, payload),) = [read_frame(frame) for frame in daemon.frames]
    assert payload == b"x" * kept


def test_bytes_are_passed_on_as_they_are(home: Home, daemon: Listener) -> None:
    home.emit(bytes(range(256)))
    assert read_frame(daemon.frames[0])[1] == bytes(range(256))


def test_an_oversize_payload_is_read_to_its_end(home: Home) -> None:
    process = subprocess.Popen(home.command(), stdin=subprocess.PIPE, env={}, bufsize=0)
    assert process.stdin is not None
    for _ in range(17):
        process.stdin.write(b"x" * MIB)  # a broken pipe would raise
    process.stdin.close()
    assert process.wait(60) == 0


def test_an_empty_standard_input_says_nothing(home: Home, daemon: Listener) -> None:
    home.emit(b"")
    assert daemon.frames == []
    assert home.spooled() == []


def test_a_terminal_is_not_waited_for(home: Home) -> None:
    ours, theirs = pty.openpty()
    try:
        assert run(home.command(), stdin=theirs) == (0, b"", b"")
    finally:
        os.close(ours)
        os.close(theirs)
    assert home.spooled() == []


def test_a_standard_input_that_never_ends_is_given_up(home: Home) -> None:
    with subprocess.Popen(home.command(), stdin=subprocess.PIPE, stderr=subprocess.PIPE, env={}) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(PAYLOAD)
        process.stdin.flush()
        assert process.wait(60) == 0
        assert process.stderr.read() == b""
    assert home.spooled() == []


@pytest.mark.parametrize(
    "redirection",
    ["<&-", "<&- >&- 2>&-", ">&- 2>&-", ">/dev/full 2>&1"],
    ids=["no stdin", "nothing at all", "no stdout and stderr", "stdout and stderr full"],
)
def test_standard_streams_in_any_state(home: Home, redirection: str) -> None:
    command = f'exec "$@" {redirection}'
    assert run(["/bin/sh", "-c", command, "sh", *home.command()], input=PAYLOAD) == (0, b"", b"")
    assert len(home.spooled()) == (0 if "<" in redirection else 1)


def test_a_full_pipe_on_standard_output_blocks_nothing(home: Home) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    try:
        status, _, _ = run(home.command(), input=PAYLOAD, stdout=writer, stderr=writer)
    finally:
        os.close(reader)
        os.close(writer)
    assert status == 0
    assert len(home.spooled()) == 1


# ---- the inbox


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_files_are_private_under_any_umask(home: Home, umask: int) -> None:
    home.emit(PAYLOAD, umask=umask)
    assert all(path.stat().st_mode & 0o077 == 0 for path in home.path.rglob("*"))
    assert home.inbox.stat().st_mode & 0o777 == 0o700
    assert next(home.inbox.iterdir()).stat().st_mode & 0o777 == 0o600


def test_a_full_inbox_takes_no_more(home: Home) -> None:
    home.inbox.mkdir(0o700)
    for number in range(2_000):
        (home.inbox / f"{number}.frame").touch()
    home.emit(PAYLOAD)
    assert len(home.names()) == 2_000


def test_a_file_where_the_inbox_should_be(home: Home) -> None:
    home.inbox.write_bytes(b"mine")
    home.emit(PAYLOAD)
    assert home.inbox.read_bytes() == b"mine"


def test_a_working_directory_that_is_gone(home: Home, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = ["/bin/sh", "-c", 'cd "$1" && rmdir "$1" && shift && exec "$@"', "sh", str(gone), *home.command()]
    assert run(command, input=PAYLOAD) == (0, b"", b"")
    assert len(home.spooled()) == 1


@contextmanager
def small_disk(home: Home, options: str) -> Iterator[None]:
    home.inbox.mkdir(0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"{options},mode=700", "tmpfs", home.inbox], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", home.inbox], check=True)


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize("options", ["size=64k", "nr_inodes=2"], ids=["no space", "no inodes"])
def test_a_full_disk_leaves_nothing_half_written(home: Home, options: str) -> None:
    with small_disk(home, options):
        filler = home.inbox / "0-0.frame"
        filler.write_bytes(b"\x01" + bytes(8) + (40_000).to_bytes(4, "big") + bytes(40_000))
        home.emit(b"x" * 60_000)
        assert home.names() == ["0-0.frame"]
        filler.unlink()
        home.emit(b"x" * 40_000)
        assert [payload for _, payload in home.spooled()] == [b"x" * 40_000]


# ---- other people


@pytest.mark.usefixtures("as_root")
def test_nothing_is_given_to_a_state_directory_of_another_user(home: Home, daemon: Listener) -> None:
    os.chown(home.path, 65534, 65534)
    home.emit(PAYLOAD)
    assert daemon.frames == []
    assert home.spooled() == []


def test_nothing_is_given_to_a_state_directory_others_can_write_to(home: Home, daemon: Listener) -> None:
    home.path.chmod(0o770)
    home.emit(PAYLOAD)
    assert daemon.frames == []
    assert home.spooled() == []


@pytest.mark.usefixtures("as_root")
def test_nothing_is_sent_to_a_daemon_of_another_user(home: Home) -> None:
    public = Path("/tmp") / f"vt-{os.getpid()}"
    public.mkdir()
    public.chmod(0o777)
    code = (
        "import os,socket,sys\nos.setuid(65534)\ns=socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen()\n"
        "print(flush=True)\nc,_=s.accept()\ngot=c.recv(65536)\nc.sendall(b'\\6') if got else None\n"
        "print(len(got),flush=True)"
    )
    process = subprocess.Popen([PYTHON, "-c", code, str(public / "s")], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        home.emit(PAYLOAD, env={"VIBETEA_SOCKET": str(public / "s")})
        assert process.stdout.readline() == b"0\n"
    finally:
        process.kill()
        process.communicate()
        shutil.rmtree(public)
    assert len(home.spooled()) == 1


def test_no_module_of_the_users_is_loaded(home: Home, daemon: Listener, tmp_path: Path) -> None:
    for place in (tmp_path, home.path):
        for module in ("_socket", "socket", "json", "sitecustomize", "usercustomize"):
            (place / f"{module}.py").write_text("print('hijacked')")
    home.emit(PAYLOAD, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": str(tmp_path / "json.py")})
    assert len(daemon.frames) == 1


# ---- killed on the way


def test_killed_while_reading_leaves_nothing(home: Home, daemon: Listener) -> None:
    with subprocess.Popen(home.command(), stdin=subprocess.PIPE, env={}) as process:
        assert process.stdin is not None
        process.stdin.write(PAYLOAD)
        process.stdin.flush()
        process.kill()
    assert daemon.frames == daemon.torn == []
    assert home.spooled() == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace, to kill at a chosen system call")
@pytest.mark.parametrize("call", ["write", "rename"])
def test_killed_while_spooling_leaves_no_frame(home: Home, call: str) -> None:
    home.emit(b"")  # so that the compiled form is there
    command = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL"]
    status, _, _ = run([*command, *home.command()], input=PAYLOAD)
    assert status != 0
    assert [Path(name).suffix for name in home.names()] == [".tmp"]


# ---- broken


def missing(place: Path) -> None:
    place.unlink()


def in_no_folder(place: Path) -> None:
    shutil.rmtree(place.parent)


def behind_a_file(place: Path) -> None:
    in_no_folder(place)
    place.parent.write_bytes(b"")


def a_folder(place: Path) -> None:
    missing(place)
    place.mkdir()


def a_link_to_nothing(place: Path) -> None:
    missing(place)
    place.symlink_to("gone")


def a_link_to_itself(place: Path) -> None:
    missing(place)
    place.symlink_to(place.name)


def unreadable(place: Path) -> None:
    place.chmod(0)


def in_a_locked_folder(place: Path) -> None:
    place.parent.chmod(0)


def holding(source: bytes) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        place.chmod(0o700)
        place.write_bytes(source)

    return change


def as_anyone(command: list[str]) -> list[str]:
    """Without what lets root read every file."""
    if os.geteuid() != 0:
        return command
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv, to be root without root's rights")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]


@pytest.mark.parametrize(
    "broken",
    [
        missing,
        in_no_folder,
        behind_a_file,
        a_folder,
        a_link_to_nothing,
        a_link_to_itself,
        unreadable,
        in_a_locked_folder,
        pytest.param(holding(b""), id="empty"),
        pytest.param(holding(b"def ("), id="no Python"),
        pytest.param(holding(b"\0\xff" * 999), id="binary"),
        pytest.param(holding(b"(" * 100_000), id="nested too deeply"),
        pytest.param(holding(b"import nonesuch"), id="missing module"),
        pytest.param(holding(b"raise SystemExit(2)"), id="SystemExit"),
        pytest.param(holding(b"raise KeyboardInterrupt"), id="KeyboardInterrupt"),
        pytest.param(holding(b"raise GeneratorExit"), id="GeneratorExit"),
        pytest.param(holding(b"raise MemoryError"), id="MemoryError"),
    ],
)
@pytest.mark.parametrize("compiled", [False, True], ids=["never run", "run before"])
def test_a_broken_script_is_silent_and_blocks_nothing(
    home: Home, broken: Callable[[Path], None], compiled: bool
) -> None:
    if compiled:
        home.emit(b"")
    try:
        broken(home.script)
        assert run(as_anyone(home.command()), input=PAYLOAD) == (0, b"", b"")
    finally:
        if home.path.is_dir():
            home.path.chmod(0o700)


def test_an_entry_without_a_script_is_silent() -> None:
    assert run(registered(Path("/gone"))[:-1], input=PAYLOAD) == (0, b"", b"")


# ---- quick to start


def test_the_script_itself_stands_alone(home: Home) -> None:
    assert run([PYTHON, "-I", "-S", str(home.script)], input=PAYLOAD) == (0, b"", b"")
    assert [payload for _, payload in home.spooled()] == [PAYLOAD]


def test_the_compiled_form_is_kept_and_used(home: Home) -> None:
    home.emit(PAYLOAD)
    (cache,) = (home.path / "__pycache__").iterdir()
    kept = cache.stat()
    home.emit(PAYLOAD)
    assert cache.stat() == kept
    assert len(home.spooled()) == 2


@pytest.mark.parametrize("spoilt", [b"", b"\0" * 4000], ids=["empty", "zeros"])
def test_a_spoilt_compiled_form_stops_nothing(home: Home, spoilt: bytes) -> None:
    home.emit(b"")
    (cache,) = (home.path / "__pycache__").iterdir()
    cache.write_bytes(spoilt)
    home.emit(PAYLOAD)
    assert len(home.spooled()) == 1


def test_a_spoilt_compiled_form_with_a_good_header_costs_the_report_and_nothing_else(home: Home) -> None:
    home.emit(b"")
    (cache,) = (home.path / "__pycache__").iterdir()
    cache.write_bytes(cache.read_bytes()[:16] + bytes(4000))
    home.emit(PAYLOAD)
    assert home.spooled() == []


def test_a_file_where_the_compiled_form_should_be_stops_nothing(home: Home) -> None:
    (home.path / "__pycache__").touch()
    home.emit(PAYLOAD)
    assert len(home.spooled()) == 1


def test_only_modules_of_c_are_loaded(home: Home, daemon: Listener) -> None:
    def loaded(*arguments: str) -> set[str]:
        _, _, report = run([PYTHON, "-X", "importtime", *arguments], input=PAYLOAD)
        return {line.rpartition("|")[2].strip() for line in report.decode().splitlines()}

    bare = loaded("-I", "-S", "-c", "pass")
    assert loaded(*home.command()[1:]) - bare <= {"_socket", "_signal", "atexit", "posix", "sys", "time"}
    assert len(daemon.frames) == 1
