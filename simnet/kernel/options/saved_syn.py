"""TCP_SAVED_SYN: the head of the SYN that made a connection, kept for one reading if its listener had TCP_SAVE_SYN set.

It is composed when it is read, from what is known of the connection. The sequence number is the one with which all connections
begin here, and the clock of its timestamp is at 0.
"""

from __future__ import annotations

import struct
from errno import EINVAL
from ipaddress import ip_address
from typing import Any, Final

from simnet.kernel.errors import socket_error
from simnet.kernel.options.idle import TCP_SAVE_SYN
from simnet.kernel.options.tcp_info import PEER_SCALE, SCALE
from simnet.kernel.options.values import IPPROTO_TCP
from simnet.kernel.segment import SYN
from simnet.kernel.tcp.control import ISN

SAVE: Final = (IPPROTO_TCP, TCP_SAVE_SYN)
KEPT: Final = (IPPROTO_TCP, -TCP_SAVE_SYN)  # what SAVE was when the SYN came, once it is another; 0: it was read

WITH_LINK: Final = 2  # of SAVE: the header of the link too
LINK_ADDRESSES: Final = bytes(12)
DONT_FRAGMENT: Final = 0x4000
TTL: Final = 64
WORDS: Final = 10  # of the TCP header, options included
MSS: Final = {4: 65495, 6: 65476}  # over loopback, and so long is the window of a SYN


def keep_before(socket: Any) -> None:
    """TCP_SAVE_SYN of *socket* is about to be set: what was saved is saved."""
    if socket.origin == "server":
        if socket.options is None:
            socket.options = {}
        socket.options.setdefault(KEPT, socket.options.get(SAVE, 0))


def saved_syn(socket: Any, buflen: int) -> bytes:
    """The head of the SYN, once; nothing if there is none.

    Raises:
        OSError: EINVAL, it is longer than *buflen*, and stays to be read.
    """
    options = socket.options or {}
    how = options.get(KEPT, options.get(SAVE, 0)) if socket.origin == "server" and socket.peer else 0
    if not how:
        return b""
    head = _head(socket.peer, socket.local, socket.peer_mss, options.get(PEER_SCALE, SCALE))
    if how == WITH_LINK:
        head = LINK_ADDRESSES + (b"\x08\x00" if head[0] >> 4 == 4 else b"\x86\xdd") + head
    if buflen < len(head):
        raise socket_error(EINVAL)
    options[KEPT] = 0
    return head


def _head(source: tuple[str, int], target: tuple[str, int], mss: int, scale: int) -> bytes:
    here, there = ip_address(source[0]), ip_address(target[0])
    length = WORDS * 4
    largest = MSS[here.version]
    options = struct.pack("!BBHBBBBIIBBBB", 2, 4, mss or largest, 4, 2, 8, 10, 0, 0, 1, 3, 3, scale)
    ports = struct.pack("!HH", source[1], target[1])
    # What a link without errors carries is not summed up, but for the addresses.
    pseudo = here.packed + there.packed + struct.pack("!HH", IPPROTO_TCP, length)
    flags = struct.pack("!BBHHH", WORDS << 4, SYN, largest, _sum(pseudo), 0)
    tcp = ports + struct.pack("!II", ISN, 0) + flags + options
    if here.version == 6:
        return struct.pack("!IHBB", 6 << 28, length, IPPROTO_TCP, TTL) + here.packed + there.packed + tcp
    first = struct.pack("!BBHHHBB", 0x45, 0, 20 + length, 0, DONT_FRAGMENT, TTL, IPPROTO_TCP)
    check = struct.pack("!H", 0xFFFF ^ _sum(first + here.packed + there.packed))
    return first + check + here.packed + there.packed + tcp


def _sum(data: bytes) -> int:
    """The Internet checksum's sum of *data* (RFC 1071)."""
    total = sum(word for (word,) in struct.iter_unpack("!H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return int(total)
