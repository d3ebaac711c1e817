"""Ed25519 over raw body bytes: strict base64 with padding outside, libsodium's strict verification inside."""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import Final

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

SEED_BYTES: Final = 32
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


class SigningError(ValueError):
    """A key or signature is not what it should be; the text never holds the key."""


class InvalidEncoding(SigningError):
    """Not canonical padded standard base64."""


class InvalidSignature(SigningError):
    """Not 64 bytes, or it does not verify."""


def sign(seed: bytes, body: bytes) -> str:
    """The signature of `body` by the key of a raw 32-byte seed, in base64. Raises SigningError on a bad seed."""
    return b64encode(_signing_key(seed).sign(body).signature).decode()


def public_key(seed: bytes) -> str:
    """The public key of a seed: base64 of 32 bytes, 44 characters."""
    return b64encode(bytes(_signing_key(seed).verify_key)).decode()


def decode_key(text: str) -> bytes:
    """The 32 bytes of a seed or public key in base64. Raises SigningError."""
    key = _decode(text)
    if len(key) != KEY_BYTES:
        raise SigningError(f"a key is {KEY_BYTES} bytes of base64, this one is {len(key)}")
    return key


def verify(key: bytes, body: bytes, signature: str) -> None:
    """Return if `signature` (base64) is `key`'s over `body`; else raise InvalidEncoding or InvalidSignature.

    Strict, by libsodium's own checks: small-order keys and R and non-canonical encodings are refused.
    """
    raw = _decode(signature)
    if len(raw) != SIGNATURE_BYTES:
        raise InvalidSignature(f"a signature is {SIGNATURE_BYTES} bytes, this one is {len(raw)}")
    if len(key) != KEY_BYTES:
        raise InvalidSignature(f"a public key is {KEY_BYTES} bytes, this one is {len(key)}")
    try:
        VerifyKey(key).verify(body, raw)
    except BadSignatureError:
        raise InvalidSignature("the signature does not verify") from None


def _signing_key(seed: bytes) -> SigningKey:
    if len(seed) != SEED_BYTES:
        raise SigningError(f"a seed is {SEED_BYTES} bytes, this one is {len(seed)}")
    return SigningKey(seed)


def _decode(text: str) -> bytes:
    try:
        raw = b64decode(text.encode("ascii"), validate=True)
    except (Base64Error, ValueError):
        raise InvalidEncoding("not standard base64 with padding") from None
    if b64encode(raw).decode() != text:  # stray bits after the last byte
        raise InvalidEncoding("not canonical base64")
    return raw
