"""A batch as a message of the shared stream: a JSON array of one source's canonical events."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Final
from urllib.parse import quote

from vibetea_protocol.wire import WireError, WireEvent, parse
from vibetea_relay.stream import Entry

SUBJECTS: Final = "vibetea.events"
PLACES: Final = 2**14
"""Events of one message, at most: below 2**53 this leaves 2**39 messages."""
MESSAGE_BYTES: Final = 512 * 1024


def subject(source: str) -> str:
    """A source's subject: its name as one token, since dots, spaces and wildcards have a meaning there."""
    return f"{SUBJECTS}.{quote(source, safe='').replace('.', '%2E')}"


def split(events: Sequence[WireEvent], room: int) -> Iterator[Sequence[WireEvent]]:
    """The events in order, in batches of `room` bytes at most; an event that is larger goes alone."""
    batch: list[WireEvent] = []
    size = 2
    for event in events:
        if batch and (size + len(event.raw) > room or len(batch) == PLACES):
            yield batch
            batch, size = [], 2
        batch.append(event)
        size += len(event.raw) + 1
    if batch:
        yield batch


def pack(batch: Sequence[WireEvent]) -> tuple[bytes, str]:
    """A message's body, and the id by which the same batch, sent again, is known."""
    body = b"[" + b",".join(event.raw for event in batch) + b"]"
    return body, sha256(body).hexdigest()


def unpack(number: int, where: str, body: bytes) -> list[Entry]:
    """The entries of a message.

    Args:
        number: the message's in the stream.
        where: its subject.
        body: its bytes.

    Raises WireError if it is not a batch of its subject's source: anybody with access to the server may have sent it.
    """
    events = parse(body)
    if len(events) > PLACES or {subject(source) for source in {event.source for event in events}} != {where}:
        raise WireError("not a batch of its subject's source")
    return [Entry(number * PLACES + place, event) for place, event in enumerate(events)]
