"""The signed header: true for one body, one relay and about now; nothing else passes."""

from base64 import b64decode, urlsafe_b64decode
from hashlib import sha256

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from nacl.signing import VerifyKey

from vibetea_protocol.freshness import MAX_AGE, MAX_AHEAD, Stale, fresh_header, key_id, origin, verify_fresh
from vibetea_protocol.signing import InvalidSignature, public_key, sign

SEED = bytes(range(32))
KEY = b64decode(public_key(SEED))
OTHER = b64decode(public_key(b"x" * 32))
RELAY = "https://relay.example.org"
NOW = 1_790_000_000
BODY = b'[{"id":"evt_k7m2n9p4q1r6s3t8u5v0"}]'

bodies = st.binary(max_size=200)
times = st.integers(0, 10**11)


def test_form_and_what_is_signed() -> None:
    """Built by hand from the description: an independent reading of it."""
    scheme, name, at, signature = fresh_header(SEED, KEY, RELAY, NOW, BODY).split(".")
    assert (scheme, name, at) == ("vt1", sha256(KEY).hexdigest()[:16], str(NOW))
    parts = (b"vt1", name.encode(), RELAY.encode(), at.encode(), sha256(BODY).digest())
    VerifyKey(KEY).verify(b"\0".join(parts), urlsafe_b64decode(signature + "=="))


@given(bodies, times)
def test_what_is_signed_verifies(body: bytes, now: int) -> None:
    verify_fresh([OTHER, KEY], RELAY, now, body, fresh_header(SEED, KEY, RELAY, now, body))


@pytest.mark.parametrize(
    ("late", "fresh"),
    [(0, True), (MAX_AGE, True), (MAX_AGE + 1, False), (-MAX_AHEAD, True), (-MAX_AHEAD - 1, False)],
)
def test_age(late: int, fresh: bool) -> None:
    header = fresh_header(SEED, KEY, RELAY, NOW, BODY)
    if fresh:
        verify_fresh([KEY], RELAY, NOW + late, BODY, header)
    else:
        with pytest.raises(Stale) as raised:
            verify_fresh([KEY], RELAY, NOW + late, BODY, header)
        assert raised.value.clock == NOW


def test_only_a_true_header_is_called_stale() -> None:
    """Else whoever holds no key could ask a sender to change its clock."""
    header = fresh_header(SEED, KEY, RELAY, NOW, BODY)
    forged = header.replace(str(NOW), str(NOW - 9999))
    with pytest.raises(InvalidSignature) as raised:
        verify_fresh([KEY], RELAY, NOW, BODY, forged)
    assert not isinstance(raised.value, Stale)


@pytest.mark.parametrize("audience", ["https://other.example.org", "http://relay.example.org", RELAY + ":8443", ""])
def test_another_relay_refuses_it(audience: str) -> None:
    with pytest.raises(InvalidSignature):
        verify_fresh([KEY], audience, NOW, BODY, fresh_header(SEED, KEY, RELAY, NOW, BODY))


@given(bodies, bodies)
def test_another_body_is_refused(body: bytes, other: bytes) -> None:
    assume(body != other)
    with pytest.raises(InvalidSignature):
        verify_fresh([KEY], RELAY, NOW, other, fresh_header(SEED, KEY, RELAY, NOW, body))


@pytest.mark.parametrize("keys", [[], [OTHER]])
def test_key_that_is_not_registered(keys: list[bytes]) -> None:
    with pytest.raises(InvalidSignature):
        verify_fresh(keys, RELAY, NOW, BODY, fresh_header(SEED, KEY, RELAY, NOW, BODY))


def test_signature_of_another_key_under_a_registered_name() -> None:
    header = fresh_header(b"x" * 32, KEY, RELAY, NOW, BODY)
    assert key_id(KEY) in header
    with pytest.raises(InvalidSignature):
        verify_fresh([KEY], RELAY, NOW, BODY, header)


def test_the_bodys_own_signature_is_none_of_the_headers() -> None:
    signature = sign(SEED, BODY).rstrip("=").replace("+", "-").replace("/", "_")
    with pytest.raises(InvalidSignature):
        verify_fresh([KEY], RELAY, NOW, BODY, f"vt1.{key_id(KEY)}.{NOW}.{signature}")


HEADER = fresh_header(SEED, KEY, RELAY, NOW, BODY)


@given(st.integers(0, len(HEADER) - 1), st.characters(min_codepoint=1, max_codepoint=0x2FF))
def test_any_changed_character_is_refused(place: int, character: str) -> None:
    changed = HEADER[:place] + character + HEADER[place + 1 :]
    assume(changed != HEADER)
    with pytest.raises(InvalidSignature):
        verify_fresh([KEY], RELAY, NOW, BODY, changed)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "vt1",
        HEADER + "\n",
        HEADER + "==",
        " " + HEADER,
        HEADER.replace("vt1", "vt2"),
        HEADER.replace("vt1", "VT1"),
        HEADER.replace(f".{NOW}.", f".-{NOW}."),
        HEADER.replace(f".{NOW}.", f".{'9' * 5000}."),
        HEADER.replace(f".{NOW}.", f".0{NOW}."),
        HEADER.replace(key_id(KEY), key_id(KEY).upper()),
        HEADER.replace(str(NOW), "".join(chr(0x660 + int(digit)) for digit in str(NOW))),
    ],
)
def test_other_forms_are_refused(header: str) -> None:
    with pytest.raises(InvalidSignature):
        verify_fresh([KEY], RELAY, NOW, BODY, header)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://Relay.Example.org", "https://relay.example.org"),
        ("HTTPS://relay.example.org:443/base/?q#f", "https://relay.example.org"),
        ("http://relay.example.org:80/", "http://relay.example.org"),
        ("http://relay.example.org:443", "http://relay.example.org:443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("https://user:secret@relay.example.org", "https://relay.example.org"),
    ],
)
def test_origin(url: str, wanted: str) -> None:
    assert origin(url) == wanted
    assert origin(wanted) == wanted
