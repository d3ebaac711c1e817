"""Make docs/team.png: `python docs/screenshot_team.py [FILE]`. Real processes, throw-away homes, invented sessions."""

# ruff: noqa: INP001 a script, not a module

from __future__ import annotations

import argparse
import os
import re
import secrets
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.sync_api import sync_playwright

from vibetea_daemon import demo

if TYPE_CHECKING:
    from collections.abc import Iterator

CHROMIUM: Final = "/usr/bin/chromium"
MACHINES: Final = ("laptop", "desktop")
EVENTS: Final = 22
"""So many are awaited: as many as the overview shows."""

Environment = dict[str, str]


def environment(root: Path, name: str) -> Environment:
    """A machine of its own, with a folder for its transcripts, where `demo` looks for its socket."""
    (root / name / "claude/projects").mkdir(parents=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(root / name),
        "VIBETEA_HOME": str(root / name / "vibetea"),
        "VIBETEA_CLAUDE_DIR": str(root / name / "claude"),
        "VIBETEA_SOURCE_ID": name,
    }


@contextmanager
def running(env: Environment, pattern: str, *arguments: str) -> Iterator[str]:
    """A command that runs meanwhile, and what it said that the pattern's group stands for."""
    command = [sys.executable, "-m", "vibetea_daemon", *arguments]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout
        found = next(filter(None, (re.search(pattern, line) for line in process.stdout)), None)
        if found is None:
            raise RuntimeError(f"vibetea {arguments[0]} ended")
        yield found[1]
    finally:
        process.terminate()
        process.communicate()


def key(env: Environment) -> str:
    """The line that registers a machine."""
    command = [sys.executable, "-m", "vibetea_daemon", "init"]
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def team(root: Path) -> Iterator[str]:
    """The address of the page that shows two machines at work, by way of a relay and a mirror."""
    machines = [environment(root, name) for name in MACHINES]
    server = environment(root, "server") | {
        "VIBETEA_PUBLIC_KEYS": ",".join(map(key, machines)),
        "VIBETEA_SUBSCRIBER_TOKEN": secrets.token_hex(32),
    }
    stop = threading.Event()
    with ExitStack() as stack:
        relay = stack.enter_context(running(server, r"ready at (\S+)", "relay", "--port", "0"))
        stack.enter_context(running(server, "(Connected)", "mirror", "--relay", relay))
        for env in machines:
            stack.enter_context(running(env | {"VIBETEA_SERVER_URL": relay}, "(ready)", "daemon"))
        for env in machines:
            work = threading.Thread(target=demo.live, args=(Path(env["VIBETEA_CLAUDE_DIR"], "projects"), stop))
            work.start()
            stack.callback(work.join)
            stack.callback(stop.set)
        yield stack.enter_context(running(server, r"(http://\S+)", "dashboard", "--no-open", "--port", "0"))


def main() -> None:
    """Start, wait until enough has happened, look."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=Path(__file__).with_name("team.png"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vt-") as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page(
            viewport={"width": 1400, "height": 900},
            color_scheme="light",
            timezone_id="UTC",
            reduced_motion="reduce",
            locale="en-GB",
        )
        with team(Path(folder)) as address:
            page.goto(address)
            page.wait_for_selector(f"#latest.many-sources li:nth-child({EVENTS})", timeout=120_000)
            page.wait_for_selector("#board.many-sources")
            page.wait_for_selector('[data-state="live"]')
            page.screenshot(path=options.file)
        browser.close()


if __name__ == "__main__":
    main()
