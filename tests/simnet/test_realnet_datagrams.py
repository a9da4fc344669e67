"""Calls of sockets for datagrams on real sockets: the same places and counts, and results that the face injects."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable
from typing import Any

import pytest

import simnet
from simnet.faults.plan import FaultPlan
from simnet.realnet import play_real
from simnet.realnet.classes import INJECTED, SIMULATOR_ONLY, verdict_class
from tests.simnet.test_datagram_calls import IP_RECVERR, echo, tried, udp

CONNECTED = "client->server:53"


def talks(connects: bool, queue: bool = False, timeout: float = 3.0) -> Callable[[], list[Any]]:
    """Two questions, each with what the calls gave; the answer is waited for by select, which shows it to a socket that never waits."""

    def program() -> list[Any]:
        with udp() as sock:
            if queue:
                sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            if connects:
                sock.connect(("server", 53))
            sock.setblocking(False)
            said: list[Any] = []
            for word in (b"one", b"two"):
                said.append(tried(sock.send, word) if connects else tried(sock.sendto, word, ("server", 53)))
                select.select([sock], [], [], timeout if said[-1] == 3 else 0)
                said.append(tried(sock.recv, 9))
            return said

    return program


@pytest.mark.parametrize(
    ("line", "program", "said"),
    [
        ("would-block client:* recv call=1", talks(False), [3, "EAGAIN", 3, b"one"]),
        ("would-block client:* send call=2", talks(False), [3, b"one", "EAGAIN", "EAGAIN"]),
        ("error client:* send call=1 errno=EPERM", talks(False), ["EPERM", "EAGAIN", 3, b"two"]),
        (f"error {CONNECTED} recv call=1 errno=ECONNREFUSED", talks(True), [3, "ECONNREFUSED", 3, b"one"]),
        ("error client:* recv call=1 errno=ECONNREFUSED", talks(False, True), [3, "ECONNREFUSED", 3, b"one"]),
        ("error client:* recv call=1 errno=ECONNREFUSED", talks(False), None),  # nobody would tell it
        (f"drop {CONNECTED} recv call=1", talks(True), [3, "EAGAIN", 3, b"two"]),
    ],
)  # fmt: skip
def test_a_call_meets_the_same_on_both_worlds(
    line: str, program: Callable[[], list[Any]], said: list[Any] | None
) -> None:
    def test(net: Any) -> Any:
        net.host("server").spawn(echo)
        return net.host("client").run(program)

    assert verdict_class(FaultPlan.parse(line)) == INJECTED
    for play in (simnet.play, play_real):
        run: Any = play(test, line, target="client")  # type: ignore[operator]  # two faces alike
        assert (run.failures, len(run.unreached)) == ([], int(said is None)), play
        if said is not None:
            assert run.outcome.returned == said, play


def test_a_bound_server_is_named_by_its_port() -> None:
    def serve() -> list[Any]:
        with udp(53, timeout=3) as sock:
            question, address = sock.recvfrom(9)
            return [tried(sock.sendto, question, address), tried(sock.sendto, question, address)]

    def test(net: Any) -> Any:
        server = net.host("server").spawn(serve)
        with udp() as sock, contextlib.suppress(OSError):
            sock.sendto(b"?", ("server", 53))
        server.join()
        return server.result

    for play in (simnet.play, play_real):
        run: Any = play(test, "error server:53 send call=1 errno=ENETUNREACH", target="server")  # type: ignore[operator]
        assert (run.outcome.returned, run.unreached) == (["ENETUNREACH", 1], ())


def test_calls_of_unix_sockets_for_datagrams_are_the_simulators_alone() -> None:
    plan = FaultPlan.parse("error server->server:/run/log.sock send call=1 errno=ENOENT")
    assert verdict_class(plan) == SIMULATOR_ONLY
    with pytest.raises(ValueError, match="it is a call of a Unix socket for datagrams"):
        play_real(lambda _: None, plan)
