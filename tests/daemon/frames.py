"""Frames by hand, and the socket spoken to without the hook script."""

import contextlib
import json
import socket
import time
from typing import Any

from tests.daemon.world import World


def frame(payload: dict[str, Any] | bytes, version: int = 1, length: int | None = None) -> bytes:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    size = len(raw) if length is None else length
    return bytes([version]) + time.time_ns().to_bytes(8, "big") + size.to_bytes(4, "big") + raw


def socket_path(world: World) -> str:
    pointer = world.state / "socket-path"
    return pointer.read_text() if pointer.exists() else str(world.state / "vibetea.sock")


def connect(world: World) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(10)
    connection.connect(socket_path(world))
    return connection


def send(world: World, raw: bytes, *, finish: bool = True) -> bytes:
    """Send these bytes; what the daemon answers until it closes."""
    with connect(world) as connection:
        with contextlib.suppress(BrokenPipeError):
            connection.sendall(raw)
            if finish:
                connection.shutdown(socket.SHUT_WR)
        try:
            return connection.recv(16)
        except ConnectionResetError:
            return b""


def spool(world: World, name: str, raw: bytes) -> None:
    """Leave a frame where a hook would."""
    world.inbox.mkdir(mode=0o700, exist_ok=True)
    temporary = world.inbox / f".{name}.tmp"
    temporary.write_bytes(raw)
    temporary.rename(world.inbox / f"{name}.frame")
