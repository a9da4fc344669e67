"""Unix seqpacket sockets: connections as streams have, on which whole records travel."""

from __future__ import annotations

from simnet.kernel.unix.datagrams import UnixDatagram
from simnet.kernel.unix.tampering import TamperableUnix


class UnixRecords(TamperableUnix, UnixDatagram):
    """SOCK_SEQPACKET. Of what faults may do it knows the ends: a reset, a peer that has left; its records are never cut."""

    __slots__ = ()
