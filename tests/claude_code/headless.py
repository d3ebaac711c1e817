"""Scenarios played with `claude -p`."""

from tests.claude_code.calls import agent, bash, held, held_until, told
from tests.claude_code.model import Refusal, Tool, Turn
from tests.claude_code.scenario import Scenario
from tests.claude_code.stage import Stage, wait_until


def _ten_tools(stage: Stage) -> None:
    stage.headless("main", "work")


TEN_TOOLS = Scenario(
    "ten tools",
    _ten_tools,
    steps={
        "work": [
            Turn(
                "CANARY first three at once",
                [
                    bash("list", "ls"),
                    Tool("read", "Read", {"file_path": "{project}/prices.txt"}),
                    Tool("count", "mcp__stock__count", {"item": "CANARY pears"}),
                ],
                thinking="CANARY thinks",
            ),
            Turn(tools=[Tool("write", "Write", {"file_path": "{project}/new.txt", "content": "CANARY old"})]),
            Turn(
                tools=[
                    Tool(
                        "edit",
                        "Edit",
                        {"file_path": "{project}/new.txt", "old_string": "old", "new_string": "new"},
                    ),
                    Tool("skill", "Skill", {"skill": "pricing", "args": "CANARY pears"}),
                ]
            ),
            Turn(
                "CANARY now what fails",
                [
                    bash("exit", "exit 3"),
                    Tool("absent", "Read", {"file_path": "{project}/CANARY-absent.txt"}),
                    Tool("none", "mcp__stock__count", {"item": "none"}),
                    bash("ruled", "curl CANARY"),
                    Tool("nonesuch", "CanaryTool", {"a": 1}),
                    Tool("malformed", "Read", {"wrong": 1}),
                ],
            ),
        ]
    },
    outcomes={
        "list": "ok",
        "read": "ok",
        "count": "ok",
        "write": "ok",
        "edit": "ok",
        "skill": "ok",
        "exit": "failed",
        "absent": "failed",
        "none": "failed",
        "ruled": "refused",
        "nonesuch": "refused",
        "malformed": "refused",
    },
    unseen=frozenset({"nonesuch", "malformed"}),
    rules={"deny": ["Bash(curl:*)"]},
)


def _agent_told_mid_turn(stage: Stage) -> None:
    stage.headless("main", "busy")


AGENT_TOLD_MID_TURN = Scenario(
    "a background agent ends while its parent works",
    _agent_told_mid_turn,
    steps={
        "busy": [Turn("CANARY sends", [agent("send", "errand")]), Turn("CANARY waits", [told("wait")])],
        "errand": [Turn("CANARY looks", [bash("look", "echo CANARY")])],
    },
    outcomes={"send": "ok", "wait": "ok", "look": "ok"},
)


def _agent_told_while_idle(stage: Stage) -> None:
    process = stage.start("main", "idle")
    stage.wait_for_line("main", lambda line: line.get("subtype") == "stop_hook_summary" or _rests(line), "rest")
    (stage.run.home / "go").touch()
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said[-4000:]


def _rests(line: dict[str, object]) -> bool:
    message = line.get("message")
    return isinstance(message, dict) and message.get("stop_reason") == "end_turn"


AGENT_TOLD_WHILE_IDLE = Scenario(
    "a background agent ends while its parent is idle",
    _agent_told_while_idle,
    steps={
        "idle": [Turn("CANARY sends", [agent("send", "errand")]), Turn("CANARY rests")],
        "errand": [Turn("CANARY looks", [held_until("look", "go")])],
    },
    outcomes={"send": "ok", "look": "ok"},
)


def _agent_in_front(stage: Stage) -> None:
    stage.headless("main", "front")


AGENT_IN_FRONT = Scenario(
    "a foreground agent with a failing call",
    _agent_in_front,
    steps={
        "front": [Turn("CANARY sends", [agent("send", "errand", "Explore", background=False)])],
        "errand": [Turn("CANARY looks", [bash("look", "exit 4"), Tool("nonesuch", "CanaryTool", {})])],
    },
    outcomes={"send": "ok", "look": "failed", "nonesuch": "refused"},
    unseen=frozenset({"nonesuch"}),
)


def _command(stage: Stage) -> None:
    stage.headless("main", "restock", "/restock CANARY [restock]")


COMMAND = Scenario("a slash command of the project", _command)


def _resumed_and_forked(stage: Stage) -> None:
    stage.headless("main", "begin")
    stage.headless("main", "again", resume="main")
    stage.headless("fork", "apart", resume="main", fork=True)


RESUMED_AND_FORKED = Scenario(
    "a session resumed, then forked",
    _resumed_and_forked,
    steps={
        "begin": [Turn("CANARY", [bash("first", "echo CANARY")])],
        "again": [Turn("CANARY", [bash("second", "echo CANARY")])],
        "apart": [Turn("CANARY", [bash("third", "echo CANARY")])],
    },
    outcomes={"first": "ok", "second": "ok", "third": "ok"},
)


def _errors(stage: Stage) -> None:
    for key in ("overloaded", "limited", "invalid"):
        stage.headless(key, key, fails=True)


ERRORS = Scenario(
    "the model answers with errors",
    _errors,
    steps={
        "overloaded": [Turn("CANARY", [bash("before", "echo CANARY")]), Refusal(529, "overloaded_error")],
        "limited": [Refusal(429, "rate_limit_error")],
        "invalid": [Refusal(400, "invalid_request_error")],
    },
    outcomes={"before": "ok"},
)


def _picture(stage: Stage) -> None:
    stage.headless("main", "picture", picture=True)


PICTURE = Scenario("a prompt with a picture", _picture)


def _killed(stage: Stage) -> None:
    process = stage.start("main", "doomed")
    wait_until((stage.run.home / "at-cut").exists, "the tool to run")
    stage.wait_for_line("main", lambda line: line.get("type") == "assistant", "the call to be written")
    process.kill()
    process.communicate(timeout=30)
    stage.headless("main", "after", resume="main")


KILLED = Scenario(
    "a client killed during a tool, then resumed",
    _killed,
    steps={"doomed": [Turn("CANARY", [held("cut")])]},
    outcomes={"cut": "interrupted"},
)

SCENARIOS = (
    TEN_TOOLS,
    AGENT_TOLD_MID_TURN,
    AGENT_TOLD_WHILE_IDLE,
    AGENT_IN_FRONT,
    COMMAND,
    RESUMED_AND_FORKED,
    ERRORS,
    PICTURE,
    KILLED,
)
