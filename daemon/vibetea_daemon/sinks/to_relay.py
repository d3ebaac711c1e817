"""A relay: how events go to it, and what its answers mean."""

import time
from collections.abc import Mapping
from typing import Final

import aiohttp

from vibetea_daemon import answers
from vibetea_daemon.backoff import backoff
from vibetea_daemon.config import Config
from vibetea_daemon.sinks.delivery import Terms, deliver
from vibetea_daemon.sinks.outbox import Outbox
from vibetea_daemon.sinks.post import Answer, Server, Verdict, judge_any, something_else
from vibetea_protocol import freshness, signing

GRACE: Final = 1.5
"""Seconds a request under way has to end when the daemon does."""


def run(config: Config, address: str, seed: bytes, outbox: Outbox) -> None:
    """Deliver until the daemon ends."""
    with outbox.cursor("relay", address) as cursor:
        deliver(cursor, outbox, Relay(address, config.source, seed), Terms(config.buffer_size, backoff, GRACE))


class Relay(Server):
    """Posts to one relay."""

    name = "relay"
    title = "the relay"
    timeout = aiohttp.ClientTimeout(total=30, connect=10, sock_connect=10, sock_read=10)

    def __init__(self, address: str, source: str, seed: bytes) -> None:
        super().__init__(address, f"{address}/events", source, seed)
        self._audience = freshness.origin(address)
        self._key = signing.decode_key(signing.public_key(seed))

    def _headers(self, body: bytes) -> dict[str, str]:
        now = int(time.time() + self.ahead)
        return {freshness.HEADER: freshness.fresh_header(self._seed, self._key, self._audience, now, body)}

    def _judge(self, status: int, headers: Mapping[str, str], body: bytes, events: int) -> Answer:
        return judge(status, headers, body, events)


def judge(status: int, headers: Mapping[str, str], body: bytes, events: int) -> Answer:
    """What an answer to so many events means."""
    code = answers.code(body)
    told = f"{status} {code}".strip()
    match status:
        case 200 | 201 | 202:
            return _accepted(status, body, events)
        case 401 if code == "stale":
            return Answer(Verdict.STALE, "its clock and ours differ", code, clock=answers.clock(headers))
        case 401 | 403:
            return Answer(Verdict.UNWELCOME, _unwelcome(told, code), code)
        case 400 if code == "clock_skew":
            why = f"it refuses events from more than a day ahead of its clock ({told}); they wait, check the clock"
            return Answer(Verdict.AHEAD, why, code, clock=answers.clock(headers))
    return judge_any(status, headers, code, what="relay", setting="VIBETEA_SERVER_URL")


def _accepted(status: int, body: bytes, events: int) -> Answer:
    """A yes is true counts, or from older relays nothing at all; anything else comes from somebody in between."""
    if not body:
        return Answer(Verdict.ACCEPTED)
    said = answers.said(body)
    counts = [said[name] for name in ("accepted", "duplicates") if type(said.get(name)) is int]
    if status != 202 or len(counts) < 2:
        return something_else(status)
    if min(counts) < 0 or sum(counts) != events:
        return Answer(Verdict.LATER, "it took another number of events than was sent")
    return Answer(Verdict.ACCEPTED)


def _unwelcome(told: str, code: str) -> str:
    why = f"it does not accept this machine's signature ({told})"
    if code == "invalid_signature":
        why += "; it knows another key of this machine, or itself by another address (--public-url)"
    return why
