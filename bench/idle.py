"""What an idle daemon costs: CPU and resident memory, beside a bare Python that imports the same packages."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from measure import table

SECONDS = 20
SESSIONS = 1000
"""Transcripts lying there, all read."""
PACKAGES = "import click, msgspec, nacl.signing, pluggy, pydantic, sqlite3, sqlite_utils, watchdog.observers"
LINE = (
    '{"type":"user","timestamp":"2026-01-02T03:04:05.006Z","sessionId":"%s","cwd":"/home/dev/shop","promptId":"%s",'
    '"message":{"content":"x"}}\n'
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number in range(SESSIONS):
            session = f"00000000-0000-4000-8000-{number:012x}"
            path = Path(folder, f"claude/projects/-home-dev-p{number % 40}", f"{session}.jsonl")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(LINE % (session, session))
        environ = os.environ | {
            "HOME": folder,
            "VIBETEA_HOME": f"{folder}/state",
            "VIBETEA_CLAUDE_DIR": f"{folder}/claude",
        }
        processes = {
            "python importing the same": [sys.executable, "-c", f"{PACKAGES}\nimport time; time.sleep(3600)"],
            "idle daemon": [sys.executable, "-m", "vibetea_daemon", "daemon", "--all"],
        }
        running = {
            name: psutil.Popen(command, env=environ, stderr=subprocess.DEVNULL) for name, command in processes.items()
        }
        try:
            time.sleep(6)  # the import is over; both have settled
            before = {name: sum(process.cpu_times()[:2]) for name, process in running.items()}
            time.sleep(SECONDS)
            rows = [
                [
                    name,
                    100 * (sum(process.cpu_times()[:2]) - before[name]) / SECONDS,
                    process.memory_info().rss / 2**20,
                    process.num_fds(),
                ]
                for name, process in running.items()
            ]
        finally:
            for process in running.values():
                process.terminate()
                process.wait()
    print(f"\nIdle for {SECONDS} s over {SESSIONS} transcripts")
    print(table(rows, ["process", "% of a core", "MiB resident", "descriptors"]))


if __name__ == "__main__":
    main()
