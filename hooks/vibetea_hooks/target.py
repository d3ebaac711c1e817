"""The file behind a settings path: found through the user's own links, read, and replaced without losing an edit."""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import SettingsError

_LINKS = 40  # what Linux itself follows
_NOREPLACE, _EXCHANGE = 1, 2  # flags of renameat2(2)


@dataclass(frozen=True, slots=True)
class Target:
    """A settings file, existing or not, past every symbolic link."""

    path: Path

    @classmethod
    def behind(cls, path: Path) -> Target:
        """Follow the links of a dotfiles folder; SettingsError when one, or the file, belongs to another user."""
        path = Path(os.path.abspath(path))  # noqa: PTH100  # `resolve` would follow links before they are checked
        for _ in range(_LINKS):
            try:
                entry = path.lstat()
            except FileNotFoundError:
                return cls(path)
            except OSError as error:
                raise SettingsError(f"{path}: {error.strerror}") from None
            if entry.st_uid != os.geteuid():
                raise SettingsError(f"{path} belongs to another user; run this as its owner, or give --settings FILE")
            if stat.S_ISREG(entry.st_mode):
                return cls(path)
            if not stat.S_ISLNK(entry.st_mode):
                raise SettingsError(f"{path} is not a file")
            path = path.parent / path.readlink()
        raise SettingsError(f"{path} is a link that leads nowhere")

    def read(self) -> bytes | None:
        """The file's bytes, or None where there is none."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SettingsError(f"{self.path}: {error.strerror}") from None
        with os.fdopen(descriptor, "rb") as file:
            return file.read()

    def check_writable(self) -> None:
        """SettingsError for a file its owner marked read-only: replacing it would work and would be rude."""
        with suppress(FileNotFoundError):
            if not self.path.stat().st_mode & stat.S_IWUSR:
                raise SettingsError(f"{self.path} is read-only; allow it with: chmod u+w '{self.path}'")

    def replace(self, old: bytes | None, new: bytes | None) -> bool:
        """Put `new` where `old` is, None meaning no file; False, and nothing done, when it holds something else."""
        if self.read() != old:
            return False
        if new is None:
            self.path.unlink(missing_ok=True)
            _sync(self.path.parent)
            return True
        temporary = self.path.with_name(f".{self.path.name}.vibetea-{os.getpid()}")
        temporary.unlink(missing_ok=True)
        try:
            write(temporary, new, like=self.path)
            return self._swap(temporary, old)
        finally:
            temporary.unlink(missing_ok=True)
            _sync(self.path.parent)

    def _swap(self, temporary: Path, old: bytes | None) -> bool:
        """Exchanging the two files in one step shows what was really replaced, however late another edit came."""
        if self.read() != old:
            return False
        if old is None:
            return _rename(temporary, self.path, _NOREPLACE)
        if not _rename(temporary, self.path, _EXCHANGE):
            return False
        if temporary.exists() and temporary.read_bytes() != old:
            _rename(temporary, self.path, _EXCHANGE)
            return False
        return True


def write(path: Path, content: bytes, mode: int = 0o600, like: Path | None = None) -> None:
    """Create a file with this content, on the disk before this returns; mode and group are those of `like`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if like is not None and like.exists():
            model = like.stat()
            mode = stat.S_IMODE(model.st_mode)
            with suppress(PermissionError):
                os.fchown(descriptor, -1, model.st_gid)
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def write_over(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Create or replace one of our own files in one step, its private folder included."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    write(temporary, content, mode)
    temporary.replace(path)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename(source: Path, target: Path, flag: int) -> bool:
    """renameat2(2), which Python lacks; False when the target's presence is not what the flag asks for.

    Where the system or the file system lacks it too, a plain rename.
    """
    error = errno.ENOSYS
    if sys.platform == "linux":
        import ctypes  # slow to load, and needed only while writing

        library = ctypes.CDLL(None, use_errno=True)
        if hasattr(library, "renameat2"):
            here = -100  # AT_FDCWD
            if library.renameat2(here, os.fsencode(source), here, os.fsencode(target), flag) == 0:
                return True
            error = ctypes.get_errno()
    if error in (errno.EEXIST, errno.ENOENT):
        return False
    if error not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        raise OSError(error, os.strerror(error), str(target))
    source.replace(target)
    return True
