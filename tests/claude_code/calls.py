"""Tool calls that several scenarios make."""

from tests.claude_code.model import Tool

_UNTIL_OVER = 'for i in $(seq 200); do [ -e "$HOME/over" ] && break; sleep 0.1; done'
_UNTIL_TOLD = (
    "mine=$HOME/.claude/projects/$(pwd | tr -c 'a-zA-Z0-9\\n' -); "
    "for i in $(seq 200); do grep -qs task-notification $mine/*.jsonl && break; sleep 0.1; done"
)


def bash(label: str, command: str) -> Tool:
    """A Bash call."""
    return Tool(label, "Bash", {"command": command, "description": "CANARY describes"})


def held(label: str) -> Tool:
    """A Bash call that leaves `at-LABEL` in the HOME and then goes on until the scenario is over, 20 s at most."""
    return bash(label, f'touch "$HOME/at-{label}"; {_UNTIL_OVER}')


def held_until(label: str, file: str) -> Tool:
    """A Bash call that leaves `at-LABEL` in the HOME and goes on until that file is there, 20 s at most."""
    return bash(label, f'touch "$HOME/at-{label}"; {_UNTIL_OVER.replace("over", file)}')


def told(label: str) -> Tool:
    """A Bash call that ends once a task notification is written to a transcript, 20 s at most."""
    return bash(label, _UNTIL_TOLD)


def agent(label: str, key: str, kind: str = "general-purpose", *, background: bool = True) -> Tool:
    """A call of the Agent tool; the subagent follows the script of that key."""
    prompt = f"CANARY look into [{key}]"
    wanted = {"description": "CANARY errand", "prompt": prompt, "subagent_type": kind, "run_in_background": background}
    return Tool(label, "Agent", wanted)
