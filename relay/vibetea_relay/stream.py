"""What a relay keeps its events in: one process's own journal, or a stream that several relays share."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from vibetea_protocol.wire import WireEvent


class Entry(NamedTuple):
    """An event with its place in the stream.

    Args:
        seq: grows along the stream, with gaps; the same for every watcher, and what `?after=` takes.
    """

    seq: int
    event: WireEvent


class Receipt(NamedTuple):
    """What became of a batch: how many of its events were new, and how many had been accepted before."""

    accepted: int
    duplicates: int


class Unavailable(Exception):
    """The batch could not be stored now; the sender is asked to come again."""


class Stream(Protocol):
    """Holds events in order, each id once."""

    @property
    def condition(self) -> str:
        """What an operator should know of it, in a word; "" while there is nothing to know."""
        ...

    async def start(self, listen: Callable[[Sequence[Entry]], None]) -> None:
        """Begin; `listen` is called on the event loop with every new entry, in order, once."""
        ...

    async def publish(self, events: Sequence[WireEvent]) -> Receipt:
        """Store a batch; once this returns, nothing of it will be lost. Raises Unavailable."""
        ...

    def last(self) -> int:
        """The newest entry's seq, 0 if there never was one."""
        ...

    def first(self) -> int:
        """The oldest seq that can still be read; `last() + 1` if none can."""
        ...

    async def read(self, after: int, limit: int) -> Sequence[Entry]:
        """The entries after a seq that are still held, oldest first, `limit` at most."""
        ...

    async def close(self) -> None:
        """End; what was published stays."""
        ...
