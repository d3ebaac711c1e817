"""What a source is given: the way of acts through the sanitiser to the writer, with a count of what fell out."""

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from vibetea_daemon.acts import Act, BadInput
from vibetea_daemon.sanitise import sanitise
from vibetea_daemon.store import Batch, Client, Offset, Writer
from vibetea_protocol import Event, Rules
from vibetea_protocol.ids import keyed_hash

log = logging.getLogger(__name__)

DAY: Final = 86_400_000_000_000
HOOKS_REMEMBERED: Final = 1000


class Ingest:
    """The one door into the store. Sources call it from their own threads."""

    def __init__(self, rules: Rules, writer: Writer, offsets: dict[str, Offset]) -> None:
        self._rules = rules
        self._writer = writer
        self._offsets = offsets
        self._hooked: OrderedDict[str, float] = OrderedDict()
        self._ended: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def events(self, acts: Iterable[Act], counts: Counter[str]) -> list[Event]:
        """The events of acts; an act that cannot be told is counted by reason and left out."""
        events = []
        tomorrow = time.time_ns() + DAY
        for act in acts:
            if not 0 < act.at < tomorrow:
                counts["act_timestamp"] += 1
                continue
            try:
                event = sanitise(act, self._rules)
                events.append(event)
                told = event.payload.__dict__
                if "other" in {told.get("tool"), told.get("kind")}:
                    counts[f"{act.type}_unknown"] += 1  # it passes, but without its name
            except BadInput as bad:
                counts[f"act_{bad.reason}"] += 1
            except Exception as error:  # noqa: BLE001  one act must cost nobody else anything
                log.error("an act cannot be told: %s", type(error).__name__)
                counts["act_failed"] += 1
        return events

    def hook(self, acts: Sequence[Act], counts: Counter[str], then: Callable[[bool], None]) -> None:
        """Commit what a hook reported; `then` is told, on the writer's thread, whether it was."""
        for act in acts:
            self._remember(self._hooked, act.session)
            if act.action == "ended":
                self._remember(self._ended, act.session)
        self._writer.submit(Batch(self.events(acts, counts), counts=counts, privacy=self._rules.level, then=then))

    def lines(
        self,
        acts: Sequence[Act],
        counts: Counter[str],
        offset: Offset | None = None,
        status: dict[str, object] | None = None,
        then: Callable[[bool], None] | None = None,
    ) -> None:
        """Commit what lines of a transcript say, with how far it was read; waits while the writer is behind."""
        if not acts and not counts and offset is None and not status:
            return
        batch = Batch(
            self.events(acts, counts),
            [offset] if offset else [],
            counts=counts,
            status=status or {},
            privacy=self._rules.level,
            then=then,
        )
        self._writer.submit_bulk(batch)

    def clients(self, acts: Sequence[Act], counts: Counter[str], changes: dict[str, Client | None]) -> None:
        """Commit what is new of the clients that are open, by session, and the ends of others."""
        if not acts and not counts and not changes:
            return
        events = self.events(acts, counts)
        known = {self._rules.session(session): client for session, client in changes.items()}
        self._writer.submit_bulk(Batch(events, counts=counts, privacy=self._rules.level, clients=known))

    @property
    def key(self) -> bytes:
        """What hashes of private bytes are keyed with."""
        return self._rules.key

    def file(self, path: Path) -> str:
        """The name a transcript's offset is stored under; the path itself is private."""
        return keyed_hash(self._rules.key, "file", str(path)).hex()

    def offset(self, path: Path) -> Offset | None:
        """How far a transcript had been read when the daemon started."""
        return self._offsets.get(self.file(path))

    def drop(self, reason: str) -> None:
        """Count an input that becomes nothing."""
        self._writer.submit(Batch(counts=Counter([reason])))

    def status(self, **values: object) -> None:
        """Set lines of `vibetea status`."""
        self._writer.submit(Batch(status=values))

    def hooked_within(self, session: str, seconds: float) -> bool:
        """Whether a hook of this session reported lately."""
        with self._lock:
            return time.monotonic() - self._hooked.get(session, float("-inf")) < seconds

    def ended_by_hook(self, session: str, since: float) -> bool:
        """Whether a hook told the end of this session after that monotonic time."""
        with self._lock:
            return self._ended.get(session, float("-inf")) > since

    def _remember(self, sessions: OrderedDict[str, float], session: str) -> None:
        with self._lock:
            sessions[session] = time.monotonic()
            sessions.move_to_end(session)
            if len(sessions) > HOOKS_REMEMBERED:
                sessions.popitem(last=False)
