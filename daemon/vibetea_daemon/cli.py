"""The command line. Only click is imported here: `--help` answers in a blink, a command imports what it needs."""

import gc
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
        gc.freeze()  # what was imported stays
        gc.enable()
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


@main.command(short_help="Live events in the terminal.")
@click.option("--relay", metavar="URL", help="A relay's events instead of this machine's.")
@click.option("--lines", "-n", default=10, show_default=True, type=click.IntRange(0), help="So many recent ones first.")
@click.option("--json", "as_json", is_flag=True, help="The bytes on the wire, a line an event; a relay adds `seq`.")
@click.option("--source", default="", metavar="NAME", help="Only of this machine.")
@click.option("--project", default="", metavar="NAME", help="Only of this project.")
@click.option("--type", default="", metavar="TYPE", help="Only of this type, such as tool or agent.")
@click.option("--session", default="", metavar="ID", help="Only of the session whose id begins like this.")
@click.option("--tool", default="", metavar="NAME", help="Only of this tool, such as Bash.")
def tail(**options: Any) -> None:
    """Show what happens as it happens, a line an event, until Ctrl-C.

    Without --relay it follows this machine's database. A relay's subscriber token is taken from the environment,
    VIBETEA_SUBSCRIBER_TOKEN: as an option everybody on this machine could read it.

    \b
    vibetea tail --type agent                    which session needs me?
    vibetea tail --json | jq -r .payload.tool    feed a program
    vibetea tail --relay https://relay.example   the whole team
    """
    run("tail", "tail", **options)


@main.command(short_help="A relay's stream in the local database.")
@click.option("--relay", metavar="URL", required=True, help="The relay, such as https://relay.example.")
def mirror(**options: Any) -> None:
    """Keep a relay's stream in this folder's database, until Ctrl-C: `vibetea dashboard` beside it is a team's page.

    It goes on where it left off, however long it was away; what the relay no longer holds is reported as a gap. The
    relay's subscriber token is taken from the environment, VIBETEA_SUBSCRIBER_TOKEN. Give the team's page a state
    folder of its own with VIBETEA_HOME, and it will not mix with your own sessions.
    """
    run("mirror", "mirror", **options)


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
    """What runs, what was read, what was dropped and why. Exits 1 when neither a daemon nor a mirror runs."""
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


@main.command("export-key", short_help="Print the signing key, for a CI secret.")
def export_key() -> None:
    """Print this machine's private signing key in base64, for VIBETEA_PRIVATE_KEY in another place, such as CI.

    It is a secret: whoever has it can send in this machine's name. Pipe it where it belongs, for instance into
    `gh secret set VIBETEA_PRIVATE_KEY`.
    """
    run("export_key", "export_key")


@main.command(short_help="The exact bytes that leave, or would.")
@click.option("--limit", "-n", default=20, show_default=True, type=click.IntRange(1), help="How many events.")
@click.option(
    "--explain", type=click.File("rb"), help="A recorded hook payload or transcript line (- is standard input)."
)
def audit(**options: Any) -> None:
    """Print the exact bytes that leave, or would leave, for the events that were recorded last.

    With --explain, show for one recorded payload which inputs became which outputs; all others are discarded.
    """
    run("audit", "audit", **options)


@main.command(short_help="What is loaded, and from where.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def plugins(**options: Any) -> None:
    """What is loaded, from where, and which hooks it has. Exits 1 when something could not be loaded."""
    run("plugins", "plugins", **options)


@main.command(short_help="Pass many machines' events to many watchers.")
@click.option("--host", metavar="ADDRESS", help="Where to listen.  [default: 127.0.0.1, this machine only]")
@click.option("--port", type=click.IntRange(0, 65535), help="PORT. 0 takes any that is free.  [default: 8080]")
@click.option(
    "--keys-file",
    type=click.Path(dir_okay=False),
    help="VIBETEA_KEYS_FILE. Who may send, `source:key` a line; two keys of a source while it changes. Read again"
    " whenever it changes, so a line taken out is a key revoked.",
)
@click.option(
    "--state",
    type=click.Path(file_okay=False),
    help="VIBETEA_RELAY_STATE. The folder of relay.db.  [default: VIBETEA_HOME]",
)
@click.option(
    "--public-url",
    metavar="URL",
    help="VIBETEA_PUBLIC_URL. The address senders use, as their VIBETEA_SERVER_URL says it.",
)
@click.option(
    "--require-fresh", is_flag=True, help="Refuse requests without the signed header that makes a replay useless."
)
@click.option("--tls-certificate", type=click.Path(dir_okay=False), help="Speak TLS: the certificate chain, PEM.")
@click.option("--tls-key", type=click.Path(dir_okay=False), help="Its private key, PEM.")
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    metavar="NETWORK",
    multiple=True,
    help="An address or network whose X-Forwarded-For is believed. Repeatable.",
)
@click.option(
    "--allow-origin",
    "allowed_origins",
    metavar="ORIGIN",
    multiple=True,
    help="A web page's origin that may watch. Repeatable.",
)
@click.option("--unsafe-no-auth", is_flag=True, help="VIBETEA_UNSAFE_NO_AUTH=true. Let anyone send and watch.")
def relay(**options: Any) -> None:
    """Take signed events from many machines and pass them on to many watchers.

    Who may send stands in VIBETEA_PUBLIC_KEYS (source:key,source:key) or in a keys file; `vibetea init` prints a
    machine's line. Who may watch knows VIBETEA_SUBSCRIBER_TOKEN, or one of VIBETEA_SUBSCRIBER_TOKENS
    (name:token,name:token). Without both the relay does not start.

    \b
        export VIBETEA_PUBLIC_KEYS="$(vibetea init)"
        export VIBETEA_SUBSCRIBER_TOKEN="$(openssl rand -hex 32)"
        vibetea relay

    Then, on every machine, set VIBETEA_SERVER_URL=http://127.0.0.1:8080 for its daemon. An option wins over its
    variable. Beyond this machine let the relay speak TLS, or a proxy before it. Several relays share the NATS
    stream of VIBETEA_NATS_URL.
    """
    run("relay", "relay", **options)
