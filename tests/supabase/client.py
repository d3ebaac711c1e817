"""Whoever calls the functions: a source with its key, or somebody with a subscriber's token."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import httpx
from tests.relay.world import Sender

LAPTOP = Sender("laptop")


class Client:
    """Calls the functions at a base URL; what every answer must have is looked at in each."""

    def __init__(self, base: str, token: str) -> None:
        self.base = base
        self._token = token
        # nothing is encrypted on loopback, and to read the authorities takes longer than a request
        self._http = httpx.Client(timeout=60, trust_env=False, verify=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        answer = self._http.request(method, f"{self.base}/{path}", **options)
        assert answer.headers["Access-Control-Allow-Origin"] == "*", answer
        if answer.status_code >= 400:
            found = answer.json()
            assert found.keys() == {"error", "message"}
            assert all(isinstance(text, str) and text for text in found.values())
        return answer

    def send(self, body: bytes, sender: Sender = LAPTOP, **headers: str) -> httpx.Response:
        """To `ingest`, signed by the sender."""
        signed = {name.lower(): value for name, value in sender.headers(body).items()}
        given = signed | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.call("POST", "ingest", content=body, headers=given)

    def ask(self, **query: Any) -> httpx.Response:
        """Of `query`, with the token."""
        return self.call("GET", "query", params=query, headers={"Authorization": f"Bearer {self._token}"})


def said(answer: httpx.Response) -> tuple[int, str | None]:
    """Status and code."""
    return answer.status_code, answer.json().get("error")


def moment(**ago: float) -> str:
    """RFC 3339 in UTC, so long ago."""
    return (datetime.now(UTC) - timedelta(**ago)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event(number: int = 0, /, sender: Sender = LAPTOP, **changes: Any) -> dict[str, Any]:
    """One of now; its id is made of source and number."""
    return sender.event(number, **{"timestamp": moment(), **changes})


def batch(*events: Any) -> bytes:
    return json.dumps(events).encode()
