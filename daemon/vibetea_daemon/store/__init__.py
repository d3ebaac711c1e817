"""`vibetea.db`: its schema, the one writer, and the bytes a row leaves as."""

from vibetea_daemon.store.schema import StoreError
from vibetea_daemon.store.store import Batch, Client, Offset, Position, Refusal, Store, wire_to_supabase
from vibetea_daemon.store.writer import Writer
from vibetea_protocol.events import wire

__all__ = [
    "Batch",
    "Client",
    "Offset",
    "Position",
    "Refusal",
    "Store",
    "StoreError",
    "Writer",
    "wire",
    "wire_to_supabase",
]
