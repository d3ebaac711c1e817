"""`vibetea import`."""

import time
from pathlib import Path

import click

from vibetea_daemon.config import Config
from vibetea_daemon.daemon import rules
from vibetea_daemon.ingest import Ingest
from vibetea_daemon.plugins import Plugins
from vibetea_daemon.sources.follow import Follower
from vibetea_daemon.sources.tail import NotOurs
from vibetea_daemon.sources.transcripts import transcripts
from vibetea_daemon.store import Store, StoreError, Writer

DAY = 86_400_000_000_000


def import_transcripts(config: Config, *, paths: tuple[str, ...], since: int | None) -> None:
    """Read every file from its first byte; a daemon may run meanwhile, the database takes turns."""
    config.make_home()
    try:
        store = Store(config.database)
    except StoreError as error:
        raise click.ClickException(str(error)) from None
    oldest = 0 if since is None else time.time_ns() - since * DAY
    files = _files(tuple(map(Path, paths)) or (config.claude_dir / "projects",))
    before = store.count()
    writer = Writer(store)
    writer.start()
    try:
        skipped = _import(files, Ingest(rules(config, store), writer, {}), Plugins(config.plugins), oldest)
    finally:
        writer.close()
    new = store.count() - before
    store.close()
    click.echo(f"{new} new events from {len(files) - skipped} transcripts")
    if skipped:
        click.echo(f"{skipped} files skipped: no transcripts of yours", err=True)


def _import(files: dict[Path, int], ingest: Ingest, plugins: Plugins, oldest: int) -> int:
    """Import with a progress bar over bytes; the number of files that are no transcripts."""
    skipped = 0
    with click.progressbar(length=sum(files.values()), label="Importing", show_pos=False) as bar:
        for path, size in files.items():
            done = 0
            try:
                follower = Follower(path, ingest, plugins.normaliser, oldest, None)
            except (NotOurs, LookupError, OSError):
                skipped += 1
                bar.update(size)
                continue
            more = True
            while more:
                more = follower.advance(None, lambda _: None)
                bar.update(min(follower.read_to, size) - done)
                done = min(follower.read_to, size)
            follower.close()
    return skipped


def _files(paths: tuple[Path, ...]) -> dict[Path, int]:
    """The transcripts named, newest first, with their sizes in bytes."""
    found: dict[Path, tuple[int, int]] = {}
    for path in paths:
        if path.is_dir():
            found |= {file: (seen[3], seen[2]) for file, seen in transcripts(path.absolute())}
        else:
            there = path.stat()
            found[path.absolute()] = (there.st_mtime_ns, there.st_size)
    return {path: size for path, (_, size) in sorted(found.items(), key=lambda item: -item[1][0])}
