"""`vibetea up`: everything, in one command."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from vibetea_daemon import demo
from vibetea_daemon.commands import dashboard, init, status
from vibetea_daemon.config import Config
from vibetea_daemon.sources.transcripts import transcripts

START_SECONDS = 60
"""The inbox is emptied before a daemon is ready."""


def up(config: Config, *, demo: bool, no_open: bool, port: int | None, since: int | None, everything: bool) -> None:
    """Run the daemon, or join the one that runs, and serve the page until Ctrl-C."""
    with ExitStack() as stack:
        if not demo and not _has_work(config):
            click.echo(f"No Claude Code sessions in {config.claude_dir} yet: showing invented ones. Later: vibetea up")
            demo = True
        if demo:
            config = stack.enter_context(_demo(config))
        init.prepare(config)
        options = ["--all"] if everything else [] if since is None else ["--since", str(since)]
        if status.running(config):
            click.echo("Joined the daemon that runs already.")
        else:
            stack.enter_context(_daemon(config, options))
        stop = threading.Event()
        stack.callback(stop.set)
        progress = threading.Thread(target=_progress, args=(config, stop), daemon=True)

        def ready(address: str) -> None:
            click.echo(f"VibeTea is at {address}  (Ctrl-C ends it)")
            progress.start()

        dashboard.show(config, no_open=no_open, port=port, on_ready=ready)


def _has_work(config: Config) -> bool:
    return config.database.exists() or any(transcripts(config.claude_dir / "projects"))


@contextmanager
def _demo(config: Config) -> Iterator[Config]:
    """A throw-away state folder and invented sessions that go on."""
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="vibetea-demo-") as folder:
        projects = Path(folder, "claude", "projects")
        demo.write_history(projects, datetime.now(UTC))
        writer = threading.Thread(target=demo.live, args=(projects, stop))
        writer.start()
        try:
            yield replace(
                config,
                home=Path(folder, "vibetea"),
                claude_dir=Path(folder, "claude"),
                source="demo",
                socket_override=None,
            )
        finally:
            stop.set()
            writer.join()


@contextmanager
def _daemon(config: Config, options: list[str]) -> Iterator[None]:
    """A daemon of our own, ready to take hooks, ended with us. Raises ClickException with what it said."""
    log = config.home / "daemon.log"
    environ = os.environ | {
        "VIBETEA_HOME": str(config.home),
        "VIBETEA_CLAUDE_DIR": str(config.claude_dir),
        "VIBETEA_SOURCE_ID": config.source,
    }
    if config.socket_override is None:
        environ.pop("VIBETEA_SOCKET", None)
    with log.open("w") as stderr:
        log.chmod(0o600)
        process = subprocess.Popen(
            [sys.executable, "-m", "vibetea_daemon", "daemon", *options],
            stderr=stderr,
            stdin=subprocess.DEVNULL,
            env=environ,
            start_new_session=True,  # Ctrl-C is for us; we end it in order
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while status.collect(config).get("daemon", {}).get("pid") != process.pid:
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text().strip().splitlines()[-3:]
                raise click.ClickException("the daemon did not start:\n" + "\n".join(said))
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def _progress(config: Config, stop: threading.Event) -> None:
    """A bar while old transcripts are imported; live events come in meanwhile."""
    while not (imported := status.collect(config).get("import")):
        if stop.wait(0.1):
            return
    if imported["bytes_done"] >= imported["bytes"]:
        return
    with click.progressbar(length=imported["bytes"], label="Importing", show_pos=False) as bar:
        done = 0
        while done < imported["bytes"]:
            imported = status.collect(config)["import"]
            bar.update(imported["bytes_done"] - done)
            done = imported["bytes_done"]
            if stop.wait(0.2):
                return
