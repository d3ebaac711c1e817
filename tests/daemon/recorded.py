"""The recorded corpus: what the real client sent to hooks and wrote into transcripts."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "recorded"
Json = Any
Place = tuple[str | int, ...]


def hook_payloads() -> dict[str, Json]:
    """Every payload by the name of its file, and those of whole sessions by session and number."""
    single = {path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "hooks").glob("*.json"))}
    in_order = {
        f"{path.stem}:{number}": json.loads(line)["input"]
        for path in sorted((FOLDER / "hooks").glob("*.jsonl"))
        for number, line in enumerate(path.read_text().splitlines())
    }
    return single | in_order


@dataclass(frozen=True)
class Transcript:
    path: Path
    lines: tuple[Json, ...]


def transcripts() -> list[Transcript]:
    return [
        Transcript(path, tuple(json.loads(line) for line in path.read_text().splitlines()))
        for path in sorted((FOLDER / "transcripts").rglob("*.jsonl"))
    ]


def compact(document: Json) -> bytes:
    """JSON as the client writes it."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def places(document: Json, so_far: Place = ()) -> Iterator[Place]:
    """Every value in a document, inner ones too, by its place."""
    if so_far:
        yield so_far
    if isinstance(document, dict):
        for name, value in document.items():
            yield from places(value, (*so_far, name))
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from places(value, (*so_far, number))


def dotted(place: Place) -> str:
    return ".".join("[]" if isinstance(part, int) else part for part in place)


def at(document: Json, place: Place) -> Json:
    for part in place:
        document = document[part]
    return document


def replaced(document: Json, place: Place, value: Json) -> Json:
    """A copy with another value at that place."""
    first, *rest = place
    copy: Json = list(document) if isinstance(document, list) else dict(document)
    copy[first] = replaced(document[first], tuple(rest), value) if rest else value
    return copy
