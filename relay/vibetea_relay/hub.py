"""The fan-out: every watcher is a place in the one stream, and what it has not taken waits in no queue of its own.

A watcher is either level with the stream, and written to as entries come, all watchers in one go; or it is behind,
because it resumes or because its socket takes no more, and then a task of its own brings it level from the ring or the
history, as fast as its socket takes it.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from aiohttp import WSCloseCode, web
from aiohttp.abc import AbstractStreamWriter

from vibetea_relay.config import Limits
from vibetea_relay.ring import Frame, Ring, chosen, framed, pieces, text_frame
from vibetea_relay.stream import Entry, Stream, Unavailable, Wish

PIECE: Final = 65_536
"""Bytes written at once; with what a socket's transport holds before it says stop, all that one watcher costs."""
READ: Final = 256
"""Entries read from the history at once."""
STALLED: Final = 0.1
"""The part of `stuck_seconds` after which a socket is slow, not busy, and a live watcher may be moved forward."""
GLANCE_SECONDS: Final = 0.05
"""Between two looks whether the stream has reached a seq."""


class _Stuck(Exception):
    """The watcher takes nothing any more."""


@dataclass(slots=True, eq=False)
class Watcher:
    """One connection.

    Args:
        writer: what `prepare` returned: drains the transport.
        hearing: waits for what it says; ends when it is gone, or has to go.
        wish: what it asked for.
        after: the seq it resumes after, 0 for everything held; then it is never moved forward. None from now on.

    Attributes:
        position: the seq it has everything up to.
    """

    socket: web.WebSocketResponse
    transport: asyncio.Transport
    writer: AbstractStreamWriter
    hearing: asyncio.Task[None]
    wish: Wish
    after: int | None
    position: int = field(init=False)
    task: asyncio.Task[None] | None = field(default=None, init=False)
    farewell: asyncio.Task[None] | None = field(default=None, init=False)
    _draining: asyncio.Task[None] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.position = self.after or 0

    @property
    def gone(self) -> bool:
        """Whether nothing may be written any more."""
        return self.socket.closed or self.transport.is_closing()

    def drain(self) -> asyncio.Task[None]:
        """Ends when the transport takes more, or is gone: one task, because a drain given up cannot be begun again."""
        if self._draining is None or self._draining.done():
            self._draining = asyncio.create_task(self._drain())
        return self._draining

    async def _drain(self) -> None:
        with suppress(ConnectionError):
            await self.writer.drain()


class Hub:
    """Passes the stream's entries on to watchers.

    Attributes:
        sent: runs of frames written.
        gaps: notices of a gap sent.
        dropped: entries live watchers were moved past, those no longer in memory not counted.
        stuck: watchers closed because they took nothing.
    """

    def __init__(self, stream: Stream, limits: Limits) -> None:
        self._stream = stream
        self._limits = limits
        self._watchers: set[Watcher] = set()
        self._level: dict[Watcher, None] = {}
        self._coming: list[Frame] = []
        self._ring = Ring(limits.ring, limits.ring_bytes)
        self._round: asyncio.TimerHandle | None = None
        self._not_before = 0.0
        self._closed = False
        self.sent = self.gaps = self.dropped = self.stuck = 0

    @property
    def connections(self) -> int:
        """Watchers connected."""
        return len(self._watchers)

    async def start(self) -> None:
        """Start the stream and listen to it."""
        self._loop = asyncio.get_running_loop()
        await self._stream.start(self._listen)
        self._ring.begin(self._stream.last())

    async def close(self) -> None:
        """Send what has come, part from everyone with 1001, and take no more."""
        if self._round is not None:
            self._round.cancel()
            self._deliver()
        self._closed = True
        for watcher in list(self._watchers):
            self._part(watcher, WSCloseCode.GOING_AWAY)
        farewells = [watcher.farewell for watcher in self._watchers if watcher.farewell]
        if farewells:
            await asyncio.wait(farewells)

    async def before(self, many: int, wish: Wish) -> int:
        """The seq after which come the newest so many entries that suit. Raises Unavailable."""
        last = self._ring.last  # if none suits: what comes while the history is searched is new
        oldest = await self._stream.newest(many, wish)
        return last if oldest is None else oldest - 1

    def enter(self, watcher: Watcher) -> None:
        """Let a watcher in."""
        if watcher.after is None:
            watcher.position = self._ring.last
        self._watchers.add(watcher)
        if self._closed:
            self._part(watcher, WSCloseCode.GOING_AWAY)
        else:
            self._follow(watcher)

    async def leave(self, watcher: Watcher) -> None:
        """The watcher is gone, or has to go: its connection ends, once it was told why."""
        self._level.pop(watcher, None)
        if watcher.task is not None:
            watcher.task.cancel()
        try:
            if watcher.farewell is not None:
                await watcher.farewell
        finally:
            self._watchers.discard(watcher)
            if watcher.farewell is not None:  # by now it has been taken, or will not be
                watcher.transport.abort()
            else:  # its own good-bye is answered, but who does not read does not keep the connection
                self._loop.call_later(self._limits.farewell_seconds, watcher.transport.abort)

    def _listen(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        self._ring.begin(entries[0].seq - 1)
        self._coming += [framed(entry) for entry in entries]
        if self._round is None:
            self._round = self._loop.call_at(self._not_before, self._deliver)

    def _deliver(self) -> None:
        """Send what has come to all who are level."""
        began = time.thread_time()
        self._round = None
        frames, self._coming = self._coming, []
        if 0 < self._ring.last < self._stream.hole():  # everybody is told of it, one after the other
            for watcher in list(self._level):
                self._follow(watcher)
        self._ring.add(frames)
        for piece in pieces(frames, PIECE):
            data: dict[Wish, bytes] = {}
            for watcher in list(self._level):
                if watcher.transport.get_write_buffer_size() > PIECE:
                    self._follow(watcher)
                    continue
                if watcher.wish not in data:
                    data[watcher.wish] = chosen(piece, watcher.wish)
                self._write(watcher, data[watcher.wish])
                watcher.position = piece[-1].seq
        # as much time for everything else as for this: under load, more goes out at once instead
        self._not_before = self._loop.time() + time.thread_time() - began

    def _write(self, watcher: Watcher, data: bytes) -> None:
        if data and not watcher.gone:
            watcher.transport.write(data)
            self.sent += 1

    def _follow(self, watcher: Watcher) -> None:
        self._level.pop(watcher, None)
        watcher.task = self._loop.create_task(self._bring_level(watcher))

    async def _bring_level(self, watcher: Watcher) -> None:
        try:
            await self._wait_for_its_seq(watcher)
            while not watcher.gone:
                waited = await self._drained(watcher)
                if watcher.position >= self._ring.last:
                    self._level[watcher] = None
                    return
                await self._send_some(watcher, waited)
                await asyncio.sleep(0)
        except _Stuck:
            self.stuck += 1
            self._part(watcher, WSCloseCode.TRY_AGAIN_LATER)
        except Unavailable:
            self._part(watcher, WSCloseCode.TRY_AGAIN_LATER)

    async def _wait_for_its_seq(self, watcher: Watcher) -> None:
        """A watcher may have more than this relay, whose copy of a shared stream lags; or its seq is another's."""
        deadline = self._loop.time() + self._limits.resume_seconds
        while watcher.position > self._ring.last and self._loop.time() < deadline:
            await asyncio.sleep(GLANCE_SECONDS)
        if watcher.position > self._ring.last:
            self._skip(watcher, self._stream.first())

    async def _drained(self, watcher: Watcher) -> float:
        """Wait until the transport takes more; the seconds that took. Raises _Stuck."""
        held = watcher.transport.get_write_buffer_size()
        if not held:
            return 0.0
        began = self._loop.time()
        while not (await asyncio.wait([watcher.drain()], timeout=self._limits.stuck_seconds))[0]:
            left = watcher.transport.get_write_buffer_size()
            if left >= held:
                raise _Stuck
            held = left
        return self._loop.time() - began

    async def _send_some(self, watcher: Watcher, waited: float) -> None:
        ring = self._ring
        ring.forget(self._stream.first())  # memory must not outlive the history
        if watcher.after is None and (waited > STALLED * self._limits.stuck_seconds or watcher.position < ring.floor):
            self._move_forward(watcher)
        hole = self._stream.hole()
        beginnings = [hole]
        if watcher.position >= ring.floor:
            frames = ring.after(watcher.position, PIECE)
        else:
            entries = await self._stream.read(watcher.position, READ)
            frames = [framed(entry) for entry in entries if entry.seq <= ring.last]
            beginnings.append(self._stream.first())
        following = frames[0].seq if frames else ring.floor + 1
        if any(0 < watcher.position < seq - 1 and seq <= following for seq in beginnings):
            self._skip(watcher, following)
        elif following < hole:
            frames = [frame for frame in frames if frame.seq < hole]
        if not frames:
            watcher.position = max(watcher.position, ring.floor)
        for piece in pieces(frames, PIECE):
            await self._drained(watcher)
            if watcher.gone:
                return
            self._write(watcher, chosen(piece, watcher.wish))
            watcher.position = piece[-1].seq

    def _move_forward(self, watcher: Watcher) -> None:
        """Drop the oldest of what a live watcher lags, if that is too much."""
        newest = self._ring.newest(self._limits.queue)
        if newest and 0 < watcher.position < newest[0].seq - 1:
            self.dropped += self._ring.lag(watcher.position) - len(newest)
            self._skip(watcher, newest[0].seq)

    def _skip(self, watcher: Watcher, following: int) -> None:
        """Go on at a seq, and say so: old clients drop what is no event."""
        notice = b'{"gap":{"after":%d,"next":%d}}' % (watcher.position, following)
        self._write(watcher, text_frame(notice))
        watcher.position = following - 1
        self.gaps += 1

    def _part(self, watcher: Watcher, code: int) -> None:
        """Say good-bye, in a task; the connection's handler ends by it."""
        self._level.pop(watcher, None)
        if watcher.task is not None and watcher.task is not asyncio.current_task():
            watcher.task.cancel()
        if watcher.farewell is None:
            watcher.farewell = self._loop.create_task(_close(watcher, code))


async def _close(watcher: Watcher, code: int) -> None:
    """Close, and wait for the answer. Not while someone waits for a message: aiohttp would not wait, but hang up."""
    watcher.hearing.cancel()
    await asyncio.wait([watcher.hearing])
    with suppress(ConnectionError):
        await watcher.socket.close(code=code, drain=False)
