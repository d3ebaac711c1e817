"""A program in a terminal of its own (tmux): type, press keys, read the screen."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

_PATIENCE = 60.0
_PAUSE = 0.15
"""Seconds between two looks at the screen, each of which is a process."""


class Terminal:
    """`with Terminal(command, folder, environment) as screen:`; the program is ended when the block is left."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        # A Unix socket's path is limited to about a hundred bytes, so it stands in the short system folder.
        self._place = Path(tempfile.mkdtemp(prefix="term-"))
        self._command = command
        self._folder = folder
        self._environment = dict(environment)

    def __enter__(self) -> "Terminal":
        sized = ["-x", "160", "-y", "50", "-c", str(self._folder)]
        self._tmux("-f", "/dev/null", "new-session", "-d", *sized, "--", *self._command)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self.running():
            error.add_note(f"the screen showed:\n{self.text()}")
        self._tmux("kill-server", check=False)
        shutil.rmtree(self._place, ignore_errors=True)

    def text(self) -> str:
        """What the screen shows now."""
        return self._tmux("capture-pane", "-p", check=False)

    def running(self) -> bool:
        """Whether the program still runs."""
        return "0" in self._tmux("list-panes", "-F", "#{pane_dead}", check=False)

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names: `Enter`, `Escape`, `C-c`, `Down`."""
        self._tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        """Type a line, wait until the screen shows its end, and press Enter."""
        self._tmux("send-keys", "-l", text)
        self.wait_for(text[-20:])
        self.press("Enter")

    def press_until(self, key: str, done: Callable[[], object], what: str, every: float = 1) -> None:
        """Press a key, and again after `every` seconds, until the condition holds: a fresh dialog ignores keys a while.

        Raises:
            TimeoutError: it did not within half a minute.
        """
        deadline = time.monotonic() + _PATIENCE
        pressed = -every
        while not done():
            now = time.monotonic()
            if now > deadline:
                raise TimeoutError(f"{key} did not lead to {what}")
            if now - pressed > every:
                self.press(key)
                pressed = now
            time.sleep(_PAUSE)

    def wait_until(self, condition: Callable[[str], object], what: str) -> None:
        """Wait until the screen's text meets the condition.

        Raises:
            TimeoutError: it did not within half a minute.
        """
        deadline = time.monotonic() + _PATIENCE
        while not condition(self.text()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the screen did not come to show {what}")
            time.sleep(_PAUSE)

    def wait_for(self, text: str) -> None:
        """Wait until the screen shows this text, as `wait_until` does."""
        self.wait_until(lambda shown: text in shown, repr(text))

    def wait_for_end(self) -> None:
        """Wait until the program has ended, as `wait_until` does."""
        self.wait_until(lambda _: not self.running(), "the program's end")

    def _tmux(self, *arguments: str, check: bool = True) -> str:
        command = ["tmux", "-S", str(self._place / "s"), *arguments]
        environment = self._environment | {"TERM": "xterm-256color"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
        if check and done.returncode:
            raise RuntimeError(f"tmux {arguments[0]}: {done.stderr}")
        return done.stdout
