"""Keeps content out of the terminal.

Datasette writes every failed page's traceback there, with all local variables once `rich` is installed, and every
failed statement with its parameters.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

from datasette import database, handle_exception
from datasette.views import base

logger = logging.getLogger(__name__)


class _Nowhere:
    def write(self, text: str) -> None:
        pass

    def flush(self) -> None:
        pass


class _Sys:
    """`sys`, but for its stderr."""

    stderr: Final = _Nowhere()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)


class _Traceback:
    """`traceback`, as far as Datasette's error page uses it."""

    @staticmethod
    def print_exc() -> None:
        logger.error("a page failed: %s", (sys.exc_info()[0] or Exception).__name__)


def hush() -> None:
    """From now on Datasette says one fixed line for an error of its own, and nothing for one of a visitor."""
    handle_exception.rich = None
    handle_exception.traceback = _Traceback
    database.sys = base.sys = _Sys()
