"""Deterministic ids: the same act has the same id whoever reports it, and however often."""

from hashlib import blake2b


def event_id(key: bytes, event_type: str, *natural_key: str) -> str:
    """`evt_` and 20 hexadecimal digits: 80 bits of BLAKE2b, keyed with the database's hashing key.

    Args:
        key: 32 secret bytes; without them an id tells nothing about the natural key.
        event_type: one natural key may name several events (a prompt is an activity and a state).
        natural_key: what identifies the act, such as a tool-use id and its phase.
    """
    return "evt_" + keyed_hash(key, event_type, *natural_key).hex()[:20]


def keyed_hash(key: bytes, *parts: str) -> bytes:
    """16 bytes; the parts are joined by a unit separator, which none of Claude Code's ids contains."""
    return blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), key=key, digest_size=16).digest()
