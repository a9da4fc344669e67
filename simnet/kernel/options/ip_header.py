"""The options of an IPv4 header: which may be there, and how they travel. None that a router writes into is modelled."""

from __future__ import annotations

from errno import EINVAL
from typing import Final

from simnet.kernel.errors import not_modelled, socket_error

OPTIONS_MAX: Final = 40  # bytes that a header has room for
END: Final = 0
NO_OPERATION: Final = 1
ROUTER_ALERT: Final = 148
WRITTEN_INTO: Final = (7, 68, 131, 134, 137)  # record route, timestamp, loose and strict routes, CIPSO


def compiled(value: bytes, privileged: bool) -> bytes:
    """*value* as a header carries it: in whole words, with zeros from its end on (ip_options_compile).

    Raises:
        OSError: EINVAL, too long, or one of them is longer than there are bytes, or only for who is *privileged*.
        NotModelled: one that says, or is told, which way the packet goes.
    """
    if len(value) > OPTIONS_MAX:
        raise socket_error(EINVAL)
    padded = value.ljust(-(-len(value) // 4) * 4, b"\0")
    place = 0
    while place < len(padded) and padded[place] != END:
        if padded[place] == NO_OPERATION:
            place += 1
            continue
        length = padded[place + 1] if place + 1 < len(padded) else 0
        if not 2 <= length <= len(padded) - place:
            raise socket_error(EINVAL)
        if padded[place] in WRITTEN_INTO:
            not_modelled(f"IP option {padded[place]}")
        if padded[place] != ROUTER_ALERT and not privileged:
            raise socket_error(EINVAL)
        place += length
    return padded[:place].ljust(len(padded), b"\0")
