"""The folder hooks leave frames in while the daemon is away; each is deleted once it is committed."""

import logging
import os
import threading
import time
from pathlib import Path
from typing import Final

from vibetea_daemon.config import Config, make_private_folder
from vibetea_daemon.hookspecs import Normaliser, hookimpl
from vibetea_daemon.ingest import Ingest
from vibetea_daemon.sources import frames
from vibetea_daemon.sources.files import NotOurs, read_ours

log = logging.getLogger(__name__)

INTERVAL: Final = 1.0
"""Seconds between looks; a hook comes here only when the daemon was too slow for it."""
IN_FLIGHT: Final = 256
STALE: Final = 3600
"""Seconds after which a temporary file is one whose hook was killed."""


class Inbox:
    """Hands in what lies there, oldest first."""

    name = "inbox"

    def __init__(self, config: Config, normaliser: Normaliser) -> None:
        self._folder = config.inbox
        self._normaliser = normaliser
        self._refused: set[str] = set()
        make_private_folder(self._folder)

    def prepare(self, ingest: Ingest, stop: threading.Event) -> None:
        """Hand in what lies there: a hook's report comes before the transcript's of the same act."""
        self.drain(ingest, stop)

    def run(self, ingest: Ingest, stop: threading.Event) -> None:
        """Look each second."""
        while not stop.is_set():
            if not self.drain(ingest, stop):
                stop.wait(INTERVAL)

    def drain(self, ingest: Ingest, stop: threading.Event) -> int:
        """Hand in what lies there now and wait until it is committed; how many frames were."""
        try:
            names = sorted(entry.name for entry in os.scandir(self._folder))
        except FileNotFoundError:
            make_private_folder(self._folder)
            return 0
        for name in names:
            if name.endswith(".tmp"):
                self._sweep(self._folder / name)
        names = [name for name in names if name.endswith(".frame") and name not in self._refused]
        done = 0
        for start in range(0, len(names), IN_FLIGHT):
            group = names[start : start + IN_FLIGHT]
            committed = self._take(group, ingest)
            done += committed
            if stop.is_set() or committed < len(group):  # what could not be written waits for better times
                break
        return done

    def _take(self, names: list[str], ingest: Ingest) -> int:
        waiting = threading.Semaphore(0)
        taken = 0
        done: list[Path] = []
        for name in names:
            path = self._folder / name
            try:
                raw = read_ours(path, frames.HEADER_BYTES + frames.MAX_PAYLOAD)
            except NotOurs:
                self._refused.add(name)
                continue
            except OSError:  # gone, or no descriptor to be had: another time
                continue
            if raw and raw[0] != frames.VERSION:  # a newer hook's: it waits for a newer daemon
                log.warning("a frame of another version waits in the inbox; is the daemon up to date?")
                self._refused.add(name)
                continue

            def committed(written: bool, path: Path = path) -> None:
                if written:
                    path.unlink(missing_ok=True)
                    done.append(path)
                waiting.release()

            acts, counts = frames.acts_of(raw, self._normaliser)
            ingest.hook(acts, counts, committed)
            taken += 1
        for _ in range(taken):
            waiting.acquire()
        return len(done)

    def _sweep(self, path: Path) -> None:
        try:
            if time.time() - path.stat().st_mtime > STALE:
                path.unlink()
        except OSError:
            pass


@hookimpl
def vibetea_sources(config: Config, normaliser: Normaliser) -> list[Inbox]:
    """This source."""
    return [Inbox(config, normaliser)]
