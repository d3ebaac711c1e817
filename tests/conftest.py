"""Fixtures that more than one part's tests use."""

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.daemon.world import World
from tests.supabase.stack import Stack, running

settings.register_profile("vibetea", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vibetea")

# A suite started in the background has the keyboard's signals ignored, and what it starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


@pytest.fixture
def world() -> Iterator[World]:
    """A throw-away machine without a daemon yet; its path is short, as a socket's must be."""
    with tempfile.TemporaryDirectory(prefix="vt-") as root:
        world = World.make(Path(root))
        try:
            yield world
        finally:
            world.end()


@pytest.fixture(scope="session")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Supabase project, started once a worker: what it holds is of no one test. Use `stack`."""
    with running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture
def stack(running_stack: Stack) -> Stack:
    """A Supabase project of real parts, with the migrations and both functions, and nothing in its tables."""
    running_stack.empty()
    return running_stack
