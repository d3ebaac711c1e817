"""Make docs/pictures/: `make pictures`. Every page as `vibetea up --demo` has it: wide, dark and on a phone."""

# ruff: noqa: INP001 a script, not a module

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = Path(__file__).with_name("pictures")
CHROMIUM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ASKING: Final = "text=Needs permission"
PAGES: Final = {
    "overview": ("", ASKING),
    "sessions": ("/sessions", ASKING),
    "live": ("/live", "#events a"),
    "heatmap": ("/heatmap?days=30", "#grid a"),
    "statistics": ("/statistics?days=30", "main table"),
}
"""Where each page is, and what it shows when it is worth a picture."""
LOOKS: Final[dict[str, dict[str, Any]]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 800}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 800}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 780}, "device_scale_factor": 2},
}
PATIENCE_MS: Final = 300_000
SETTLED_MS: Final = 45_000
"""Until the invented sessions have done something, and some are in the middle of it."""


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
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright, demo(home) as address:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        browser.new_page().wait_for_timeout(SETTLED_MS)
        for look, options in LOOKS.items():
            page = browser.new_page(**options, reduced_motion="reduce", locale="en-GB")
            for name, (path, shown) in PAGES.items():
                page.goto(address + path)
                page.wait_for_selector(shown, timeout=PATIENCE_MS)
                page.wait_for_selector('[data-state="live"]')
                page.screenshot(path=FOLDER / f"{name}-{look}.png", full_page=name != "live")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
