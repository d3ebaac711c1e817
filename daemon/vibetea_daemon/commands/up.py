"""`vibetea up`: everything, in one command."""

import fcntl
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from vibetea_daemon import demo
from vibetea_daemon.commands import dashboard, init, status
from vibetea_daemon.commands.child import Child
from vibetea_daemon.config import Config
from vibetea_daemon.sources.transcripts import transcripts

LOOK_SECONDS = 1.0


def up(config: Config, *, demo: bool, no_open: bool, port: int | None, since: int | None, everything: bool) -> None:
    """Run the daemon, or join the one that runs, and serve the page until Ctrl-C."""
    with ExitStack() as stack:
        stack.enter_context(_orderly_end())
        if demo:
            click.echo("Showing invented sessions, which are sent nowhere. Yours: vibetea up")
        elif not _has_work(config):
            click.echo(f"No Claude Code sessions in {config.claude_dir} yet: showing invented ones. Later: vibetea up")
            demo = True
        if demo:
            config = stack.enter_context(_demo(config))
        else:
            _prepare(config)
        options = ["--all"] if everything else [] if since is None else ["--since", str(since)]
        child = None if status.running(config) else stack.enter_context(Child.ready(config, options))
        if child is None:
            click.echo("Joined the daemon that runs already.")
            for told in status.unused(config, status.collect(config)):
                click.echo(told)
            if options:
                click.echo(f"It decides what is imported; {options[0]} changes nothing. Older ones: vibetea import")
        stop = threading.Event()
        stack.callback(stop.set)

        def ready(address: str) -> None:
            dashboard.announce(address)
            threading.Thread(target=_progress, args=(config, stop), daemon=True).start()
            threading.Thread(target=_watch, args=(config, child, stop), daemon=True).start()

        try:
            dashboard.show(config, no_open=no_open, port=port, on_ready=ready, invented=demo)
        finally:
            if child is not None and child.ended:
                raise click.ClickException("the daemon ended:\n" + child.said())


@contextmanager
def _orderly_end() -> Iterator[None]:
    """A signal, a closed terminal's too, unwinds everything, once; the page's server has it first while it runs."""

    def end(*_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        sys.exit(0)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # or nohup would be in vain
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _has_work(config: Config) -> bool:
    """Whether this machine was used, or made ready: who did that waits for a first event of their own."""
    return (
        config.database.exists()
        or any(transcripts(config.claude_dir / "projects"))
        or status.hooks_installed(config)
        or bool(config.server_url or config.supabase_url)
    )


def _prepare(config: Config) -> None:
    """Make what is missing; of two at the same moment one after the other."""
    config.make_home()
    folder = os.open(config.home, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        init.prepare(config)
    finally:
        os.close(folder)


@contextmanager
def _demo(config: Config) -> Iterator[Config]:
    """A throw-away state folder, without a key, and invented sessions that go on."""
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="vibetea-demo-") as folder:
        projects = Path(folder, "claude", "projects")
        demo.write_history(projects, datetime.now(UTC))
        home, claude_dir = Path(folder, "vibetea"), Path(folder, "claude")
        invented = config._replace(
            home=home, claude_dir=claude_dir, source="demo", socket_override=None, server_url=None, supabase_url=None
        )
        invented.make_home()
        writer = threading.Thread(target=demo.live, args=(projects, stop))
        writer.start()
        try:
            yield invented
        finally:
            stop.set()
            writer.join()


def _watch(config: Config, child: Child | None, stop: threading.Event) -> None:
    """End with our own daemon; say once that one we joined has gone."""
    while not stop.wait(LOOK_SECONDS):
        if child is None:
            if not status.running(config):
                click.echo("The daemon has ended; nothing new is shown until it is back: vibetea daemon", err=True)
                return
        elif child.ended:
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _progress(config: Config, stop: threading.Event) -> None:
    """A bar while old transcripts are imported; live events come in meanwhile."""
    while not (imported := status.collect(config).get("import")):
        if stop.wait(0.1):
            return
    if imported["bytes_done"] >= imported["bytes"] or not sys.stdout.isatty():
        return
    with click.progressbar(length=imported["bytes"], label="Importing", show_pos=False) as bar:
        done = 0
        while done < imported["bytes"]:
            imported = status.collect(config).get("import", imported)
            bar.update(imported["bytes_done"] - done)
            done = imported["bytes_done"]
            if stop.wait(0.2):
                return
