"""Lenient reading of single fields: what is not of the expected type counts as absent, not as an error."""

from typing import Final, TypeVar

import msgspec

from vibetea_daemon.acts import BadInput

ABSENT: Final = msgspec.Raw(b"null")
S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")

_text: Final = msgspec.json.Decoder(str)
_whole: Final = msgspec.json.Decoder(int)
_number: Final = msgspec.json.Decoder(float)


class ToolInput(msgspec.Struct):
    """The inputs of built-in tools that anything is told of."""

    file_path: msgspec.Raw = ABSENT
    notebook_path: msgspec.Raw = ABSENT
    skill: msgspec.Raw = ABSENT


_input: Final = msgspec.json.Decoder(ToolInput)


def text(raw: msgspec.Raw) -> str:
    """The string, or "" if it is none."""
    try:
        return _text.decode(raw)
    except (msgspec.DecodeError, UnicodeError):
        return ""


def whole(raw: msgspec.Raw) -> int | None:
    """The number cut to a whole one, or None if it is none."""
    try:
        return _whole.decode(raw)
    except (msgspec.DecodeError, UnicodeError):
        try:
            return int(_number.decode(raw))
        except (msgspec.DecodeError, UnicodeError, OverflowError, ValueError):
            return None


def tool_input(raw: msgspec.Raw) -> ToolInput:
    """The named inputs of a tool call; all absent if it is no object."""
    try:
        return _input.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ToolInput()


def document(decoder: msgspec.json.Decoder[S], raw: bytes) -> S:
    """One JSON document, strictly. Raises BadInput: `encoding`, `depth`, `shape` or `unparsable`."""
    if not raw.isascii():
        try:
            raw.decode()  # the decoder skips fields nobody asked for without looking at their bytes
        except UnicodeDecodeError:
            raise BadInput("encoding") from None
    return decode(decoder, raw)


def decode(decoder: msgspec.json.Decoder[T], raw: bytes | msgspec.Raw) -> T:
    """A part of a document. Raises BadInput: `depth`, `shape` or `unparsable`."""
    try:
        return decoder.decode(raw)
    except RecursionError:
        raise BadInput("depth") from None
    except msgspec.ValidationError:
        raise BadInput("shape") from None
    except (msgspec.DecodeError, UnicodeError):
        raise BadInput("unparsable") from None
