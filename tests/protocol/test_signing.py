"""Ed25519, strictly: the contract's vector, and everything that must not verify."""

from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibetea_protocol import signing
from vibetea_protocol.signing import InvalidEncoding, InvalidSignature, SigningError

SEED = bytes(range(32))
PUBLIC = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
KEY = b64decode(PUBLIC)
BODY = b'[{"id":"evt_k7m2n9p4q1r6s3t8u5v0"}]'
PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493

# The points of order 1, 2, 4 and 8 (libsodium's blocklist), with every encoding a lax decoder takes: y, y + p, and the
# sign bit set.
_Y8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
SMALL_ORDER = [
    (y | sign << 255).to_bytes(32, "little")
    for y in (0, 1, PRIME - 1, PRIME, PRIME + 1, _Y8, PRIME - _Y8)
    for sign in (0, 1)
]


def test_vector_of_the_contract() -> None:
    assert signing.public_key(SEED) == PUBLIC
    assert len(PUBLIC) == 44
    signing.verify(KEY, BODY, signing.sign(SEED, BODY))


def test_signature_of_rfc_8032() -> None:
    """Section 7.1, test 2."""
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    wanted = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert b64decode(signing.sign(seed, b"\x72")) == wanted


@given(st.binary(min_size=32, max_size=32), st.binary())
def test_what_is_signed_verifies(seed: bytes, body: bytes) -> None:
    signing.verify(b64decode(signing.public_key(seed)), body, signing.sign(seed, body))


@given(st.binary(), st.integers(0, 511))
def test_any_changed_bit_does_not(body: bytes, bit: int) -> None:
    raw = bytearray(b64decode(signing.sign(SEED, body)))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidSignature):
        signing.verify(KEY, body, b64encode(raw).decode())


@given(st.binary(), st.binary())
def test_signature_is_of_one_body_only(body: bytes, other: bytes) -> None:
    if body != other:
        with pytest.raises(InvalidSignature):
            signing.verify(KEY, other, signing.sign(SEED, body))


def test_signature_of_another_key() -> None:
    with pytest.raises(InvalidSignature):
        signing.verify(KEY, BODY, signing.sign(b"x" * 32, BODY))


def test_table_of_small_points_is_right() -> None:
    """Eight times each of them is nothing: added to itself three times it is the neutral element (0, 1)."""
    d = -121665 * pow(121666, -1, PRIME) % PRIME
    for encoded in SMALL_ORDER:
        y = int.from_bytes(encoded, "little") % 2**255 % PRIME
        x2 = (y * y - 1) * pow(d * y * y + 1, -1, PRIME) % PRIME
        x = pow(x2, (PRIME + 3) // 8, PRIME)
        x = x if x * x % PRIME == x2 else x * pow(2, (PRIME - 1) // 4, PRIME) % PRIME
        assert x * x % PRIME == x2
        for _ in range(3):
            factor = d * x * x * y * y % PRIME
            x, y = (
                2 * x * y * pow(1 + factor, -1, PRIME) % PRIME,
                (y * y + x * x) * pow(1 - factor, -1, PRIME) % PRIME,
            )
        assert (x, y) == (0, 1)


@pytest.mark.parametrize("point", SMALL_ORDER, ids=bytes.hex)
def test_key_of_small_order_verifies_nothing(point: bytes) -> None:
    """With such a key a signature of S = 0 and R = the key's negative would fit every body."""
    for r in SMALL_ORDER:
        for s in (0, 1):
            with pytest.raises(InvalidSignature):
                signing.verify(point, BODY, b64encode(r + s.to_bytes(32, "little")).decode())


@pytest.mark.parametrize("point", SMALL_ORDER, ids=bytes.hex)
def test_r_of_small_order_is_refused(point: bytes) -> None:
    good = b64decode(signing.sign(SEED, BODY))
    with pytest.raises(InvalidSignature):
        signing.verify(KEY, BODY, b64encode(point + good[32:]).decode())


@pytest.mark.parametrize("times", [1, 2, 7])
def test_s_that_is_not_reduced_is_refused(times: int) -> None:
    raw = b64decode(signing.sign(SEED, BODY))
    s = int.from_bytes(raw[32:], "little") + times * ORDER
    with pytest.raises(InvalidSignature):
        signing.verify(KEY, BODY, b64encode(raw[:32] + s.to_bytes(32, "little")).decode())


@pytest.mark.parametrize("key", [b"", KEY[:31], KEY + b"\0", b"\xff" * 32, (PRIME + 3).to_bytes(32, "little")])
def test_key_of_another_form_verifies_nothing(key: bytes) -> None:
    with pytest.raises(InvalidSignature):
        signing.verify(key, BODY, signing.sign(SEED, BODY))


def encodings(good: str) -> list[str]:
    """The same bytes as a lax decoder would take them, and things that are no base64."""
    return [
        good.rstrip("="),
        good + "=",
        good + "\n",
        " " + good,
        good[:10] + "\n" + good[10:],
        good.replace("+", "-").replace("/", "_") + "-",
        "=" + good,
        good[:-3] + chr(ord(good[-3]) + 1) + "==",
        good + "ä",
        "",
        "!" * 88,
    ]


@pytest.mark.parametrize("text", encodings(signing.sign(SEED, BODY)))
def test_signature_in_another_encoding(text: str) -> None:
    with pytest.raises(InvalidEncoding if text else InvalidSignature):
        signing.verify(KEY, BODY, text)


@pytest.mark.parametrize("size", [0, 1, 63, 65, 128])
def test_signature_of_another_length(size: int) -> None:
    with pytest.raises(InvalidSignature):
        signing.verify(KEY, BODY, b64encode(b"x" * size).decode())


@pytest.mark.parametrize("text", [PUBLIC.rstrip("="), PUBLIC + "\n", "A" * 40, "", "ä" * 44, PUBLIC[:-2] + "h="])
def test_key_in_another_encoding_or_length(text: str) -> None:
    with pytest.raises(SigningError) as refused:
        signing.decode_key(text)
    assert text == "" or text not in str(refused.value)


def test_key_of_the_contract_is_decoded() -> None:
    assert signing.decode_key(PUBLIC) == KEY


@pytest.mark.parametrize("seed", [b"", b"x" * 31, b"x" * 33])
def test_seed_of_another_length(seed: bytes) -> None:
    for use in (signing.public_key, lambda seed: signing.sign(seed, BODY)):
        with pytest.raises(SigningError):
            use(seed)


@given(st.binary(max_size=80), st.text(max_size=120))
def test_nothing_but_our_own_errors(key: bytes, signature: str) -> None:
    with pytest.raises(SigningError):
        signing.verify(key, BODY, signature)
