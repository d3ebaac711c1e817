"""The event VibeTea speaks: its models, ids, privacy rules and signature. Pure: no I/O, clock or environment."""

from vibetea_protocol.events import Event, EventType, Payload
from vibetea_protocol.ids import event_id
from vibetea_protocol.privacy import Level, Rules

__all__ = ["Event", "EventType", "Level", "Payload", "Rules", "event_id"]
