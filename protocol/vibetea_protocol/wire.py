"""Events as others send them: old monitors and future ones. Read leniently, passed on in one canonical form.

Known fields only, of the kinds of `events.py`, but with any text: what a closed model would refuse is still an event
here, because the relay passes on what a registered sender signed. Unknown fields and nulls are left out.
"""

import re
from datetime import date
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel

from vibetea_protocol.events import PAYLOADS

BASE_TYPES: Final = frozenset({"session", "activity", "tool", "agent", "summary", "error"})
"""Their session id is a UUID; in the others it is any text."""
MAX_TEXT: Final = 4096
"""Characters of one field."""

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
Number = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
Id = Annotated[str, msgspec.Meta(pattern=r"^evt_[a-z0-9]{20}\Z")]
Source = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Timestamp = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)"
        r"(\.([0-9]{3}){1,3})?Z\Z"
    ),
]

_UUID = re.compile(
    r"(?:urn:uuid:|(\{))?([0-9a-f]{8})(-?)([0-9a-f]{4})\3([0-9a-f]{4})\3([0-9a-f]{4})\3([0-9a-f]{12})(?(1)\})\Z",
    re.IGNORECASE,
)


class WireError(ValueError):
    """Not an event, or not an array of events; the text names the fault and holds nothing of the body."""


class WireEvent(NamedTuple):
    """One event on its way through a relay.

    Args:
        project: the payload's project, or "" if it names none.
        raw: its canonical JSON: compact, envelope keys in the contract's order, absent fields left out.
    """

    id: str
    source: str
    timestamp: str
    type: str
    project: str
    raw: bytes


class _Envelope(msgspec.Struct):
    id: Id
    source: Source
    timestamp: Timestamp
    payload: msgspec.Raw
    type: str | None = None
    event_type: str | None = msgspec.field(name="eventType", default=None)


def parse(body: bytes) -> list[WireEvent]:
    """The events of a request's body: one, or an array of any length. Raises WireError."""
    try:
        if body.lstrip(b" \t\r\n")[:1] == b"[":
            return [_event(envelope) for envelope in _MANY.decode(body)]
        return [_event(_ONE.decode(body))]
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise WireError(_told(error)) from None


def _event(envelope: _Envelope) -> WireEvent:
    kind = envelope.type or envelope.event_type
    if kind is None or (envelope.event_type or kind) != kind:
        raise WireError("an event has no type, or two")
    try:
        date.fromisoformat(envelope.timestamp[:10])
    except ValueError:
        raise WireError("an event's date is none") from None
    decoder = _PAYLOADS.get(kind)
    if decoder is None:
        raise WireError("an event is of an unknown type")
    payload: Any = decoder.decode(envelope.payload)
    if kind in BASE_TYPES:
        payload.session_id = _uuid(payload.session_id)
    raw = _encoder.encode(
        {
            "id": envelope.id,
            "source": envelope.source,
            "timestamp": envelope.timestamp,
            "type": kind,
            "payload": payload,
        }
    )
    project = getattr(payload, "project", None) or getattr(payload, "project_path", None) or ""
    return WireEvent(envelope.id, envelope.source, envelope.timestamp, kind, project, raw)


def _uuid(text: str) -> str:
    found = _UUID.match(text)
    if found is None:
        raise WireError("a session id is not a UUID")
    return "-".join(found.group(2, 4, 5, 6, 7)).lower()


def _told(error: Exception) -> str:
    """What is wrong, without a word of the input: msgspec's messages name expected types and places only."""
    return f"not an event: {error}" if isinstance(error, msgspec.ValidationError) else "not JSON"


def _lenient(model: type[BaseModel]) -> type[msgspec.Struct]:
    """The same fields, any text; a field is optional if the closed model lets it be absent."""
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for name, info in model.model_fields.items():
        kind = _kind(info.annotation)
        fields.append((name, kind | None, None) if info.default is None else (name, kind))
    return msgspec.defstruct(model.__name__, fields, rename="camel", omit_defaults=True, kw_only=True)


def _kind(annotation: Any) -> Any:
    """Text, number, boolean or map, whatever the closed model adds to it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return Text
    if origin is Annotated:
        return _kind(arguments[0])
    if origin in {Union, UnionType}:
        return _kind(next(argument for argument in arguments if argument is not NoneType))
    if origin is dict:
        return dict[Text, _kind(arguments[1])]  # type: ignore[misc]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _lenient(annotation)
    return {str: Text, int: Number, bool: bool}[annotation]


_ONE: Final = msgspec.json.Decoder(_Envelope)
_MANY: Final = msgspec.json.Decoder(list[_Envelope])
_PAYLOADS: Final = {kind: msgspec.json.Decoder(_lenient(model)) for kind, model in PAYLOADS.items()}
_encoder: Final = msgspec.json.Encoder()
