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


class Wish(NamedTuple):
    """What a watcher asked for; None is anything.

    Args:
        session, tool: parts of an event's canonical bytes. Inside a value quotes are escaped, so that what looks like a
            key and its value is one.
    """

    source: str | None = None
    type: str | None = None
    project: str | None = None
    session: bytes | None = None
    tool: bytes | None = None


class Unavailable(Exception):
    """The batch could not be stored now; the sender is asked to come again."""


class TooLarge(Exception):
    """An event of the batch will never be stored."""


class Stream(Protocol):
    """Holds events in order, each id once."""

    @property
    def condition(self) -> str:
        """What an operator should know of it, in a word; "" while there is nothing to know."""
        ...

    @property
    def skipped(self) -> int:
        """Messages of a shared stream that were no batches of their subject's source, since the start."""
        ...

    async def start(self, listen: Callable[[Sequence[Entry]], None]) -> None:
        """Begin; `listen` is called on the event loop with every new entry, in order, once."""
        ...

    async def publish(self, events: Sequence[WireEvent]) -> Receipt:
        """Store a batch; once this returns it outlives this process. Raises Unavailable and TooLarge."""
        ...

    def last(self) -> int:
        """The newest entry's seq, 0 if there never was one."""
        ...

    def first(self) -> int:
        """The oldest seq that can still be read; `last() + 1` if none can."""
        ...

    def hole(self) -> int:
        """The seq before which some that others have never came here; 0 if there is none."""
        ...

    async def read(self, after: int, limit: int) -> Sequence[Entry]:
        """The entries after a seq that are still held, oldest first, `limit` at most."""
        ...

    async def newest(self, many: int, wish: Wish) -> int | None:
        """Of the newest so many entries that suit, the oldest one's seq; None if none suits."""
        ...

    async def close(self) -> None:
        """End; what was published stays."""
        ...
