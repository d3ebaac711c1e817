"""What tokens cost: `prices.toml`, and a file of that name beside the database, whose word on a model counts more."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import date, datetime
from operator import add
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from datasette_vibetea.slots import SLOTS_A_DAY

NAME: Final = "prices.toml"
MOST_BYTES: Final = 65_536
_DATED: Final = re.compile(r"-\d{8}\Z", re.ASCII)
_EPOCH: Final = date(1970, 1, 1)


class BadPrices(ValueError):
    """A file of prices that cannot be used; the text says what is wrong, and names no path."""


class Tokens(NamedTuple):
    """Of some messages: how many messages, and tokens of each kind; `cache_write` stay for five minutes."""

    messages: int
    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_hour: int

    def plus(self, other: Tokens) -> Tokens:
        """Those of both."""
        return Tokens(*map(add, self, other))


RATES: Final = Tokens._fields[1:]


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens of each kind, from a quarter hour on, counted from the epoch."""

    first: int
    rates: tuple[float, ...]

    def cost(self, tokens: Tokens) -> float:
        """US dollars."""
        _, given, output, read, written, hour = tokens
        rates = self.rates
        cost = given * rates[0] + output * rates[1] + read * rates[2] + written * rates[3] + hour * rates[4]
        return round(cost / 1_000_000, 9)


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of each model, the latest first.

    Args:
        checked: when the shipped ones were last compared with the published ones.
        own: whether the user's own are used.
        problem: why they are not; "" if they are, or there are none.
    """

    checked: date
    models: dict[str, list[Price]]
    own: bool = False
    problem: str = ""

    @classmethod
    def read(cls, own: Path) -> Self:
        """The shipped ones, and those of the file `own`, if it is there."""
        with (Path(__file__).parent / NAME).open("rb") as file:
            shipped = tomllib.load(file)
        models, checked = _models(shipped), shipped["checked"]
        try:
            mine = _own(own)
        except BadPrices as bad:
            return cls(checked, models, problem=f"{NAME} is not used: {bad}")
        return cls(checked, models | mine, own=bool(mine))

    def at(self, model: str, slot: int) -> Price | None:
        """The price of a model in a quarter hour, counted from the epoch; None if nobody knows it."""
        for price in self.models.get(model) or self.models.get(_DATED.sub("", model)) or ():
            if price.first <= slot:
                return price
        return None


def _own(path: Path) -> dict[str, list[Price]]:
    try:
        if not path.is_file():
            return {}
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError:
        raise BadPrices("it cannot be read") from None
    if len(raw) > MOST_BYTES:
        raise BadPrices(f"it is longer than {MOST_BYTES} bytes")
    try:
        document = tomllib.loads(raw.decode())
    except UnicodeDecodeError:
        raise BadPrices("it is not UTF-8") from None
    except ValueError as error:  # a number may be too long for Python
        raise BadPrices(f"it is not TOML ({error})") from None
    except RecursionError:
        raise BadPrices("it is nested too deep") from None
    return _models(document)


def _models(document: dict[str, Any]) -> dict[str, list[Price]]:
    entries = document.get("price")
    if not isinstance(entries, list) or document.keys() - {"price", "checked"}:
        raise BadPrices("it holds other things than [[price]] and checked")
    models: dict[str, list[Price]] = {}
    for number, entry in enumerate(entries, 1):
        try:
            names, price = _entry(entry)
        except BadPrices as bad:
            raise BadPrices(f"in [[price]] number {number}, {bad}") from None
        for name in names:
            models.setdefault(name, []).append(price)
    for prices in models.values():
        prices.sort(key=lambda price: -price.first)
    return models


def _entry(entry: Any) -> tuple[list[str], Price]:
    if not isinstance(entry, dict) or entry.keys() - {"models", "from", *RATES}:
        raise BadPrices(f"the keys are models, from, {', '.join(RATES)}")
    names = entry.get("models")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadPrices('models is a list such as ["claude-opus-5"]')
    since = entry.get("from", _EPOCH)
    if not isinstance(since, date) or isinstance(since, datetime):
        raise BadPrices("from is a day such as 2026-10-07")
    return names, Price((since - _EPOCH).days * SLOTS_A_DAY, tuple(_rate(entry, kind) for kind in RATES))


def _rate(entry: dict[str, Any], kind: str) -> float:
    rate = entry.get(kind)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1_000_000:
        raise BadPrices(f"{kind} is a number of US dollars for a million tokens")
    return float(rate)
