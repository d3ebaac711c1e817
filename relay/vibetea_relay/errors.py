"""What stops a relay's start."""

import errno
from typing import Final

_SETTING: Final = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR),
    *(errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG),
}
"""What is wrong with a path, or with who may use it; anything else, such as a full disk, may pass."""


class RelayConfigError(Exception):
    """A setting that cannot be used; the text names it and says what it should be. Exit code 78."""


class NotNowError(OSError):
    """Something that time mends: another start may succeed. Exit code 1."""


def is_setting(error: OSError) -> bool:
    """Whether another start would fail as well."""
    return error.errno in _SETTING
