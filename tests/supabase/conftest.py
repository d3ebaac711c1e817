"""Databases that the migrations were pushed to, and the functions of a project, once on each engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.supabase import parts
from tests.supabase.cli import Project
from tests.supabase.client import Client
from tests.supabase.stack import DATABASE, Stack


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A copy of `supabase/` to run the command line in."""
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def old_database(running_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database of a project that still grants every new table and function to the API's roles."""
    url = running_stack.postgres.project("old", old_defaults=True)
    Project(tmp_path_factory.mktemp("old") / "project").push(url)
    return "old"


@pytest.fixture(params=["today's defaults", "old defaults"])
def database(request: pytest.FixtureRequest, stack: Stack) -> str:
    """A database with the migrations, of a project of either age."""
    return DATABASE if request.param == "today's defaults" else str(request.getfixturevalue("old_database"))


@pytest.fixture(scope="session")
def hosted(running_stack: Stack) -> Iterator[str]:
    """Base URL of the functions on the Deno that hosted projects run on."""
    with running_stack.serving(parts.hosted_deno()) as functions:
        yield functions


@pytest.fixture(params=["newest", "hosted"])
def functions(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Client]:
    """Both functions of a project with empty tables, on each engine."""
    base = stack.functions if request.param == "newest" else request.getfixturevalue("hosted")
    with Client(base, stack.token) as client:
        yield client
