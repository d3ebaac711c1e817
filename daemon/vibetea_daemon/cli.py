"""The command line. Only click is imported here: `--help` answers in a blink, a command imports what it needs."""

import importlib
from collections.abc import Callable
from typing import Any, Final

import click

EXIT_REFUSED: Final = 78
"""A configuration that cannot be used (EX_CONFIG of sysexits.h)."""

SCOPES: Final = click.Choice(["user", "project", "local"])
SETTINGS_FILE: Final = click.Path(dir_okay=False)


def run(command: str, function: str, **options: Any) -> None:
    """Run a command's function and turn its errors into one line and an exit code."""
    from vibetea_daemon.config import Config, ConfigError

    try:
        module = importlib.import_module(f"vibetea_daemon.commands.{command}")
        call: Callable[..., None] = getattr(module, function)
        call(Config.load(), **options)
    except ConfigError as error:
        raise Refused(str(error)) from None
    except BrokenPipeError:  # the reader has seen enough; click knows what to do
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{where}{error.strerror or error}") from None
    except (click.ClickException, click.exceptions.Exit):
        raise
    except Exception as error:
        from vibetea_daemon.store import StoreError

        if isinstance(error, StoreError):
            raise click.ClickException(str(error)) from None
        raise


class Refused(click.ClickException):
    """A configuration that cannot be used."""

    exit_code = EXIT_REFUSED


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with `vibetea up`. State lives in VIBETEA_HOME (~/.vibetea); see docs/configuration.md.",
)
@click.version_option(package_name="vibetea")
def main() -> None:
    """What your Claude Code sessions are doing, live and over time.

    Not a word of a prompt, a path or a line of code leaves this machine; `vibetea audit` shows what would.
    """


@main.command(short_help="Import, follow, and show it in the browser.")
@click.option("--demo", is_flag=True, help="Show invented sessions in a throw-away folder; touches nothing of yours.")
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="The page's port; 0 takes any.  [default: 8765, or any free]"
)
@click.option(
    "--since", metavar="DAYS", type=click.IntRange(0), help="Import transcripts of so many days.  [default: 30]"
)
@click.option("--all", "everything", is_flag=True, help="Import every transcript there is.")
def up(**options: Any) -> None:
    """Import recent transcripts, follow what happens now, and show it in the browser.

    Makes what is missing, starts the daemon or joins the one that runs, and serves the page until Ctrl-C.
    """
    run("up", "up", **options)


@main.command(short_help="The daemon alone, in the foreground.")
@click.option(
    "--since", metavar="DAYS", type=click.IntRange(0), help="Import transcripts of so many days.  [default: 30]"
)
@click.option("--all", "everything", is_flag=True, help="Import every transcript there is.")
def daemon(**options: Any) -> None:
    """Run the daemon alone, in the foreground: what a service manager starts."""
    run("daemon", "daemon", **options)


@main.command(short_help="The page alone.")
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="The page's port; 0 takes any.  [default: 8765, or any free]"
)
def dashboard(**options: Any) -> None:
    """Serve the page alone, over whatever the database holds."""
    run("dashboard", "dashboard", **options)


@main.command("install-hooks", short_help="Let Claude Code report by itself.")
@click.option("--scope", type=SCOPES, default="user", show_default=True, help="Which of Claude Code's settings files.")
@click.option("--settings", type=SETTINGS_FILE, help="A settings file of your choice instead.")
@click.option("--dry-run", is_flag=True, help="Show the change as a diff and write nothing.")
def install_hooks(**options: Any) -> None:
    """Let Claude Code report by itself: immediate, with durations and permission prompts.

    Your own hooks, the order and the look of the file stay as they are; a backup is kept. Running sessions notice.
    """
    run("hooks", "install", **options)


@main.command("uninstall-hooks", short_help="Take our hooks out again.")
@click.option("--scope", type=SCOPES, default="user", show_default=True, help="Which of Claude Code's settings files.")
@click.option("--settings", type=SETTINGS_FILE, help="A settings file of your choice instead.")
@click.option("--dry-run", is_flag=True, help="Show the change as a diff and write nothing.")
def uninstall_hooks(**options: Any) -> None:
    """Take our hooks out again; a file nobody changed meanwhile comes back byte for byte."""
    run("hooks", "uninstall", **options)


@main.command(short_help="What runs, what was read and what dropped.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(**options: Any) -> None:
    """What runs, what was read, what was dropped and why. Exits 1 when no daemon runs."""
    run("status", "status", **options)


@main.command(short_help="What is wrong, and how to mend it.")
def doctor() -> None:
    """Look for what is wrong, and say how to mend it. Exits 1 when anything is."""
    run("doctor", "doctor")


@main.command("import", short_help="Import old transcripts.")
@click.argument("paths", nargs=-1, type=click.Path(exists=True))
@click.option("--since", metavar="DAYS", type=click.IntRange(0), help="Leave out what is older than so many days.")
def import_(**options: Any) -> None:
    """Import old transcripts: files, folders, or all of Claude Code's when none is named.

    Whatever was imported before is not counted twice.
    """
    run("import_", "import_transcripts", **options)


@main.command(short_help="Make key and database; print who this is.")
def init() -> None:
    """Make the state folder, the database and the signing key, and print the line that registers it with a relay."""
    run("init", "init")


@main.command(short_help="The exact bytes that leave, or would.")
@click.option("--limit", "-n", default=20, show_default=True, type=click.IntRange(1), help="How many events.")
@click.option(
    "--explain", type=click.File("rb"), help="A recorded hook payload or transcript line (- is standard input)."
)
def audit(**options: Any) -> None:
    """Print the exact bytes that leave, or would leave, for the latest events.

    With --explain, show for one recorded payload which inputs became which outputs; all others are discarded.
    """
    run("audit", "audit", **options)


@main.command(short_help="What is loaded, and from where.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def plugins(**options: Any) -> None:
    """What is loaded, from where, and which hooks it has. Exits 1 when something could not be loaded."""
    run("plugins", "plugins", **options)
