"""The frame a hook sends: version, time stamp, length, raw payload. `hooks/vibetea_hooks/emit.py` writes it."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vibetea_daemon.acts import Act, BadInput
from vibetea_daemon.hookspecs import Normaliser

log = logging.getLogger(__name__)

VERSION: Final = 1
HEADER_BYTES: Final = 13
MAX_PAYLOAD: Final = 16 * 1024 * 1024
ACKNOWLEDGED: Final = b"\x06"


@dataclass(slots=True, frozen=True)
class Frame:
    """One hook payload; `stamp` is the hook's start in nanoseconds since the epoch."""

    stamp: int
    payload: bytes


def frame_bytes(buffer: bytes | bytearray) -> int | None:
    """How long the frame at the start of the buffer is, or None while its header is not all there.

    Raises BadInput: `hook_version`, `hook_oversize`.
    """
    if buffer and buffer[0] != VERSION:
        raise BadInput("hook_version")
    if len(buffer) < HEADER_BYTES:
        return None
    length = int.from_bytes(buffer[9:13], "big")
    if length > MAX_PAYLOAD:
        raise BadInput("hook_oversize")
    return HEADER_BYTES + length


def parse(raw: bytes | bytearray) -> Frame:
    """The frame in exactly these bytes. Raises BadInput: `hook_truncated`, or `hook_oversize` for an empty one."""
    length = frame_bytes(raw)
    if length is None or length != len(raw):
        raise BadInput("hook_truncated")
    if length == HEADER_BYTES:  # the hook's word for a payload too big to send
        raise BadInput("hook_oversize")
    return Frame(int.from_bytes(raw[1:9], "big"), bytes(raw[HEADER_BYTES:]))


def acts_of(raw: bytes | bytearray, normaliser: Normaliser) -> tuple[Sequence[Act], Counter[str]]:
    """The acts of one frame, and why there are none if it is bad: bad input is counted, not tried again."""
    try:
        frame = parse(raw)
        acts = normaliser.vibetea_frame_acts(stamp=frame.stamp, payload=frame.payload)
    except BadInput as bad:
        return (), Counter([f"hook_{bad.reason.removeprefix('hook_')}"])
    except Exception as error:  # noqa: BLE001  a plugin's fault must cost this frame only
        log.error("a normaliser failed on a hook: %s", type(error).__name__)
        return (), Counter(["hook_normaliser_failed"])
    return (acts, Counter()) if acts is not None else ((), Counter(["hook_unclaimed"]))
