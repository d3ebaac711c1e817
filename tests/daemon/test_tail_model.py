"""The tailer against a model: whatever is done to the files, the set of events is what was ever written."""

import shutil
import sqlite3
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.daemon.session import Key, Session
from tests.daemon.world import wait_until

from vibetea_daemon.ingest import Ingest
from vibetea_daemon.plugins import Plugins
from vibetea_daemon.sources import transcripts
from vibetea_daemon.sources.transcripts import Transcripts
from vibetea_daemon.store import Store, Writer
from vibetea_protocol import Rules

FILES = [f"-home-dev-{project}/{name}.jsonl" for project in ("shop", "till") for name in ("a", "b")]
KEY = b"k" * 32
file = st.sampled_from(FILES)


class Tail(RuleBasedStateMachine):
    """Rules change files; the session's keys are what the source must come to tell."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="vt-"))
        self.root = self.folder / "projects"
        self.session = Session()
        self.session.keys.add(("session", self.session.id, "started", "startup"))
        self.torn: dict[str, tuple[bytes, set[Key]]] = {}
        self.turns = 0
        self.source: threading.Thread | None = None

    @initialize()
    def first(self) -> None:
        self.root.mkdir()
        for name in FILES:
            (self.root / name).parent.mkdir(exist_ok=True)
        self._start()
        self._append(FILES[0], self.session.prompt() + self.session.answer())
        self._settle()

    # what is done to the files

    @rule(name=file, count=st.integers(1, 5))
    def append(self, name: str, count: int) -> None:
        self._append(name, b"".join(self._turn() for _ in range(count)))

    @rule(name=file, share=st.floats(0.01, 0.99))
    def append_torn(self, name: str, share: float) -> None:
        self._append(name, b"")
        before = set(self.session.keys)
        line = self.session.answer()
        cut = max(1, int(len(line) * share))
        self.torn[name] = (line[cut:], self.session.keys - before)
        self.session.keys = before
        with (self.root / name).open("ab", buffering=0) as file:
            file.write(line[:cut])

    @rule(name=file)
    def replace_by_a_new_one(self, name: str) -> None:
        self._settle()  # a line that nobody could see before it went is nobody's
        new = self.root / "new"
        new.write_bytes(self._turn())
        new.replace(self.root / name)
        self.torn.pop(name, None)

    @rule(name=file, turns=st.integers(0, 8))
    def truncate_and_regrow(self, name: str, turns: int) -> None:
        self._settle()
        (self.root / name).write_bytes(b"".join(self._turn() for _ in range(turns)))
        self.torn.pop(name, None)

    @rule(name=file, to=file)
    def copy(self, name: str, to: str) -> None:
        if name == to or not (self.root / name).exists():
            return
        self._settle()
        shutil.copyfile(self.root / name, self.root / to)
        self.torn.pop(to, None)
        if name in self.torn:
            self.torn[to] = self.torn[name]

    @rule(name=file)
    def delete(self, name: str) -> None:
        self._settle()
        (self.root / name).unlink(missing_ok=True)
        self.torn.pop(name, None)

    @rule(name=file, bad=st.sampled_from([b"{", b"[1]", b"\0" * 300, b"\xff", b'{"type": "new"}', b""]))
    def append_bad(self, name: str, bad: bytes) -> None:
        self._append(name, bad + b"\n")

    @rule(name=file)
    def repeat_everything(self, name: str) -> None:
        if (self.root / name).exists() and name not in self.torn:
            self._append(name, (self.root / name).read_bytes())

    # what is done to the source

    @precondition(lambda self: self.source is not None)
    @rule()
    def stop(self) -> None:
        self._stop()

    @precondition(lambda self: self.source is None)
    @rule()
    def start(self) -> None:
        self._start()

    @precondition(lambda self: self.source is not None)
    @rule()
    def settle(self) -> None:
        self._settle()

    def teardown(self) -> None:
        try:
            self._settle()
        finally:
            if self.source is not None:
                self._stop()
            shutil.rmtree(self.folder)

    def _append(self, name: str, raw: bytes) -> None:
        rest, keys = self.torn.pop(name, (b"", set()))
        self.session.keys |= keys
        with (self.root / name).open("ab", buffering=0) as file:
            file.write(rest + raw)

    def _turn(self) -> bytes:
        self.turns += 1
        match self.turns % 3:
            case 0:
                return self.session.prompt()
            case 1:
                return self.session.call(f"t{self.turns}") + self.session.result(f"t{self.turns}")
            case _:
                return self.session.answer()

    def _start(self) -> None:
        self.store = Store(self.folder / "vibetea.db")
        self.writer = Writer(self.store)
        self.writer.start()
        ingest = Ingest(Rules(KEY, "laptop"), self.writer, self.store.offsets())
        self.ending = threading.Event()
        source = Transcripts(self.root, Plugins(()).normaliser, since=0)
        source.prepare(ingest, self.ending)
        self.source = threading.Thread(target=source.run, args=(ingest, self.ending), daemon=True)
        self.source.start()

    def _stop(self) -> None:
        self.ending.set()
        if self.source is not None:
            self.source.join()
        self.source = None
        self.writer.close()
        self.store.close()

    def _settle(self) -> None:
        """Wait until all that is whole is told, and nothing else."""
        stopped = self.source is None
        if stopped:
            self._start()
        wanted = self.session.ids(KEY)
        wait_until(lambda: self._found() == wanted, lambda: f"{len(wanted ^ self._found())} differ", 10)
        if stopped:
            self._stop()

    def _found(self) -> set[str]:
        with closing(sqlite3.connect(self.folder / "vibetea.db")) as db:
            return {row[0] for row in db.execute("select id from events")}


TestTail = Tail.TestCase
TestTail.settings = settings(
    max_examples=25, stateful_step_count=12, phases=(Phase.explicit, Phase.reuse, Phase.generate)
)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here waits five seconds for a rescan."""
    monkeypatch.setattr(transcripts, "RESCAN", 0.2)
