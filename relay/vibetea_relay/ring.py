"""The newest entries, ready to be sent: each is made a frame once, whoever it goes to."""

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from vibetea_relay.stream import Entry, Wish

TEXT: Final = 0x81
"""The first byte of an unfragmented text frame (RFC 6455, 5.2)."""


class Frame(NamedTuple):
    """An entry as the bytes of a WebSocket frame."""

    seq: int
    source: str
    type: str
    project: str
    data: bytes

    def suits(self, wish: Wish) -> bool:
        """Whether it is all that was asked for."""
        exact = all(wanted in {None, has} for wanted, has in zip(wish[:3], self[1:4], strict=True))
        return exact and all(part in self.data for part in wish[3:] if part is not None)


def framed(entry: Entry) -> Frame:
    """The frame of an entry: its event with `seq` as one key more."""
    seq, event = entry
    return Frame(seq, event.source, event.type, event.project, text_frame(b'%b,"seq":%d}' % (event.raw[:-1], seq)))


def text_frame(payload: bytes) -> bytes:
    """A server's text frame."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", TEXT, size) + payload
    if size < 65_536:
        return struct.pack("!BBH", TEXT, 126, size) + payload
    return struct.pack("!BBQ", TEXT, 127, size) + payload


def chosen(frames: Iterable[Frame], wish: Wish) -> bytes:
    """The bytes of those frames a watcher asked for."""
    if wish == ANYTHING:
        return b"".join([frame.data for frame in frames])
    return b"".join([frame.data for frame in frames if frame.suits(wish)])


ANYTHING: Final = Wish()


class Ring:
    """The newest frames.

    Args:
        entries: how many are held, at most.
        size: bytes, at most.

    Attributes:
        floor: whatever came after this seq is held.
        last: the newest frame's seq.

    Both are -1 until `begin`.
    """

    def __init__(self, entries: int, size: int) -> None:
        self.floor = self.last = -1
        self._entries = entries
        self._room = size
        self._seqs: list[int] = []
        self._frames: list[Frame] = []

    def begin(self, last: int) -> None:
        """Say, once, after which seq frames will be added."""
        if self.last < 0:
            self.floor = self.last = last

    def add(self, frames: Sequence[Frame]) -> None:
        """Take in newer frames; the oldest go."""
        if not self.last:  # the stream's first, which need not be 1
            self.floor = frames[0].seq - 1
        self._frames += frames
        self._seqs += [frame.seq for frame in frames]
        self._room -= sum(len(frame.data) for frame in frames)
        self.last = self._seqs[-1]
        gone = max(0, len(self._frames) - self._entries)
        self._room += sum(len(frame.data) for frame in self._frames[:gone])
        while self._room < 0 and gone < len(self._frames) - 1:
            self._room += len(self._frames[gone].data)
            gone += 1
        self._drop(gone)

    def forget(self, first: int) -> None:
        """Let go what came before a seq: the stream no longer holds it."""
        gone = bisect_left(self._seqs, first)
        self._room += sum(len(frame.data) for frame in self._frames[:gone])
        self._drop(gone)

    def _drop(self, gone: int) -> None:
        if gone:
            self.floor = self._seqs[gone - 1]
            del self._frames[:gone], self._seqs[:gone]

    def after(self, seq: int, size: int) -> Sequence[Frame]:
        """The frames after a seq, oldest first: one at least if there is one, and no more than `size` bytes."""
        start = end = bisect_right(self._seqs, seq)
        while end < len(self._frames) and (size > 0 or end == start):
            size -= len(self._frames[end].data)
            end += 1
        return self._frames[start:end]

    def lag(self, seq: int) -> int:
        """How many frames came after a seq."""
        return len(self._frames) - bisect_right(self._seqs, seq)

    def newest(self, many: int) -> Sequence[Frame]:
        """The newest frames, oldest of them first."""
        return self._frames[-many:]


def pieces(frames: Sequence[Frame], size: int) -> Iterable[Sequence[Frame]]:
    """The frames in runs of about `size` bytes."""
    start = held = 0
    for end, frame in enumerate(frames, 1):
        held += len(frame.data)
        if held >= size:
            yield frames[start:end]
            start, held = end, 0
    if start < len(frames):
        yield frames[start:]
