"""UDP_ENCAP: a UDP socket for packets of another protocol, which the kernel takes out of datagrams before anybody reads them.

Nobody has told this kernel what to do with such a packet: it is gone.
"""

from __future__ import annotations

from typing import Any, Final

from simnet.kernel.options.rare import UDP_ENCAP
from simnet.kernel.options.values import IPPROTO_UDP, Key

WRAPS: Final = (IPPROTO_UDP, UDP_ENCAP)
ESP: Final = 2  # UDP_ENCAP_ESPINUDP
ESP_HEADER: Final = 8
NO_ESP: Final = bytes(4)  # RFC 3948, 2.2: what begins like this is of IKE, and for the program
KEEPALIVE: Final = b"\xff"


def hears_no_errors(options: dict[Key, Any] | None) -> bool:
    """An ICMP error about what it sent is for whom the packets are, which is nobody: ``__udp4_lib_err``."""
    return options is not None and bool(options.get(WRAPS))


def is_taken_out(options: dict[Key, Any], payload: bytes) -> bool:
    """Is it a packet of IPsec, or what keeps its way open, to a socket that is for those: ``xfrm4_udp_encap_rcv``?"""
    if options.get(WRAPS) != ESP:
        return False
    return payload == KEEPALIVE or (len(payload) > ESP_HEADER and not payload.startswith(NO_ESP))
