"""What long-running commands write to standard error."""

import logging
import sys
import threading
import time
import warnings

log = logging.getLogger(__name__)


def log_to_stderr() -> None:
    """Lines of time, level, module and a fixed text; no content is ever given to a logger."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)sZ %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    # what watchdog complains of names paths, and the rescan mends it
    logging.getLogger("watchdog").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"watchdog\.")
    threading.excepthook = lambda failed: log.error("a thread failed: %s", failed.exc_type.__name__)
