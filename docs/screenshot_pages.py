"""Make docs/sessions.png and docs/heatmap.png: `python docs/screenshot_pages.py [FOLDER] [--dark] [--width N]`.

They show what `vibetea up --demo` invents.
"""

# ruff: noqa: INP001 a script, not a module

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

CHROMIUM: Final = "/usr/bin/chromium"
PAGES: Final = {"sessions": "text=Needs permission", "heatmap": "table"}
"""What each page shows when it is worth a picture."""
PATIENCE_MS: Final = 300_000
SETTLED_MS: Final = 20_000
"""Until the invented sessions are in the middle of something."""


@contextmanager
def demo(home: str) -> Iterator[str]:
    """The address of the first page."""
    command = [sys.executable, "-m", "vibetea_daemon", "up", "--demo", "--no-open", "--port", "0"]
    env = {"PATH": os.environ["PATH"], "HOME": home}
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout
        found = next(filter(None, (re.search(r"http://\S+", line) for line in process.stdout)), None)
        if found is None:
            raise RuntimeError("vibetea up ended")
        yield found[0]
    finally:
        process.terminate()
        process.communicate()


def main() -> None:
    """Start, wait, look."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--width", type=int, default=1200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright, demo(home) as address:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page(
            viewport={"width": options.width, "height": 500},
            color_scheme="dark" if options.dark else "light",
            reduced_motion="reduce",
            locale="en-GB",
        )
        page.wait_for_timeout(SETTLED_MS)
        for name, shown in PAGES.items():
            page.goto(f"{address}/{name}?days=30" if name == "heatmap" else f"{address}/{name}")
            page.wait_for_selector(shown, timeout=PATIENCE_MS)
            page.wait_for_selector('[data-state="live"]')
            page.screenshot(path=options.folder / f"{name}.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
