"""Make docs/stream.png: `python docs/screenshot.py [FILE] [--dark] [--width N]`. All of its data is invented."""

# ruff: noqa: INP001 a script, not a module

from __future__ import annotations

import argparse
import json
import queue
import sqlite3
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import sync_playwright

from datasette_vibetea.serve import serve
from vibetea_daemon.store.schema import open_database

CHROMIUM: Final = "/usr/bin/chromium"
NOW: Final = datetime(2026, 3, 12, 14, 32, 7, tzinfo=UTC)
SHOP: Final = ("shop", "3f0c9b52-7c1e-4b7a-9a52-0d6f3c1e8b11")
ATLAS: Final = ("atlas-api", "a91d4e07-5b3c-4f0e-8c66-2e7b9d40f3a2")
BLOG: Final = ("blog", "5be27f40-91aa-4c0d-b1f7-7d3e5a2c9046")
OPUS: Final = "claude-opus-4-6"
HAIKU: Final = "claude-haiku-4-5"

Who = tuple[str, str]
Event = tuple[float, Who, str, dict[str, Any]]


def tool(after: float, who: Who, name: str, context: str | None, ms: int, **more: Any) -> list[Event]:
    """A call's start and end."""
    common = {"tool": name, **{key: value for key, value in more.items() if key == "agentId"}}
    end = {"context": context, "outcome": "ok", **more} if context else {"outcome": "ok", **more}
    return [
        (after, who, "tool", {"status": "started", **common}),
        (ms / 1000, who, "tool", {"status": "completed", "durationMs": ms, **common, **end}),
    ]


def used(who: Who, model: str, tokens_in: int, tokens_out: int, cached: int, **more: Any) -> Event:
    """The tokens of one message."""
    counts = {"inputTokens": tokens_in, "outputTokens": tokens_out, "cacheReadTokens": cached, "cacheCreationTokens": 0}
    return (0.2, who, "token_usage", {"model": model, **counts, **more})


STORY: Final[list[Event]] = [
    (0, SHOP, "session", {"action": "started", "how": "startup"}),
    (9, SHOP, "activity", {"kind": "prompt"}),
    *tool(3, SHOP, "Grep", None, 41),
    *tool(2, SHOP, "Read", "checkout.ts", 17),
    used(SHOP, OPUS, 1240, 371, 18200),
    (4, BLOG, "session", {"action": "started", "how": "resume"}),
    (6, BLOG, "skill_invocation", {"skillName": "review"}),
    *tool(2, BLOG, "Read", "index.md", 9),
    *tool(3, SHOP, "Edit", "checkout.ts", 28),
    (1, ATLAS, "activity", {"kind": "prompt"}),
    (2, ATLAS, "agent_spawn", {"agentType": "Explore", "agentId": "a17c3f"}),
    *tool(1, ATLAS, "Glob", None, 33, agentId="a17c3f"),
    *tool(1, ATLAS, "Read", "routes.py", 12, agentId="a17c3f"),
    used(ATLAS, HAIKU, 912, 37, 0, agentId="a17c3f"),
    *tool(3, SHOP, "Bash", None, 6140, outcome="failed"),
    used(BLOG, OPUS, 3108, 642, 44100),
    (2, BLOG, "agent", {"state": "waiting_input"}),
    *tool(2, SHOP, "Read", "checkout.test.ts", 14),
    *tool(3, SHOP, "Edit", "checkout.ts", 22),
    (1, ATLAS, "agent", {"state": "finished", "agentId": "a17c3f"}),
    (2, ATLAS, "todo_progress", {"completed": 2, "inProgress": 1, "pending": 3, "abandoned": 0}),
    *tool(2, ATLAS, "Write", "limits.py", 19),
    *tool(4, SHOP, "Bash", None, 4870),
    used(SHOP, OPUS, 1988, 514, 26400),
    (3, ATLAS, "agent", {"state": "waiting_permission"}),
    (2, SHOP, "agent", {"state": "waiting_input"}),
]


def fill(path: Path) -> None:
    """A database with the story, which ends now."""
    at = NOW - timedelta(seconds=sum(event[0] for event in STORY) + 1)
    connection = open_database(path)
    for number, (after, (project, session), kind, payload) in enumerate(STORY):
        at += timedelta(seconds=after)
        row = {
            "id": f"evt_{number:020d}",
            "source": "laptop",
            "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "type": kind,
            "session_id": session,
            "project": project,
            "tool": payload.get("tool"),
            "status": payload.get("status"),
            "outcome": payload.get("outcome"),
            "state": payload.get("state") or payload.get("kind"),
            "agent_id": payload.get("agentId"),
            "model": payload.get("model"),
            "duration_ms": payload.get("durationMs"),
            "payload": json.dumps({"sessionId": session, "project": project, **payload}),
        }
        insert(connection, row)
    connection.close()


def insert(connection: sqlite3.Connection, row: dict[str, Any]) -> None:
    """One event."""
    names = ", ".join(row)
    connection.execute(f"insert into events({names}) values ({', '.join('?' * len(row))})", list(row.values()))


def start(path: Path) -> str:
    """The address of the live page over this database, served until the process ends."""
    addresses: queue.Queue[str] = queue.Queue()
    settings = {"port": 0, "on_ready": addresses.put}
    threading.Thread(target=serve, args=(path,), kwargs=settings, daemon=True).start()
    return addresses.get(timeout=20)


def main() -> None:
    """Fill, serve, look."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=Path(__file__).with_name("stream.png"))
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--width", type=int, default=1200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        database = Path(folder) / "vibetea.db"
        fill(database)
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page(
            viewport={"width": options.width, "height": 900},
            color_scheme="dark" if options.dark else "light",
            timezone_id="UTC",
            reduced_motion="reduce",
            locale="en-GB",
        )
        page.clock.set_fixed_time(NOW)
        page.goto(f"{start(database)}/live")
        page.wait_for_selector(".events li")
        page.wait_for_selector('[data-state="live"]')
        page.screenshot(path=options.file)
        browser.close()


if __name__ == "__main__":
    main()
