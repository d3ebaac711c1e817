"""The Unix socket hooks report to. One frame in; one byte out once it is committed."""

import contextlib
import errno
import logging
import os
import selectors
import socket
import stat
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vibetea_daemon.acts import BadInput
from vibetea_daemon.config import Config, ConfigError, check_private_folder
from vibetea_daemon.hookspecs import Normaliser, hookimpl
from vibetea_daemon.ingest import Ingest
from vibetea_daemon.sources import frames

log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 256
PATIENCE: Final = 2.0
"""Seconds a hook may take to send its frame; it gives up itself after 0.15."""


@dataclass(slots=True)
class Connection:
    """A hook that is sending."""

    socket: socket.socket
    since: float = field(default_factory=time.monotonic)
    buffer: bytearray = field(default_factory=bytearray)


class HookSocket:
    """Binds on construction, so that a daemon that cannot listen does not start. Raises ConfigError."""

    name = "hooks"

    def __init__(self, config: Config, normaliser: Normaliser) -> None:
        self._normaliser = normaliser
        self._listener = _bind(config)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._connections: dict[int, Connection] = {}

    def prepare(self, ingest: Ingest, stop: threading.Event) -> None:
        """Nothing: hooks may wait a moment."""

    def run(self, ingest: Ingest, stop: threading.Event) -> None:
        """Serve until `stop` is set."""
        while not stop.is_set():
            for key, _ in self._selector.select(timeout=0.5):
                if key.fileobj is self._listener:
                    self._accept(ingest)
                else:
                    self._receive(self._connections[key.fd], ingest)
            self._drop_the_slow()
        Path(self._listener.getsockname()).unlink(missing_ok=True)
        self._listener.close()
        for connection in list(self._connections.values()):
            self._forget(connection).close()
        self._selector.close()

    def _accept(self, ingest: Ingest) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE}:
                    time.sleep(0.05)  # the hooks waiting go to the inbox meanwhile
                return
            if len(self._connections) >= MAX_CONNECTIONS or not _same_user(accepted):
                accepted.close()
                continue
            accepted.setblocking(False)
            connection = Connection(accepted)
            self._connections[accepted.fileno()] = connection
            self._selector.register(accepted, selectors.EVENT_READ)
            self._receive(connection, ingest)  # its bytes are usually there already

    def _receive(self, connection: Connection, ingest: Ingest) -> None:
        try:
            while chunk := connection.socket.recv(262_144):
                connection.buffer += chunk
                length = frames.frame_bytes(connection.buffer)
                if length is not None and len(connection.buffer) >= length:
                    self._complete(connection, ingest)
                    return
        except BlockingIOError:
            return
        except OSError:
            pass
        except BadInput as bad:  # not a frame of ours: no acknowledgement, so the hook keeps it in the inbox
            ingest.drop(bad.reason)
        self._forget(connection).close()

    def _complete(self, connection: Connection, ingest: Ingest) -> None:
        hook = self._forget(connection)
        acts, counts = frames.acts_of(connection.buffer, self._normaliser)

        def acknowledge(written: bool) -> None:
            with contextlib.suppress(OSError), hook:
                if written:
                    hook.send(frames.ACKNOWLEDGED)

        ingest.hook(acts, counts, acknowledge)

    def _forget(self, connection: Connection) -> socket.socket:
        self._selector.unregister(connection.socket)
        del self._connections[connection.socket.fileno()]
        return connection.socket

    def _drop_the_slow(self) -> None:
        now = time.monotonic()
        for connection in [c for c in self._connections.values() if now - c.since > PATIENCE]:
            self._forget(connection).close()


@hookimpl
def vibetea_sources(config: Config, normaliser: Normaliser) -> list[HookSocket]:
    """This source."""
    return [HookSocket(config, normaliser)]


def _bind(config: Config) -> socket.socket:
    """Listen at the configured path, 0600 from the first moment; a dead daemon's socket is replaced."""
    path = config.socket
    if path.parent != config.home:
        check_private_folder(path.parent)
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
        listener.listen(MAX_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot listen on {path}: {error.strerror}; set VIBETEA_SOCKET to another path") from None
    finally:
        os.umask(before)
    listener.setblocking(False)
    _write_pointer(config, path)
    return listener


def _remove_stale(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
        raise ConfigError(f"{path} exists and is no socket of ours; remove it or set VIBETEA_SOCKET")
    path.unlink()


def _write_pointer(config: Config, path: Path) -> None:
    """Tell the hooks where the socket is when it could not be where they look first."""
    pointer = config.home / "socket-path"
    if path == config.home / "vibetea.sock":
        pointer.unlink(missing_ok=True)
        return
    descriptor = os.open(pointer, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.fsencode(path))


def _same_user(accepted: socket.socket) -> bool:
    if not hasattr(socket, "SO_PEERCRED"):  # macOS: the folder and the socket's mode stand alone
        return True
    credentials = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", credentials)[1] == os.geteuid())
