"""What a UDP datagram costs the socket that queues it, or that collects it before it is sent."""

from __future__ import annotations

from typing import Final

HEADERS_V4, HEADERS_V6 = 59, 72  # of UDP and IP, and the room that is kept for a link's
SMALL_HEAD, SMALL_MEMORY = 256, 832  # bytes that a small sk_buff holds, and what it costs
SHARED_INFO: Final = 320  # struct skb_shared_info
HEAD_MAX: Final = 16064  # SKB_MAX_ALLOC


def memory_of(length: int, six: bool) -> int:
    """What a queued datagram of *length* bytes over IPv4, or *six*, costs its socket.

    A struct sk_buff, and the power of two that holds data, headers and shared info; a small one of its own kind, or one
    with pages besides for what is longer. Measured for every length through SO_MEMINFO, and by counting (K-088: 19
    datagrams of 100 bytes fit 16,384).
    """
    head = length + (HEADERS_V6 if six else HEADERS_V4)
    if head <= SMALL_HEAD:
        return SMALL_MEMORY
    if head >= HEAD_MAX:
        return SMALL_MEMORY + length
    return int(256 + max(1024, 1 << (head + SHARED_INFO - 1).bit_length()))
