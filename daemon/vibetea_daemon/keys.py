"""The signing key: a raw 32-byte seed in `key.priv` (0600), its public half in `key.pub`."""

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from vibetea_daemon.config import Config, ConfigError, expanded
from vibetea_protocol.signing import SEED_BYTES, SigningError, decode_key, public_key


def seed(config: Config, environ: Mapping[str, str] = os.environ) -> bytes:
    """The seed, made if there is none yet. Raises ConfigError.

    `VIBETEA_PRIVATE_KEY` (base64) wins; set but bad it is an error, never a reason to fall back on the file.
    `VIBETEA_KEY_PATH` names another folder than the state folder.
    """
    found = existing(config, environ)
    return _make(_folder(config, environ)) if found is None else found


def existing(config: Config, environ: Mapping[str, str] = os.environ) -> bytes | None:
    """The seed, if there is one. Raises ConfigError."""
    text = environ.get("VIBETEA_PRIVATE_KEY")
    if text is not None:
        try:
            return decode_key(text)
        except SigningError as error:
            raise ConfigError(f"VIBETEA_PRIVATE_KEY: {error}") from None
    private = _folder(config, environ) / "key.priv"
    try:
        return _read(private)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{private} cannot be read: {error.strerror}") from None


def registration(config: Config) -> str:
    """The line a server knows this machine by: `source:public key`."""
    return f"{config.source}:{public_key(seed(config))}"


def _read(private: Path) -> bytes:
    descriptor = os.open(private, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise ConfigError(f"{private} can be read by others; run: chmod 600 {private}")
        raw = file.read(SEED_BYTES + 1)
    if len(raw) != SEED_BYTES:
        raise ConfigError(
            f"{private} is not a {SEED_BYTES}-byte seed; move it away and run `vibetea init` for a new key"
        )
    return raw


def _make(folder: Path) -> bytes:
    """A new seed; of two processes at once the first wins, and both have its key."""
    raw = secrets.token_bytes(SEED_BYTES)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        private, draft = folder / "key.priv", folder / f".key.priv.{os.getpid()}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(raw)
        try:
            private.hardlink_to(draft)
        except FileExistsError:
            return _read(private)
        finally:
            draft.unlink()
        public = folder / "key.pub"
        public.write_text(public_key(raw) + "\n")
        public.chmod(0o644)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot hold the key ({error.strerror}); set VIBETEA_KEY_PATH to another folder"
        ) from None
    return raw


def _folder(config: Config, environ: Mapping[str, str]) -> Path:
    return expanded(environ.get("VIBETEA_KEY_PATH") or str(config.home), config.user_home)
