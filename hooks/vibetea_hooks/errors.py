"""The one error of this part."""


class SettingsError(Exception):
    """Claude Code's settings cannot be read or changed; the text says what is wrong and how to mend it."""
