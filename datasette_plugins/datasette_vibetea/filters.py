"""What of the events is asked for: the same words in the address of every page and of its data."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from datasette_vibetea.slots import SLOT_SECONDS, SLOTS_A_DAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COLUMNS: Final = ("source", "project", "type", "tool")
SESSION: Final = "session_id"
DAYS: Final = 7
MOST_DAYS: Final = 400
MOST_CHARACTERS: Final = 300
CHOICES: Final = 100
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?Z", re.ASCII)


class BadFilter(ValueError):
    """A filter that means nothing; the text says what it should be."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters on columns, a range of time, and a session.

    Args:
        columns: (column, value) pairs, which all must match; "" stands for events without one.
        first: the first quarter hour, counted from the epoch.
        last: the one after the last.
        session: the id of one session; `activity` knows of none.
    """

    columns: tuple[tuple[str, str], ...]
    first: int
    last: int
    session: str | None = None

    @classmethod
    def parse(cls, arguments: Any, now: datetime | None = None) -> Self:
        """Those of an address: `source`, `project`, `type`, `tool`, `session`; `days` until now, or `from` and `to`.

        Times are in UTC. Raises BadFilter.
        """
        columns = tuple((name, _text(name, arguments[name])) for name in COLUMNS if name in arguments)
        first, last = _range(arguments, now or datetime.now(UTC))
        session = _text("session", arguments["session"]) if "session" in arguments else None
        return cls(columns, first, last, session)

    def where(self) -> tuple[str, list[Any]]:
        """A condition on a table of sums by `slot`, and its parameters."""
        return self._where("slot", self.first, self.last)

    def where_days(self) -> tuple[str, list[Any]]:
        """A condition on one by UTC `day`: all days of which a quarter hour is asked for."""
        return self._where("day", self.first // SLOTS_A_DAY, -(-self.last // SLOTS_A_DAY))

    def _where(self, column: str, first: int, last: int) -> tuple[str, list[Any]]:
        parts = [f"{column} >= ?", f"{column} < ?", *(f"{name} = ?" for name, _ in self.columns)]
        return " and ".join(parts), [first, last, *(value for _, value in self.columns)]

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """What is asked of an event besides its time: (column of `events`, value) pairs."""
        return self.columns if self.session is None else (*self.columns, (SESSION, self.session))

    def match(self, event: Mapping[str, Any]) -> bool:
        """Whether an event with these columns is one of those asked for, whenever it was."""
        return all((event[name] or "") == value for name, value in self.names)

    def without(self, *names: str) -> Filters:
        """The same, but for these columns, which a table does not have."""
        return Filters(tuple(each for each in self.columns if each[0] not in names), self.first, self.last)


def choices(found: Iterable[str] | Mapping[str, int]) -> list[str]:
    """The names to choose from, the most frequent first, without those that cannot be asked for."""
    counts = Counter(found)
    names = sorted(counts, key=lambda name: (-counts[name], name))
    return [name for name in names if 0 < len(name) <= MOST_CHARACTERS][:CHOICES]


def _text(name: str, value: str) -> str:
    if len(value) > MOST_CHARACTERS:
        raise BadFilter(f"{name} is longer than {MOST_CHARACTERS} characters")
    return value


def _range(arguments: Any, now: datetime) -> tuple[int, int]:
    # the running quarter of an hour counts
    last = int(now.timestamp()) // SLOT_SECONDS + 1
    if "to" in arguments:
        last = _slot("to", arguments["to"])
    if "from" in arguments:
        first = _slot("from", arguments["from"])
    else:
        first = last - _days(arguments.get("days") or str(DAYS)) * SLOTS_A_DAY
    if last <= first:
        raise BadFilter("the first day must not be after the last")
    if last - first > MOST_DAYS * SLOTS_A_DAY:
        raise BadFilter(f"at most {MOST_DAYS} days")
    return first, last


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 0 < int(text) <= MOST_DAYS):
        raise BadFilter(f"days is a whole number from 1 to {MOST_DAYS}")
    return int(text)


def _slot(name: str, text: str) -> int:
    if not _DATE.fullmatch(text):
        raise BadFilter(f"{name} is a time in UTC, like 2026-03-12T14:30Z")
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadFilter(f"{name} is no time there is") from None
    return int((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=SLOT_SECONDS))
