"""Hand one hook payload to the daemon: a stand-alone script, which Claude Code runs from the state directory.

Reads standard input, sends it over the Unix socket and waits for one byte; without that byte it leaves the
frame in the inbox. Prints nothing and exits 0, whatever happens. C modules only: every tool call waits for
this start-up.

Frame: version 1 · nanoseconds since the epoch (8 bytes) · payload length (4 bytes) · payload; big-endian.
"""

import _signal  # type: ignore[import-not-found]  # `signal` itself pulls in enum
import posix
import sys
import time

STAMP = time.time_ns()
ACK = b"\x06"
PATIENCE = 0.150  # seconds for connecting, sending and the answer together
INPUT_PATIENCE = 1.0  # seconds for a standard input that never ends
SOCKET_PAYLOAD = 16 << 20  # bytes; a larger payload goes out as an empty one, to be counted
INBOX_PAYLOAD = 64 << 10  # bytes; likewise
INBOX_FILES = 2_000
LONGEST_ADDRESS = 100  # bytes; past this the daemon listens elsewhere and leaves a pointer


def read_input() -> tuple[list[bytes], int]:
    """Standard input and its size; one too large is still read to its end, so the writer meets no broken pipe."""
    chunks: list[bytes] = []
    size = 0
    while chunk := posix.read(0, 1 << 16):
        size += len(chunk)
        if size <= SOCKET_PAYLOAD:
            chunks.append(chunk)
    return (chunks if size <= SOCKET_PAYLOAD else []), size


def framed(chunks: list[bytes]) -> bytes:
    """The frame that carries the payload."""
    size = sum(map(len, chunks))
    return b"".join((b"\x01", STAMP.to_bytes(8, "big"), size.to_bytes(4, "big"), *chunks))


def delivered(home: bytes, frame: bytes) -> bool:
    """Whether the daemon said that it keeps the frame; any error means no."""
    address = posix.environ.get(b"VIBETEA_SOCKET") or home + b"/vibetea.sock"
    try:
        posix.stat(address)  # no socket, no need to load the module
    except OSError:
        address = b""
    if not 0 < len(address) <= LONGEST_ADDRESS:  # the daemon listens elsewhere, or nowhere
        address = posix.read(posix.open(home + b"/socket-path", posix.O_RDONLY), 1024).strip()

    import _socket

    end = time.monotonic() + PATIENCE
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(PATIENCE)
        connection.connect(address)
        if sys.platform == "linux":
            peer = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)  # pid, uid, gid
            if int.from_bytes(peer[4:8], sys.byteorder) != posix.geteuid():
                return False
        connection.settimeout(end - time.monotonic())
        connection.sendall(frame)
        connection.settimeout(end - time.monotonic())
        return connection.recv(1) == ACK
    finally:
        connection.close()


def spool(inbox: bytes, frame: bytes) -> None:
    """Leave the frame in the inbox under its final name, whole or not at all."""
    try:
        if len(posix.listdir(inbox)) >= INBOX_FILES:
            return
    except FileNotFoundError:
        try:  # noqa: SIM105  contextlib is no C module
            posix.mkdir(inbox, 0o700)
        except FileExistsError:  # another hook was quicker
            pass
    name = b"%d-%d" % (STAMP, posix.getpid())
    temporary = inbox + b"/." + name + b".tmp"
    file = posix.open(temporary, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW, 0o600)
    try:
        while frame:
            frame = frame[posix.write(file, frame) :]
        posix.close(file)
        posix.rename(temporary, inbox + b"/" + name + b".frame")
    except BaseException:
        posix.unlink(temporary)
        raise


def main() -> None:
    """Deliver or spool; raises what went wrong."""
    _signal.signal(_signal.SIGALRM, lambda *_: posix._exit(0))  # noqa: SLF001
    _signal.setitimer(_signal.ITIMER_REAL, INPUT_PATIENCE)
    posix.umask(0o077)
    home = __file__.rpartition("/")[0].encode(sys.getfilesystemencoding(), "surrogateescape")
    state = posix.stat(home)
    if posix.isatty(0) or state.st_uid != posix.geteuid() or state.st_mode & 0o022:
        return
    chunks, size = read_input()
    _signal.setitimer(_signal.ITIMER_REAL, 0)
    if not size:
        return
    frame = framed(chunks)
    try:
        if delivered(home, frame):
            return
    except BaseException:  # noqa: BLE001, S110  # the inbox is the answer to every failure
        pass
    spool(home + b"/inbox", frame if size <= INBOX_PAYLOAD else framed([]))


if __name__ == "__main__":
    try:
        main()
    finally:
        posix._exit(0)  # noqa: SLF001  # drops whatever was raised, and skips the interpreter's teardown
