"""`vibetea tail` where letters cannot be written as they are."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE

import pytest
from tests.daemon.streaming_relay import streaming_relay, tool, wire
from tests.daemon.world import World


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("latin-1", r"\u65e5\u672c"), ("cp1252", r"\u65e5\u672c"), ("utf-8", "日本")],
)
async def test_letter_that_the_terminal_lacks_ends_nothing(world: World, encoding: str, shown: str) -> None:
    events = [wire(tool(number, payload={"project": name})) for number, name in enumerate(("日本", "shop"))]
    async with streaming_relay() as relay:
        command = (sys.executable, "-m", "vibetea_daemon", "tail", "--relay", relay.url)
        env = world.env | {"PYTHONIOENCODING": encoding}
        tail = await asyncio.create_subprocess_exec(*command, env=env, stdin=None, stdout=PIPE, stderr=PIPE)
        try:
            assert tail.stdout
            await relay.watched(1)
            await relay.hold(*events)
            lines = [(await tail.stdout.readline()).decode(encoding) for _ in events]
            tail.send_signal(signal.SIGINT)
            _, said = await tail.communicate()
        finally:
            if tail.returncode is None:
                tail.kill()
    assert shown in lines[0]
    assert "shop" in lines[1]
    assert tail.returncode == 0
    assert b"Traceback" not in said
