"""Where things are and what is wanted: environment first, then `config.toml`, then the default."""

import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

SOURCE_CHARACTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
LEVELS: Final = ("standard", "strict")
IMPORT_DAYS: Final = 30
"""Claude Code itself sweeps transcripts older than that."""
MAX_SOCKET_PATH: Final = 100
"""Bytes; the kernel's limit is 107 on Linux and 103 on macOS."""


FILE_KEYS: Final[Mapping[str, tuple[type, ...]]] = {
    "claude_dir": (str,),
    "source_id": (str,),
    "privacy": (str,),
    "basename_allowlist": (str, list),
    "plugins": (list,),
    "server_url": (str,),
    "supabase_url": (str,),
    "supabase_batch_interval_secs": (int,),
    "supabase_retry_limit": (int,),
    "retention_days": (int,),
    "buffer_size": (int,),
}
"""What `config.toml` may hold; a list is one of strings."""
_VARIABLES: Final = frozenset(
    f"VIBETEA_{key}"
    for key in (
        *(key.upper() for key in FILE_KEYS if key != "plugins"),
        *("HOME", "SOCKET", "KEY_PATH", "PRIVATE_KEY", "SUBSCRIBER_TOKEN", "SUBSCRIBER_TOKENS"),
    )
)
_KINDS: Final = {str: "a string", list: "a list of strings", int: "a whole number"}


class ConfigError(Exception):
    """A setting that cannot be used; the text names it and says what it should be. Exit code 78."""


class Setting(NamedTuple):
    """A value, and the name to blame for it."""

    name: str
    value: object


class Config(NamedTuple):  # a data class would double the time `vibetea status` takes to load this
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
    server_url: str | None
    supabase_url: str | None
    supabase_batch_interval: int
    supabase_retry_limit: int
    retention_days: int
    buffer_size: int

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> "Config":
        """Read the settings. Raises ConfigError.

        `VIBETEA_HOME`: the state folder, `~/.vibetea`. `VIBETEA_CLAUDE_DIR`: Claude Code's, else its own
        `CLAUDE_CONFIG_DIR`, else `~/.claude`.
        `VIBETEA_SOURCE_ID`: this machine's name on the wire, `[A-Za-z0-9._-]{1,64}`; the host's name at `standard`,
        `this-machine` at `strict`. `VIBETEA_PRIVACY`: `standard` or `strict`. `VIBETEA_BASENAME_ALLOWLIST`: comma
        list of extensions whose file names may be told; unset allows all, empty none. `VIBETEA_SOCKET`: the hook
        socket. `VIBETEA_SERVER_URL`: the relay events are sent to; unset, nothing leaves. `VIBETEA_SUPABASE_URL`: the
        functions events are sent to, and that are asked for hours from before this database.
        `VIBETEA_SUPABASE_BATCH_INTERVAL_SECS`: seconds between two batches, 60.
        `VIBETEA_SUPABASE_RETRY_LIMIT`: how often one is tried again before the next interval is waited for, 3.
        `VIBETEA_RETENTION_DAYS`: how old an event may be that the functions take, 90. `VIBETEA_BUFFER_SIZE`: events
        in one request at most, 1000. `config.toml` in the state folder may hold the same in lower case without
        the prefix, and `plugins`, a list of module names: nothing from outside is loaded that is not named there.
        """
        _check_names(environ)
        user_home = environ.get("HOME") or _home_of_user()
        home = expanded(environ.get("VIBETEA_HOME") or "~/.vibetea", user_home)
        toml = home / "config.toml"
        file = _read_toml(toml)

        def setting(key: str) -> Setting:
            name = f"VIBETEA_{key.upper()}"
            return Setting(name, environ[name]) if environ.get(name) else Setting(f"{key} in {toml}", file.get(key))

        privacy = setting("privacy")
        if privacy.value is not None and privacy.value not in LEVELS:
            raise ConfigError(f"{privacy.name} is {privacy.value!r}; it must be one of: {', '.join(LEVELS)}")
        level = str(privacy.value or "standard")
        override = environ.get("VIBETEA_SOCKET")
        claude_dir = setting("claude_dir").value or environ.get("CLAUDE_CONFIG_DIR") or "~/.claude"
        return cls(
            home=home,
            claude_dir=expanded(str(claude_dir), user_home),
            user_home=user_home,
            source=_source(setting("source_id"), level),
            privacy=level,
            extensions=_extensions(environ.get("VIBETEA_BASENAME_ALLOWLIST", file.get("basename_allowlist"))),
            plugins=tuple(file.get("plugins", ())),
            socket_override=expanded(override, user_home) if override else None,
            since=time.time_ns() - IMPORT_DAYS * 86_400_000_000_000,
            server_url=server_address(setting("server_url")),
            supabase_url=server_address(setting("supabase_url"), "https://<reference>.supabase.co/functions/v1"),
            supabase_batch_interval=_number(setting("supabase_batch_interval_secs"), 60, most=3600),
            supabase_retry_limit=_number(setting("supabase_retry_limit"), 3, most=10),
            retention_days=_number(setting("retention_days"), 90, most=99_999),
            buffer_size=_number(setting("buffer_size"), 1000, most=100_000),
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
    """Make the state folder, or one of ours in it, so that only its owner can look into it. Raises ConfigError."""
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


def check_private_folder(path: Path) -> None:
    """See that nobody else can put a socket of theirs in this folder; it is made if only itself is missing.

    Nothing is changed in a folder that is there already. Raises ConfigError.
    """
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.stat()
    except OSError as error:
        raise ConfigError(f"{path} cannot be used ({error.strerror}); set VIBETEA_SOCKET to another path") from None
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022:
        raise ConfigError(
            f"others can write to {path}; set VIBETEA_SOCKET to a path in a folder that is yours alone, or unset it"
        )


def _check_names(environ: Mapping[str, str]) -> None:
    """Take a name that is nearly a setting's for a slip. Raises ConfigError. Others may be an older VibeTea's."""
    for name in environ:
        if name.startswith("VIBETEA_") and name not in _VARIABLES:
            from difflib import get_close_matches

            if close := get_close_matches(name, _VARIABLES, n=1, cutoff=0.9):
                raise ConfigError(f"there is no {name}; did you mean {close[0]}?")


def _home_of_user() -> str:
    try:
        return str(Path.home())
    except RuntimeError:
        raise ConfigError("there is no home directory; set HOME, or VIBETEA_HOME and VIBETEA_CLAUDE_DIR") from None


def expanded(path: str, user_home: str) -> Path:
    """A path, with `~` for this user's home. Raises ConfigError for another's."""
    name, slash, rest = path.partition("/")
    if name.startswith("~") and name != "~":
        raise ConfigError(f"{path}: only your own home can be written as ~; write the path out")
    return Path(user_home + slash + rest if name == "~" else path).absolute()


def _read_toml(path: Path) -> dict[str, Any]:
    """What the file holds, its keys and types checked. Raises ConfigError."""
    if not path.exists():
        return {}
    import tomllib

    try:
        found = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    for key, value in found.items():
        if key not in FILE_KEYS:
            raise ConfigError(f"{path}: there is no setting {key!r}; {_advice(key)}")
        types = FILE_KEYS[key]
        if type(value) not in types or (isinstance(value, list) and not all(isinstance(v, str) for v in value)):
            wanted = " or ".join(_KINDS[kind] for kind in types)
            raise ConfigError(f"{path}: {key} must be {wanted}, not {value!r}")
    return found


def _advice(key: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(key.lower().removeprefix("vibetea_"), FILE_KEYS, n=1)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(FILE_KEYS)}"


def _source(setting: Setting, privacy: str) -> str:
    if setting.value is not None:
        name = str(setting.value)
        if not 0 < len(name) <= 64 or not SOURCE_CHARACTERS.issuperset(name):
            raise ConfigError(f"{setting.name} is {name!r}; it must be 1 to 64 of A-Z a-z 0-9 . _ -")
        return name
    if privacy == "strict":
        return "this-machine"
    host = os.uname().nodename[:64]
    return "".join(letter if letter in SOURCE_CHARACTERS else "-" for letter in host) or "this-machine"


def server_address(setting: Setting, example: str = "https://server.example") -> str | None:
    """A server's address in its one form, however it is written. Raises ConfigError, which never repeats the value.

    ASCII; scheme and host in lower case; without the scheme's own port, and without a slash at its end. Where a sink
    stands is kept by this text.
    """
    if not setting.value:
        return None
    from urllib.parse import urlsplit

    text = str(setting.value)
    wanted = f"it must look like {example}"
    if not text.isprintable() or " " in text or "\\" in text:
        raise ConfigError(
            f"{setting.name} is no address: it holds a space, a backslash or a control character; {wanted}"
        )
    try:
        if not text.isascii():
            from yarl import URL  # takes a while to load

            text = str(URL(text))
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        host, port = None, None
    if not host or port == 0 or not _is_host(host, bracketed="[" in url.netloc):
        raise ConfigError(f"{setting.name} is no address with a usable host and port; {wanted}")
    if url.username is not None or "?" in text or "#" in text:
        raise ConfigError(f"{setting.name} must be an address alone, without user, password, `?` or `#`")
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(host)):
        raise ConfigError(
            f"{setting.name} must begin with https://; only this machine itself may be spoken to in clear"
        )
    name = f"[{host}]" if ":" in host else host
    place = name if port in {None, 443 if url.scheme == "https" else 80} else f"{name}:{port}"
    return f"{url.scheme}://{place}{url.path}".rstrip("/")


def _is_host(host: str, *, bracketed: bool) -> bool:
    """Whether this is an IPv6 address, or a name or IPv4 address that a resolver takes."""
    if bracketed:
        from ipaddress import IPv6Address

        try:
            return IPv6Address(host).scope_id is None
        except ValueError:
            return False
    labels = host.removesuffix(".").split(".")
    return len(host) < 254 and all(0 < len(label) < 64 and SOURCE_CHARACTERS.issuperset(label) for label in labels)


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _number(setting: Setting, default: int, *, most: int) -> int:
    if setting.value is None:
        return default
    text = str(setting.value)
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= most):
        raise ConfigError(f"{setting.name} is {setting.value!r}; it must be a whole number from 1 to {most}")
    return int(text)


def _extensions(value: object) -> frozenset[str] | None:
    if value is None:
        return None
    words = value if isinstance(value, list) else str(value).split(",")
    return frozenset(str(word).strip().lstrip(".").lower() for word in words) - {""}
