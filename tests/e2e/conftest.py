"""The real client and the scripted model, once for all tests, and the browser the page's own tests have."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.claude_code.client import executable
from tests.claude_code.model import ModelServer
from tests.datasette_plugins.conftest import browser, open_page, servers

__all__ = ["browser", "claude", "model", "open_page", "servers"]


@pytest.fixture(scope="session")
def claude() -> Path:
    return executable()


@pytest.fixture(scope="session")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server
