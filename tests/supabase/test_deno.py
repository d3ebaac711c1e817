"""The functions' own tests."""

import os
import subprocess
from collections.abc import Callable

import pytest
from tests.supabase import parts


@pytest.mark.parametrize("engine", [parts.deno, parts.hosted_deno])
def test_the_functions_pass_their_tests(engine: Callable[[], parts.Deno]) -> None:
    """On the newest engine, and on that of hosted functions, which is not the one that checks their types."""
    parts.cache_functions()
    command = engine().command("test", "ingest")[:-1]
    done = subprocess.run(
        [*command, "--no-check", "--cached-only", str(parts.FUNCTIONS / "tests")],
        env=os.environ | parts.DENO_ENVIRONMENT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout


def test_the_functions_are_locked_to_the_same_packages() -> None:
    """Pinned to a version, and locked without a word of where they were had from."""
    for file in ("deno.json", "deno.lock"):
        [text] = {(parts.FUNCTIONS / name / file).read_text() for name in parts.function_names()}
        assert "://" not in text
