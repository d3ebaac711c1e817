"""The client in docs/relay.md, as it is printed there: run against a relay that goes away and comes back."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.relay.watching import connected, until
from tests.relay.world import NO_LIMITS, TOKEN, Relay, Sender, relaying
from tests.tools.ports import free_ports

from vibetea_relay.config import Limits
from vibetea_relay.journal import Journal

DOCUMENT = Path(__file__).parents[2] / "docs/relay.md"
Start = Callable[..., AbstractAsyncContextManager[Relay]]


class Client:
    """The documented program, and what it printed."""

    def __init__(self, folder: Path, port: int, token: str) -> None:
        (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
        program = folder / "watch.py"
        program.write_text(code)
        self._out, self._err = folder / "out", folder / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, program, f"http://127.0.0.1:{port}/ws"],
                env={"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error", "VIBETEA_SUBSCRIBER_TOKEN": token},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def frames(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._out.read_text().split("\n")[:-1]]

    @property
    def said(self) -> str:
        return self._err.read_text()

    async def has(self, *expected: Any) -> None:
        """Wait for these ids and notices; there may be nothing else."""
        await until(lambda: len(self.frames) >= len(expected) or self.process.poll() is not None, self.said)
        assert [frame.get("id", frame) for frame in self.frames] == [*expected], self.said


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def start(laptop: Sender, tmp_path: Path, port: int) -> Start:
    """Starts the relay, again and again at the same address and with the same state."""

    def start(limits: Limits = NO_LIMITS, port: int = port) -> AbstractAsyncContextManager[Relay]:
        return relaying(laptop, stream=Journal(tmp_path / "relay.db", limits), limits=limits, port=port)

    return start


@pytest.fixture
def run(tmp_path: Path, port: int) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def run(token: str = TOKEN) -> Client:
        clients.append(Client(tmp_path, port, token))
        return clients[-1]

    yield run
    for client in clients:
        client.process.kill()
        client.process.wait()


async def send(relay: Relay, sender: Sender, *numbers: int) -> None:
    assert (await relay.send(sender, sender.body(*numbers))).json["accepted"] == len(numbers)


def names(sender: Sender, *numbers: int) -> list[Any]:
    return [sender.event(number)["id"] for number in numbers]


async def test_the_documented_client_goes_on_where_it_was(
    start: Start, run: Callable[..., Client], laptop: Sender
) -> None:
    """1. It gets the newest ten and what comes. 2. The relay stops and starts anew: it gets what came meanwhile.
    3. So much comes while it is away that some is held no longer: it is told.
    """
    async with start() as relay:
        await send(relay, laptop, *range(15))
        client = run()
        await connected(relay, 1)
        await send(relay, laptop, 15)
        await client.has(*names(laptop, *range(5, 16)))
    async with start() as relay:
        await send(relay, laptop, 16, 17)
        await client.has(*names(laptop, *range(5, 18)))
        last = relay.stream.last()
    async with start(replace(NO_LIMITS, history_entries=3), port=0) as relay:  # where the client does not look
        await send(relay, laptop, *range(18, 30))
        await until(lambda: relay.stream.first() == last + 10, "the history is not trimmed")
    async with start():
        gap = {"gap": {"after": last, "next": last + 10}}
        await client.has(*names(laptop, *range(5, 18)), gap, *names(laptop, 27, 28, 29))
    assert client.process.poll() is None
    assert client.said == ""


async def test_the_documented_client_stops_at_a_refusal(start: Start, run: Callable[..., Client]) -> None:
    async with start():
        client = run("wrong")
        await until(lambda: client.process.poll() is not None, "it goes on")
    assert client.process.returncode == 1
    assert "401" in client.said
    assert "wrong" not in client.said
