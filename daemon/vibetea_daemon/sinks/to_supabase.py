"""Supabase's function `ingest`: how events go to it, and what its answers mean."""

import time
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Final

import aiohttp

from vibetea_daemon import answers
from vibetea_daemon.backoff import backoff
from vibetea_daemon.config import Config
from vibetea_daemon.sinks.delivery import Terms, deliver
from vibetea_daemon.sinks.outbox import Outbox
from vibetea_daemon.sinks.post import Answer, Server, Verdict, judge_any, something_else
from vibetea_daemon.sinks.supabase import oldest
from vibetea_daemon.store import wire_to_supabase

MOST: Final = 1000
"""Events that `ingest` takes at once."""
FLUSH: Final = 4.0
"""Seconds in which what waits is still sent when the daemon ends, of the five that it has."""


def run(config: Config, address: str, seed: bytes, outbox: Outbox) -> None:
    """Deliver until the daemon ends."""
    terms = Terms(
        rows=min(config.buffer_size, MOST),
        pauses=partial(_round, config.supabase_retry_limit),
        grace=FLUSH,
        flush=True,
        interval=config.supabase_batch_interval,
    )
    server = Ingest(address, config.source, seed)

    def oldest_now() -> float:
        return oldest(server.now(), config.retention_days)

    with outbox.cursor("supabase", address, form=wire_to_supabase, oldest=oldest_now) as cursor:
        deliver(cursor, outbox, server, terms)


def _round(retries: int) -> Iterator[float]:
    """The pauses between attempts until the next interval is waited for."""
    return islice(backoff(), retries)


class Ingest(Server):
    """Posts to the function."""

    name = "supabase"
    title = "Supabase"
    timeout = aiohttp.ClientTimeout(total=15, connect=10, sock_connect=10)

    def __init__(self, address: str, source: str, seed: bytes) -> None:
        super().__init__(address, f"{address}/ingest", source, seed)
        self._clock = 0.0
        """Seconds its clock is ahead of the monotonic one."""

    def _judge(self, status: int, headers: Mapping[str, str], body: bytes, events: int) -> Answer:
        answer = judge(status, headers, body, events)
        if answer.code or answer.verdict is Verdict.ACCEPTED:  # its own words
            self._clock = (answers.clock(headers) or time.time()) - time.monotonic()
            self.heard = True
        return answer

    def now(self) -> float:
        """Its clock, in seconds since the epoch; this machine's until it was heard."""
        return self._clock + time.monotonic() if self.heard else time.time()


def judge(status: int, headers: Mapping[str, str], body: bytes, events: int) -> Answer:
    """What an answer to so many events means."""
    code = answers.code(body, "error")
    told = f"{status} {code}".strip()
    match status:
        case 200:
            inserted = answers.said(body).get("inserted")
            counted = type(inserted) is int and 0 <= inserted <= events  # what it had already is not counted
            return Answer(Verdict.ACCEPTED) if counted else something_else(status)
        case 400 if code == "empty_batch" and not events:
            return Answer(Verdict.ACCEPTED)  # all that can be said of nothing
        case 400 | 413 | 422 if not code:
            return Answer(Verdict.REFUSED, f"something before the function refuses what we send ({told})")
        case 401 | 403:
            return _unwelcome(status, told, code)
    if why := _of_the_runtime(status, headers, body):
        return Answer(Verdict.LATER, why, wait=answers.retry_after(headers))
    return judge_any(status, headers, code, what="function `ingest`", setting="VIBETEA_SUPABASE_URL")


def _unwelcome(status: int, told: str, code: str) -> Answer:
    if status == 403:
        return Answer(Verdict.FORBIDDEN, f"something before the function forbids it ({told}), such as a firewall")
    if not code:
        why = f"something before the function asks for a key ({told}); `verify_jwt` must be false for `ingest`"
    else:
        why = f"it does not accept this machine's signature ({told})"
    if code == "invalid_signature":
        why += "; it knows another key of this machine"
    return Answer(Verdict.UNWELCOME, why, code)


def _of_the_runtime(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """Why the function could not answer, by what runs it; "" if it does not say so."""
    word = headers.get("sb-error-code") or answers.said(body).get("code")
    if status == 503 and word == "BOOT_ERROR":
        return "the function does not start (503 BOOT_ERROR): its log in Supabase tells why, such as a missing secret"
    if status == 546:  # two words for it, of older and of newer ones
        return "the function ran out of time or memory (546); its log in Supabase tells more"
    return ""
