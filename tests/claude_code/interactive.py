"""Scenarios played in a terminal."""

from tests.claude_code.calls import agent, bash, held, held_until
from tests.claude_code.model import Refusal, Tool, Turn, ending
from tests.claude_code.scenario import Scenario
from tests.claude_code.stage import Stage, wait_until

_DIALOG = "Do you want to proceed?"


def _permissions(stage: Stage) -> None:
    with stage.terminal("main", "--permission-mode", "default") as screen:
        stage.say(screen, "main", "grant")
        screen.wait_for(_DIALOG)
        screen.press_until("Enter", lambda: _DIALOG not in screen.text(), "the dialog's end")
        stage.finish("main", "grant")
        stage.say(screen, "main", "deny")
        screen.wait_for(_DIALOG)
        stage.interrupt(screen, "main")
        stage.ask(screen, "main", "end")


PERMISSIONS = Scenario(
    "one permission granted, one denied",
    _permissions,
    steps={
        "grant": [Turn("CANARY", [bash("granted", "touch granted.txt")])],
        "deny": [Turn("CANARY", [bash("denied", "touch denied.txt"), bash("behind", "touch behind.txt")])],
    },
    outcomes={"granted": "ok", "denied": "refused", "behind": "refused"},
    unseen=frozenset({"behind"}),
)


def _interrupted_tool(stage: Stage) -> None:
    with stage.terminal("main") as screen:
        stage.say(screen, "main", "long")
        wait_until((stage.run.home / "at-cut").exists, "the tool to run")
        stage.interrupt(screen, "main")
        stage.ask(screen, "main", "end")


INTERRUPTED_TOOL = Scenario(
    "Escape during a running tool",
    _interrupted_tool,
    steps={
        "long": [
            Turn(
                "CANARY",
                [
                    Tool("done", "Read", {"file_path": "{project}/prices.txt"}),
                    held("cut"),
                    bash("behind", "echo CANARY"),
                ],
            )
        ]
    },
    outcomes={"done": "ok", "cut": "interrupted", "behind": "refused"},
    unseen=frozenset({"behind"}),
)


def _interrupted_text(stage: Stage) -> None:
    with stage.terminal("main") as screen:
        stage.say(screen, "main", "talk")
        screen.wait_for("CANARY first words")
        stage.interrupt(screen, "main")
        stage.ask(screen, "main", "end")


INTERRUPTED_TEXT = Scenario(
    "Escape while the model speaks",
    _interrupted_text,
    steps={"talk": [Turn("CANARY first words\n\nand more\n\n", hangs=True)]},
)


def _interrupted_agent(stage: Stage) -> None:
    with stage.terminal("main") as screen:
        stage.say(screen, "main", "send")
        wait_until((stage.run.home / "at-cut").exists, "the agent's tool to run")
        stage.interrupt(screen, "main")
        stage.ask(screen, "main", "end")


INTERRUPTED_AGENT = Scenario(
    "Escape during a foreground agent",
    _interrupted_agent,
    steps={
        "send": [Turn("CANARY", [agent("send", "errand", "Explore", background=False)])],
        "errand": [Turn("CANARY", [held("cut")])],
    },
    outcomes={"send": "interrupted", "cut": "interrupted"},
    environment={"CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1"},
)


def _queued(stage: Stage) -> None:
    with stage.terminal("main") as screen:
        stage.say(screen, "main", "busy")
        wait_until((stage.run.home / "at-work").exists, "the tool to run")
        stage.say(screen, "main", "absorbed")
        screen.wait_for("Queued")
        (stage.run.home / "go").touch()
        stage.finish("main", "absorbed")
        stage.say(screen, "main", "talk")
        screen.wait_for("CANARY first words")
        stage.say(screen, "main", "later")
        screen.wait_for("Queued")
        stage.run.script.released.set()
        stage.finish("main", "later")


QUEUED = Scenario(
    "one prompt typed during a tool, one while the model speaks",
    _queued,
    steps={
        "busy": [Turn("CANARY", [held_until("work", "go")])],
        "talk": [Turn("CANARY first words\n\nand more\n\n", hangs=True)],
    },
    outcomes={"work": "ok"},
)


def _compacted(stage: Stage) -> None:
    with stage.terminal("main") as screen:
        stage.ask(screen, "main", "before")
        stage.say(screen, "main", "compact", "/compact")
        stage.wait_for_line("main", lambda line: line.get("subtype") == "compact_boundary", "the compaction")
        screen.wait_for("Compacted")
        stage.ask(screen, "main", "huge")
        stage.ask(screen, "main", "after")


COMPACTED = Scenario(
    "compacted by the person, then by itself",
    _compacted,
    steps={
        "before": [Turn("CANARY", [bash("early", "echo CANARY")])],
        "huge": [Turn(ending("huge"), context=990_000)],
        "after": [Turn("CANARY", [bash("late", "echo CANARY")])],
    },
    outcomes={"early": "ok", "late": "ok"},
)


def _cleared(stage: Stage) -> None:
    with stage.terminal("main") as screen:
        stage.ask(screen, "main", "before")
        stage.say(screen, "main", "clear", "/clear")
        screen.wait_until(lambda text: ending("before") not in text, "an empty screen")
        stage.say(screen, "cleared", "after")
        stage.adopt("cleared")
        stage.finish("cleared", "after")


CLEARED = Scenario(
    "cleared", _cleared, steps={"before": [Turn("CANARY", [bash("early", "echo CANARY")])]}, outcomes={"early": "ok"}
)


def _branched(stage: Stage) -> None:
    with stage.terminal("main") as screen:
        stage.ask(screen, "main", "before")
        stage.say(screen, "main", "branch", "/branch")
        stage.adopt("branch")
        stage.ask(screen, "branch", "after")


BRANCHED = Scenario(
    "branched",
    _branched,
    steps={"before": [Turn("CANARY", [bash("early", "echo CANARY")])]},
    outcomes={"early": "ok"},
)


def _commands(stage: Stage) -> None:
    with stage.terminal("main") as screen:
        stage.ask(screen, "main", "restock", "/restock CANARY [restock]")
        stage.ask(screen, "main", "price", "/pricing CANARY [price]")
        screen.press("!")
        stage.ask(screen, "main", "shell", "echo CANARY '[shell]'")
        stage.say(screen, "main", "model", "/model sonnet")
        # The client asks only while the old model's cache is warm; an Enter too many at the empty prompt does nothing.
        screen.press_until("Enter", lambda: "Set model to" in screen.text(), "another model")
        stage.ask(screen, "main", "end")


COMMANDS = Scenario("a command, a skill, a shell line and another model", _commands)


def _tasks(stage: Stage) -> None:
    with stage.terminal("main") as screen:
        stage.ask(screen, "main", "plan")


TASKS = Scenario(
    "a list of tasks",
    _tasks,
    steps={
        "plan": [
            Turn(
                tools=[
                    Tool("one", "TaskCreate", {"subject": "CANARY one", "description": "CANARY"}),
                    Tool("two", "TaskCreate", {"subject": "CANARY two", "description": "CANARY"}),
                ]
            ),
            Turn(tools=[Tool("begin", "TaskUpdate", {"taskId": "1", "status": "in_progress"})]),
            Turn(tools=[Tool("complete", "TaskUpdate", {"taskId": "1", "status": "completed"})]),
        ]
    },
    outcomes={"one": "ok", "two": "ok", "begin": "ok", "complete": "ok"},
    environment={"CLAUDE_CODE_ENABLE_TODO_TOOLS": "1"},
)


def _question(stage: Stage) -> None:
    with stage.terminal("main") as screen:
        stage.say(screen, "main", "doubt")
        screen.wait_for("Enter to select")
        screen.press_until("Enter", lambda: "Enter to select" not in screen.text(), "the answer")
        stage.finish("main", "doubt")


QUESTION = Scenario(
    "a question to the person",
    _question,
    steps={
        "doubt": [
            Turn(
                tools=[
                    Tool(
                        "question",
                        "AskUserQuestion",
                        {
                            "questions": [
                                {
                                    "question": "CANARY which one?",
                                    "header": "CANARY",
                                    "multiSelect": False,
                                    "options": [
                                        {"label": "CANARY this", "description": "CANARY"},
                                        {"label": "CANARY that", "description": "CANARY"},
                                    ],
                                }
                            ]
                        },
                    )
                ]
            )
        ]
    },
    outcomes={"question": "ok"},
)


def _error(stage: Stage) -> None:
    with stage.terminal("main") as screen:
        stage.say(screen, "main", "overloaded")
        stage.wait_for_line("main", lambda line: line.get("isApiErrorMessage"), "the error")
        screen.wait_until(lambda text: "esc to interrupt" not in text, "rest")
        stage.ask(screen, "main", "end")


ERROR = Scenario(
    "the model is overloaded, then answers",
    _error,
    steps={"overloaded": [Refusal(529, "overloaded_error")]},
)

SCENARIOS = (
    PERMISSIONS,
    INTERRUPTED_TOOL,
    INTERRUPTED_TEXT,
    INTERRUPTED_AGENT,
    QUEUED,
    COMPACTED,
    CLEARED,
    BRANCHED,
    COMMANDS,
    TASKS,
    QUESTION,
    ERROR,
)
