"""What the relays ask of NATS: the stream that is made if there is none, and each relay's consumer."""

import time
from typing import Final
from urllib.parse import unquote, urlsplit

from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StorageType, StreamConfig, StreamInfo

from vibetea_relay.config import Limits
from vibetea_relay.errors import RelayConfigError
from vibetea_relay.nats_batches import SUBJECTS

STREAM: Final = "vibetea"
REPLICAS: Final = 3
"""In a cluster: one server may die."""
EVENT_BYTES: Final = 1024
"""Room in the stream for each event of the history."""
DUPLICATE_SECONDS: Final = 120
"""How long a batch that is sent again is known."""
EPOCH: Final = 1_767_225_600
"""2026-01-01, in seconds. A new stream's first message has the milliseconds since then as its number, so that a stream
made anew goes on after the old one."""
BEAT_SECONDS: Final = 1
"""A consumer says at least this often that it is there."""


def servers(urls: str) -> list[str]:
    """The comma-separated servers. Raises RelayConfigError, whose text does not repeat them."""
    found = [url for part in urls.split(",") if (url := part.strip())]
    if not found or not all(_is_server(url) for url in found):
        raise RelayConfigError("VIBETEA_NATS_URL must name servers like nats://host:4222 or tls://host:4222")
    return found


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"nats", "tls", "ws", "wss"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def credentials(found: list[str]) -> dict[str, str]:
    """The client's options for the credentials of the first server that has any; the client itself decodes no URL."""
    for parts in map(urlsplit, found):
        if parts.username and parts.password is None:
            return {"token": unquote(parts.username)}
        if parts.username:
            return {"user": unquote(parts.username), "password": unquote(parts.password or "")}
    return {}


def stream(limits: Limits, replicas: int) -> StreamConfig:
    """The stream to make: on disk, of the history's age, and bounded."""
    return StreamConfig(
        name=STREAM,
        subjects=[f"{SUBJECTS}.*"],
        storage=StorageType.FILE,
        num_replicas=replicas,
        max_age=limits.history_seconds,
        max_bytes=limits.history_entries * EVENT_BYTES,
        duplicate_window=min(DUPLICATE_SECONDS, limits.history_seconds),
        first_seq=max(1, int((time.time() - EPOCH) * 1000)),
    )


def weaknesses(found: StreamInfo, limits: Limits) -> list[str]:
    """In what an existing stream is weaker than the one that would have been made."""
    config, wanted = found.config, stream(limits, REPLICAS)
    clustered = bool(found.cluster and found.cluster.name)
    weaker = {
        "fewer than three replicas": clustered and (config.num_replicas or 1) < REPLICAS,
        "no file storage": config.storage != StorageType.FILE,
        "a shorter history": 0 < (config.max_age or 0) < limits.history_seconds,
        "a shorter duplicate window": config.duplicate_window < wanted.duplicate_window,
    }
    return [weakness for weakness, holds in weaker.items() if holds]


def consumer(inbox: str, first: int) -> ConsumerConfig:
    """Sends every message from a number on to `inbox`, once and in order, with a heartbeat and flow control."""
    return ConsumerConfig(
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=first,
        deliver_subject=inbox,
        ack_policy=AckPolicy.NONE,
        max_deliver=1,
        flow_control=True,
        idle_heartbeat=BEAT_SECONDS,
        num_replicas=1,
        mem_storage=True,
    )
