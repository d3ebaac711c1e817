"""How much anyone may ask for: token buckets and head counts, by any key, in bounded memory."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

from vibetea_relay.config import Limits

Key = tuple[str, ...]


class Buckets:
    """Token buckets by key.

    Args:
        rate: tokens a second.
        burst: tokens of a full bucket.
        most: buckets; the longest unused goes first.
        idle: seconds after which an unused one is forgotten.
    """

    def __init__(
        self, rate: float, burst: float, *, most: int, idle: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate: Final = rate
        self.burst: Final = burst
        self._most = most
        self._idle = idle
        self._clock = clock
        self._buckets: OrderedDict[Key, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, *key: str, many: int = 1) -> float:
        """Take tokens: 0.0 if there was one, else the seconds until there is; more than there were are owed."""
        now = self._clock()
        tokens = self._tokens(key, now)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self.rate
        self._keep(key, tokens if wait else tokens - many, now)
        return wait

    def wait(self, *key: str) -> float:
        """The seconds until there is a token, without taking it."""
        tokens = self._tokens(key, self._clock())
        return 0.0 if tokens >= 1 else (1 - tokens) / self.rate

    def _tokens(self, key: Key, now: float) -> float:
        tokens, then = self._buckets.get(key, (self.burst, now))
        return min(self.burst, tokens + (now - then) * self.rate)

    def _keep(self, key: Key, tokens: float, now: float) -> None:
        self._buckets[key] = (tokens, now)
        self._buckets.move_to_end(key)
        while len(self._buckets) > self._most or next(iter(self._buckets.values()))[1] < now - self._idle:
            self._buckets.popitem(last=False)


class Limiter:
    """The buckets: requests and events per source once its signature is verified; before that per address, per address
    and claimed source, and for what failed.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        def buckets(rate: float, burst: float) -> Buckets:
            return Buckets(rate, burst, most=limits.buckets, idle=limits.bucket_idle_seconds, clock=clock)

        self.sources: Final = buckets(limits.source_rate, limits.source_burst)
        self.events: Final = buckets(limits.event_rate, limits.event_burst)
        self.addresses: Final = buckets(limits.address_rate, limits.address_burst)
        self.claims: Final = buckets(limits.claim_rate, limits.claim_burst)
        self.failures: Final = buckets(limits.failure_rate, limits.failure_burst)


class Crowd:
    """Counts who is there, or what they hold, in all and per address.

    Args:
        most: in all.
        most_each: per address.
    """

    def __init__(self, most: int, most_each: int) -> None:
        self._most = most
        self._most_each = most_each
        self._by_address: Counter[str] = Counter()
        self.total = 0

    def enter(self, address: str, *, many: int = 1, counted: bool = True) -> bool:
        """Whether there is room for so many more; if so they are counted. `counted` is false for a proxy's address."""
        if self.total + many > self._most or (counted and self._by_address[address] + many > self._most_each):
            return False
        self.total += many
        self._by_address[address] += many
        return True

    def leave(self, address: str, *, many: int = 1) -> None:
        """So many that entered are gone."""
        self.total -= many
        self._by_address[address] -= many
        if not self._by_address[address]:
            del self._by_address[address]


class Share:
    """What one request takes of a crowd's room, given back at the end of its block."""

    __slots__ = ("_address", "_crowd", "_many")

    def __init__(self, crowd: Crowd, address: str) -> None:
        self._crowd = crowd
        self._address = address
        self._many = 0

    def grow(self, many: int = 1) -> bool:
        """Whether there was room for so much more."""
        found = self._crowd.enter(self._address, many=many)
        self._many += many * found
        return found

    def __enter__(self) -> "Share":
        return self

    def __exit__(self, *_: object) -> None:
        if self._many:
            self._crowd.leave(self._address, many=self._many)
