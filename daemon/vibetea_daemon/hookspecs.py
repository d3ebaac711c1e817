"""Every extension point. A plugin is a module or object with functions of these names, marked by `hookimpl`."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pluggy

from vibetea_daemon.acts import Act, Reader
from vibetea_daemon.config import Config
from vibetea_daemon.ingest import Ingest
from vibetea_daemon.sinks.outbox import Outbox

hookspec = pluggy.HookspecMarker("vibetea")
hookimpl = pluggy.HookimplMarker("vibetea")


class Source(Protocol):
    """Something that hands in acts."""

    name: str

    def prepare(self, ingest: Ingest, stop: threading.Event) -> None:
        """What must be in before it runs; what a built-in one prepares is in before the sources after it begin."""
        ...

    def run(self, ingest: Ingest, stop: threading.Event) -> None:
        """Work on a thread of its own until `stop` is set."""
        ...


class Sink(Protocol):
    """Somewhere events are sent to."""

    name: str

    def run(self, outbox: Outbox, stop: threading.Event) -> None:
        """Work on a thread of its own until `stop` is set."""
        ...


class Normaliser(Protocol):
    """What the built-in sources ask for acts; the plugin manager's hooks have this shape."""

    def vibetea_frame_acts(self, stamp: int, payload: bytes) -> Sequence[Act] | None:
        """See the hookspec."""
        ...

    def vibetea_transcript_reader(self, path: Path, at_start: bool) -> Reader | None:
        """See the hookspec."""
        ...


@hookspec
def vibetea_sources(config: Config, normaliser: Normaliser) -> Sequence[Source]:
    """Sources to run beside the built-in ones."""
    raise NotImplementedError


@hookspec
def vibetea_sinks(config: Config) -> Sequence[Sink]:
    """Sinks to run beside the built-in ones."""
    raise NotImplementedError


@hookspec(firstresult=True)
def vibetea_frame_acts(stamp: int, payload: bytes) -> Sequence[Act] | None:
    """The acts of a hook payload of `stamp`, nanoseconds since the epoch; None if not yours. May raise BadInput."""
    raise NotImplementedError


@hookspec(firstresult=True)
def vibetea_transcript_reader(path: Path, at_start: bool) -> Reader | None:
    """A reader for a transcript, from its first line or from a prompt on; None if the file is not yours."""
    raise NotImplementedError
