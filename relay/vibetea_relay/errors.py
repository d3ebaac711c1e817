"""What stops a relay's start."""


class RelayConfigError(Exception):
    """A setting that cannot be used; the text names it and says what it should be. Exit code 78."""
