"""A Supabase project on this machine until Ctrl-C, without Docker: `python -m tests.supabase.serve SOURCE:KEY …`.

The arguments are the lines that `vibetea init` prints, of the machines it is to know. At its end all it held is gone.
"""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.supabase.stack import running

from vibetea_relay.errors import RelayConfigError
from vibetea_relay.keys import parse_variable


def serve(lines: Sequence[str]) -> None:
    """Say where it is, in lines for a shell.

    Raises KeyboardInterrupt at the end, RelayConfigError if a line is none of a machine.
    """
    if not parse_variable(",".join(lines)):
        raise RelayConfigError('no machine is named: python -m tests.supabase.serve "$(vibetea init)"')
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        TemporaryDirectory(prefix="vt-") as root,
        running(Path(root), VIBETEA_PUBLIC_KEYS=None) as stack,
    ):
        for line in lines:
            stack.query("insert into vibetea.source_keys(source, public_key) values (%s, %s)", *line.split(":"))
        sys.stdout.write(
            f"export VIBETEA_SUPABASE_URL={stack.functions}\n"
            f"export VIBETEA_SUBSCRIBER_TOKEN={stack.token}\n"
            f"psql {stack.database_url}\n"
        )
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    try:
        serve(sys.argv[1:])
    except RelayConfigError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit()
