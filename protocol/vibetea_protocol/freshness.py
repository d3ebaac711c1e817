"""The signed header that binds a request to one relay and one moment, beside the body's own signature.

`VibeTea-Signature: vt1.<key id>.<seconds since the epoch>.<signature, base64url without padding>`. What is signed is
five parts joined by NUL: `vt1`, the key id, the relay's origin, the seconds, and the SHA-256 of the body. A captured
request can be replayed neither later nor at another relay; a request sent again is signed again.
"""

import re
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from vibetea_protocol.signing import InvalidSignature, sign, verify

HEADER: Final = "VibeTea-Signature"
MAX_AGE: Final = 300
"""Seconds a request may have been on its way."""
MAX_AHEAD: Final = 60
"""Seconds a sender's clock may be ahead."""
_FORM: Final = re.compile(r"vt1\.([0-9a-f]{16})\.(0|[1-9][0-9]{0,11})\.([A-Za-z0-9_-]{85}[AQgw])\Z")
_PORTS: Final = {"http": 80, "https": 443}


class Stale(InvalidSignature):
    """The header is true, but too old or from the future; `clock` is the sender's, in seconds since the epoch."""

    def __init__(self, clock: int) -> None:
        super().__init__("the request is too old or from the future; check the clock")
        self.clock = clock


def key_id(key: bytes) -> str:
    """A public key's name: the first 16 hexadecimal digits of its SHA-256."""
    return sha256(key).hexdigest()[:16]


def origin(url: str) -> str:
    """Scheme, host and port of a URL as a browser writes them: lower case, the scheme's own port left out."""
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in {None, _PORTS.get(scheme)} else f":{parts.port}"
    return f"{scheme}://{host}{port}"


def fresh_header(seed: bytes, key: bytes, audience: str, now: int, body: bytes) -> str:
    """The header's value for a body.

    Args:
        seed: raw, 32 bytes.
        key: its public key, raw.
        audience: the relay's origin.
        now: seconds since the epoch.
        body: the very bytes that are sent.
    """
    name = key_id(key)
    signature = sign(seed, _signed(name, audience, now, body))
    return f"vt1.{name}.{now}.{signature.rstrip('=').translate(_TO_URL)}"


def verify_fresh(keys: list[bytes], audience: str, now: int, body: bytes, header: str) -> None:
    """Return if the header is one of these keys' over this body, for this relay and about now.

    Raises InvalidSignature, and Stale if nothing but the time is wrong.
    """
    found = _FORM.match(header)
    if found is None:
        raise InvalidSignature("not a vt1 header")
    name, at, signature = found[1], int(found[2]), found[3]
    key = next((key for key in keys if key_id(key) == name), None)
    if key is None:
        raise InvalidSignature("the key is not registered")
    verify(key, _signed(name, audience, at, body), signature.translate(_FROM_URL) + "==")
    if not now - MAX_AGE <= at <= now + MAX_AHEAD:
        raise Stale(at)


_TO_URL: Final = str.maketrans("+/", "-_")
_FROM_URL: Final = str.maketrans("-_", "+/")


def _signed(name: str, audience: str, at: int, body: bytes) -> bytes:
    return b"\0".join((b"vt1", name.encode(), audience.encode(), str(at).encode(), sha256(body).digest()))
