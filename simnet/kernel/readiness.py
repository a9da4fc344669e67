"""What poll can report about a file, as bits, and which bits each kind of news may set."""

from functools import lru_cache
from typing import Final

# Numbers of <poll.h>; epoll has the same ones (K-001, K-007).
IN: Final = 0x1
PRI: Final = 0x2
OUT: Final = 0x4
ERR: Final = 0x8
HUP: Final = 0x10
NVAL: Final = 0x20
RDNORM: Final = 0x40
RDBAND: Final = 0x80
WRNORM: Final = 0x100
WRBAND: Final = 0x200
RDHUP: Final = 0x2000

READABLE: Final = IN | RDNORM
WRITABLE: Final = OUT | WRNORM  # what TCP reports
READABLE_AND_WRITABLE: Final = READABLE | WRITABLE
WRITABLE_BAND: Final = OUT | WRNORM | WRBAND  # what UDP and Unix sockets report
ALWAYS: Final = ERR | HUP  # reported unasked

# What a wake-up may be about, by cause, as the keys Linux passes to a wait queue.
DATA_NEWS: Final = IN | PRI | RDNORM | RDBAND
SPACE_NEWS: Final = OUT | WRNORM | WRBAND
ERROR_NEWS: Final = ERR
ANY_NEWS: Final = IN | PRI | OUT | ERR | HUP | RDNORM | RDBAND | WRNORM | WRBAND | RDHUP  # a change of state

_NAMES: Final = (
    (IN, "IN"), (PRI, "PRI"), (OUT, "OUT"), (RDHUP, "RDHUP"), (ERR, "ERR"), (HUP, "HUP"), (NVAL, "NVAL"),
)  # fmt: skip


@lru_cache(maxsize=256)  # every line of a trace that is about a poll asks
def describe(mask: int) -> str:
    """``IN|OUT`` for a mask; ``0`` for none. RDNORM, WRNORM and WRBAND go with IN and OUT and are left out."""
    return "|".join(name for bit, name in _NAMES if mask & bit) or "0"
