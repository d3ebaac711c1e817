"""A Supabase with the function `query`, as the wire contract has it, that can also misbehave."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler

TOKEN = "the-functions-own-token"


class Supabase:
    """Serves on a thread of its own. `rows` are its aggregates, `asked` the queries it got."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.asked: list[dict[str, str]] = []
        self.instead: Callable[[web.Request], Any] | None = None
        """Answers in the place of the function."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.url = self._run(self._start())

    def add(self, date: str, hour: int, count: int, source: str = "laptop") -> None:
        self.rows.append({"source": source, "date": date, "hour": hour, "eventCount": count})

    def end(self) -> None:
        self._run(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    async def _start(self) -> str:
        app = web.Application(middlewares=[self._misbehave])
        app.router.add_get("/functions/v1/query", self._query)
        self._runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/functions/v1"

    @web.middleware
    async def _misbehave(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        if self.instead is None:
            return await handler(request)
        answer: web.StreamResponse = await self.instead(request)
        return answer

    async def _query(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "")
        if not token:
            return _refusal(401, "missing_auth")
        if token != f"Bearer {TOKEN}":
            return _refusal(401, "invalid_token")
        if request.query.get("days") not in {"7", "30"}:
            return _refusal(400, "invalid_days")
        source = request.query.get("source")
        rows = [row for row in self.rows if source in {None, row["source"]}]
        rows.sort(key=lambda row: (row["date"], row["hour"]), reverse=True)
        meta = {
            "totalCount": len(rows),
            "daysRequested": int(request.query["days"]),
            "fetchedAt": "2026-04-18T00:00:00.000Z",
        }
        return web.json_response({"aggregates": rows, "meta": meta}, headers={"Access-Control-Allow-Origin": "*"})


def _refusal(status: int, code: str) -> web.Response:
    return web.json_response({"error": code, "message": "no"}, status=status)


async def failing(request: web.Request) -> web.Response:
    """What it says when its database is gone."""
    return _refusal(500, "internal_error")
