"""Relays and senders."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.relay.nats_cluster import Node, nats
from tests.relay.world import Machine, Relay, Sender, relaying


@pytest.fixture
def laptop() -> Sender:
    return Sender("laptop")


@pytest.fixture
def desktop() -> Sender:
    return Sender("desktop")


@pytest.fixture
async def relay(laptop: Sender, desktop: Sender) -> AsyncIterator[Relay]:
    """A relay in this process that knows both senders and limits nothing."""
    async with relaying(laptop, desktop) as relay:
        yield relay


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine on which the real relay can be started."""
    machine = Machine(tmp_path)
    try:
        yield machine
    finally:
        machine.end()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A NATS server."""
    with nats(tmp_path / "nats") as cluster:
        yield cluster.nodes[0]
