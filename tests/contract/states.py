"""A socket in each of its states, and the calls one can make on it: the rows and columns of the tables.

A state is a function of a world that returns the socket; what it needs besides is kept by the world. A call is a
function of the world and the socket whose outcome is written in words.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from simnet.conform.words import outcome
from tests.contract.worlds import World

State = Callable[[World], Any]
Call = Callable[[World, Any], Any]

TCP: dict[str, State] = {}
UDP: dict[str, State] = {}
UNIX: dict[str, State] = {}


def _in(table: dict[str, State]) -> Callable[[State], State]:
    def add(fn: State) -> State:
        table[fn.__name__.removeprefix("tcp_").removeprefix("udp_").removeprefix("unix_")] = fn
        return fn

    return add


# --- TCP -----------------------------------------------------------------------------------------------------------


@_in(TCP)
def tcp_fresh(world: World) -> Any:
    return world.socket()


@_in(TCP)
def tcp_bound(world: World) -> Any:
    sock = world.socket()
    sock.bind((world.ip, 0))
    return sock


@_in(TCP)
def tcp_listening(world: World) -> Any:
    return world.listener()


@_in(TCP)
def tcp_listening_pending(world: World) -> Any:
    listener = world.listener()
    world.client(listener)
    world.readable(listener)
    return listener


@_in(TCP)
def tcp_refused(world: World) -> Any:
    return world.refused()


@_in(TCP)
def tcp_refused_read(world: World) -> Any:
    sock = world.refused()
    world.error(sock)
    return sock


@_in(TCP)
def tcp_conn(world: World) -> Any:
    return world.pair()[0]


@_in(TCP)
def tcp_conn_new(world: World) -> Any:
    """Connected, not accepted by anybody."""
    return world.client(world.listener())


@_in(TCP)
def tcp_conn_data(world: World) -> Any:
    client, server = world.pair()
    server.send(b"hello")
    world.ready(client, "IN|OUT")
    return client


@_in(TCP)
def tcp_conn_full(world: World) -> Any:
    return world.full_pair()[0]


@_in(TCP)
def tcp_peer_shutwr(world: World) -> Any:
    client, server = world.pair()
    server.shutdown(socket.SHUT_WR)
    world.ready(client, "IN|OUT|RDHUP")
    return client


@_in(TCP)
def tcp_peer_shutrd(world: World) -> Any:
    client, server = world.pair()
    server.shutdown(socket.SHUT_RD)
    return client


@_in(TCP)
def tcp_peer_fin_data(world: World) -> Any:
    client, server = world.pair()
    server.send(b"hello")
    server.close()
    world.ready(client, "IN|OUT|RDHUP")
    return client


@_in(TCP)
def tcp_peer_closed(world: World) -> Any:
    client, server = world.pair()
    server.close()
    world.ready(client, "IN|OUT|RDHUP")
    return client


@_in(TCP)
def tcp_peer_closed_unread(world: World) -> Any:
    client, server = world.pair()
    client.send(b"unread")
    world.readable(server)
    server.close()
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    return client


@_in(TCP)
def tcp_peer_closed_unread_data(world: World) -> Any:
    client, server = world.pair()
    client.send(b"unread")
    world.readable(server)
    server.send(b"hello")
    world.readable(client)
    server.close()
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    return client


@_in(TCP)
def tcp_peer_closed_sent(world: World) -> Any:
    """The peer closed, and then we sent."""
    sock = tcp_peer_closed(world)
    sock.send(b"x")
    world.ready(sock, "IN|OUT|RDHUP|ERR|HUP")
    return sock


@_in(TCP)
def tcp_self_shutwr(world: World) -> Any:
    sock = tcp_conn(world)
    sock.shutdown(socket.SHUT_WR)
    return sock


@_in(TCP)
def tcp_self_shutrd(world: World) -> Any:
    sock = tcp_conn(world)
    sock.shutdown(socket.SHUT_RD)
    return sock


@_in(TCP)
def tcp_self_shutrdwr(world: World) -> Any:
    sock = tcp_conn(world)
    sock.shutdown(socket.SHUT_RDWR)
    return sock


@_in(TCP)
def tcp_both_shut(world: World) -> Any:
    client, server = world.pair()
    client.shutdown(socket.SHUT_WR)
    world.ready(server, "IN|OUT|RDHUP")
    server.shutdown(socket.SHUT_WR)
    world.ready(client, "IN|OUT|RDHUP|HUP")
    return client


@_in(TCP)
def tcp_both_shut_c_first(world: World) -> Any:
    client, server = world.pair()
    server.shutdown(socket.SHUT_WR)
    world.ready(client, "IN|OUT|RDHUP")
    client.shutdown(socket.SHUT_WR)
    world.ready(server, "IN|OUT|RDHUP|HUP")
    return client


@_in(TCP)
def tcp_peer_rst(world: World) -> Any:
    client, server = world.pair()
    world.reset(server)
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    return client


@_in(TCP)
def tcp_peer_rst_data(world: World) -> Any:
    client, server = world.pair()
    server.send(b"hello")
    world.readable(client)
    world.reset(server)
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    return client


@_in(TCP)
def tcp_peer_rst_read(world: World) -> Any:
    sock = tcp_peer_rst(world)
    world.error(sock)
    return sock


@_in(TCP)
def tcp_peer_fin_then_rst(world: World) -> Any:
    client, server = world.pair()
    server.shutdown(socket.SHUT_WR)
    world.ready(client, "IN|OUT|RDHUP")
    world.reset(server)
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    return client


@_in(TCP)
def tcp_oob(world: World) -> Any:
    client, server = world.pair()
    server.send(b"!", socket.MSG_OOB)
    world.ready(client, "PRI|OUT")
    return client


@_in(TCP)
def tcp_oob_mid(world: World) -> Any:
    client, server = world.pair()
    server.send(b"ab")
    server.send(b"!", socket.MSG_OOB)
    server.send(b"cd")
    world.ready(client, "IN|PRI|OUT")
    world.pause()
    return client


@_in(TCP)
def tcp_closed(world: World) -> Any:
    sock = world.socket()
    sock.close()
    return sock


# --- UDP -----------------------------------------------------------------------------------------------------------


def _datagram(world: World, bind: bool = True) -> Any:
    sock = world.socket(kind=socket.SOCK_DGRAM)
    if bind:
        sock.bind((world.ip, 0))
    return sock


def _connected_datagram(world: World) -> tuple[Any, Any]:
    sock, peer = _datagram(world), _datagram(world)
    sock.connect(peer.getsockname())
    return sock, peer


@_in(UDP)
def udp_fresh(world: World) -> Any:
    return _datagram(world, bind=False)


@_in(UDP)
def udp_bound(world: World) -> Any:
    return _datagram(world)


@_in(UDP)
def udp_conn(world: World) -> Any:
    return _connected_datagram(world)[0]


@_in(UDP)
def udp_conn_data(world: World) -> Any:
    """Two datagrams wait: five bytes, and none."""
    sock, peer = _connected_datagram(world)
    peer.sendto(b"hello", sock.getsockname())
    peer.sendto(b"", sock.getsockname())
    world.ready(sock, "IN|OUT")
    world.pause()
    return sock


@_in(UDP)
def udp_conn_refused(world: World) -> Any:
    sock, peer = _connected_datagram(world)
    peer.close()
    sock.send(b"x")
    world.ready(sock, "OUT|ERR")
    return sock


@_in(UDP)
def udp_refused_data(world: World) -> Any:
    sock, peer = _connected_datagram(world)
    peer.sendto(b"hello", sock.getsockname())
    world.readable(sock)
    peer.close()
    sock.send(b"x")
    world.ready(sock, "IN|OUT|ERR")
    return sock


@_in(UDP)
def udp_unconn_refused(world: World) -> Any:
    sock = _datagram(world, bind=False)
    sock.sendto(b"x", (world.ip, world.dead_port()))
    world.pause()
    return sock


@_in(UDP)
def udp_shut_rd(world: World) -> Any:
    sock = udp_conn(world)
    sock.shutdown(socket.SHUT_RD)
    return sock


@_in(UDP)
def udp_shut_wr(world: World) -> Any:
    sock = udp_conn(world)
    sock.shutdown(socket.SHUT_WR)
    return sock


# --- Unix streams --------------------------------------------------------------------------------------------------


def unix_pair(world: World) -> tuple[Any, Any]:
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
        world.keep(end)
    return ends


@_in(UNIX)
def unix_fresh(world: World) -> Any:
    return world.socket(socket.AF_UNIX)


@_in(UNIX)
def unix_idle(world: World) -> Any:
    return unix_pair(world)[0]


@_in(UNIX)
def unix_data(world: World) -> Any:
    sock, peer = unix_pair(world)
    peer.send(b"hello")
    return sock


@_in(UNIX)
def unix_full(world: World) -> Any:
    sock, _ = unix_pair(world)
    while outcome(lambda: sock.send(b"x" * 4096)) != "EAGAIN":
        pass
    return sock


@_in(UNIX)
def unix_peer_closed(world: World) -> Any:
    sock, peer = unix_pair(world)
    peer.close()
    return sock


@_in(UNIX)
def unix_peer_closed_data(world: World) -> Any:
    sock, peer = unix_pair(world)
    peer.send(b"hello")
    peer.close()
    return sock


@_in(UNIX)
def unix_peer_closed_unread(world: World) -> Any:
    sock, peer = unix_pair(world)
    sock.send(b"unread")
    peer.close()
    return sock


@_in(UNIX)
def unix_peer_closed_unread_data(world: World) -> Any:
    sock, peer = unix_pair(world)
    sock.send(b"unread")
    peer.send(b"hello")
    peer.close()
    return sock


@_in(UNIX)
def unix_peer_shutwr(world: World) -> Any:
    sock, peer = unix_pair(world)
    peer.shutdown(socket.SHUT_WR)
    return sock


@_in(UNIX)
def unix_peer_shutrd(world: World) -> Any:
    sock, peer = unix_pair(world)
    peer.shutdown(socket.SHUT_RD)
    return sock


@_in(UNIX)
def unix_peer_shutrdwr(world: World) -> Any:
    sock, peer = unix_pair(world)
    peer.shutdown(socket.SHUT_RDWR)
    return sock


@_in(UNIX)
def unix_self_shutwr(world: World) -> Any:
    sock = unix_idle(world)
    sock.shutdown(socket.SHUT_WR)
    return sock


@_in(UNIX)
def unix_self_shutrd(world: World) -> Any:
    sock = unix_idle(world)
    sock.shutdown(socket.SHUT_RD)
    return sock


@_in(UNIX)
def unix_self_shutrdwr(world: World) -> Any:
    sock = unix_idle(world)
    sock.shutdown(socket.SHUT_RDWR)
    return sock


@_in(UNIX)
def unix_listening(world: World) -> Any:
    sock = world.socket(socket.AF_UNIX)
    sock.bind(world.abstract("listening"))
    sock.listen(1)
    return sock


# --- calls ---------------------------------------------------------------------------------------------------------


def _recv_into(world: World, sock: Any) -> Any:
    buffer = bytearray(100)
    count = sock.recv_into(buffer)
    return count, bytes(buffer[:count])


def _recv_trunc(world: World, sock: Any) -> Any:
    data = sock.recv(100, socket.MSG_TRUNC)
    return f"{len(data)} bytes" if sock.type == socket.SOCK_STREAM and sock.family != socket.AF_UNIX and data else data


def _connect(world: World, sock: Any, port: int) -> Any:
    return sock.connect((world.ip, port))


CALLS: dict[str, Call] = {
    "recv": lambda world, sock: sock.recv(100),
    "recv0": lambda world, sock: sock.recv(0),
    "recv2": lambda world, sock: sock.recv(2),
    "peek": lambda world, sock: sock.recv(100, socket.MSG_PEEK),
    "recv_oob": lambda world, sock: sock.recv(1, socket.MSG_OOB),
    "recv_into": _recv_into,
    "recvfrom": lambda world, sock: sock.recvfrom(100),
    "recvmsg2": lambda world, sock: sock.recvmsg(2),
    "recv_trunc": _recv_trunc,
    "recv_waitall": lambda world, sock: sock.recv(100, socket.MSG_WAITALL),
    "send": lambda world, sock: sock.send(b"x"),
    "send0": lambda world, sock: sock.send(b""),
    "send_oob": lambda world, sock: sock.send(b"x", socket.MSG_OOB),
    "sendto": lambda world, sock: sock.sendto(b"x", (world.ip, 9)),
    "sendmsg": lambda world, sock: sock.sendmsg([b"ab", b"c"]),
    "shut_rd": lambda world, sock: sock.shutdown(socket.SHUT_RD),
    "shut_wr": lambda world, sock: sock.shutdown(socket.SHUT_WR),
    "shut_rdwr": lambda world, sock: sock.shutdown(socket.SHUT_RDWR),
    "getpeername": lambda world, sock: sock.getpeername(),
    "getsockname": lambda world, sock: sock.getsockname(),
    "connect_dead": lambda world, sock: _connect(world, sock, world.dead_port()),
    "connect_live": lambda world, sock: sock.connect(world.listener().getsockname()),
    "connect_udp": lambda world, sock: _connect(world, sock, 9),
    "listen": lambda world, sock: sock.listen(5),
    "accept": lambda world, sock: world.keep(sock.accept()[0]) and "a connection",
    "bind": lambda world, sock: sock.bind((world.ip, 0)),
    "so_error": lambda world, sock: world.error(sock),
    "acceptconn": lambda world, sock: sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN),
    "fionread": lambda world, sock: world.ioctl(sock, "FIONREAD"),
    "siocoutq": lambda world, sock: world.ioctl(sock, "SIOCOUTQ"),
    "atmark": lambda world, sock: world.ioctl(sock, "SIOCATMARK"),
}

_EVERYWHERE = [
    "recv",
    "recv0",
    "recv2",
    "peek",
    "recv_oob",
    "recv_into",
    "recvfrom",
    "recvmsg2",
    "recv_trunc",
    "recv_waitall",
    "send",
    "send0",
    "send_oob",
    "sendmsg",
    "shut_rd",
    "shut_wr",
    "shut_rdwr",
    "getpeername",
    "getsockname",
    "listen",
    "accept",
    "so_error",
    "fionread",
]

TABLES: dict[str, tuple[dict[str, State], list[str]]] = {
    "tcp": (TCP, [*_EVERYWHERE, "sendto", "connect_dead", "connect_live", "bind", "acceptconn", "siocoutq", "atmark"]),
    "udp": (UDP, [*_EVERYWHERE, "sendto", "connect_udp", "bind"]),
    "unix": (UNIX, _EVERYWHERE),
}
# SIOCOUTQ is a difference of sequence numbers, which a socket without a connection keeps from its last one, and which
# counts a FIN until the peer has acknowledged it, at its leisure.
LEFT_OUT: dict[tuple[str, str], frozenset[str]] = {
    ("tcp", "siocoutq"): frozenset(TCP) - {"fresh", "listening", "conn", "conn_data", "peer_shutrd", "closed"},
    ("unix", "siocoutq"): frozenset(UNIX),
}
