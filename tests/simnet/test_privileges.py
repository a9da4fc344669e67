"""Who may administer a simulated network: everybody, as far as that has no effect, unless the test denies it to a host.

Nobody may change who runs the test, nor the machine's clock.
"""

from __future__ import annotations

import os
import socket
import time
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


WHO_RUNS = [
    ("setuid", 0),
    ("seteuid", 0),
    ("setreuid", 0, 0),
    ("setgid", 0),
    ("setgroups", []),
    ("initgroups", "root", 0),
    ("setsid",),
    ("setpgid", 0, 0),
    ("nice", 1),
    ("setpriority", os.PRIO_PROCESS, 0, 1),
    ("chroot", "/"),
]


@pytest.mark.parametrize("call", WHO_RUNS, ids=[name for name, *_ in WHO_RUNS])
def test_who_runs_the_test_is_not_changed_by_a_program(call: tuple[Any, ...]) -> None:
    name, *arguments = call
    with (
        pytest.raises(
            simnet.Escape, match=rf"reached for os\.{name} at .*Replace it in the test: mock\.patch\('os\.{name}'\)"
        ),
        simnet.Network(),
    ):
        getattr(os, name)(*arguments)
    with simnet.RealNetwork(), pytest.raises(PermissionError):
        getattr(os, name)(*arguments)


@pytest.mark.parametrize("network", [simnet.Network, simnet.RealNetwork])
def test_the_clock_of_the_machine_is_not_set_by_a_program(network: Any) -> None:
    """A test that put back what it had read set the machine to 2020. This one asks for what Linux takes from nobody."""
    never = -1
    with network():
        with pytest.raises(PermissionError, match="Operation not permitted"):
            time.clock_settime(time.CLOCK_REALTIME, never)
        with pytest.raises(PermissionError, match="Operation not permitted"):
            time.clock_settime_ns(time.CLOCK_REALTIME, never)
        with pytest.raises(OSError, match="Invalid argument"):
            time.clock_settime(time.CLOCK_MONOTONIC, never)
        with pytest.raises(TypeError):
            time.clock_settime(time.CLOCK_REALTIME, "noon")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="NaN"):
            time.clock_settime(time.CLOCK_REALTIME, float("nan"))
