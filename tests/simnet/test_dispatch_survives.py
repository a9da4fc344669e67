"""Plans that once hurt a dispatch server, each kept by the story it tells."""

from __future__ import annotations

import socket

import pytest

import dispatch
import simnet


class Echo(dispatch.Stream):
    def handle_data(self, data: bytes) -> None:
        self.write(data)


def serve(port: int) -> None:
    with dispatch.Loop() as loop:
        dispatch.Listener(("", port), Echo, loop=loop)
        loop.run()


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(
            "partial-send test->server:7#1 end=server call=1 bytes=1; "
            "error test->server:7#1 end=server send call=2 errno=ETIMEDOUT; "
            "error test->server:7#1 end=server recv call=2 errno=ENOBUFS",
            id="no-memory-while-the-rest-of-a-broken-connection-is-read",  # it polled without waiting, for ever
        ),
    ],
)
def test_the_loop_goes_on_and_the_listener_listens(plan: str) -> None:
    def test(net: simnet.Network) -> None:
        net.host("server").spawn(serve, 7)
        with socket.create_connection(("server", 7), timeout=5) as client:
            client.sendall(b"x" * 300)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass

    run = simnet.play(test, simnet.FaultPlan.parse(plan), target="server")
    assert run.unreached == ()
    assert run.verdicts == []
    assert run.failures == []
    assert run.listening == ("server:7",)


class Knocks(dispatch.Stream):
    def handle_close(self, reason: BaseException | None) -> None:
        assert isinstance(reason, ConnectionRefusedError)


class Taps(dispatch.Stream):
    __slots__ = ()  # no reference can tell one of it from the next in its place


@pytest.mark.parametrize("kind", [Knocks, Taps])
def test_a_client_may_try_again_and_again(simnet_network: simnet.Network, kind: type[dispatch.Stream]) -> None:
    def knock() -> set[int]:
        where = set()
        with dispatch.Loop() as loop:
            for _ in range(20):
                stream = kind(loop=loop)
                where.add(id(stream))
                stream.connect(("server", 7))
                del stream
                loop.run()
        return where

    simnet_network.host("server")
    assert len(simnet_network.host("client").run(knock)) < 20  # in the memory of the last, but another
