"""How long to wait before a relay is tried again, by whoever sends to it or watches it."""

from collections.abc import Iterator
from itertools import chain, repeat
from random import uniform


def backoff() -> Iterator[float]:
    """1, 2, 4 … 60 seconds, each up to a quarter more or less: the old clients' contract."""
    for seconds in chain((1, 2, 4, 8, 16, 32), repeat(60)):
        yield seconds * uniform(0.75, 1.25)  # noqa: S311  it spreads those who wait, it hides nothing
