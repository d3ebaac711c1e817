"""A neutral hook: writes each payload, its time and its process to a folder. `record.py FOLDER`."""

import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    at = time.time_ns()
    raw = sys.stdin.buffer.read()
    record = {"at": at, "pid": os.getpid(), "input": json.loads(raw)}
    name = Path(sys.argv[1]) / f"{at}-{os.getpid()}"
    name.with_suffix(".tmp").write_text(json.dumps(record))
    name.with_suffix(".tmp").rename(name.with_suffix(".json"))


if __name__ == "__main__":
    main()
