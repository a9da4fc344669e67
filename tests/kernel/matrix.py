"""The measured tables of states and operations: how to bring a socket into each state, and how to play a cell.

``tables/*.tsv`` hold what Linux 6.18 answered: first call, second call of the same operation if it answered otherwise,
and the poll mask after each where it changed. The same code drives simulated sockets and real ones.
"""

from __future__ import annotations

import csv
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from simnet.kernel.messages import MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, SIOCATMARK, SIOCINQ, SIOCOUTQ

SO_ERROR, SO_ACCEPTCONN, SO_LINGER, SOL_SOCKET = 4, 30, 13, 1
LINGER_ZERO = b"\x01\0\0\0\0\0\0\0"
NAMES = {95: "ENOTSUP", 11: "EAGAIN"}


class Cell(NamedTuple):
    state: str
    operation: str
    first: str
    second: str
    after_first: str
    after_second: str


def cells(table: str) -> list[Cell]:
    """The rows of one table, in its order."""
    with (Path(__file__).parent / "tables" / f"{table}.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows)
        return [Cell(*row) for row in rows]


def outcome(call: Callable[[], Any]) -> str:
    """What a call answered, in the words of the tables."""
    try:
        result = call()
    except OSError as error:
        code = error.errno or 0
        return NAMES.get(code, errno.errorcode.get(code, str(error)))
    except ValueError as error:
        return f"ValueError: {error}"
    return words(result)


def words(value: Any) -> str:
    if value is None:
        return "ok"
    if isinstance(value, tuple):
        return "ok" + bracketed(value)
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "[]"
    return repr(value)


def bracketed(values: tuple[Any, ...]) -> str:
    return "(" + ",".join(bracketed(v) if isinstance(v, tuple) else words(v) for v in values) + ")"


def shaped(got: str, expected: str) -> str:
    """*got* with what the table does not tell apart, ports and lengths, made equal to *expected* where it fits."""
    if expected.startswith("{anybytes: "):
        return f"{{anybytes: {got.count(chr(92) + 'x00')}}}" if got.startswith("b'") else got
    if "P1" in expected or "P2" in expected:
        for host in ("127.0.0.1", "0.0.0.0"):
            head, sep, tail = got.partition(f"{host},")
            if sep and f"{host},P" in expected:
                port = tail.split(")")[0]
                if port.isdigit() and int(port):
                    wanted = expected[expected.index(f"{host},") + len(host) + 1 :][:2]
                    got = f"{head}{host},{wanted}{tail[len(port) :]}"
    if expected.count("(") > expected.count(")"):
        return got[: len(expected)]  # this cell was cut when it was measured
    if expected == "{path: s}":
        return expected if len(got) > 1 else got
    return got


class World:
    """Where sockets come from: two hosts in one, for every name in the tables is 127.0.0.1."""

    def socket(self, family: int, type: int) -> Any:
        raise NotImplementedError

    def settle(self) -> None:
        """Let everything arrive."""
        raise NotImplementedError

    def close(self, socket: Any) -> None:
        raise NotImplementedError

    def mask(self, socket: Any) -> str:
        raise NotImplementedError

    def ioctl(self, socket: Any, request: int) -> int:
        raise NotImplementedError


def said(world: Any, *calls: Any) -> None:
    for call in calls:
        outcome(call)
        world.settle()


def operations(world: World, s: Any, live: Any, dead: Any) -> dict[str, Callable[[], Any]]:
    """Every operation of the tables on *s*; *live* is an address where somebody listens, *dead* one where nobody does."""

    def into() -> tuple[int, bytes]:
        buffer = bytearray(100)
        n = s.recv_into(buffer)
        return n, bytes(buffer[:n])

    def connect_ex(address: Any) -> str:
        answer = outcome(lambda: s.connect(address))
        return "0" if answer == "ok" else answer

    def accept() -> tuple[str, Any]:
        child, address = s.accept()
        world.kept.append(child)  # type: ignore[attr-defined]
        return "n", address

    def so_error() -> Any:
        code = s.getsockopt(SOL_SOCKET, SO_ERROR)
        return errno.errorcode[code] if code else 0

    return {
        "recv": lambda: s.recv(100),
        "recv0": lambda: s.recv(0),
        "recv2": lambda: s.recv(2),
        "peek": lambda: s.recv(100, MSG_PEEK),
        "recv_oob": lambda: s.recv(10, MSG_OOB),
        "recv_into": into,
        "recvfrom": lambda: s.recvfrom(100),
        "recvmsg2": lambda: s.recvmsg(2),
        "recv_trunc": lambda: s.recv(100, MSG_TRUNC),
        "recv_waitall": lambda: s.recv(100, MSG_WAITALL),
        "send": lambda: s.send(b"x"),
        "send0": lambda: s.send(b""),
        "send_oob": lambda: s.send(b"!", MSG_OOB),
        "sendto": lambda: world.sendto(s, b"x", live),  # type: ignore[attr-defined]
        "sendmsg": lambda: s.sendmsg([b"ab", b"c"]),
        "shut_rd": lambda: s.shutdown(0),
        "shut_wr": lambda: s.shutdown(1),
        "shut_rdwr": lambda: s.shutdown(2),
        "getpeername": lambda: s.getpeername(),
        "getsockname": lambda: s.getsockname(),
        "connect_dead": lambda: connect_ex(dead),
        "connect_live": lambda: connect_ex(live),
        "connect_live_exc": lambda: s.connect(live),
        "connect": lambda: s.connect(live),
        "listen": lambda: s.listen(),
        "accept": accept,
        "bind": lambda: s.bind(("127.0.0.1", 0)),
        "so_error": so_error,
        "acceptconn": lambda: s.getsockopt(SOL_SOCKET, SO_ACCEPTCONN),
        "fionread": lambda: world.ioctl(s, SIOCINQ),
        "siocoutq": lambda: world.ioctl(s, SIOCOUTQ),
        "atmark": lambda: world.ioctl(s, SIOCATMARK),
    }


def play(world: World, cell: Cell, before: str, call: Callable[[], Any], s: Any) -> list[str]:
    """Play one cell; what differs from the table."""
    wrong = []

    def expect(what: str, got: str, wanted: str) -> None:
        if got != wanted:
            wrong.append(f"{cell.state}.{cell.operation} {what}: {got}, the kernel says {wanted}")

    expect("first", shaped(outcome(call), cell.first), cell.first)
    world.settle()
    now = cell.after_first or before
    expect("mask after it", world.mask(s), now)
    second = cell.second or cell.first
    expect("second", shaped(outcome(call), second), second)
    world.settle()
    if cell.after_second:
        expect("mask after the second", world.mask(s), cell.after_second)
    return wrong
