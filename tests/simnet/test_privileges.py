"""Who may administer a simulated network: nobody, unless the test says so of a host."""

from __future__ import annotations

import socket
from typing import Any

import pytest

import simnet
from simnet.conform.words import outcome

SOL = socket.SOL_SOCKET
MARK, DEBUG, PRIORITY = (SOL, socket.SO_MARK), (SOL, socket.SO_DEBUG), (SOL, socket.SO_PRIORITY)


def accepted(sock: Any) -> list[Any]:
    """What becomes of the options that take a privilege, and have no effect."""
    return [outcome(lambda: sock.setsockopt(*option, 7)) for option in (MARK, DEBUG, PRIORITY)]  # noqa: B023 - called at once


def test_a_program_has_no_privilege_and_binds_any_port() -> None:
    with simnet.Network():
        with socket.socket() as sock:
            assert accepted(sock) == ["EPERM", "EACCES", "EPERM"]
            sock.bind(("127.0.0.1", 80))
        for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM):
            with pytest.raises(PermissionError):
                socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP)
        with pytest.raises(PermissionError):
            socket.sethostname("other")


def test_the_programs_of_a_privileged_host_have_all_that_has_no_effect() -> None:
    with simnet.Network() as net:
        server = net.host("server")
        server.privileged = True
        with server.socket() as sock, socket.socket() as other:
            assert accepted(sock) == [None, None, None]
            assert sock.getsockopt(*MARK) == 7
            sock.setsockopt(SOL, socket.SO_BINDTODEVICE, b"lo")
            sock.setsockopt(SOL, socket.SO_BINDTODEVICE, b"")
            assert accepted(other) == ["EPERM", "EACCES", "EPERM"]
        server.restart()
        assert server.privileged
        with server.socket() as sock:
            assert accepted(sock) == [None, None, None]


def test_a_privilege_whose_effect_is_not_modelled_says_so() -> None:
    with pytest.raises(simnet.NotModelled), simnet.Network() as net:
        net.host("test").privileged = True
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
