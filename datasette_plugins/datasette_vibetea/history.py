"""Hours from before this database began, out of a team's Supabase, for the heatmap.

What this database holds wins: of a source it knows only the hours before its first event here are filled, so that
nothing counts twice. The token stays on the server.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from datasette_vibetea import database, supabase
from datasette_vibetea.slots import SLOT_SECONDS

if TYPE_CHECKING:
    import sqlite3

    from datasette_vibetea.filters import Filters

FRESH_SECONDS: Final = {"there": 300.0, "refused": 60.0, "useless": 1.0}
"""How long an answer is not asked for again, by its state; another is asked for at once."""
HOUR: Final = 3600 // SLOT_SECONDS
DAY: Final = 86400 // SLOT_SECONDS

# One walk over the table for all sources together, where grouping would sort the whole of it.
_NEXT: Final = """
    select source, slot from activity where slot >= ? and source not in (select value from json_each(?))
    order by slot limit 1
"""

Answer = tuple[str, tuple[supabase.Hour, ...]]


class History:
    """The answers of the last minutes."""

    def __init__(self) -> None:
        self._asking = asyncio.Lock()
        self._kept: dict[int, tuple[float, Answer]] = {}

    def read(self, connection: sqlite3.Connection, filters: Filters) -> dict[str, Any]:
        """`first`, the quarter hour of each source's first event here."""
        first: dict[str, int] = {}
        slot = 0
        while found := connection.execute(_NEXT, (slot, json.dumps([*first]))).fetchone():
            source, slot = found
            first[source] = slot
        return {"first": first}

    async def add(self, datasette: Any, filters: Filters, found: dict[str, Any]) -> dict[str, Any]:
        """`hours` to add, [slot, events] each with the hour's first quarter, and in `state` why there are none.

        `there`; `none` is configured; `misconfigured`; `untold`, so without a token; `refused` the token; `useless`
        the answer, or none came; `unknowable`: the hours are those of all projects, types and tools.
        """
        state, hours = await self._answer(datasette, filters)
        first = found["first"]
        asked = dict(filters.columns)
        counts: Counter[int] = Counter()
        for hour in hours:
            older = hour.source not in first or hour.slot + HOUR <= first[hour.source]
            if older and asked.get("source", hour.source) == hour.source and filters.first <= hour.slot < filters.last:
                counts[hour.slot] += hour.n
        return {"state": state, "hours": sorted(counts.items())}

    async def _answer(self, datasette: Any, filters: Filters) -> Answer:
        config = database.config(datasette).get("history")
        if not config:
            return "none", ()
        if filters.without("source").columns:
            return "unknowable", ()
        ago = time.time() // SLOT_SECONDS - filters.first
        days = next((days for days in supabase.DAYS if ago < days * DAY), supabase.DAYS[-1])
        async with self._asking:  # who comes meanwhile finds the answer
            until, answer = self._kept.get(days, (0.0, ("", ())))
            if time.monotonic() >= until:
                answer = await _asked(config, days)
                self._kept[days] = time.monotonic() + FRESH_SECONDS.get(answer[0], 0.0), answer
        return answer


async def _asked(config: Any, days: int) -> Answer:
    url, token = (config.get(name) for name in ("url", "token")) if isinstance(config, dict) else (None, None)
    if not isinstance(url, str):
        return "misconfigured", ()
    if not isinstance(token, str) or not token.strip():
        return "untold", ()
    try:
        return "there", await supabase.ask(url, token.strip(), days)
    except supabase.Misconfigured:
        return "misconfigured", ()
    except supabase.Refused:
        return "refused", ()
    except supabase.Useless:
        return "useless", ()
