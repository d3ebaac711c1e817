"""Quarter hours since the epoch, in which activity is counted: exact in every time zone there is."""

from typing import Final

SLOT_SECONDS: Final = 900
SLOTS_A_DAY: Final = 86_400 // SLOT_SECONDS
