"""What a UDP datagram costs the socket that queues it, or that collects it before it is sent."""

from __future__ import annotations

from typing import Final, NamedTuple

from simnet.kernel.segment import PLAIN, Datagram, Endpoint, Marks

HEADERS_V4, HEADERS_V6 = 59, 72  # of UDP and IP, and the room that is kept for a link's
SMALL_HEAD, SMALL_MEMORY = 256, 832  # bytes that a small sk_buff holds, and what it costs
SHARED_INFO: Final = 320  # struct skb_shared_info
SKB: Final = 256  # struct sk_buff
HEAD_MIN: Final = 1024  # of those that are not small
PAGE: Final = 4096  # memory is lent to a socket by the page
HEAD_MAX: Final = 4 * PAGE - SHARED_INFO  # SKB_MAX_ALLOC
IN_HEAD_V4, IN_HEAD_V6 = 44, 64  # bytes before the payload in its buffer


class Corked(NamedTuple):
    """A datagram that is not sent yet: what there is of it, for whom, as what, the memory it takes, and how long it may be."""

    payload: bytes
    target: Endpoint
    marks: Marks | None
    source: str | None
    memory: int
    rule: bool  # see length_rule


def memory_of(length: int, six: bool, options: int = 0) -> int:
    """What a queued datagram of *length* bytes over IPv4, with *options* bytes of IP options, or *six*, costs its socket.

    A struct sk_buff, and the power of two that holds data, headers and shared info; a small one of its own kind, or one
    with pages besides for what is longer. Measured for every length through SO_MEMINFO, and by counting (K-088: 19
    datagrams of 100 bytes fit 16,384).
    """
    head = length + options + (HEADERS_V6 if six else HEADERS_V4)
    if head <= SMALL_HEAD:
        return SMALL_MEMORY
    if head >= HEAD_MAX:
        return SMALL_MEMORY + length
    return int(SKB + max(HEAD_MIN, 1 << (head + SHARED_INFO - 1).bit_length()))


def memory_taken(datagram: Datagram) -> int:
    """What *datagram* costs a socket that queues it."""
    marks, length, six = datagram.marks, len(datagram.payload), ":" in datagram.source[0]
    if marks is None:
        return memory_of(length, six)
    return marks.memory or memory_of(length - marks.pages, six, len(marks.options)) + marks.pages


def condensed(datagram: Datagram) -> Datagram:
    """*datagram* as it is put into a queue that is more than half full: without pages, if the rest of its head has room."""
    marks, six = datagram.marks or PLAIN, ":" in datagram.source[0]
    first = len(datagram.payload) - marks.pages
    head = memory_of(first, six, len(marks.options))
    used = first + len(marks.options) + (IN_HEAD_V6 if six else IN_HEAD_V4)
    if first >= HEAD_MAX - HEADERS_V6 or used + marks.pages > head - SKB - SHARED_INFO:
        return datagram
    marks = marks._replace(pages=0, memory=head)
    return Datagram(datagram.source, datagram.target, datagram.payload, datagram.sender, marks)
