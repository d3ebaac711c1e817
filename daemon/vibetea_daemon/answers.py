"""What a server's answer says, to whoever sends or watches: a refusal's code, how long to wait, why nothing came."""

import json
import re
import socket
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp

MAX_RETRY_AFTER: Final = 900.0
_CODE: Final = re.compile(r"[a-z][a-z_]{0,39}\Z")
_SECONDS: Final = re.compile(r"[0-9]{1,9}\Z", re.ASCII)


def said(body: bytes) -> dict[str, Any]:
    """The body's JSON object; empty if it is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def code(body: bytes, name: str = "code") -> str:
    """The contract's word for a refusal; "" if there is none, or one that no log should hold."""
    found = said(body).get(name)
    return found if isinstance(found, str) and _CODE.match(found) else ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from one to the most we wait; None if the header says neither seconds nor a date."""
    text = headers.get("Retry-After", "")
    moment = _moment(text)
    if _SECONDS.match(text):
        seconds = float(text)
    elif moment is not None:
        seconds = moment - (clock(headers) or time.time())
    else:
        return None
    return min(max(seconds, 1.0), MAX_RETRY_AFTER)


def clock(headers: Mapping[str, str]) -> float | None:
    """The server's clock, in seconds since the epoch."""
    return _moment(headers.get("Date", ""))


def _moment(date: str) -> float | None:
    """A date of HTTP, in seconds since the epoch."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def told(error: Exception) -> str:
    """Why a request failed: never the error's own text, which may hold the address with its query."""
    return next((words for kinds, words in _WORDS if isinstance(error, kinds)), "the connection broke")


_WORDS: Final[tuple[tuple[tuple[type[Exception], ...], str], ...]] = (
    (
        (aiohttp.ClientConnectorDNSError, socket.gaierror),
        "its name cannot be looked up; is the address right, and the network there?",
    ),
    (
        (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError),
        "its certificate is not valid for this address; SSL_CERT_FILE names an authority of your own",
    ),
    ((aiohttp.ClientSSLError, ssl.SSLError), "no secure connection comes about; does it speak TLS at this port?"),
    ((TimeoutError,), "it does not answer in time"),
    ((aiohttp.ClientPayloadError,), "its answer was cut short"),
    ((aiohttp.ClientConnectorError,), "it cannot be reached"),
)
