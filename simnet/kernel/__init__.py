"""One host's stack: knows no clock, no loop, no other host; a segment in, segments out."""

from simnet.kernel.clocks import Clock
from simnet.kernel.datagrams.udp import UdpSocket
from simnet.kernel.descriptors import Descriptors, File, Watcher
from simnet.kernel.epoll import Epoll
from simnet.kernel.errors import NotModelled, not_modelled, socket_error
from simnet.kernel.segment import Datagram, Icmp, Notice, Packet, Segment
from simnet.kernel.stack import Stack
from simnet.kernel.tcp.sockets import TcpSocket
from simnet.kernel.unix.sockets import UnixSocket

__all__ = [
    "Clock",
    "Datagram",
    "Descriptors",
    "Epoll",
    "File",
    "Icmp",
    "NotModelled",
    "Notice",
    "Packet",
    "Segment",
    "Stack",
    "TcpSocket",
    "UdpSocket",
    "UnixSocket",
    "Watcher",
    "not_modelled",
    "socket_error",
]
