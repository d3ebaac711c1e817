"""What each command does; `vibetea_daemon.cli` holds their options, so that `--help` imports none of this."""


def counted(number: int, noun: str) -> str:
    """`1 event`, `2 events`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
