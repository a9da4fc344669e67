"""Mistakes about the calls of sockets for datagrams are found where they are, and who makes none passes."""

from __future__ import annotations

import asyncio
import contextlib
import logging.handlers
import select
import socket
from collections.abc import Callable
from typing import Any

import pytest

import dispatch
from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from simnet.run import play
from tests.quality import datagram_servers as servers
from tests.quality.found import line_of, only

pytestmark = pytest.mark.slow  # each is a few sweeps

TRIES = 3


class Shouts(asyncio.DatagramProtocol):
    """Answers, as asyncio's own example does."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data.upper(), addr)


class ShoutsByDispatch(dispatch.Datagram):
    """The same with a loop that takes what an endpoint of asyncio takes."""

    def handle_datagram(self, data: bytes, addr: Any, /) -> None:
        self.send(data.upper(), addr)


def shouts_by_asyncio() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_datagram_endpoint(Shouts, local_addr=("0.0.0.0", 53))
        await asyncio.Event().wait()

    asyncio.run(main())


def shouts_by_dispatch() -> None:
    loop = dispatch.Loop()
    ShoutsByDispatch(local=("", 53), loop=loop)
    loop.run()


def ask(port: int, question: bytes, host: str = "server") -> bytes:
    """What a client is answered that asks again where nothing comes back."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        for _ in range(TRIES):
            sock.sendto(question, (host, port))
            try:
                return sock.recv(100)
            except TimeoutError:
                continue
    return b""


def answered(server: type[servers.Careful | servers.Proxy], host: str = "server") -> Callable[[Any], Any]:
    def test(net: Any) -> list[bytes]:
        if host == "proxy":
            net.host("upstream").spawn(servers.Careful().serve)
        net.host(host).spawn(server().serve)
        first, second = ask(53, b"one", host), ask(53, b"two", host)
        return [first, second] if host == "proxy" else [first, second, ask(54, b"three")]

    return test


def sweep(test: Callable[[Any], Any], target: str = "server", **options: Any) -> SweepResult:
    result = run_sweep(test, SweepOptions.of(target=target, **options))
    assert result.unreached == 0
    return result


@pytest.mark.parametrize(("server", "host"), [(servers.Careful, "server"), (servers.Proxy, "proxy")])
def test_who_expects_what_a_datagram_may_meet_passes_with_the_answers_of_the_baseline(server: Any, host: str) -> None:
    result = sweep(answered(server, host), host, survives=["error", "drop"])
    assert result.ok, [report.text() for report in result.reports()]
    assert {row.kind for row in result.kinds if row.runs} >= {"would-block", "error", "drop", "delay"}
    assert not result.warnings


@pytest.mark.parametrize(
    ("server", "host", "mark", "plan"),
    [
        (servers.EndsAtRefusal, "server", "ENDS-AT-REFUSAL", "error server:53 recv call=2 errno=ECONNREFUSED"),
        (servers.EndsWhereNothingGoes, "server", "ENDS-WHERE-NOTHING-GOES", "would-block server:53 send call=1"),
        (servers.ProxyThatEnds, "proxy", "THINKS-THAT-IT-IS-THERE",
         "error proxy->upstream:53 recv call=1 errno=ECONNREFUSED"),
    ],
)  # fmt: skip
def test_a_loop_that_ends_by_what_became_of_a_datagram_is_found(server: Any, host: str, mark: str, plan: str) -> None:
    found = {str(failure.plan): failure for failure in sweep(answered(server, host), host).failures}
    failure = found[plan]
    assert failure.at == line_of(servers, mark)
    assert failure.reason in ("loop-survives", "target-raised")
    again = play(answered(server, host), failure.plan, target=host)
    assert again.digest == failure.run.digest
    assert {each.at for each in found.values()} == {failure.at}


def test_a_read_that_blocks_though_select_had_promised_is_told_with_its_line() -> None:
    def test(net: Any) -> bytes:
        net.host("server").spawn(servers.TrustsSelect().serve)
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.sendto(b"one", ("server", 53))  # nobody asks there again
            net.sleep(1)
        return ask(54, b"three")

    failure = only(sweep(test, survives=["drop"], kinds=["drop"]))
    assert str(failure.plan) == "drop server:53 recv call=1"
    assert not sweep(test).warnings, "of one process alone Linux keeps that promise"
    result = sweep(test, kinds=["drop"])
    assert result.ok
    told = [(each.name, each.at, str(each.plan)) for each in result.warnings]
    assert told == [("waits-for-ever", line_of(servers, "TRUSTS-SELECT"), "drop server:53 recv call=1")]


def test_a_time_out_behind_select_ends_who_does_not_expect_it() -> None:
    def test(net: Any) -> None:
        net.host("server").spawn(servers.TrustsSelectForAWhile().serve)
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.sendto(b"one", ("server", 53))  # and not again

    failure = only(sweep(test))
    assert (failure.reason, str(failure.plan)) == ("loop-survives", "drop server:53 recv call=1")
    assert failure.at == line_of(servers, "TRUSTS-SELECT-FOR-A-WHILE")


@pytest.mark.parametrize("careful", [True, False])
def test_statistics_that_cannot_be_sent_end_who_sends_them(careful: bool) -> None:
    def test(net: Any) -> bytes:
        net.host("server").spawn(servers.exporter, careful)
        net.host("collector")
        with socket.create_connection(("server", 7)) as sock:
            return sock.recv(100)

    result = sweep(test, kinds=["error", "would-block"])
    if careful:
        assert result.ok, [report.text() for report in result.reports()]
        return
    failure = only(result)
    assert failure.reason == "loop-survives"
    assert failure.at == line_of(servers, "ENDS-BY-ITS-STATISTICS")
    assert str(failure.plan) == "error server:* send call=1 errno=ENETUNREACH"


# ---- what libraries do ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", [shouts_by_asyncio, shouts_by_dispatch])
def test_loops_that_tell_a_protocol_of_errors_pass(server: Callable[[], None]) -> None:
    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(server)
        return [ask(53, b"one"), ask(53, b"two")]

    result = sweep(test, survives=["error", "drop"])
    assert result.ok, [report.text() for report in result.reports()]
    assert not result.warnings


def resolve(name: bytes) -> bytes:
    """As dnspython asks: a socket for each question, which never waits itself; what cannot be sent or read now is tried when poll says so."""
    for _ in range(TRIES):
        with socket.socket(type=socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
            sock.setblocking(False)
            for call, events in (
                (lambda: sock.sendto(name, ("server", 53)), select.POLLOUT),
                (lambda: sock.recv(99), select.POLLIN),
            ):
                while True:
                    try:
                        answer = call()
                        break
                    except BlockingIOError:
                        poller = select.poll()
                        poller.register(sock, events)
                        if not poller.poll(1000):
                            raise TimeoutError from None
            return answer
    return b""


def test_a_resolver_that_tries_again_has_its_answer() -> None:
    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(servers.Careful().serve)
        return [net.host("client").run(resolve, name) for name in (b"one", b"two")]

    result = sweep(test, target="client", survives=["error", "drop", "duplicate", "delay"])
    assert result.ok, [report.text() for report in result.reports()]
    assert sum(row.runs for row in result.kinds if row.kind in ("would-block", "error")) == 2 + 2 + 4 + 1


def test_a_handler_of_syslog_connects_again_where_nobody_was() -> None:
    def daemon() -> list[bytes]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, contextlib.suppress(TimeoutError):
            sock.bind("/run/log.sock")
            sock.settimeout(5)
            said: list[bytes] = []
            while len(said) < 2:
                said.append(sock.recv(100))
        return said

    def application() -> None:
        with contextlib.closing(logging.handlers.SysLogHandler("/run/log.sock")) as handler:
            for word in ("one", "two"):
                handler.emit(logging.makeLogRecord({"msg": word}))

    def test(net: Any) -> list[bytes]:
        listens = net.host("server").spawn(daemon)
        net.host("server").run(application)
        listens.join()
        said: list[bytes] = listens.result
        return said

    result = sweep(test, survives=["error"])
    assert result.ok, [report.text() for report in result.reports()]
    assert {row.kind for row in result.kinds if row.runs} == {"error", "delay"}
