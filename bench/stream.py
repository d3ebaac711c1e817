"""From commit to browser: how long until Chromium has, and has shown, an event that was just committed.

`python bench/stream.py [--events N]` commits single rows at about ten a second, at uneven distances so that they do
not fall into step with the poller, and prints milliseconds. Both clocks are this machine's.
"""

from __future__ import annotations

import argparse
import queue
import random
import statistics
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from playwright.sync_api import sync_playwright

from datasette_vibetea.serve import serve
from vibetea_daemon.store.schema import open_database

if TYPE_CHECKING:
    import sqlite3

CHROMIUM: Final = "/usr/bin/chromium"
PER_SECOND: Final = 10
TARGET_P50_MS: Final = 60
WATCH: Final = """
window.arrived = {};
window.painted = {};
const now = () => performance.timeOrigin + performance.now();
const Original = EventSource;
window.EventSource = class extends Original {
  constructor(...its) {
    super(...its);
    this.addEventListener("message", message => { arrived[message.lastEventId] = now(); });
  }
};
document.addEventListener("DOMContentLoaded", () => {
  new MutationObserver(changes => {
    const seqs = changes.flatMap(change => [...change.addedNodes]).map(row => row.dataset?.seq).filter(Boolean);
    const channel = new MessageChannel();
    channel.port1.onmessage = () => { for (const seq of seqs) painted[seq] = now(); };
    channel.port2.postMessage(0); // runs after the frame that shows them
  }).observe(document.getElementById("events"), { childList: true });
});
"""
INSERT: Final = (
    "insert into events(id, source, timestamp, type, session_id, project, tool, status, outcome, duration_ms, payload) "
    "values (?, 'laptop', '2026-03-12T14:32:07.123Z', 'tool', '3f0c9b52', 'shop', 'Read', 'completed', 'ok', 17, "
    '\'{"sessionId":"3f0c9b52","project":"shop","tool":"Read","status":"completed","context":"auth.ts"}\')'
)


def commit(connection: sqlite3.Connection, events: int) -> dict[int, float]:
    """Milliseconds since the epoch right after each commit, by seq."""
    committed = {}
    for _ in range(events):
        time.sleep(random.uniform(0.4, 1.6) / PER_SECOND)
        seq = connection.execute(INSERT, [f"evt_{uuid.uuid4().hex}"]).lastrowid
        assert seq is not None
        committed[seq] = time.time() * 1000
    return committed


def line(name: str, committed: dict[int, float], seen: dict[str, float]) -> str:
    """One row of the result; fails if an event was lost."""
    waited = [seen[str(seq)] - at for seq, at in committed.items()]
    hundredths = statistics.quantiles(waited, n=100)
    return f"{name:22} {hundredths[49]:8.1f} {hundredths[94]:8.1f} {hundredths[98]:8.1f}"


def main() -> None:
    """Serve, watch, commit, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300)
    events = parser.parse_args().events
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "vibetea.db"
        connection = open_database(path)
        addresses: queue.Queue[str] = queue.Queue()
        settings: dict[str, Any] = {"port": 0, "on_ready": addresses.put}
        threading.Thread(target=serve, args=(path,), kwargs=settings, daemon=True).start()
        page = playwright.chromium.launch(executable_path=CHROMIUM).new_page()
        page.add_init_script(WATCH)
        page.goto(f"{addresses.get(timeout=20)}/live")
        page.wait_for_selector('[data-state="live"]')
        commit(connection, 10)  # warm
        committed = commit(connection, events)
        page.wait_for_function("seq => painted[seq]", arg=max(committed), timeout=10_000)
        print(f"{'ms from commit until':22} {'p50':>8} {'p95':>8} {'p99':>8}    {events} events, {PER_SECOND}/s")
        print(line("it is in the browser", committed, page.evaluate("arrived")), f"   target p50 <= {TARGET_P50_MS}")
        print(line("it is on the screen", committed, page.evaluate("painted")))


if __name__ == "__main__":
    main()
