"""What dispatch asks for is satisfied by a kernel's socket, a TLS socket and a simulated one, by shape alone."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence

import dispatch
import simnet
from dispatch import interfaces
from dispatch.kernel import KERNEL
from dispatch.observers import Observer
from dispatch.pollers import epoll, kqueue, poll, select
from simnet.observe import Watcher
from simnet.realnet.socket import RealSocket


def a_socket(
    kernels: socket.socket, tls: ssl.SSLSocket, simulated: simnet.Socket, real: RealSocket
) -> Sequence[interfaces.Socket]:
    """Each can carry a channel."""
    return [kernels, tls, simulated, real]


def a_socket_is_a_socket(simulated: simnet.Socket, real: RealSocket) -> Sequence[socket.socket]:
    """Programs that ask for ``socket.socket`` may be handed ours."""
    return [simulated, real]


def a_poller(
    by_epoll: epoll.EpollPoller,
    by_poll: poll.PollPoller,
    by_select: select.SelectPoller,
    by_kqueue: kqueue.KqueuePoller,
) -> Sequence[interfaces.Poller]:
    """Four verbs over each backend."""
    return [by_epoll, by_poll, by_select, by_kqueue]


def a_network() -> interfaces.Network:
    """What a loop runs on by itself."""
    return KERNEL


def an_observer(watcher: Watcher) -> Observer:
    """What simnet listens with has the shape that dispatch tells."""
    return watcher


def a_loop_takes_them(network: interfaces.Network, poller: interfaces.Poller) -> dispatch.Loop:
    """Both by hand, or a poller by name."""
    dispatch.Loop(network, "epoll")
    return dispatch.Loop(network, poller)
