"""The board: what each session does now and why, by its events and by its client's file, as the clock goes on."""

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibetea_daemon.store import Batch, Client, Store
from vibetea_protocol import Event
from vibetea_protocol.vocabulary import ClientStatus, WaitingFor

SESSION = "5e55105e-0000-4000-8000-000000000001"
OTHER = "5e55105e-0000-4000-8000-000000000002"
_numbers = itertools.count()

Says = tuple[bool | None, ClientStatus, WaitingFor | None, float]

# What can happen, in the fewest words: type and payload.
WHAT: dict[str, tuple[str, dict[str, Any]]] = {
    "starts": ("session", {"action": "started", "project": "shop", "how": "startup"}),
    "prompt": ("activity", {"kind": "prompt", "project": "shop"}),
    "machine": ("activity", {"kind": "machine", "project": "shop"}),
    "works": ("agent", {"state": "working"}),
    "begins Bash": ("tool", {"tool": "Bash", "status": "started"}),
    "did Bash": ("tool", {"tool": "Bash", "status": "completed", "outcome": "ok"}),
    "refused Bash": ("tool", {"tool": "Bash", "status": "completed", "outcome": "refused"}),
    "cut Bash": ("tool", {"tool": "Bash", "status": "completed", "outcome": "interrupted"}),
    "asks": ("tool", {"tool": "AskUserQuestion", "status": "started"}),
    "answered": ("tool", {"tool": "AskUserQuestion", "status": "completed", "outcome": "ok"}),
    "permission": ("agent", {"state": "waiting_permission"}),
    "done": ("agent", {"state": "waiting_input"}),
    "interrupted": ("agent", {"state": "interrupted"}),
    "finished": ("agent", {"state": "finished"}),
    "fails": ("error", {"category": "overloaded"}),
    "ends": ("session", {"action": "ended", "project": "shop", "reason": "logout"}),
    "ends untold": ("session", {"action": "ended", "project": "shop"}),
    "killed": ("session", {"action": "ended", "project": "shop", "reason": "killed"}),
    "summary": ("summary", {}),
    "compacting": ("agent", {"state": "compacting"}),
    "compacted": ("agent", {"state": "compacted"}),
    "notified": ("activity", {"kind": "notification"}),
    "skill": ("skill_invocation", {"skillName": "review", "project": "shop"}),
    "list": ("todo_progress", {"completed": 1, "inProgress": 1, "pending": 1, "abandoned": 0}),
    "tokens": (
        "token_usage",
        {
            "model": "claude-opus-5-5",
            "inputTokens": 1,
            "outputTokens": 20,
            "cacheReadTokens": 300,
            "cacheCreationTokens": 4000,
        },
    ),
    "spawn": ("agent_spawn", {"agentType": "Explore"}),
}


class Clock:
    """The moment all of a test's minutes count from."""

    now = datetime.now(UTC)


@pytest.fixture(autouse=True)
def _this_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "now", datetime.now(UTC))


def before(minutes: float) -> str:
    return f"{(Clock.now - timedelta(minutes=minutes)).isoformat()[:23]}Z"


def happened(minutes: float, what: str, *, session: str = SESSION, source: str = "laptop", **more: Any) -> Event:
    """One event, so many minutes ago; `what agent` is a subagent's."""
    name, _, agent = what.partition(" of ")
    kind, payload = WHAT[name]
    at = before(minutes)
    extra = {"agentId": agent} if agent else {}
    extra |= {"timestamp": at} if kind in {"agent_spawn", "skill_invocation"} else {}
    return Event.model_validate(
        {
            "id": f"evt_{next(_numbers):020d}",
            "source": source,
            "timestamp": at,
            "type": kind,
            "payload": {"sessionId": session} | payload | extra | more,
        }
    )


@dataclass
class Board:
    """A database and its board."""

    store: Store

    def see(self, *events: Event, says: Says | None = None, gone: bool = False) -> None:
        """Take in events, and what the client of SESSION says, or that it is gone."""
        clients: dict[str, Client | None] = {SESSION: None} if gone else {}
        if says:
            alive, status, waiting_for, minutes = says
            clients[SESSION] = Client(alive, status, waiting_for, before(minutes))
        self.store.write([Batch(events, clients=clients)])

    def rows(self, columns: str, where: str = "") -> list[tuple[Any, ...]]:
        return self.store._db.execute(f"select {columns} from board {where} order by session_id").fetchall()

    def shows(self) -> tuple[Any, ...]:
        """State, reason, since and tool of the one session."""
        (row,) = self.rows("state, reason, since, tool")
        return tuple(row)

    @property
    def live(self) -> bool:
        ((live,),) = self.rows("live")
        assert live in {0, 1}
        return bool(live)


@pytest.fixture
def empty_board(tmp_path: Path) -> Iterator[Board]:
    with closing(Store(tmp_path / "vibetea.db")) as store:
        yield Board(store)


def busy(minutes: float, *, alive: bool | None = True) -> Says:
    return alive, "busy", None, minutes


def idle(minutes: float, *, alive: bool | None = True) -> Says:
    return alive, "idle", None, minutes


def waits(minutes: float, what: WaitingFor, *, alive: bool | None = True) -> Says:
    return alive, "waiting", what, minutes


Told = Sequence[tuple[float, str]]
Shown = tuple[str, str, float, str | None]


BY_EVENTS: dict[str, tuple[Told, Shown]] = {
    "it began": ([(1, "starts")], ("idle", "started", 1, None)),
    "a prompt": ([(2, "starts"), (1, "prompt")], ("working", "prompt", 1, None)),
    "a machine's prompt": ([(2, "done"), (1, "machine")], ("working", "prompt", 1, None)),
    "work without a prompt": ([(2, "begins Bash"), (1, "did Bash")], ("working", "tool", 2, None)),
    "a tool runs": ([(2, "prompt"), (1, "begins Bash")], ("working", "tool", 2, "Bash")),
    "a tool ended": ([(3, "prompt"), (2, "begins Bash"), (1, "did Bash")], ("working", "tool", 3, None)),
    "a tool was refused": ([(3, "prompt"), (1, "refused Bash")], ("working", "tool", 3, None)),
    "a tool was cut": ([(3, "prompt"), (2, "begins Bash"), (1, "cut Bash")], ("interrupted", "interrupted", 1, None)),
    "a question": ([(2, "prompt"), (1, "asks")], ("needs_you", "question", 1, None)),
    "an answer": ([(3, "prompt"), (2, "asks"), (1, "answered")], ("working", "tool", 3, None)),
    "a permission": ([(3, "prompt"), (2, "begins Bash"), (1, "permission")], ("needs_you", "permission", 1, "Bash")),
    "a permission and its reminder": (
        [(3, "prompt"), (2, "permission"), (1, "permission")],
        ("needs_you", "permission", 2, None),
    ),
    "a second permission": (
        [(4, "prompt"), (3, "permission"), (2, "did Bash"), (1, "permission")],
        ("needs_you", "permission", 1, None),
    ),
    "a turn is done": ([(3, "prompt"), (1, "done")], ("needs_you", "turn_finished", 1, None)),
    "a turn is done, and a reminder": (
        [(3, "prompt"), (2, "done"), (1, "done")],
        ("needs_you", "turn_finished", 2, None),
    ),
    "a turn failed": ([(3, "prompt"), (1, "fails")], ("needs_you", "turn_failed", 1, None)),
    "an interruption": ([(3, "prompt"), (1, "interrupted")], ("interrupted", "interrupted", 1, None)),
    "an end": ([(3, "done"), (1, "ends"), (1, "summary")], ("ended", "logout", 1, None)),
    "an end without a reason": ([(1, "ends untold")], ("ended", "other", 1, None)),
    "a kill": ([(3, "prompt"), (1, "killed"), (1, "summary")], ("dead", "killed", 1, None)),
    "a resume": ([(3, "ends"), (1, "starts")], ("idle", "started", 1, None)),
    "what tells no state": (
        [(3, "done")]
        + [(2, what) for what in ("compacting", "compacted", "notified", "skill", "list", "tokens", "finished")],
        ("needs_you", "turn_finished", 3, None),
    ),
    "nothing that tells a state": ([(1, "tokens")], ("idle", "started", 1, None)),
    "a subagent works on": (
        [(4, "prompt"), (3, "spawn of a1"), (2, "done"), (1, "begins Bash of a1")],
        ("needs_you", "turn_finished", 2, None),
    ),
    "a subagent needs a permission": (
        [(4, "prompt"), (3, "begins Bash"), (3, "spawn of a1"), (2, "permission of a1")],
        ("needs_you", "permission", 2, None),
    ),
    "a subagent needs a permission, and the main agent works on": (
        [(4, "prompt"), (3, "spawn of a1"), (2, "permission of a1"), (1, "did Bash")],
        ("needs_you", "permission", 2, None),
    ),
    "a subagent got its permission": (
        [(4, "prompt"), (3, "spawn of a1"), (2, "permission of a1"), (1, "did Bash of a1")],
        ("working", "prompt", 4, None),
    ),
    "a subagent that needed a permission was interrupted": (
        [(4, "prompt"), (3, "permission of a1"), (2, "interrupted")],
        ("interrupted", "interrupted", 2, None),
    ),
    "a subagent needed a permission before the last prompt": (
        [(4, "prompt"), (3, "permission of a1"), (2, "prompt")],
        ("working", "prompt", 2, None),
    ),
    # five minutes without an event
    "long at rest": ([(9, "prompt"), (6, "done")], ("idle", "quiet", 6, None)),
    "long failed": ([(9, "prompt"), (6, "fails")], ("idle", "quiet", 6, None)),
    "long interrupted": ([(6, "interrupted")], ("idle", "quiet", 6, None)),
    "long begun": ([(6, "starts")], ("idle", "quiet", 6, None)),
    "long silent at work": ([(9, "prompt"), (6, "did Bash")], ("idle", "quiet", 6, None)),
    "long at rest, but not silent": ([(9, "done"), (4, "tokens")], ("needs_you", "turn_finished", 9, None)),
    "long in want of a permission": ([(60, "permission")], ("needs_you", "permission", 60, None)),
    "long in want of an answer": ([(60, "asks")], ("needs_you", "question", 60, None)),
    "long ended": ([(60, "ends")], ("ended", "logout", 60, None)),
    "long dead": ([(60, "killed")], ("dead", "killed", 60, None)),
    "a tool has run for long": ([(30, "prompt"), (29, "begins Bash")], ("working", "tool", 30, "Bash")),
    "a tool has run for too long": ([(40, "prompt"), (31, "begins Bash")], ("idle", "quiet", 31, None)),
}


@pytest.mark.parametrize("name", BY_EVENTS)
def test_events_alone(empty_board: Board, name: str) -> None:
    told, (state, reason, since, tool) = BY_EVENTS[name]
    empty_board.see(*(happened(minutes, what) for minutes, what in told))
    assert empty_board.shows() == (state, reason, before(since), tool)


ASKED = [(4, "prompt"), (3, "begins Bash"), (3, "permission")]
BY_CLIENT: dict[str, tuple[Told, Says, Shown]] = {
    "a permission was granted": (ASKED, busy(2), ("working", "tool", 4, "Bash")),
    "a question was answered": ([(4, "prompt"), (3, "asks")], busy(2), ("working", "tool", 4, None)),
    "a subagent's permission was granted": (
        [(4, "prompt"), (3, "permission of a1")],
        busy(2),
        ("working", "tool", 4, None),
    ),
    "a prompt nobody told yet": ([(4, "done")], busy(2), ("working", "prompt", 2, None)),
    "the first prompt nobody told yet": ([(4, "starts")], busy(2), ("working", "prompt", 2, None)),
    "work after an interruption": ([(4, "interrupted")], busy(2), ("working", "prompt", 2, None)),
    "it was busy before the permission": (ASKED, busy(4), ("needs_you", "permission", 3, "Bash")),
    "it was busy before the turn was done": ([(3, "done")], busy(4), ("needs_you", "turn_finished", 3, None)),
    "busy, as the events say": ([(4, "prompt"), (3, "begins Bash")], busy(2), ("working", "tool", 4, "Bash")),
    "a dialog": ([(4, "prompt"), (3, "begins Bash")], waits(2, "permission"), ("needs_you", "permission", 2, "Bash")),
    "a dialog that events overtook": ([(4, "did Bash")], waits(5, "question"), ("needs_you", "question", 5, None)),
    "an Esc nobody told": ([(4, "prompt"), (3, "begins Bash")], idle(2), ("needs_you", "turn_finished", 2, None)),
    "a dialog was dismissed": (ASKED, idle(2), ("needs_you", "turn_finished", 2, None)),
    "idle, as the events say": ([(4, "prompt"), (3, "fails")], idle(2), ("needs_you", "turn_failed", 3, None)),
    "it was idle before the prompt": ([(3, "prompt")], idle(4), ("working", "prompt", 3, None)),
    "a session opened again": ([(4, "ends")], idle(2), ("idle", "started", 2, None)),
    "a killed session opened again": ([(4, "killed")], idle(2), ("idle", "started", 2, None)),
    "a killed session at work again": ([(4, "killed")], busy(2), ("working", "prompt", 2, None)),
    "idle before the end": ([(2, "ends")], idle(4), ("ended", "logout", 2, None)),
    "its process is dead": ([(4, "prompt"), (3, "begins Bash")], busy(4, alive=False), ("dead", "killed", 3, None)),
    "dead while it waited": (ASKED, waits(3, "permission", alive=False), ("dead", "killed", 3, None)),
    "dead, as the events say": (
        [(4, "prompt"), (3, "killed"), (2, "tokens")],
        busy(4, alive=False),
        ("dead", "killed", 3, None),
    ),
    "dead after its end": ([(3, "ends")], idle(2, alive=False), ("ended", "logout", 3, None)),
    "busy for long": ([(60, "prompt"), (50, "did Bash")], busy(60), ("working", "tool", 60, None)),
    "busy for long in a container": ([(60, "prompt")], busy(59, alive=None), ("idle", "quiet", 60, None)),
    "a long tool of a client at rest": ([(20, "prompt"), (19, "begins Bash")], idle(21), ("idle", "quiet", 19, None)),
    "at rest for long": ([(60, "done")], idle(60), ("idle", "quiet", 60, None)),
    "a long turn has just ended": ([(60, "prompt")], idle(1), ("needs_you", "turn_finished", 1, None)),
}


@pytest.mark.parametrize("name", BY_CLIENT)
def test_events_and_the_clients_file(empty_board: Board, name: str) -> None:
    told, says, (state, reason, since, tool) = BY_CLIENT[name]
    empty_board.see(*(happened(minutes, what) for minutes, what in told), says=says)
    assert empty_board.shows() == (state, reason, before(since), tool)


LIVE: dict[str, tuple[Told, Says | None, bool]] = {
    "something happened": ([(29, "ends")], None, True),
    "nothing happens": ([(31, "done")], None, False),
    "nothing happens in an open client": ([(31, "done")], idle(31), False),
    "busy": ([(90, "prompt")], busy(90), True),
    "dead": ([(90, "prompt")], busy(90, alive=False), False),
    "a dialog is open": ([(9000, "prompt")], waits(9000, "question"), True),
    "a permission since an hour": ([(60, "permission")], None, True),
    "a permission since two days": ([(2880, "permission")], None, False),
    "a question since two days": ([(2880, "asks")], None, False),
}


@pytest.mark.parametrize("name", LIVE)
def test_what_belongs_on_the_board(empty_board: Board, name: str) -> None:
    told, says, live = LIVE[name]
    empty_board.see(*(happened(minutes, what) for minutes, what in told), says=says)
    assert empty_board.live is live


def test_a_client_that_is_gone_says_nothing_more(empty_board: Board) -> None:
    empty_board.see(happened(2, "prompt"), says=waits(1, "question"))
    assert empty_board.shows()[:2] == ("needs_you", "question")
    empty_board.see(gone=True)
    assert empty_board.shows()[:2] == ("working", "prompt")


def test_what_a_session_cost(empty_board: Board) -> None:
    """Its subagents' tokens are its own, their model is not."""
    theirs = {"model": "claude-haiku-4-5"}
    empty_board.see(
        happened(9, "prompt"),
        happened(8, "tokens"),
        happened(5, "prompt"),
        happened(4, "tokens", model="claude-sonnet-5"),
        happened(3, "tokens of a1", **theirs),
    )
    empty_board.see(happened(6, "tokens"))
    empty_board.see(happened(2, "done"))
    totals = "model, tokens, prompts, events, project, source, last_at"
    assert empty_board.rows(totals) == [("claude-sonnet-5", 4 * 4321, 2, 7, "shop", "laptop", before(2))]


def test_how_long_it_waits(empty_board: Board) -> None:
    empty_board.see(happened(60, "permission"), happened(1, "prompt", session=OTHER))
    (waiting,), (working,) = empty_board.rows("waiting_seconds")
    assert waiting >= 3600
    assert working is None


def test_other_machines_sessions_stand_beside_ours(empty_board: Board) -> None:
    """A mirror's have no clients; each is told by its own events."""
    empty_board.see(
        happened(2, "prompt"),
        happened(3, "permission", session=OTHER, source="desk"),
        says=waits(1, "question"),
    )
    assert empty_board.rows("source, state, reason, project") == [
        ("laptop", "needs_you", "question", "shop"),
        ("desk", "needs_you", "permission", None),
    ]


def test_each_agent_of_a_session(empty_board: Board) -> None:
    empty_board.see(
        happened(9, "prompt"),
        happened(8, "spawn of a1"),
        happened(7, "begins Bash of a1"),
        happened(6, "spawn of a2"),
        happened(5, "finished of a1"),
        happened(4, "finished of a1"),
        happened(3, "tokens of a2"),
    )
    agents = "select agent_id, type, state, reason, since, at, tool, first_at, last_at, events from agents order by 1"
    assert empty_board.store._db.execute(agents).fetchall() == [
        ("", None, "working", "prompt", before(9), before(9), None, before(9), before(9), 1),
        ("a1", "Explore", "ended", "finished", before(5), before(4), None, before(8), before(4), 4),
        ("a2", "Explore", "working", "spawned", before(6), before(6), None, before(6), before(3), 2),
    ]


of_sessions = st.sampled_from([SESSION, OTHER])
acts = st.lists(st.tuples(of_sessions, st.sampled_from(sorted(WHAT)), st.sampled_from(["", " of a1"])), max_size=14)
ONLY_MAIN = {"session", "summary", "skill_invocation", "todo_progress"}


@settings(max_examples=150)
@given(acts, st.randoms(use_true_random=False), st.integers(1, 5))
def test_whatever_the_order_of_arrival_the_board_is_the_same(
    acts: list[tuple[str, str, str]], chance: Any, size: int
) -> None:
    """Told as of tomorrow, so that the clock changes nothing between two looks."""
    events = [
        happened(number - 1440, what + ("" if WHAT[what][0] in ONLY_MAIN else agent), session=session)
        for number, (session, what, agent) in enumerate(acts)
    ]
    shuffled = chance.sample(events, len(events))
    batches = [shuffled[start : start + size] for start in range(0, len(shuffled), size)]
    assert _tables([list(reversed(events))]) == _tables(batches)


def _tables(batches: list[list[Event]]) -> list[Any]:
    with tempfile.TemporaryDirectory(prefix="vt-") as folder, closing(Store(Path(folder, "vibetea.db"))) as store:
        for batch in batches:
            store.write([Batch(batch)])
        tables = ("select * from agents order by 1, 2", "select * from sessions order by 1")
        board = "select session_id, state, reason, since, tool, live from board order by 1"
        return [store._db.execute(sql).fetchall() for sql in (*tables, board)]
