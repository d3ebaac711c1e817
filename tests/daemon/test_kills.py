"""The daemon is killed again and again under load, and every report is there once in the end."""

import json
import os
import random
import signal
import threading
import time
import uuid

import pytest
from tests.daemon.session import Session, tool_hook
from tests.daemon.world import PYTHON, World, wait_until

SEED = 20261123
LONGEST = 0.8
"""Seconds a daemon lives at most, so that two hundred of them live for two minutes at most."""


class Hooks(threading.Thread):
    """Sends hooks through the real script, one after another; each is in the ledger before it is sent."""

    def __init__(self, world: World, stop: threading.Event) -> None:
        super().__init__()
        self.session = Session()
        self._world, self._stop_sending = world, stop
        self.ledger = world.root / f"ledger-{uuid.uuid4()}"

    def run(self) -> None:
        ledger = os.open(self.ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        number = 0
        while not self._stop_sending.is_set():
            number += 1
            call = f"{self.name}-{number}"
            os.write(ledger, call.encode() + b"\n")
            self._send(json.dumps(tool_hook(self.session, call)).encode())
        os.close(ledger)

    def _send(self, payload: bytes) -> None:
        read, write = os.pipe()
        os.write(write, payload)
        os.close(write)
        arguments = [PYTHON, "-I", "-S", str(self._world.emit)]
        pid = os.posix_spawn(PYTHON, arguments, self._world.env, file_actions=[(os.POSIX_SPAWN_DUP2, read, 0)])
        os.close(read)
        _, status = os.waitpid(pid, 0)
        assert status == 0


class Growth(threading.Thread):
    """Appends to a transcript all the while."""

    def __init__(self, world: World, stop: threading.Event) -> None:
        super().__init__()
        self.session = Session()
        self._world, self._stop_writing = world, stop

    def run(self) -> None:
        number = 0
        while not self._stop_writing.wait(0.01):
            number += 1
            call = f"t{number}"
            self._world.write(self.session, *([self.session.prompt()] if number % 10 == 1 else []))
            self._world.write(self.session, self.session.call(call))
            self._world.write(self.session, self.session.result(call))


@pytest.mark.parametrize("kills", [200, pytest.param(2000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
def test_kills_under_load(world: World, kills: int) -> None:
    """1. Hooks and a transcript report without a pause.
    2. The daemon is killed after a time drawn by lot, from before it is ready to long after, and started again. What is
       long is measured while they report: a busy machine takes longer.
    3. A last daemon takes what is left.
    Result: every report is there once, what is derived from them fits, and the inbox is empty.
    """
    lot = random.Random(SEED)
    stop = threading.Event()
    senders = [Hooks(world, stop) for _ in range(3)]
    growth = Growth(world, stop)
    for thread in (*senders, growth):
        thread.start()
    try:
        begun = time.monotonic()
        daemon = world.start()
        long = min(max(0.35, 2 * (time.monotonic() - begun)), LONGEST)
        for _ in range(kills):
            time.sleep(lot.uniform(0, long))
            daemon.kill()
            assert daemon.popen.returncode == -signal.SIGKILL, daemon.text
            daemon = world.spawn()
    finally:
        stop.set()
        for thread in (*senders, growth):
            thread.join()
    daemon.kill()
    assert sum(" ready" in process.text for process in world.processes) > kills / 20
    world.start()
    wait_until(lambda: world.inboxed() == [], lambda: f"{len(world.inboxed())} left in the inbox")
    for sender in senders:
        assert len(sender.ledger.read_text().splitlines()) == len(sender.session.keys) > kills / 2
    world.expect(growth.session, *(sender.session for sender in senders))
