"""Ids tell the same act from another, and nothing else."""

import re

from hypothesis import given
from hypothesis import strategies as st

from vibetea_protocol import event_id

KEY = b"k" * 32
_part = st.text(st.characters(exclude_characters="\x1f"))
_natural = st.lists(_part, min_size=1, max_size=4).map(tuple)


@given(st.binary(min_size=32, max_size=32), _part, _natural)
def test_same_act_has_the_same_id_of_the_contracts_form(key: bytes, kind: str, natural: tuple[str, ...]) -> None:
    assert event_id(key, kind, *natural) == event_id(key, kind, *natural)
    assert re.fullmatch(r"evt_[a-z0-9]{20}", event_id(key, kind, *natural))


@given(_part, _natural, _part, _natural)
def test_another_act_has_another_id(kind: str, natural: tuple[str, ...], other: str, others: tuple[str, ...]) -> None:
    same = (kind, *natural) == (other, *others)
    assert (event_id(KEY, kind, *natural) == event_id(KEY, other, *others)) is same


@given(_part, _natural)
def test_another_key_gives_another_id(kind: str, natural: tuple[str, ...]) -> None:
    assert event_id(KEY, kind, *natural) != event_id(b"j" * 32, kind, *natural)


def test_parts_are_not_run_together() -> None:
    assert event_id(KEY, "tool", "ab", "c") != event_id(KEY, "tool", "a", "bc")


def test_lone_surrogates_have_an_id_too() -> None:
    assert event_id(KEY, "tool", "\ud800") != event_id(KEY, "tool", "\udfff")


def test_thousand_acts_have_a_thousand_ids() -> None:
    assert len({event_id(KEY, "tool", f"toolu_{number}", "started") for number in range(1000)}) == 1000
