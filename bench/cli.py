"""How long `vibetea --help` and `vibetea status` take, beside a bare Python that imports click."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from measure import interleave, median, table

ROUNDS = 40
TARGET = 1.3


def main() -> None:
    vibetea = str(Path(sys.executable).with_name("vibetea"))
    with tempfile.TemporaryDirectory() as home:
        environ = os.environ | {"HOME": home}
        subprocess.run([vibetea, "init"], env=environ, check=True, capture_output=True)

        def timed(*command: str) -> Callable[[], object]:
            return lambda: subprocess.run(command, env=environ, capture_output=True, check=False)

        seconds = interleave(
            {
                "python -c 'import click'": timed(sys.executable, "-c", "import click"),
                "vibetea --help": timed(vibetea, "--help"),
                "vibetea status": timed(vibetea, "status"),
            },
            ROUNDS,
        )
    floor = median(next(iter(seconds.values())))
    rows = [
        [name, median(values) * 1000, median(values) / floor, TARGET if name.startswith("vibetea") else "floor"]
        for name, values in seconds.items()
    ]
    print("\nCommand line")
    print(table(rows, ["command", "median ms", "x floor", "target"]))


if __name__ == "__main__":
    main()
