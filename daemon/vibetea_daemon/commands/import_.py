"""`vibetea import`."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from vibetea_daemon.acts import Reader
from vibetea_daemon.commands import counted
from vibetea_daemon.config import Config
from vibetea_daemon.daemon import rules
from vibetea_daemon.hookspecs import Normaliser
from vibetea_daemon.ingest import Ingest
from vibetea_daemon.plugins import Plugins
from vibetea_daemon.sources.files import NotOurs, read_ours
from vibetea_daemon.sources.follow import Follower
from vibetea_daemon.sources.tail import MAX_LINE
from vibetea_daemon.sources.transcripts import transcripts
from vibetea_daemon.store import Store, Writer

DAY = 86_400_000_000_000


def import_transcripts(config: Config, *, paths: tuple[str, ...], since: int | None) -> None:
    """Read every file from its first byte; a daemon may run meanwhile, the database takes turns.

    Exits 1 when files were found and none of them was a transcript.
    """
    named = tuple(Path(path).absolute() for path in paths)
    if not named:
        projects = config.claude_dir / "projects"
        if not projects.is_dir():
            raise click.ClickException(f"no transcripts: there is no folder {projects}; set VIBETEA_CLAUDE_DIR")
        named = (projects,)
    config.make_home()
    store = Store(config.database)
    oldest = 0 if since is None else time.time_ns() - since * DAY
    files = _files(named)
    before = store.count()
    writer = Writer(store)
    writer.start()
    plugins = Plugins(config.plugins)
    ingest = Ingest(rules(config, store), writer, {})

    def follow(path: Path) -> Follower:
        if path in named and not _is_transcript(path, plugins.normaliser):
            raise LookupError
        return Follower(path, ingest, plugins.normaliser, oldest, None)

    try:
        skipped = _import(files, follow)
    finally:
        writer.close()
    new = store.count() - before
    store.close()
    click.echo(f"{counted(new, 'new event')} from {counted(len(files) - skipped, 'transcript')}")
    if skipped:
        click.echo(f"{counted(skipped, 'file')} skipped: not one line of a transcript of yours to read", err=True)
        if skipped == len(files):
            sys.exit(1)


def _import(files: dict[Path, int], follow: Callable[[Path], Follower]) -> int:
    """Import with a progress bar over bytes; the number of files that could not be read as transcripts."""
    skipped = 0
    hidden = not sys.stdout.isatty()
    with click.progressbar(length=sum(files.values()), label="Importing", show_pos=False, hidden=hidden) as bar:
        for path, size in files.items():
            done = 0
            try:
                follower = follow(path)
            except (NotOurs, LookupError, OSError):
                skipped += 1
                bar.update(size)
                continue
            try:
                more = True
                while more:
                    more = follower.advance(None, lambda _: None)
                    bar.update(min(follower.read_to, size) - done)
                    done = min(follower.read_to, size)
            except FileNotFoundError:  # swept meanwhile; what it held was read
                pass
            except (NotOurs, OSError):
                skipped += 1
            finally:
                follower.close()
    return skipped


def _files(paths: tuple[Path, ...]) -> dict[Path, int]:
    """The transcripts named, newest first, with their sizes in bytes."""
    found: dict[Path, tuple[int, int]] = {}
    for path in paths:
        if path.is_dir():
            found |= {file: (seen[3], seen[2]) for file, seen in transcripts(path)}
        else:
            there = path.stat()
            found[path] = (there.st_mtime_ns, there.st_size)
    return {path: size for path, (_, size) in sorted(found.items(), key=lambda item: -item[1][0])}


def _is_transcript(path: Path, normaliser: Normaliser) -> bool:
    """Whether a reader makes sense of any line; for a file somebody named, whatever it may be."""
    reader = normaliser.vibetea_transcript_reader(path=path, at_start=True)
    lines = read_ours(path, MAX_LINE).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return reader is not None and any(_reads(reader, line) for line in lines if line.strip())


def _reads(reader: Reader, line: bytes) -> bool:
    try:
        reader.acts(line)
    except Exception:  # noqa: BLE001  a plugin's reader may fail in any way
        return False
    return True
