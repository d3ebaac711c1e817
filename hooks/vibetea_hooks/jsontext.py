"""Change single places of a JSON text and leave every other character as its author wrote it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from .errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

_BOM = "\ufeff"
_BLANK = re.compile(r"[ \t\r\n]*")


def _refuse(constant: str) -> NoReturn:
    raise SettingsError(f"{constant} is not JSON")


# Integers become floats: nothing is ever written back from the decoded data, and Python refuses long ones.
_DECODER = json.JSONDecoder(parse_int=float, parse_constant=_refuse)


@dataclass(frozen=True, slots=True)
class Child:
    """A member of an object or an element of a list: where it stands in the text, and its value."""

    key: str | None
    start: int
    value: int
    end: int
    data: object


def parse(text: str) -> object:
    """The decoded document; SettingsError names the line that is not JSON."""
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise SettingsError(
            f"line {error.lineno} is not JSON ({error.msg}); mend it and try again."
            " Claude Code reads no comments or trailing commas either: it ignores such a file as a whole"
        ) from None
    except RecursionError:
        raise SettingsError("it is nested too deeply") from None


def edited(content: bytes, edit: Callable[[str], str]) -> bytes:
    """A file's bytes after an edit of its text; SettingsError when they are not JSON text. A byte order mark stays."""
    text = _text(content)
    start = len(text) - len(text.removeprefix(_BOM))
    return (text[:start] + edit(text[start:])).encode()


def decoded(content: bytes) -> object:
    """The document in a file's bytes; SettingsError as `parse`."""
    return parse(_text(content).removeprefix(_BOM))


def children(text: str, opening: int) -> list[Child]:
    """What the object or list that opens at this position holds; the text must have passed `parse`."""
    found = []
    at = _skip(text, opening + 1)
    while text[at] not in "}]":
        start, key = at, None
        if text[opening] == "{":
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        value = at
        data, at = _DECODER.raw_decode(text, at)
        found.append(Child(key, start, value, at, data))
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def root(text: str) -> int:
    """Where the document begins."""
    return _skip(text, 0)


def appended(text: str, opening: int, value: object, key: str | None = None) -> str:
    """The text with one more child at the end of the object or list, laid out like the document."""
    present = children(text, opening)
    if not _is_spread(text):
        tight = re.search(r'":\S', text) is not None
        rendered = _render(key, value, None, (",", ":") if tight else (", ", ": "))
        if not present:
            return text[: opening + 1] + rendered + text[opening + 1 :]
        end = present[-1].end
        gap = text[present[-2].end : present[-1].start] if len(present) > 1 else "," if tight else ", "
        return text[:end] + gap + rendered + text[end:]
    newline = "\r\n" if "\r\n" in text else "\n"
    unit = _unit(text)
    own_lines = bool(present) and "\n" in text[opening : present[0].start]
    margin = _margin(text, present[0].start) if own_lines else _margin(text, opening) + unit
    rendered = newline + margin + _render(key, value, unit).replace("\n", newline + margin)
    if present:
        end = present[-1].end
        return text[:end] + "," + rendered + text[end:]
    rest = text[opening + 1 :].lstrip(" \t\r\n")
    return text[: opening + 1] + rendered + newline + _margin(text, opening) + rest


def removed(text: str, opening: int, index: int) -> str:
    """The text without one child: the inverse of `appended`."""
    present = children(text, opening)
    if len(present) == 1:
        closing = _skip(text, present[0].end)
        return text[: opening + 1] + text[closing:]
    if index == 0:
        return text[: present[0].start] + text[present[1].start :]
    return text[: present[index - 1].end] + text[present[index].end :]


def _text(content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"line {line} is not UTF-8; save the file as UTF-8 and try again") from None
    if not text.removeprefix(_BOM).strip():
        raise SettingsError("it is empty; put {} into it, or delete it")
    return text


def _skip(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at


def _is_spread(text: str) -> bool:
    """Whether new lines suit the document; an empty one gets them."""
    return "\n" in text.strip() or parse(text) == {}


def _unit(text: str) -> str:
    """What one level is indented by."""
    first = children(text, root(text))[:1]
    return _margin(text, first[0].start) if first and "\n" in text[: first[0].start] else "  "


def _margin(text: str, at: int) -> str:
    """The indentation of the line this position is on."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _render(key: str | None, value: object, indent: str | None, separators: tuple[str, str] | None = None) -> str:
    rendered = json.dumps(value, indent=indent, separators=separators)
    if key is None:
        return rendered
    colon = separators[1] if separators else ": "
    return json.dumps(key) + colon + rendered
