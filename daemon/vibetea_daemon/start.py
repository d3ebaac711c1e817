"""The `vibetea` program."""

import gc


def main() -> None:
    """Run the command line. What a start makes is no garbage: none is looked for until a command is at work."""
    gc.disable()
    from vibetea_daemon.cli import main as commands

    commands()
