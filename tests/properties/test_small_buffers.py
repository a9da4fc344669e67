"""Whatever the buffers of two ends, and however slowly one reads: every byte comes, and nobody waits for ever."""

from __future__ import annotations

import socket
import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import simnet

SIZES = (1, 2304, 3000, 4096, 8192, 10_000, 40_000, 70_000)
TOTAL = 50_000
UPSETTING = (  # options that change, or end, how the amounts of a connection are counted
    (socket.SOL_SOCKET, socket.SO_RCVLOWAT, 10),
    (socket.IPPROTO_TCP, 25, 5000),  # TCP_NOTSENT_LOWAT
    (socket.IPPROTO_TCP, socket.TCP_CORK, 1),
    (socket.IPPROTO_TCP, socket.TCP_CORK, 0),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0),
    (socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1),
)


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**32 - 1),
    host=st.sampled_from(["test", "server"]),
    receive=st.sampled_from(SIZES),
    send=st.sampled_from(SIZES),
    segment=st.sampled_from([None, 88, 536, 1460]),
    guarded=st.booleans(),
    upset=st.booleans(),
)
def test_every_byte_comes_through_small_buffers(
    seed: int, host: str, receive: int, send: int, segment: int | None, guarded: bool, upset: bool
) -> None:
    random = Random(seed)

    def serve() -> None:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
            if segment is not None:
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
            listener.bind(("", 7))
            listener.listen()
            conn, _ = listener.accept()
        with conn:
            got = 0
            while part := conn.recv(random.choice([10, 100, 1000, 4096, 65_536])):
                got += part.count(0)  # an urgent byte that the next one overtakes is data
                if random.random() < 0.05:
                    conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, random.choice(SIZES))
                if upset and random.random() < 0.1:
                    conn.setsockopt(*random.choice(UPSETTING))
                if random.random() < 0.1:
                    time.sleep(random.choice([0.001, 0.05, 0.3]))
            conn.sendall(str(got).encode())

    with simnet.Network() as net:
        net.host(host).spawn(serve)
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send)
            if guarded:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 600_000)
            sock.connect((host, 7))
            left = TOTAL
            while left:
                more = socket.MSG_MORE if upset and random.random() < 0.1 else 0
                left -= sock.send(bytes(min(left, random.choice([1, 100, 1000, 5000, TOTAL]))), more)
                if upset and random.random() < 0.02:
                    sock.send(b"!", socket.MSG_OOB)
                if upset and random.random() < 0.1:
                    sock.setsockopt(*random.choice(UPSETTING))
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(100) == str(TOTAL).encode()
