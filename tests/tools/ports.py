"""Ports for servers that have to be told theirs."""

import random
import socket
from collections.abc import Sequence
from contextlib import ExitStack, suppress

ATTEMPTS = 5
"""A port that was free may be another's a moment later."""


class PortTaken(Exception):
    """A server did not start."""


def free_ports(count: int) -> Sequence[int]:
    """Below the range the system hands out by itself, so that nobody else gets one before it is bound."""
    with ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < count:
            port = random.randrange(20_000, 32_000)
            with suppress(OSError):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
                ports.append(port)
        return ports
