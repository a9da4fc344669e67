"""What output costs by itself. Prints kernel calls and microseconds for 16 writes, milliseconds for 16 MiB.

python output.py CORE
"""

import gc
import os
import socket
import statistics
import sys
import time

import dispatch

PIECE = b"x" * 64
calls = 0


class Counting(socket.socket):
    """Counts what reaches the kernel."""

    def send(self, *args: object) -> int:
        global calls
        calls += 1
        return super().send(*args)

    def sendmsg(self, *args: object) -> int:
        global calls
        calls += 1
        return super().sendmsg(*args)


class Sink(socket.socket):
    """Takes a full send buffer's worth at once, without a kernel that would have to copy it."""

    def send(self, data: bytes) -> int:
        return min(len(data), 262144)

    def sendmsg(self, pieces: list[bytes]) -> int:
        return min(sum(map(len, pieces)), 262144)


def pair(kind: type[socket.socket]) -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = kind()
        near.connect(listener.getsockname())
        far, _ = listener.accept()
    near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return near, far


class Silent(dispatch.Stream):
    def handle_data(self, data: bytes) -> None:
        pass


class Chatty(dispatch.Stream):
    def handle_data(self, data: bytes) -> None:
        write = self.write
        for _ in range(16):
            write(PIECE)


def turns(loop: dispatch.Loop, far: socket.socket, times: int, reply: int) -> float:
    """Microseconds of the loop's turn, the median."""
    taken = []
    for _ in range(times):
        far.send(b"?")
        began = time.perf_counter()
        loop.run_once(0)
        taken.append(time.perf_counter() - began)
        if reply:
            assert len(far.recv(65536)) == reply
    return statistics.median(taken) * 1e6


def writes() -> tuple[int, float]:
    """How much longer a turn is with 16 writes in its handler, the median of the rounds' differences."""
    with dispatch.Loop() as loop:
        near, far = pair(Counting)
        Chatty(near, loop=loop)
        turns(loop, far, 1, 1024)
        counted = calls
        loop.close()
    with dispatch.Loop() as quiet, dispatch.Loop() as loud:
        near, silent = pair(socket.socket)
        Silent(near, loop=quiet)
        near, chatty = pair(socket.socket)
        Chatty(near, loop=loud)
        extra = [turns(loud, chatty, 300, 1024) - turns(quiet, silent, 300, 0) for _ in range(9)]
    return counted, statistics.median(extra)


def drain() -> float:
    """Milliseconds to write 16 MiB in pieces of 64 KiB and have them taken."""
    piece = b"x" * 65536
    taken = []
    for _ in range(15):
        with dispatch.Loop() as loop:
            near, far = pair(Sink)
            stream = Silent(near, loop=loop)
            gc.collect()
            began = time.perf_counter()
            for _ in range(256):
                stream.write(piece)
            while stream.queued:
                loop.run_once(0)
            taken.append(time.perf_counter() - began)
            far.close()
    return statistics.median(taken) * 1e3


os.sched_setaffinity(0, {int(sys.argv[1])})
count, extra = writes()
print(count, extra, drain())
