"""The keys of sources in the database."""

import psycopg
import pytest
from tests.relay.world import Sender
from tests.supabase.stack import Stack

KEY = Sender("phone").public


@pytest.mark.parametrize(
    "key",
    [
        "",
        KEY[:-1],
        KEY + "\n",
        KEY.replace("=", ""),
        "-" + KEY[1:],
        "A" * 40 + "AB==",
        "A" * 42 + "==",
        "A" * 42 + "B=",
    ],
)
def test_what_is_not_the_base64_of_32_bytes_is_no_key(stack: Stack, key: str) -> None:
    with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.InvalidParameterValue)):
        stack.query("insert into vibetea.source_keys (source, public_key) values ('phone', %s)", key)


@pytest.mark.parametrize("source", ["", "my laptop", "laptop ", "laptop\n", "a" * 65, "ü"])
def test_what_no_machine_is_called_is_no_source(stack: Stack, source: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        stack.query("insert into vibetea.source_keys (source, public_key) values (%s, %s)", source, KEY)
