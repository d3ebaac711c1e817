"""Import of a generated 50 MB transcript tree, beside `json.loads` on the same lines.

The tree has 40 000 lines in 200 sessions; line types come in the proportions of recorded sessions, most bytes are in
types nothing is told of. Both sides read from the disk in a fresh process and time their work without its start.
"""

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import interleave, median, table

SESSIONS = 200
CALLS = 21
"""Tool calls a session; with the lines around them that is 200 lines."""
SOURCE = "".join(path.read_text() for path in sorted(Path(__file__).parents[1].glob("daemon/**/*.py")))
"""Code, as sessions are full of it: with line ends and quotes that have to be escaped."""
ROUNDS = 5
TARGET = 2.0
PARSE = """
import json, sys, time
from pathlib import Path
begin = time.perf_counter()
for path in Path(sys.argv[1]).rglob("*.jsonl"):
    with path.open("rb") as file:
        for line in file:
            json.loads(line)
print(time.perf_counter() - begin)
"""
IMPORT = """
import sys, time
from vibetea_daemon.commands.import_ import import_transcripts
from vibetea_daemon.config import Config
config = Config.load()
begin = time.perf_counter()
import_transcripts(config, paths=(), since=None)
print(time.perf_counter() - begin)
"""


def write_tree(root: Path) -> tuple[int, int]:
    """Write the tree; its lines and bytes."""
    chance = random.Random(1)
    begin = time.time() - 20 * 86_400
    lines = size = 0
    for number in range(SESSIONS):
        session = f"{chance.getrandbits(32):08x}-0000-4000-8000-{number:012x}"
        folder = root / f"-home-dev-project{number % 12}"
        folder.mkdir(parents=True, exist_ok=True)
        text = "".join(
            json.dumps(line, separators=(",", ":")) + "\n"
            for line in session_lines(chance, session, f"/home/dev/project{number % 12}", begin + number * 3600)
        )
        (folder / f"{session}.jsonl").write_text(text)
        lines += text.count("\n")
        size += len(text)
    return lines, size


def session_lines(chance: random.Random, session: str, cwd: str, at: float) -> list[dict[str, object]]:
    """One session, as the recorded client writes it."""
    lines: list[dict[str, object]] = []

    def words(size: int) -> str:
        return chance.randbytes(size // 2).hex()

    def prose(size: int) -> str:
        start = chance.randrange(len(SOURCE) - size)
        return SOURCE[start : start + size]

    def add(kind: str, **fields: object) -> None:
        nonlocal at
        at += 0.4
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at * 1000) % 1000:03d}Z"
        common = {"type": kind, "uuid": words(32), "timestamp": stamp, "sessionId": session, "cwd": cwd}
        lines.append(common | {"version": "2.1.330", "gitBranch": "main", "userType": "external"} | fields)

    prompt = ""
    for call in range(CALLS):
        if call % 5 == 0:
            prompt = words(32)
            add("user", promptId=prompt, message={"role": "user", "content": prose(200)})
        tool = chance.choice(("Bash", "Read", "Edit", "Read"))
        block = {"type": "tool_use", "id": f"toolu_{words(24)}", "name": tool, "input": {"file_path": f"{cwd}/a.py"}}
        usage = {
            "input_tokens": 4,
            "output_tokens": 90,
            "cache_read_input_tokens": 9000,
            "cache_creation_input_tokens": 7,
        }
        message = {"id": f"msg_{words(24)}", "role": "assistant", "model": "claude-opus-5-5", "usage": usage}
        add("assistant", message=message | {"content": [block], "stop_reason": "tool_use"})
        result = {"type": "tool_result", "tool_use_id": block["id"], "content": prose(1500)}
        add("user", promptId=prompt, message={"role": "user", "content": [result]}, toolUseResult=prose(1500))
        for _ in range(3):
            add("attachment", attachment={"type": "reminder", "text": prose(900)}, rendered=prose(400))
        add("api-request", params=prose(700))
        add("api-request-blob", message={"role": "user", "content": prose(4000)})
        add("tools-used", tools=["Bash", "Read"])
        add("last-prompt", lastPrompt=prose(60))
        if call % 5 == 4:
            done = {"content": [{"type": "text", "text": prose(600)}], "stop_reason": "end_turn", "usage": usage}
            add("assistant", message=message | done | {"id": f"msg_{words(24)}"})
    return lines


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "claude/projects")
        lines, size = write_tree(root)
        environ = os.environ | {
            "HOME": folder,
            "VIBETEA_HOME": f"{folder}/state",
            "VIBETEA_CLAUDE_DIR": f"{folder}/claude",
        }
        said: dict[str, str] = {}
        seconds: dict[str, list[float]] = {"json.loads": [], "import": []}

        def work(name: str, program: str) -> None:
            for file in Path(folder, "state").glob("vibetea.db*"):
                file.unlink()
            command = [sys.executable, "-c", program, str(root)]
            said[name] = subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout
            seconds[name].append(float(said[name].split()[-1]))

        interleave({"json.loads": lambda: work("json.loads", PARSE), "import": lambda: work("import", IMPORT)}, ROUNDS)
    floor = median(seconds["json.loads"])
    found = re.search(r"(\d+) new events", said["import"])
    print(f"\nImport of {lines} lines, {size / 1e6:.1f} MB, {SESSIONS} sessions: {found[1] if found else '?'} events")
    rows = [
        [
            name,
            median(values),
            size / 1e6 / median(values),
            median(values) / floor,
            TARGET if name != "json.loads" else "floor",
        ]
        for name, values in seconds.items()
    ]
    print(table(rows, ["case", "median s", "MB/s", "x floor", "aim"]))


if __name__ == "__main__":
    main()
