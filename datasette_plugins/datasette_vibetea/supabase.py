"""Asks a team's Supabase how many events each source had in each hour of the last days.

What it answers is not trusted: a row is built from named numbers and names, and anything else makes the whole useless.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from datasette_vibetea.filters import MOST_CHARACTERS
from datasette_vibetea.slots import SLOT_SECONDS

DAYS: Final = (7, 30)
"""What can be asked for."""
SECONDS: Final = 10.0
"""For the whole answer."""
MOST_BYTES: Final = 16 * 2**20
MOST_EVENTS: Final = 2**31
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_HEADERS: Final = {"user-agent": "vibetea", "accept": "application/json", "accept-encoding": "identity"}


class Misconfigured(Exception):
    """There is no address that may be asked."""


class Refused(Exception):
    """It does not know the token."""


class Useless(Exception):
    """It cannot be reached, or something else answers."""


@dataclass(frozen=True, slots=True)
class Hour:
    """Events of one source in an hour; `slot` is its first quarter, counted from the epoch."""

    source: str
    slot: int
    n: int


async def ask(url: str, token: str, days: int) -> tuple[Hour, ...]:
    """The hours of all sources in the last `days`. Raises Misconfigured, Refused and Useless."""
    import aiohttp  # takes a while to load, and few have a Supabase

    session = aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=SECONDS),
        trust_env=False,
        auto_decompress=False,
        headers={**_HEADERS, "authorization": f"Bearer {token}"},
    )
    async with session:
        try:
            async with session.get(_address(url), params={"days": str(days)}, allow_redirects=False) as response:
                if response.status in {401, 403}:
                    raise Refused
                if response.status != 200:
                    raise Useless
                return _hours(await _read(response))
        except (aiohttp.ClientError, OSError, ValueError) as error:  # a time-out is an OSError
            raise Useless from error


def _address(url: str) -> str:
    """Where to ask: by https, and in clear only this machine itself."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # the host is a name
        loopback = False
    if not url.startswith("https://") and not (url.startswith("http://") and loopback):
        raise Misconfigured
    return f"{url.rstrip('/')}/query"


async def _read(response: Any) -> bytes:
    body = b""
    async for chunk in response.content.iter_chunked(65_536):
        body += chunk
        if len(body) > MOST_BYTES:
            raise Useless
    return body


def _hours(body: bytes) -> tuple[Hour, ...]:
    """Raises ValueError and Useless."""
    try:
        found = json.loads(body)
    except RecursionError:
        raise Useless from None
    rows = found.get("aggregates") if isinstance(found, dict) else None
    if not isinstance(rows, list):
        raise Useless
    return tuple(_hour(row) for row in rows)


def _hour(row: Any) -> Hour:
    if not isinstance(row, dict):
        raise Useless
    source, date, hour, n = (row.get(name) for name in ("source", "date", "hour", "eventCount"))
    if not (isinstance(source, str) and isinstance(date, str) and _DATE.fullmatch(date)):
        raise Useless
    # a boolean is an int to Python
    if not (type(hour) is int and 0 <= hour < 24 and type(n) is int and 0 <= n < MOST_EVENTS):
        raise Useless
    at = datetime.fromisoformat(date).replace(hour=hour, tzinfo=UTC)
    return Hour(source[:MOST_CHARACTERS], int(at.timestamp()) // SLOT_SECONDS, n)
