"""Where things are and what is wanted: environment first, then `config.toml`, then the default."""

import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SOURCE_CHARACTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
LEVELS: Final = ("standard", "strict")
IMPORT_DAYS: Final = 30
"""Claude Code itself sweeps transcripts older than that."""
MAX_SOCKET_PATH: Final = 100
"""Bytes; the kernel's limit is 107 on Linux and 103 on macOS."""


class ConfigError(Exception):
    """A setting that cannot be used; the text names it and says what it should be. Exit code 78."""


@dataclass(frozen=True)
class Config:
    """The settings of one installation. `Config.load` documents each.

    `since`, nanoseconds since the epoch, is where the import of old transcripts begins.
    """

    home: Path
    claude_dir: Path
    user_home: str
    source: str
    privacy: str
    extensions: frozenset[str] | None
    plugins: tuple[str, ...]
    socket_override: Path | None
    since: int

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> "Config":
        """Read the settings. Raises ConfigError.

        `VIBETEA_HOME`: the state folder, `~/.vibetea`. `VIBETEA_CLAUDE_DIR`: Claude Code's, `~/.claude`.
        `VIBETEA_SOURCE_ID`: this machine's name on the wire, `[A-Za-z0-9._-]{1,64}`; the host's name at `standard`,
        `this-machine` at `strict`. `VIBETEA_PRIVACY`: `standard` or `strict`. `VIBETEA_BASENAME_ALLOWLIST`: comma
        list of extensions whose file names may be told; unset allows all, empty none. `VIBETEA_SOCKET`: the hook
        socket. `config.toml` in the state folder may hold the same in lower case without the prefix, and
        `plugins`, a list of module names: nothing from outside is loaded that is not named there.
        """
        user_home = environ.get("HOME") or _home_of_user()
        home = _folder(environ.get("VIBETEA_HOME"), user_home, ".vibetea")
        file = _read_toml(home / "config.toml")
        privacy = str(environ.get("VIBETEA_PRIVACY") or file.get("privacy") or "standard")
        if privacy not in LEVELS:
            raise ConfigError(f"VIBETEA_PRIVACY is {privacy!r}; it must be one of: {', '.join(LEVELS)}")
        override = environ.get("VIBETEA_SOCKET")
        return cls(
            home=home,
            claude_dir=_folder(environ.get("VIBETEA_CLAUDE_DIR") or file.get("claude_dir"), user_home, ".claude"),
            user_home=user_home,
            source=_source(environ.get("VIBETEA_SOURCE_ID") or file.get("source_id"), privacy),
            privacy=privacy,
            extensions=_extensions(environ.get("VIBETEA_BASENAME_ALLOWLIST", file.get("basename_allowlist"))),
            plugins=_plugins(file.get("plugins", [])),
            socket_override=Path(override) if override else None,
            since=time.time_ns() - IMPORT_DAYS * 86_400_000_000_000,
        )

    @property
    def database(self) -> Path:
        """The database."""
        return self.home / "vibetea.db"

    @property
    def inbox(self) -> Path:
        """Where hooks leave what the daemon was not there to take."""
        return self.home / "inbox"

    @property
    def lock(self) -> Path:
        """Held by the one daemon that lives."""
        return self.home / "daemon.lock"

    @property
    def socket(self) -> Path:
        """The hook socket; a short one under the runtime folder if the path is too long for the kernel."""
        path = self.socket_override or self.home / "vibetea.sock"
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
            return path
        from zlib import crc32

        runtime = os.environ.get("XDG_RUNTIME_DIR")
        base = Path(runtime) if runtime else Path(f"/tmp/vibetea-{os.geteuid()}")  # noqa: S108  checked when made
        return base / f"vibetea-{crc32(os.fsencode(path)):08x}.sock"

    def make_home(self) -> None:
        """Make the state folder, 0700. Raises ConfigError if it is somebody else's or cannot be made."""
        make_private_folder(self.home)


def make_private_folder(path: Path) -> None:
    """Make a folder only its owner can look into. Raises ConfigError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
        if found.st_uid != os.geteuid():
            raise ConfigError(f"{path} belongs to another user; set VIBETEA_HOME to a folder of your own")
        if stat.S_IMODE(found.st_mode) != 0o700:
            path.chmod(0o700)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be used ({error.strerror}); set VIBETEA_HOME to a folder you can write"
        ) from None


def _home_of_user() -> str:
    try:
        return str(Path.home())
    except RuntimeError:
        raise ConfigError("there is no home directory; set HOME, or VIBETEA_HOME and VIBETEA_CLAUDE_DIR") from None


def _folder(value: object, user_home: str, default: str) -> Path:
    if not value:
        return Path(user_home, default)
    return Path(str(value).replace("~", user_home, 1) if str(value).startswith("~") else str(value)).absolute()


def _read_toml(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    import tomllib

    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path.name} cannot be read: {error}") from None


def _source(value: object, privacy: str) -> str:
    if value:
        name = str(value)
        if len(name) > 64 or not SOURCE_CHARACTERS.issuperset(name):
            raise ConfigError(f"VIBETEA_SOURCE_ID is {name!r}; it must be 1 to 64 of A-Z a-z 0-9 . _ -")
        return name
    if privacy == "strict":
        return "this-machine"
    host = os.uname().nodename[:64]
    return "".join(letter if letter in SOURCE_CHARACTERS else "-" for letter in host) or "this-machine"


def _extensions(value: object) -> frozenset[str] | None:
    if value is None:
        return None
    words = value if isinstance(value, list) else str(value).split(",")
    return frozenset(str(word).strip().lstrip(".").lower() for word in words) - {""}


def _plugins(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ConfigError("plugins in config.toml must be a list of module names")
    return tuple(value)
