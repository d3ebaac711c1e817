"""The real client and the scripted model, once for all tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.claude_code.client import executable
from tests.claude_code.model import ModelServer


@pytest.fixture(scope="session")
def claude() -> Path:
    return executable()


@pytest.fixture(scope="session")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server
