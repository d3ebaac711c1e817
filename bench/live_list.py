"""How smooth the live page's list stays with fifty thousand events in it, in Chromium.

`python bench/live_list.py` fills the list through the stream; then it adds five events a frame at the top, scrolls by a
window's height a frame, and jumps anywhere. It prints the milliseconds from frame to frame, of which 16.7 is the best
there is, and the processor's milliseconds of the page's own thread for one, which a busy machine disturbs less.
"""

from __future__ import annotations

import queue
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from playwright.sync_api import sync_playwright

from datasette_vibetea.serve import serve
from vibetea_daemon.store.schema import open_database

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession, Page

CHROMIUM: Final = "/usr/bin/chromium"
EVENTS: Final = 50_000
FRAMES: Final = 200
TARGET_MEDIAN_MS: Final = 17
TARGET_WORST_MS: Final = 50
FILL: Final = """
insert into events(id, source, timestamp, type, session_id, project, tool, status, outcome, duration_ms, payload)
with recursive numbers(n) as (values (1) union all select n + 1 from numbers where n < ?)
select 'evt_' || n, 'laptop', strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 day', '+' || n || ' seconds'), 'tool',
    'session' || n / 500, 'project' || n % 7, 'Read', 'completed', 'ok', 17,
    '{"sessionId":"3f0c9b52","project":"shop","tool":"Read","status":"completed","context":"auth.ts"}' from numbers
"""
# the stream's own messages, told to the page without a network between
FRAME_BY_FRAME: Final = """async ([does, frames]) => {
    const list = document.getElementById("events");
    let seq = 1e6;
    const tell = () => {
        seq += 1;
        const event = {
            seq, source: "laptop", timestamp: new Date().toISOString(), type: "tool", session_id: `s${seq % 20}`,
            project: "shop", tool: "Read", status: "completed", outcome: "ok", duration_ms: 17, payload: {},
        };
        const message = { data: JSON.stringify(event), lastEventId: String(seq) };
        streams[0].dispatchEvent(new MessageEvent("message", message));
    };
    const acts = {
        "add": () => { for (let n = 0; n < 5; n += 1) tell(); },
        "scroll": () => scrollBy(0, innerHeight),
        "jump": () => scrollTo(0, Math.random() * list.offsetHeight),
    };
    const frame = () => new Promise(requestAnimationFrame);
    scrollTo(0, 0);
    for (let n = 0; n < 10; n += 1) await frame();
    const times = [];
    for (let n = 0; n < frames; n += 1) {
        acts[does]();
        times.push(await frame());
    }
    return times.slice(1).map((time, at) => time - times[at]);
}"""
KEEP: Final = """
window.streams = [];
const Original = EventSource;
window.EventSource = class extends Original {
  constructor(...its) {
    super(...its);
    streams.push(this);
  }
};
"""


def line(name: str, milliseconds: list[float], processor: float) -> str:
    """One row of the result."""
    hundredths = statistics.quantiles(milliseconds, n=100)
    values = (hundredths[49], hundredths[94], hundredths[98], max(milliseconds), processor)
    return f"{name:24} " + " ".join(f"{value:8.1f}" for value in values)


def processor(devtools: CDPSession) -> float:
    """Milliseconds the page's thread has worked so far."""
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return 1000 * float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))


def fill(page: Page, path: Path) -> float:
    """Seconds from the commit of all events until the list has them."""
    started = time.perf_counter()
    open_database(path).execute(FILL, [EVENTS])
    page.wait_for_selector(f'#events li[aria-setsize="{EVENTS}"]', timeout=120_000)
    return time.perf_counter() - started


def main() -> None:
    """Serve, fill, measure."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "vibetea.db"
        open_database(path).close()
        addresses: queue.Queue[str] = queue.Queue()
        settings: dict[str, Any] = {"port": 0, "on_ready": addresses.put}
        threading.Thread(target=serve, args=(path,), kwargs=settings, daemon=True).start()
        page = playwright.chromium.launch(executable_path=CHROMIUM).new_page()
        page.add_init_script(KEEP)
        page.goto(f"{addresses.get(timeout=20)}/live")
        page.wait_for_selector('[data-state="live"]')
        print(f"{EVENTS} events are in the list after {fill(page, path):.1f} s")
        rows = page.locator("#events li").count()
        devtools = page.context.new_cdp_session(page)
        devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        print(f"{rows} rows are in the document")
        print(f"{'ms from frame to frame':24} {'p50':>8} {'p95':>8} {'p99':>8} {'worst':>8} {'its work':>8}")
        for does, name in {"add": "5 new a frame", "scroll": "a window further", "jump": "a jump anywhere"}.items():
            before = processor(devtools)
            frames = page.evaluate(FRAME_BY_FRAME, [does, FRAMES])
            print(line(name, frames, (processor(devtools) - before) / FRAMES))
        print(f"target: p50 <= {TARGET_MEDIAN_MS}, worst <= {TARGET_WORST_MS}")


if __name__ == "__main__":
    main()
