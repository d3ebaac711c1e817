"""What several lines say together, also when the daemon ended between them."""

import os
import signal
import time

import psutil
import pytest
from tests.daemon.session import Session, hook, stamp, tool_hook
from tests.daemon.world import World, wait_until


def test_restart_reads_on_and_loses_nothing(world: World) -> None:
    session, finished = Session(), Session()
    world.write(finished, finished.prompt(), finished.answer())
    with world.daemon():
        world.write(session, session.prompt(), session.answer())
        world.expect(session, finished)
    offsets = {row[0]: row[1] for row in world.query("select file, offset from _offsets")}
    world.write(session, session.answer(), session.prompt(), session.answer())
    with world.daemon():
        world.expect(session, finished)
        assert world.status()["import"]["files"] == 1
    after = {row[0]: row[1] for row in world.query("select file, offset from _offsets")}
    assert sum(after[file] > offset for file, offset in offsets.items()) == 1
    assert all(after[file] >= offset for file, offset in offsets.items())


def test_restart_goes_on_at_the_prompt_not_at_the_start(world: World) -> None:
    """Bytes well before the last prompt are not read again: overwritten in place, they are not even noticed."""
    session, never = Session(), Session()
    first, second = session.prompt("x" * 5000), session.prompt()
    path = world.write(session, first, second)
    with world.daemon():
        world.expect(session)
    with path.open("r+b", buffering=0) as file:
        file.seek(2000)
        file.write(b"\n" + never.prompt())
        file.seek(0, os.SEEK_END)
        file.write(session.answer())
    world.start()
    world.expect(session)


def test_restart_in_the_middle_of_a_turn_still_knows_the_call(world: World) -> None:
    session = Session()
    with world.daemon():
        world.write(session, session.prompt(), session.answer(), session.call("t1", "Read", file_path="/a/b/auth.ts"))
        world.expect(session)
    world.write(session, session.result("t1"))
    world.start()
    world.expect(session)
    assert world.query("select tool, outcome, payload ->> 'context' from events where status = 'completed'") == [
        ("Read", "ok", "auth.ts")
    ]


def test_restart_in_the_middle_of_a_subagents_work(world: World) -> None:
    agent = Session(agent="a072439bd66e786b1")
    with world.daemon():
        world.write(agent, agent.brief(), agent.call("t1", "Bash"))
        world.expect(agent)
    world.write(agent, agent.result("t1"))
    world.start()
    world.expect(agent)
    assert world.query("select tool, agent_id from events where status = 'completed'") == [("Bash", agent.agent)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_call_made_just_before_the_end_is_told_after_it(world: World, number: signal.Signals) -> None:
    """A start is held back a moment for its refusal; the daemon may end within that moment, and the client too."""
    session = Session()
    daemon = world.start()
    world.write(session, session.prompt())
    world.expect(session)
    world.write(session, session.call("t1"))
    usage = session.ids(world.key())
    wait_until(lambda: len(world.ids() & usage) >= 4, "the line was never read")
    daemon.stop(number, expect=0 if number == signal.SIGTERM else -9)
    world.start()
    world.expect(session)


def test_torn_line_is_completed_while_the_daemon_is_away(world: World) -> None:
    session = Session()
    line = session.answer()
    prompt = session.prompt()
    with world.daemon():
        world.write(session, prompt, line[:50])
        wait_until(lambda: len(world.ids()) >= 2, "the whole line never arrived")
    world.write(session, line[50:])
    session.keys.add(("session", session.id, "started", "startup"))
    world.start()
    world.expect(session)


def test_refused_call_has_no_start(world: World) -> None:
    world.start()
    session = Session()
    world.write(session, session.prompt(), session.call("t1", "Grep"), session.refusal("t1"))
    world.expect(session)
    assert world.query("select status, outcome from events where type = 'tool'") == [("completed", "refused")]


def test_call_whose_result_never_comes_has_a_start(world: World) -> None:
    world.start()
    session = Session()
    world.write(session, session.prompt(), session.call("t1"))
    world.expect(session)


def test_interrupted_call_completes_as_interrupted(world: World) -> None:
    world.start()
    session = Session()
    world.write(session, session.prompt(), session.call("t1"))
    world.expect(session)
    line = session.line(
        "user",
        interruptedMessageId="msg_1",
        uuid="3c7a35a6-0000-4000-8000-000000000000",
        message={"role": "user", "content": [{"type": "text", "text": "[Request interrupted by user]"}]},
    )
    session.keys |= {
        ("tool", session.id, "t1", "completed"),
        ("agent", session.id, "interrupted", "3c7a35a6-0000-4000-8000-000000000000"),
    }
    world.write(session, line)
    world.expect(session)
    assert world.query("select outcome from events where status = 'completed'") == [("interrupted",)]


def test_subagent_has_a_file_of_its_own(world: World) -> None:
    world.start()
    session = Session()
    agent = Session(id=session.id, agent="a072439bd66e786b1")
    world.write(session, session.prompt(), session.call("t1", "Agent"))
    path = world.transcript(agent)
    path.with_suffix(".meta.json").write_text('{"agentType": "Explore", "description": "private"}')
    world.write(agent, agent.brief(), agent.call("t2"), agent.result("t2"))
    world.expect(session, agent)
    assert world.query("select agent_id, payload ->> 'agentType' from events where type = 'agent_spawn'") == [
        (agent.agent, "Explore")
    ]
    assert {row[0] for row in world.query("select session_id from events")} == {session.id}


@pytest.mark.parametrize("half", [None, "", '{"agentType": "Exp'], ids=["absent", "empty", "torn"])
def test_subagent_waits_for_the_file_that_says_its_type(world: World, half: str | None) -> None:
    world.start()
    session = Session()
    agent = Session(id=session.id, agent="a072439bd66e786b1")
    meta = world.transcript(agent).with_suffix(".meta.json")
    if half is not None:
        meta.write_text(half)
    brief = agent.brief()
    world.write(agent, brief)
    world.write(session, session.prompt(), session.call("t1"))
    world.expect(session)  # a tool's start waits for longer than the brief would
    meta.write_text('{"agentType": "Explore"}')
    world.expect(session, agent)
    assert world.query("select payload ->> 'agentType' from events where type = 'agent_spawn'") == [("Explore",)]


def test_subagent_whose_type_nothing_says_is_a_custom_one(world: World) -> None:
    world.start()
    agent = Session(agent="a072439bd66e786b1")
    world.write(agent, agent.brief())
    world.expect(agent)
    assert world.query("select payload ->> 'agentType' from events where type = 'agent_spawn'") == [("custom",)]


def test_more_files_grow_than_are_kept_open(world: World) -> None:
    daemon = world.start()
    sessions = [Session() for _ in range(150)]
    for turn in range(3):
        for session in sessions:
            world.write(session, session.prompt(), session.call(f"t{turn}"))
        for session in sessions:
            world.write(session, session.result(f"t{turn}"), session.answer())
    world.expect(*sessions)
    assert psutil.Process(daemon.popen.pid).num_fds() < 110


def test_lines_older_than_the_import_reaches_are_left_out(world: World) -> None:
    world.start("--since", "2")
    session, old = Session(), Session()
    line = session.prompt().replace(
        b'"timestamp": "' + stamp()[:4].encode(), b'"timestamp": "2001'
    )  # the same line, many years ago
    session.keys.clear()
    world.write(old, line)
    world.write(session, session.prompt())
    world.expect(session)


def test_hook_speaks_first_in_a_session_whose_hooks_report(world: World) -> None:
    """The hook's report is the richer: it knows the duration."""
    world.start()
    session = Session()
    world.hook(tool_hook(session, "t0"))
    prompt = session.prompt()
    session.keys.add(("session", session.id, "started", "startup"))
    world.write(session, prompt, session.call("t1"), session.result("t1"))
    world.hook(hook(session, "PostToolUse", tool_name="Bash", tool_input={}, tool_use_id="t1", duration_ms=1234))
    world.expect(session)
    assert world.query("select duration_ms from events where status = 'completed'") == [(1234,)]


def test_what_was_left_out_as_too_old_comes_in_when_it_is_wanted(world: World) -> None:
    session = Session()
    ages = (45 * 86_400, 86_400)
    world.write(session, *(session.prompt(timestamp=stamp(time.time_ns() - age * 10**9)) for age in ages))
    with world.daemon("--since", "5"):
        wait_until(lambda: len(world.ids()) == 2, lambda: f"{len(world.ids())} of 2 events")
    with world.daemon("--all"):
        world.expect(session)
    with world.daemon("--since", "5"):
        world.expect(session)
