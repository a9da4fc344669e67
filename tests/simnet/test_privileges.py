"""Who may administer a simulated network: everybody, as far as that has no effect, unless the test denies it to a host."""

from __future__ import annotations

import socket
from typing import Any

import pytest

import simnet
from simnet.conform.words import outcome

SOL = socket.SOL_SOCKET
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33  # linux/asm-generic/socket.h; the module has no names for them
MARK, DEBUG, PRIORITY = (SOL, socket.SO_MARK), (SOL, socket.SO_DEBUG), (SOL, socket.SO_PRIORITY)


def accepted(sock: Any) -> list[Any]:
    """What becomes of the options that take a privilege, and have no effect."""
    return [outcome(lambda: sock.setsockopt(*option, 7)) for option in (MARK, DEBUG, PRIORITY)]  # noqa: B023 - called at once


def test_a_program_is_root_as_far_as_that_has_no_effect_and_binds_any_port() -> None:
    with simnet.Network():
        with socket.socket() as sock:
            assert accepted(sock) == [None, None, None]
            assert sock.getsockopt(*MARK) == 7
            sock.setsockopt(SOL, socket.SO_BINDTODEVICE, b"lo")
            sock.setsockopt(SOL, socket.SO_BINDTODEVICE, b"")
            sock.bind(("127.0.0.1", 80))
        for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM):
            with pytest.raises(PermissionError):
                socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP)
        with pytest.raises(PermissionError):
            socket.sethostname("other")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_its_buffers_may_be_as_large_as_it_likes(kind: int) -> None:
    with simnet.Network() as net, socket.socket(type=kind) as sock:
        sock.setsockopt(SOL, SO_SNDBUFFORCE, 1 << 24)
        sock.setsockopt(SOL, SO_RCVBUFFORCE, -1)
        assert sock.getsockopt(SOL, socket.SO_SNDBUF) == 1 << 25
        assert sock.getsockopt(SOL, socket.SO_RCVBUF) == 2304
        net.host("test").privileged = False
        assert outcome(lambda: sock.setsockopt(SOL, SO_SNDBUFFORCE, 5000)) == "EPERM"


def test_the_programs_of_a_host_may_be_denied_it() -> None:
    with simnet.Network() as net:
        server = net.host("server")
        server.privileged = False
        with server.socket() as sock, socket.socket() as other:
            assert accepted(sock) == ["EPERM", "EACCES", "EPERM"]
            assert accepted(other) == [None, None, None]
        server.restart()
        assert not server.privileged
        with server.socket() as sock:
            assert accepted(sock) == ["EPERM", "EACCES", "EPERM"]
