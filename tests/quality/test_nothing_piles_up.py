"""Hundreds of sweeps in one process leave nothing behind: no socket, no greenlet, no megabyte."""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys

import greenlet
import pytest

import simnet
from simnet.demo.corrected_server import serve
from simnet.explore.check import sweep

SWEEPS = 250
BLOCKS_MAX = 2_500  # of Python's allocator, some 100 bytes each on average: a kilobyte a sweep


@sweep(target="server", kinds=["would-block", "short-recv", "reset-before-accept"], runs=8)
def small_sweep(net: simnet.Network) -> None:
    net.host("server").spawn(serve, 7)
    with socket.create_connection(("server", 7)) as client:
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"


def left_behind() -> tuple[int, int, int]:
    """Descriptors of this process, greenlets, and blocks of memory."""
    gc.collect()
    green = sum(isinstance(thing, greenlet.greenlet) for thing in gc.get_objects())
    return len(os.listdir("/proc/self/fd")), green, sys.getallocatedblocks()


@pytest.mark.slow
@pytest.mark.no_cover  # ten times slower under coverage, and darker for it: what it keeps would count as left behind
def test_hundreds_of_sweeps_leave_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="echo")  # pytest keeps what a test logs: that would pile up
    for _ in range(50):
        small_sweep.simnet_explore()
    descriptors, green, blocks = left_behind()
    for _ in range(SWEEPS):
        result = small_sweep.simnet_explore()
        assert result.ok
        assert result.runs > 5
    after = left_behind()
    assert after[0] == descriptors
    assert after[1] == green
    assert after[2] - blocks < BLOCKS_MAX
