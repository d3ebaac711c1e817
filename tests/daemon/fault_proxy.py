"""A TCP proxy that harms what passes through it, on request."""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from typing import Literal

Verb = Literal["pass", "delay", "late", "drop", "rst", "truncate", "reset", "blackhole", "throttle"]
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: closing sends a RST."""


class FaultProxy:
    """Stands before one server; the verb may be changed at any time.

    `delay` n seconds before each chunk · `late` n seconds before each of an answer · `drop` closes at once · `rst`
    resets after n bytes upstream · `truncate` closes after n bytes downstream, `reset` resets · `blackhole` takes
    everything and passes nothing on · `throttle` n bytes a second.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.verb: Verb = "pass"
        self.n = 0.0
        self.port = 0
        self.harmed = 0
        """Connections that a verb was done to."""

    def set(self, verb: Verb, n: float = 0.0) -> None:
        self.verb, self.n = verb, n

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1")
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0)  # until the transports are closed

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, away = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        pumps = [
            asyncio.create_task(self._pump(reader, away, writer, {"rst"})),
            asyncio.create_task(self._pump(there, writer, writer, {"truncate", "reset", "late"})),
        ]
        if self.verb == "drop":
            self.harmed += 1
            pumps[0].cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        writer.close()
        away.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
        own: AbstractSet[Verb],
    ) -> None:
        """`own`: the verbs for this direction alone."""
        passed = 0
        while chunk := await reader.read(1024 if self.verb == "throttle" else 65536):
            self.harmed += self.verb != "pass"
            if self.verb == "blackhole":
                continue
            if self.verb in {"delay", "throttle"} or self.verb in own & {"late"}:
                await asyncio.sleep(len(chunk) / self.n if self.verb == "throttle" else self.n)
            cuts = self.verb in own - {"late"}
            if cuts:
                chunk = chunk[: max(0, int(self.n) - passed)]
            writer.write(chunk)
            await writer.drain()
            passed += len(chunk)
            if cuts and passed >= self.n:
                if self.verb != "truncate":
                    client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                return


@contextmanager
def proxy(port: int) -> Iterator[FaultProxy]:
    """Run one on a thread, before a port of the loopback interface."""
    faulty, ready, stop, loop = FaultProxy(port), threading.Event(), asyncio.Event(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(faulty.serve(ready, stop),))
    thread.start()
    assert ready.wait(10)
    try:
        yield faulty
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
