"""Private strings in many disguises go through a real daemon, and are searched for in everything it makes."""

import base64
import copy
import json
import urllib.parse
from pathlib import Path

import pytest
from datasette.app import Datasette
from tests.daemon import recorded
from tests.daemon.corpus import BEGINNING, HOOKS, TRANSCRIPTS
from tests.daemon.frames import frame, send, spool
from tests.daemon.recorded import Json
from tests.daemon.world import World, wait_until

TOKEN = "Canary-Zq7Wx-geheim"
STRUCTURAL = {
    # without these there is no act at all
    "hook_event_name",
    "type",
    "timestamp",
    "operation",
    "message.content.[].type",
    "attachment.type",
    "attachment.commandMode",
}


def disguises(token: str) -> dict[str, str]:
    """A private text as it is, and as somebody's code might have changed it."""
    raw = token.encode()
    return {
        "plain": token,
        "upper": token.upper(),
        "lower": token.lower(),
        "reversed": token[::-1],
        "hex": raw.hex(),
        "base64": base64.b64encode(raw).decode().rstrip("="),
        "base64, one off": base64.b64encode(b"x" + raw).decode()[2:-2],
        "base64, two off": base64.b64encode(b"xx" + raw).decode()[3:-2],
        "base32": base64.b32encode(raw).decode().rstrip("="),
        "percent": "".join(f"%{byte:02X}" for byte in raw),
        "quoted": urllib.parse.quote(token + "/ü"),
        "JSON escapes": "".join(f"\\u{ord(char):04x}" for char in token),
        "first half": token[: len(token) // 2],
        "second half": token[len(token) // 2 :],
        "spaced": " ".join(token),
    }


FORMS = disguises(TOKEN)
TEXT = " ".join(FORMS.values()) + f"\n{TOKEN[:9]}\n{TOKEN[9:]}"


def filled(document: Json, *, names_too: bool) -> Json:
    """Every string of a document exchanged, the names of tools and events only on request, and private keys added."""
    changed = copy.deepcopy(document)
    for place in list(recorded.places(document)):
        value, name = recorded.at(document, place), recorded.dotted(place)
        if not isinstance(value, str) or (name in STRUCTURAL and not names_too):
            continue
        if name in {"type", "timestamp", "message.content.[].type"}:
            continue
        begins = BEGINNING.match(value)
        path = value.startswith("/") and name.rpartition(".")[2] in {"cwd", "file_path", "notebook_path"}
        if name in {"tool_name", "message.content.[].name"} and not names_too:
            continue
        other = f"/home/{TOKEN}/{TEXT}/{Path(value).name}" if path else (begins[0] if begins else "") + TEXT
        changed = recorded.replaced(changed, place, other)
    return with_keys(changed)


def with_keys(document: Json) -> Json:
    if isinstance(document, dict):
        return {name: with_keys(value) for name, value in document.items()} | {TEXT: TEXT, TOKEN: [TOKEN]}
    if isinstance(document, list):
        return [with_keys(value) for value in document]
    return document


def leaks(where: str, content: bytes | str) -> list[str]:
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    return [f"{form} in {where}" for form, value in FORMS.items() if value in text]


async def pages(database: Path) -> dict[str, str]:
    """Datasette's page, JSON and CSV of the database and of every public table."""
    datasette = Datasette([str(database)])
    found = {}
    await datasette.invoke_startup()
    tables = ("events", "sessions", "activity", "usage")
    for path in ["/", "/vibetea", *(f"/vibetea/{table}{kind}" for table in tables for kind in ("", ".json", ".csv"))]:
        answer = await datasette.client.get(
            path, params={"_stream": "1"} if path.endswith("csv") else {"_size": "max"}, follow_redirects=True
        )
        assert answer.status_code == 200, path
        found[path] = answer.text
    return found


@pytest.fixture
def traces(world: World) -> dict[str, bytes | str]:
    """All there is to search after the whole corpus went through, filled with canaries."""
    world.env["VIBETEA_BASENAME_ALLOWLIST"] = "ts,py"
    documents = [filled(payload, names_too=names) for payload in HOOKS.values() for names in (False, True)]
    for document in documents[::2]:
        world.hook(recorded.compact(document))
    inboxed = len(world.inboxed())
    daemon = world.start("--all")
    for document in documents[1::2]:
        world.hook(recorded.compact(document))
    for transcript in TRANSCRIPTS:
        folder = world.projects / f"-home-{TOKEN}-shop" / transcript.path.relative_to(recorded.FOLDER / "transcripts")
        path = folder.with_name(folder.name.replace(".jsonl", f"-{TOKEN}.jsonl"))
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [filled(line, names_too=names) for line in transcript.lines for names in (False, True)]
        path.write_bytes(b"\n".join(recorded.compact(line) for line in lines) + b"\n")
    wait_until(lambda: world.inboxed() == [], "the inbox was not emptied")
    read = "select count(*) from _offsets where size > 0"
    wait_until(lambda: world.query(read) == [(len(TRANSCRIPTS),)], lambda: str(world.query("select * from _offsets")))
    assert inboxed == len(HOOKS)
    status = {name: world.run("status", *options).stdout for name, options in {"text": (), "JSON": ("--json",)}.items()}
    running = {path.name: path.read_bytes() for path in world.state.glob("vibetea.db*")}
    assert "vibetea.db-wal" in running
    daemon.stop()
    return {
        **{f"{name} of the running daemon": content for name, content in running.items()},
        **{str(path.name): path.read_bytes() for path in world.state.rglob("*") if path.is_file()},
        **{f"status, {name}": content for name, content in status.items()},
        "log": daemon.text,
        "audit": world.run("audit", "--limit", "100000").stdout,
        "names of files": "\n".join(str(path.relative_to(world.state)) for path in world.state.rglob("*")),
    }


async def test_no_canary_is_anywhere(world: World, traces: dict[str, bytes | str]) -> None:
    events = world.query("select count(*) from events")[0][0]
    assert 150 < events < 1000, "a page holds no more"
    assert len(traces["audit"].splitlines()) == events
    served = await pages(world.database)
    assert [leak for where, content in (traces | served).items() for leak in leaks(where, content)] == []
    columns = world.query("select * from events")
    assert [leak for row in columns for leak in leaks("a row", json.dumps(row))] == []


def test_search_would_find_each_disguise() -> None:
    """The search itself is sound: what is hidden in a page, it finds."""
    for form, value in FORMS.items():
        assert f"{form} in there" in leaks("there", f"<td>x{value}y</td>")
        assert f"{form} in there" in leaks("there", TEXT)


def snapshot(world: World) -> list[tuple[object, ...]]:
    tables = ("events", "sessions", "activity", "usage")
    return [row for table in tables for row in world.query(f"select * from {table} order by 1, 2, 3, 4, 5")]


def test_everything_twice_changes_nothing(world: World) -> None:
    """The same frames by socket and by inbox, and the same lines again, in other files, by daemon and by import."""
    frames = [frame(recorded.compact(payload)) for payload in HOOKS.values()]
    world.start("--all")
    for raw in frames:
        assert send(world, raw) == b"\x06"
    copy_corpus(world, "-home-dev-shop")
    assert b"new events" in world.run("import").stdout
    once = snapshot(world)
    for number, raw in enumerate(frames):
        assert send(world, raw) == b"\x06"
        spool(world, f"{number}-1", raw)
    copy_corpus(world, "-home-dev-shop")
    copy_corpus(world, "-home-dev-copy")
    wait_until(lambda: world.inboxed() == [], "the inbox was not emptied")
    known = "select count(*) from _offsets where offset > 0 or size > 0"
    wait_until(lambda: world.query(known) == [(2 * len(TRANSCRIPTS),)], "not all was read again")
    assert b"0 new events" in world.run("import").stdout
    assert snapshot(world) == once


def copy_corpus(world: World, slug: str) -> None:
    """Append every recorded line to a transcript of the same name."""
    for transcript in TRANSCRIPTS:
        path = world.projects / slug / transcript.path.relative_to(recorded.FOLDER / "transcripts/-home-dev-shop")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(transcript.path.read_bytes())
