"""Processes whose wall clock or name server is the test's: Python runs a `sitecustomize` before anything else."""

import json
from collections.abc import Sequence
from pathlib import Path

_CLOCK = """
import datetime, pathlib, time
true_time_ns = time.time_ns
file = pathlib.Path({file!r})
def time_ns():
    return true_time_ns() + int(file.read_text()) * 1_000_000_000
class Moment(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)
time.time_ns = time_ns
time.time = lambda: time_ns() / 1e9
datetime.datetime = Moment
"""

_NAMES = """
import json, pathlib, socket
file = pathlib.Path({file!r})
def getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):
    found = json.loads(file.read_text())
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")
    kinds = [socket.AF_INET6 if ":" in address else socket.AF_INET for address, _ in found]
    return [(kind, type, 6, "", tuple(place)) for kind, place in zip(kinds, found)]
socket.getaddrinfo = getaddrinfo
"""


class _Shim:
    """Give `env` to the process; what `_set` wrote last is in force at once."""

    def __init__(self, folder: Path, code: str) -> None:
        folder.mkdir()
        self._file = folder / "now"
        (folder / "sitecustomize.py").write_text(code.format(file=str(self._file)))
        self.env = {"PYTHONPATH": str(folder)}

    def _set(self, text: str) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self._file)


class Clock(_Shim):
    """A wall clock; the monotonic one goes on as before."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, _CLOCK)
        self.jump(0)

    def jump(self, ahead: int) -> None:
        """Be so many seconds ahead of the true time."""
        self.ahead = ahead
        self._set(str(ahead))


class Names(_Shim):
    """A name server that knows one answer to every question."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, _NAMES)
        self.answer()

    def answer(self, *places: Sequence[object]) -> None:
        """Addresses and ports in the order in which they are told; none is an unknown name."""
        self._set(json.dumps(places))
