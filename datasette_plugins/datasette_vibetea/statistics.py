"""The statistics' data: what was done, how it ended, how long it took, and what it cost.

All of it comes from the daemon's tables of sums, so that a month of ten million events answers at once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from datasette_vibetea.database import TABLE
from datasette_vibetea.filters import Filters
from datasette_vibetea.heatmap import COLUMNS
from datasette_vibetea.prices import NAME, Prices, Tokens
from datasette_vibetea.slots import SLOT_SECONDS, SLOTS_A_DAY
from datasette_vibetea.sums import Sums

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from datasette_vibetea.heatmap import Heatmap, Hours

MOST: Final = 12
"""Names of a table; how many more there are is told."""

_EVER: Final = Filters((), 0, 0)
_HAS_SUMS: Final = "select 1 from sqlite_master where type = 'table' and name = 'outcomes'"
_FILE: Final = "select file from pragma_database_list where name = 'main'"
_SLOT: Final = f"strftime('%s', timestamp) / {SLOT_SECONDS} as slot"
_WHOSE: Final = "source, coalesce(project, '') as project"
# The same columns as in the tables of sums, of the events after a sequence number, as the daemon makes them. Another
# program's payload may be anything.
_OUTCOMES: Final = f"""(
    select {_SLOT}, {_WHOSE}, type, coalesce(tool, '') as tool, 1 as n,
        iif(type = 'error', coalesce(iif(json_valid(payload), payload ->> 'category', ''), ''), coalesce(outcome, ''))
            || '' as outcome
    from {TABLE} where seq > ? and (type = 'tool' and status = 'completed' or type = 'error')
)"""
_DURATIONS: Final = f"""(
    select strftime('%s', timestamp) / {SLOT_SECONDS * SLOTS_A_DAY} as day, {_WHOSE}, coalesce(tool, '') as tool,
        duration_ms as about_ms, 1 as n
    from {TABLE}
    where seq > ? and type = 'tool' and duration_ms >= 0 and typeof(duration_ms) = 'integer'
)"""
_TOKENS: Final = {
    "input_tokens": "inputTokens",
    "output_tokens": "outputTokens",
    "cache_read_tokens": "cacheReadTokens",
    "cache_creation_tokens": "cacheCreationTokens",
    "cache_creation_hour_tokens": "cacheCreationHourTokens",
}
_BOUNDED: Final = ", ".join(
    f"max(0, min(cast(payload ->> '{key}' as integer), {2**40})) as {name}" for name, key in _TOKENS.items()
)
_USAGE: Final = f"""(
    select {_SLOT}, {_WHOSE}, coalesce(model, '') as model, 1 as messages, {_BOUNDED}
    from {TABLE} where seq > ? and type = 'token_usage' and json_valid(payload)
)"""
_KINDS: Final = """
    sum(messages), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens),
    sum(cache_creation_tokens) - coalesce(sum(cache_creation_hour_tokens), 0), sum(cache_creation_hour_tokens)
"""
_FIRST_USE: Final = "select model, min(slot) from {} where slot is not null group by model"
_SESSIONS: Final = "select count(*) from sessions where first_at < ? and last_at >= ?"


@dataclass(frozen=True, slots=True)
class _Sum:
    """What ended by (type, tool, outcome), tool calls by (tool, milliseconds), tokens by (slot, model)."""

    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    durations: Counter[tuple[str, int]] = field(default_factory=Counter)
    usage: dict[tuple[int, str], Tokens] = field(default_factory=dict)

    def __add__(self, other: _Sum) -> _Sum:
        usage = self.usage | {
            key: self.usage[key].plus(tokens) if key in self.usage else tokens for key, tokens in other.usage.items()
        }
        return _Sum(self.outcomes + other.outcomes, self.durations + other.durations, usage)


@dataclass(frozen=True, slots=True)
class _Models:
    """The quarter hour in which each was used first, whatever is asked for."""

    first: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: _Models) -> _Models:
        first = {model: min(slot, self.first.get(model, slot)) for model, slot in other.first.items()}
        return _Models(self.first | first)

    def order(self, models: list[str]) -> list[int]:
        """The places of these among all there ever were, by their first use: later ones change none of them."""
        ever = sorted(self.first, key=lambda model: (self.first[model], model))
        places = {model: place for place, model in enumerate(ever)}
        return [places.get(model, 0) for model in models]


class Statistics:
    """Its answers, out of sums that are kept. May be asked from any thread."""

    def __init__(self, heatmap: Heatmap) -> None:
        self._heatmap = heatmap
        self._sums = Sums(_count)
        self._models = Sums(_first_use)

    def figures(self, connection: sqlite3.Connection, filters: Filters) -> dict[str, Any] | None:
        """The few numbers that say most, see `_figures`; None of a database no daemon of today has opened yet."""
        if not connection.execute(_HAS_SUMS).fetchone():
            return None
        filters = filters.without("type", "tool")
        sums = self._sums.of(connection, filters)
        hours = self._heatmap.hours(connection, filters)
        prices = _prices(connection)
        return _figures(connection, filters, hours, sums, _usage(sums, prices), own=prices.own)

    def read(self, connection: sqlite3.Connection, filters: Filters) -> dict[str, Any]:
        """The heatmap's data, and beside it what is counted otherwise.

        `figures`, see `_figures`; `types`, `of_projects` and `of_sources`, each `names` with their events, the most
        active first, and how many `others`; `tools`, see `_tools`; `errors` that ended turns, by category; `usage`,
        see `_usage`, with the `order` of its models among all, by their first use; `prices`: when they were `checked`,
        and the `problem` with one's own. `outdated` is a database that no daemon of today has opened yet; then there
        is nothing else.
        """
        if not connection.execute(_HAS_SUMS).fetchone():
            return {"outdated": True}
        filters = filters.without("type", "tool")
        hours = self._heatmap.hours(connection, filters)
        sums = self._sums.of(connection, filters)
        prices = _prices(connection)
        usage = _usage(sums, prices)
        usage["order"] = self._models.of(connection, _EVER).order(usage["models"])
        errors = Counter({outcome: n for (kind, _, outcome), n in sums.outcomes.items() if kind == "error"})
        return {
            "outdated": False,
            **self._heatmap.read(connection, filters),
            "figures": _figures(connection, filters, hours, sums, usage, own=prices.own),
            "types": _top(_acts(hours, filters, "type")),
            "of_projects": _top(_acts(hours, filters, "project")),
            "of_sources": _top(_acts(hours, filters, "source")),
            "tools": _tools(sums),
            "errors": _top(errors)["names"],
            "usage": usage,
            "prices": {"checked": prices.checked.isoformat(), "problem": prices.problem},
        }


def _count(connection: sqlite3.Connection, filters: Filters, after: int | None) -> _Sum:
    def found(columns: str, sums: str, table: str, since: str) -> Iterable[tuple[Any, ...]]:
        where, values = filters.where_days() if table == "durations" else filters.where()
        rows, parameters = (table, ()) if after is None else (since, (after,))
        sql = f"select {columns}, {sums} from {rows} where {where} group by {columns}"
        return connection.execute(sql, (*parameters, *values))

    tokens = found("slot, model", _KINDS, "usage", _USAGE)
    return _Sum(
        Counter({tuple(key): n for *key, n in found("type, tool, outcome", "sum(n)", "outcomes", _OUTCOMES)}),
        _rounded(found("tool, about_ms", "sum(n)", "durations", _DURATIONS)),
        {(slot, model): Tokens(*(int(n or 0) for n in kinds)) for slot, model, *kinds in tokens},
    )


def _first_use(
    connection: sqlite3.Connection,
    filters: Filters,  # noqa: ARG001 it is of all events
    after: int | None,
) -> _Models:
    rows, parameters = ("usage", ()) if after is None else (_USAGE, (after,))
    return _Models(dict(connection.execute(_FIRST_USE.format(rows), parameters)))


def _rounded(timed: Iterable[tuple[str, int, int]]) -> Counter[tuple[str, int]]:
    """Milliseconds as the daemon rounds them for its sums: two digits, the second to a multiple of 1, 2 or 5.

    That is within 5 %, and so is every quantile, since rounding keeps the order. What is rounded stays as it is.
    """
    counts: Counter[tuple[str, int]] = Counter()
    for tool, ms, n in timed:
        digits = str(ms)
        step = 10 ** max(len(digits) - 2, 0) * (1 if ms < 20 else int("122255555"[int(digits[0]) - 1]))
        counts[tool, (ms + step // 2) // step * step] += n
    return counts


def _figures(
    connection: sqlite3.Connection, filters: Filters, hours: Hours, sums: _Sum, usage: dict[str, Any], *, own: bool
) -> dict[str, Any]:
    """The few numbers that say most.

    `events`; `sessions` that were open; tool `calls` that ended, and how many of them `failed`; `tokens` of all kinds,
    those of them `cached`, which were read from the cache, and their `cost` in US dollars, without that of models
    `unpriced`; whether one's `own` prices are used.
    """
    ends = [datetime.fromtimestamp(slot * SLOT_SECONDS, UTC).isoformat()[:16] for slot in (filters.last, filters.first)]
    named = [(name, value) for name, value in filters.columns if name in {"project", "source"}]
    sql = " and ".join([_SESSIONS, *(f"{name} = ?" for name, _ in named)])
    (sessions,) = connection.execute(sql, [*ends, *(value for _, value in named)]).fetchone()
    calls = Counter[str]()
    for (kind, _, outcome), n in sums.outcomes.items():
        if kind == "tool":
            calls[outcome] += n
    models = usage["models"]
    return {
        "events": hours.slots.total(),
        "sessions": sessions,
        "calls": calls.total(),
        "failed": calls["failed"],
        "tokens": sum(sum(row[3:8]) for row in usage["rows"]),
        "cached": sum(row[5] for row in usage["rows"]),
        "cost": round(sum(row[8] or 0 for row in usage["rows"]), 9),
        "unpriced": sorted({models[row[1]] for row in usage["rows"] if row[8] is None}),
        "own": own,
    }


def _acts(hours: Hours, filters: Filters, column: str) -> Counter[str]:
    """Events of what is asked for, by project, source or type."""
    acts: Counter[str] = Counter()
    for names, n in hours.acts.items():
        told = dict(zip(COLUMNS, names, strict=True))
        if all(told[name] == value for name, value in filters.columns):
            acts[told[column]] += n
    return acts


def _top(counts: Counter[str]) -> dict[str, Any]:
    names = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {"names": names[:MOST], "others": max(0, len(names) - MOST)}


def _tools(sums: _Sum) -> dict[str, Any]:
    """For each tool its `calls` that ended, how many of them `failed`, were `interrupted` or `refused`.

    `timed` is how many told how long they took; `p50` and `p95` are the milliseconds that half of those and 95 % of
    them took at most, each within 5 %, or None. For these three days are counted whole, as UTC has them.
    """
    ended: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (kind, tool, outcome), n in sums.outcomes.items():
        if kind == "tool":
            ended[tool][outcome] += n
    timed: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for (tool, ms), n in sums.durations.items():
        timed[tool][ms] += n
    top = _top(Counter({tool: outcomes.total() for tool, outcomes in ended.items()}))
    tools = [
        {
            "tool": tool,
            "calls": n,
            **{outcome: ended[tool][outcome] for outcome in ("failed", "interrupted", "refused")},
            "timed": timed[tool].total(),
            **{f"p{percent}": _quantile(timed[tool], percent) for percent in (50, 95)},
        }
        for tool, n in top["names"]
    ]
    return {"names": tools, "others": top["others"]}


def _quantile(timed: Counter[int], percent: int) -> int | None:
    """The least duration that so many percent of all do not exceed."""
    left = -(-timed.total() * percent // 100)
    for ms in sorted(timed):
        left -= timed[ms]
        if left <= 0:
            return ms
    return None


def _prices(connection: sqlite3.Connection) -> Prices:
    return Prices.read(Path(connection.execute(_FILE).fetchone()[0]).with_name(NAME))


def _usage(sums: _Sum, prices: Prices) -> dict[str, Any]:
    """`models`, the costliest first, and `rows`, one for each of them and each quarter hour with messages of it.

    A row is [slot, place in `models`, messages, input, output, cache read, cache write, the same for an hour, US
    dollars]; the last is None for a model without a price.
    """
    rows: list[list[Any]] = []
    spent: defaultdict[str, float] = defaultdict(float)
    for (slot, model), tokens in sorted(sums.usage.items(), key=itemgetter(0)):
        price = prices.at(model, slot)
        cost = price.cost(tokens) if price else None
        spent[model] += cost or 0
        rows.append([slot, model, *tokens, cost])
    models = sorted(spent, key=lambda model: (-spent[model], model))
    places = {model: place for place, model in enumerate(models)}
    for row in rows:
        row[1] = places[row[1]]
    return {"models": models, "rows": rows}
