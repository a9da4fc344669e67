"""A test that fails says what else went wrong in its network, and shows nobody's frames but the user's."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import select
import socket
import struct
import threading
import time
import traceback
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable
from socket import AF_INET, AF_INET6
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simnet
from dispatch import Listener, Loop, Stream, asyncore
from simnet.blame import users_own
from simnet.explore.options import SweepOptions
from simnet.explore.report.failure import report
from simnet.explore.sweep import run_sweep
from tests.certificates import contexts


class Hasty(Stream):
    def handle_data(self, data: bytes) -> None:
        raise KeyError(data)


def hasty() -> None:
    with Loop() as loop:
        Listener(("", 7), Hasty, loop=loop)
        loop.run()


def forking() -> None:
    with socket.create_server(("", 7)) as listener:
        conn, _ = listener.accept()
        try:
            os.fork()
        finally:
            conn.close()
            raise RuntimeError("there is no child")  # and hides why


def worn_out() -> None:
    with socket.create_server(("", 7)) as listener:
        listener.accept()[0].close()
    raise RuntimeError("that was all")


def ask() -> None:
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello")
        assert sock.recv(100) == b"a reply"


def late() -> None:
    time.sleep(0.5)
    with socket.create_server(("", 7)) as listener:
        listener.accept()[0].close()


def failure(serve: Callable[[], None], network: Any) -> BaseException:
    with pytest.raises((OSError, AssertionError)) as caught, network as net:
        net.host("server").spawn(serve)
        ask()
    return caught.value


NOTED = [
    pytest.param(hasty, ["handle_data of test->server:7#1 (server) on server had failed with KeyError: b'hello' (at test_aftermath.py:"], id="handler"),
    pytest.param(forking, ["[Escape] server/forking reached for os.fork", "the process server/forking had ended with RuntimeError: "], id="escape"),
    pytest.param(worn_out, ["the process server/worn_out had ended with RuntimeError: that was all (at test_aftermath.py:"], id="process"),
]  # fmt: skip


@pytest.mark.parametrize(("serve", "noted"), NOTED)
def test_what_else_went_wrong_is_noted_on_the_tests_own_exception(serve: Callable[[], None], noted: list[str]) -> None:
    notes = failure(serve, simnet.Network()).__notes__
    assert [note[: len(text)] for note, text in zip(notes, noted, strict=True)] == noted


def test_so_it_is_on_real_sockets() -> None:
    (note,) = failure(worn_out, simnet.RealNetwork()).__notes__
    assert note.startswith("the process server/worn_out had ended with RuntimeError: that was all")


def test_a_thousand_mistakes_are_noted_five_times() -> None:
    with pytest.raises(AssertionError, match="seen enough") as caught, simnet.Network() as net:
        net.host("server").spawn(hasty)
        for _ in range(20):
            with pytest.raises((OSError, AssertionError)):
                ask()
        raise AssertionError("seen enough")
    assert len(caught.value.__notes__) == 5


def reply_cut(**faults: Any) -> list[str]:
    """What is noted where *faults* cut the reply of a server that looks at no result of `send`."""

    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as conn:
            conn.settimeout(5)
            conn.send(b"a reply")

    with pytest.raises(AssertionError) as caught, simnet.Network(**faults) as net:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            assert sock.makefile("rb").read() == b"a reply"
    return getattr(caught.value, "__notes__", [])


def test_which_faults_acted_is_noted_where_the_plan_does_not_say_it() -> None:
    exactly = "partial-send test->server:7#1 end=server call=1 bytes=1"
    assert reply_cut(plan=exactly) == []
    told = [f"the faults that acted: {exactly}"]
    assert reply_cut(plan=exactly.replace("test->server:7#1", "*->*:*#1")) == told
    assert reply_cut(plan=f"{exactly}; eof test->server:7#2 end=client byte=0") == told
    (by_chance,) = reply_cut(rates=simnet.FaultRates(partial_send=1))
    assert by_chance.startswith(told[0].rpartition("=")[0])


def test_of_many_faults_the_last_are_noted() -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as conn:
            while conn.recv(100):
                pass

    with pytest.raises(AssertionError) as caught, simnet.Network(rates=simnet.FaultRates(short_recv=1)) as net:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(bytes(10_000))
        net.run()
        raise AssertionError("seen enough")
    number = len(net.happened)
    assert number > 10
    (note,) = caught.value.__notes__
    assert note.startswith(
        f"the faults that acted: {number}, which net.happened has; the last 10 were short-recv test->"
    )


def test_a_mistyped_host_is_told_with_those_there_are() -> None:
    with pytest.raises(socket.gaierror) as caught, simnet.Network() as net:
        net.host("server")
        socket.create_connection(("sever", 7))
    assert caught.value.__notes__ == ["'sever' is no host of this network; there is test, server"]


def make_here_and_use_there(net: Any) -> None:
    with socket.create_server(("", 7)) as listener:
        net.host("server").spawn(listener.accept)
        socket.create_connection(("server", 7))


MADE_ELSEWHERE = (
    "test:7 listened, and not server:7: a socket is of the host whose process makes it. Make it in the function"
)


@pytest.mark.parametrize("network", [simnet.Network, simnet.RealNetwork])
def test_a_listener_that_was_made_on_another_host_is_told(network: Any) -> None:
    with pytest.raises(ConnectionRefusedError) as refused, network() as net:
        make_here_and_use_there(net)
    assert refused.value.__notes__[0].startswith(MADE_ELSEWHERE)


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost"])
def test_who_listens_for_its_own_host_alone_or_is_asked_for_there_is_told(address: str) -> None:
    def serve(bound: str) -> None:
        with socket.create_server((bound, 7)) as listener:
            listener.accept()

    with pytest.raises(ConnectionRefusedError) as refused, simnet.Network() as net:
        net.host("server").spawn(serve, address)
        socket.create_connection(("server", 7))
    within = "server:7 listened on 127.0.0.1, which server alone reaches: bind it to '', each address of its host"
    assert refused.value.__notes__ == [within]
    with pytest.raises(ConnectionRefusedError) as refused, simnet.Network() as net:
        net.host("server").spawn(serve, "")
        socket.create_connection((address, 7))
    there = "test asked its own host, as localhost and 127.0.0.1 are; server:7 listened: connect to ('server', 7)"
    assert refused.value.__notes__ == [there]


def test_a_link_to_a_host_that_does_nothing_is_told_where_an_assertion_fails() -> None:
    with pytest.raises(AssertionError) as failed, simnet.Network() as net:
        net.link("client", "server").latency = 0.5
        with net.host("server").listen(7), socket.create_connection(("server", 7)):
            assert net.time > 1
    (told,) = failed.value.__notes__
    assert (
        told
        == "there is a link between client and server, but client did nothing; server and test did: is it named right?"
    )


def test_what_a_network_knows_of_an_error_stands_in_the_report_of_a_sweep() -> None:
    def mistyped(net: Any) -> None:
        socket.create_connection(("sever", 7))

    (report,) = run_sweep(make_here_and_use_there).reports()
    assert f"why       {MADE_ELSEWHERE[:60]}" in str(report)
    (report,) = run_sweep(mistyped).reports()
    assert "why       'sever' is no host of this network; there is test" in str(report)


def test_what_those_wait_for_who_never_came_to_listen_is_told() -> None:
    def never_comes_to_it() -> None:
        threading.Event().wait()
        socket.create_server(("", 7))

    def refused(net: Any) -> None:
        net.host("server").spawn(never_comes_to_it)
        net.sleep(1)
        socket.create_connection(("server", 7))

    (report,) = run_sweep(refused).reports()
    line = never_comes_to_it.__code__.co_firstlineno + 1
    waits = f"server/never_comes_to_it waits for a notification at test_aftermath.py:{line} in never_comes_to_it, since 0.000000 s"
    told = f"nobody listened there; the programs under test listened on no port: {waits}"
    assert report.why == told
    with pytest.raises(ConnectionRefusedError) as caught, simnet.Network() as net:
        refused(net)
    assert caught.value.__notes__ == [told]


def test_a_host_that_is_made_after_somebody_has_asked_for_it_is_told_as_that() -> None:
    def made_too_late(net: Any) -> None:
        net.host("one").spawn(socket.create_connection, ("other", 7))
        with net.host("other").listen(7):
            net.sleep(1)

    (report,) = run_sweep(made_too_late).reports()
    assert report.why == (
        "'other' is no host of this network; there is test, one; other was made later: call net.host('other') before who asks for it "
        "is spawned"
    )
    assert report.noted == ()
    with pytest.raises(socket.gaierror) as caught, simnet.Network() as net:
        asking = net.host("one").spawn(socket.create_connection, ("other", 7))
        net.host("other").spawn(net.sleep, 1)
        asking.join(1)
        assert asking.error is not None
        raise asking.error
    no_host, later, *_ = caught.value.__notes__
    assert f"{no_host}; {later}" == report.why


def test_the_traceback_has_no_frame_of_the_simulator() -> None:
    with pytest.raises(ConnectionRefusedError) as caught, simnet.Network() as net:
        net.host("server")
        socket.create_connection(("server", 7))
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert users_own(frames[0].filename)
    assert not [frame.filename for frame in frames if "/simnet/" in frame.filename and "/tests/" not in frame.filename]


def test_a_mistake_of_the_simulators_own_keeps_its_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("simnet.resolver.names.numeric_host")
    with pytest.raises(NameError) as caught, simnet.Network():
        socket.socket().connect(("server", 7))
    assert any(
        frame.filename.endswith("simnet/resolver/names.py")
        for frame in traceback.extract_tb(caught.value.__traceback__)
    )


@pytest.mark.parametrize("network", [simnet.Network, simnet.RealNetwork])
def test_what_run_raised_and_the_test_has_handled_is_no_failure(network: Any) -> None:
    with network() as net:
        net.host("server")
        with pytest.raises(ConnectionRefusedError):
            net.host("client").run(socket.create_connection, ("server", 7))
    with pytest.raises(ZeroDivisionError), network() as net:
        net.host("client").run(lambda: 1 / 0)


def test_a_sweep_expects_of_run_what_its_baseline_raised_there() -> None:
    def conversation(net: simnet.Network) -> bytes:
        net.host("server")
        listener = net.host("server").listen(8)
        with pytest.raises(ConnectionRefusedError):
            net.host("client").run(ask, 7)
        return net.host("client").run(ask, 8, listener)

    def ask(port: int, listener: Any = None) -> bytes:
        with socket.create_connection(("server", port)) as sock:
            peer = listener.accept()[0]
            with peer:
                peer.sendall(b"hello")
            got = sock.recv(100)
            if len(got) < 5:
                raise ValueError(got)
            return got

    result = run_sweep(conversation, SweepOptions.of(target="client", kinds=["split", "refuse"]))
    assert [(each.reason, each.type_name, list(each.kinds)) for each in result.failures] == [
        ("target-raised", "ValueError", ["split"])
    ]


def test_an_error_that_reached_handle_error_is_the_networks_to_tell() -> None:
    """It ends nobody, so that a network of one's own does not fail: a sweep does, and whoever asks is told."""

    class Server(asyncore.dispatcher):
        def handle_accepted(self, sock: Any, addr: Any) -> None:
            sock.close()
            raise KeyError(addr)

        def handle_error(self) -> None: ...

    def serve() -> None:
        server = Server()
        server.create_socket()
        server.bind(("", 7))
        server.listen(5)
        asyncore.loop(timeout=1, count=3)

    with simnet.Network() as net:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            assert sock.recv(100) == b""
    (told,) = net.handler_errors
    assert (told.handler, type(told.error)) == ("handle_accepted", KeyError)


@pytest.mark.parametrize("module", ["dispatch.asyncore", "asyncore"])
@pytest.mark.filterwarnings("ignore:The asyncore module is deprecated")
def test_a_program_that_calls_handle_error_to_close_has_not_failed(module: str) -> None:
    asyncore = pytest.importorskip(module, reason="gone from Python 3.12")

    class Greeter(asyncore.dispatcher):  # type: ignore[misc, name-defined]
        def handle_read(self) -> None:
            self.recv(100)

        def handle_close(self) -> None:
            self.handle_error()

        def handle_error(self) -> None:
            self.close()

    class Server(asyncore.dispatcher):  # type: ignore[misc, name-defined]
        def handle_accepted(self, sock: Any, addr: Any) -> None:
            Greeter(sock)

    def serve() -> None:
        server = Server()
        server.create_socket()
        server.bind(("", 7))
        server.listen(5)
        asyncore.loop()

    with simnet.Network() as net:
        net.host("server").spawn(serve)
        socket.create_connection(("server", 7)).close()
    assert net.handler_errors == []


@pytest.mark.parametrize("module", ["dispatch.asyncore", "asyncore"])
@pytest.mark.filterwarnings("ignore:The asyncore module is deprecated")
def test_what_has_no_socket_and_says_so_in_its_own_way_is_served_as_ever(module: str) -> None:
    asyncore = pytest.importorskip(module, reason="gone from Python 3.12")
    read: list[bytes] = []

    class Reader:
        accepting = False

        def __init__(self, sock: socket.socket) -> None:
            self.sock = sock

        def __getattr__(self, name: str) -> Any:
            raise KeyError(name)

        def readable(self) -> bool:
            return True

        def writable(self) -> bool:
            return False

        def handle_read_event(self) -> None:
            read.append(self.sock.recv(10))

        def handle_error(self) -> None:
            read.append(b"an error")

    with simnet.Network() as net:
        near, far = socket.socketpair()
        with near, far:
            far.send(b"x")
            asyncore.loop(1, False, {near.fileno(): Reader(near)}, 1)
    assert read == [b"x"]
    assert net.handler_errors == []


@pytest.mark.parametrize("asked", [(40, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_STREAM, 262)])
def test_a_socket_that_is_not_modelled_is_told_of_whatever_the_program_makes_of_it(asked: tuple[int, ...]) -> None:
    def swallows() -> None:
        with contextlib.suppress(BaseException):
            socket.socket(*asked)

    with pytest.raises(simnet.NotModelled, match=r"^socket\("), simnet.Network() as net:
        net.host("server").spawn(swallows)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [simnet.Network, simnet.RealNetwork])
def test_pytest_fail_says_too_that_something_does_not_hold(kind: Any) -> None:
    def never() -> None:
        pytest.fail("not like this")

    with pytest.raises(pytest.fail.Exception, match="not like this"), kind() as net:
        net.always(never)
    assert [verdict.name for verdict in net.verdicts] == ["always"]
    with pytest.raises(pytest.fail.Exception, match="not like this"), kind() as net, net.always():
        never()
    assert [verdict.name for verdict in net.verdicts] == ["always"]
    with pytest.raises(pytest.skip.Exception, match="not here"), kind() as net, net.always():
        pytest.skip("not here")
    assert not net.verdicts


def test_a_mistake_of_simnets_own_in_the_last_look_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> list[Any]:
        raise ZeroDivisionError

    monkeypatch.setattr("simnet.invariants.held_at_quiet", broken)
    with pytest.raises(ZeroDivisionError), simnet.Network() as net:
        net.host("server").spawn(time.sleep, 1)
    with pytest.raises(ZeroDivisionError):
        simnet.play(lambda net: net.host("server").spawn(time.sleep, 1))
    monkeypatch.undo()
    with simnet.Network():  # and it has left everything as it was
        pass


def test_who_asks_before_anybody_listens_is_told_when_somebody_did() -> None:
    told = (
        "test asked at 0.002 s, and server:7 listened from 0.5 s on: net.host('server').wait_listening(7) waits for it"
    )
    assert told in failure(late, simnet.Network()).__notes__

    def asks(net: Any) -> None:
        net.host("server").spawn(late)
        ask()

    result = run_sweep(asks, SweepOptions.of(target="server"))
    assert report(result.failures[0], result).why == told


def deaf(port: int) -> None:
    with socket.create_server(("", port)) as listener, listener.accept()[0] as conn:
        conn.setblocking(False)
        select.select([conn], [], [])
        while data := conn.recv(100):
            conn.send(data[:7])
            select.select([conn], [], [])


def hot(port: int) -> None:
    with socket.create_server(("", port)) as listener, listener.accept()[0] as conn:
        conn.sendall(conn.recv(100))
        while True:
            select.select([], [conn], [])


@pytest.mark.slow
@pytest.mark.parametrize(("server", "verdict"), [(deaf, simnet.Deadlock), (hot, simnet.Spin)])
def test_a_verdict_that_leaves_the_network_is_an_exception_for_hypothesis_to_make_small(
    server: Callable[[int], None], verdict: type[BaseException]
) -> None:
    @settings(max_examples=50, deadline=None, database=None, derandomize=True)
    @given(payload=st.binary(min_size=1, max_size=50))
    def conversation(payload: bytes) -> None:
        with simnet.Network() as net:
            net.host("server").spawn(server, 7)
            with socket.create_connection(("server", 7)) as sock:
                sock.sendall(payload)
                got = b""
                while len(got) < len(payload):
                    got += sock.recv(100)

    with pytest.raises(verdict) as caught:
        conversation()
    assert isinstance(caught.value, Exception)
    assert type(caught.value).__name__ == verdict.__name__
    smallest = b"\0" * (8 if server is deaf else 1)
    assert any(f"payload={smallest!r}" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("timeout", [1, None])
def test_who_asks_the_world_outside_is_told_that_it_is_out_of_reach(timeout: float | None) -> None:
    with pytest.raises(OSError, match=r"timed out|No route") as caught, simnet.Network():
        socket.create_connection(("192.0.2.1", 7), timeout=timeout)
    told = "no host of this network has the address 192.0.2.1, and the world outside is out of reach"
    assert caught.value.__notes__ == [f"{told}: connect to the name of a host"]


@pytest.mark.parametrize(("family", "heard", "spoken"), [(AF_INET, "IPv4", "IPv6"), (AF_INET6, "IPv6", "IPv4")])
def test_who_is_refused_by_a_listener_of_the_other_family_is_told_so(family: int, heard: str, spoken: str) -> None:
    def serve() -> None:
        with socket.create_server(("", 7), family=family) as listener:
            listener.accept()

    def conversation(net: simnet.Network) -> None:
        net.host("server").spawn(serve)
        with socket.socket(AF_INET if family == AF_INET6 else AF_INET6) as sock:
            sock.connect(("server", 7))

    with pytest.raises(ConnectionRefusedError) as caught, simnet.Network() as net:
        conversation(net)
    told = f"server:7 listened for {heard} alone, and test asked by {spoken}: one of the two takes the other's family"
    assert caught.value.__notes__ == [told]


def test_a_host_that_does_not_answer_is_none_of_the_world_outside() -> None:
    with pytest.raises(TimeoutError) as caught, simnet.Network() as net:
        net.partition("test", "server")
        socket.create_connection(("server", 7), timeout=1)
    assert not hasattr(caught.value, "__notes__")


def test_who_has_lived_with_that_and_waits_in_vain_for_another_is_told_nothing_of_it() -> None:
    def listen_in_silence() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            while connection.recv(10):
                pass

    with pytest.raises(TimeoutError) as caught, simnet.Network() as net:
        net.host("server").spawn(listen_in_silence)
        with socket.create_connection(("server", 7), timeout=2) as sock:
            with contextlib.suppress(TimeoutError):
                socket.create_connection(("192.0.2.1", 9), timeout=1)
            sock.recv(10)
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("path", [None, "/run/app.sock", ""])
def test_a_time_out_of_who_asked_nobody_there_has_no_reason(path: str | None) -> None:
    with pytest.raises(TimeoutError) as caught, simnet.Network():
        with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(OSError):
            if path is not None:
                sock.connect(path)
        raise TimeoutError
    assert not hasattr(caught.value, "__notes__")


def test_a_port_that_listens_for_both_families_is_told_once() -> None:
    async def serve() -> None:
        async with await asyncio.start_server(lambda reader, writer: writer.close(), port=7) as server:
            await server.serve_forever()

    with pytest.raises(ConnectionRefusedError) as refused, simnet.Network() as net:
        net.host("server").spawn(asyncio.run, serve())
        socket.create_connection(("server", 8))
    assert refused.value.__notes__ == ["nobody listened there; the programs under test listened on server:7"]


def test_a_refusal_that_no_call_has_said_has_no_reason() -> None:
    with pytest.raises(ConnectionRefusedError) as caught, simnet.Network() as net:
        net.host("server").spawn(worn_out)
        with mock.patch("socket.socket.connect", side_effect=ConnectionRefusedError("a mock says so")):
            socket.create_connection(("server", 7))
    assert not hasattr(caught.value, "__notes__")


def test_what_a_library_makes_of_a_refusal_is_told_with_who_listened() -> None:
    with pytest.raises(urllib.error.URLError) as caught, simnet.Network() as net:
        net.host("server").spawn(worn_out)
        urllib.request.urlopen("http://server/")
    assert "nobody listened there; the programs under test listened on server:7" in caught.value.__notes__


def test_what_a_library_makes_of_an_unknown_host_is_told_with_which_there_are() -> None:
    with pytest.raises(urllib.error.URLError) as caught, simnet.Network():
        urllib.request.urlopen("http://sever/")
    assert "'sever' is no host of this network; there is test" in caught.value.__notes__


def test_a_reset_of_another_connection_is_no_reason() -> None:
    def serve() -> None:
        with socket.create_server(("", 8)) as listener, listener.accept()[0] as conn:
            conn.recv(100)
            conn.recv(100)

    def body(net: Any) -> None:
        net.host("server").spawn(serve)
        with socket.create_server(("", 7)) as listener, net.host("client").connect(("test", 7)) as client:
            client.sendall(b"hello")
            listener.accept()[0].close()  # with bytes unread: a reset, of which nobody hears
        with socket.create_connection(("server", 8)) as sock:
            sock.sendall(b"!")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    result = run_sweep(body, SweepOptions.of(target="server"))
    assert isinstance(result.failures[0].error, ConnectionResetError)
    assert report(result.failures[0], result).why == ""


def test_what_has_no_line_of_anybodys_is_told_without_one() -> None:
    with (
        pytest.raises(simnet.Escape, match=r"server/system reached for os\.system: a simulated process"),
        simnet.Network() as net,
    ):
        net.host("server").spawn(os.system, "ls")


def test_within_the_network_no_except_exception_hides_a_verdict() -> None:
    with pytest.raises(simnet.Deadlock), simnet.Network() as net, contextlib.suppress(Exception):
        net.host("server").listen(7).accept()


def test_what_a_spawned_function_of_the_library_reached_for_is_told_without_simnets_own_frames() -> None:
    with pytest.raises(simnet.Escape, match=r"a/system reached for os\.system") as caught, simnet.Network() as net:
        net.host("a").spawn(os.system, "true")
    rooms = [frame.f_code.co_filename.rpartition("/")[2] for frame, _ in traceback.walk_tb(caught.tb)]
    assert not {"process.py", "ways_out.py", "backend.py"}.intersection(rooms)


def test_who_finds_nobody_at_a_host_that_came_up_again_is_told_that_it_has_no_programs() -> None:
    def by_hand(net: simnet.Network) -> None:
        net.host("server").crash()
        net.host("server").restart()

    def listen() -> None:
        with socket.create_server(("", 7)) as listener:
            listener.accept()

    def test(net: simnet.Network, restart: Callable[[simnet.Network], None]) -> None:
        net.host("server").spawn(listen)
        restart(net)
        net.sleep(1)
        socket.create_connection(("server", 7))

    for plan, restart in (("", by_hand), ("restart server at=0.5", lambda net: None)):
        with pytest.raises(ConnectionRefusedError) as caught, simnet.Network(plan or None) as net:
            test(net, restart)
        assert any(
            note.startswith("server:7 listened until server lost its power; it came up again at ")
            and note.endswith("spawn them once more after net.host('server').restart()")
            for note in caught.value.__notes__
        )


def test_causes_in_a_circle_do_not_keep_a_run_from_ending() -> None:
    """The frames of what ended a process are let go of where something looks left over, cause by cause."""

    def keep() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0]:
            time.sleep(3600)

    def fail() -> None:
        first, second = KeyError("first"), KeyError("second")
        first.__cause__, second.__cause__ = second, first
        raise first

    with pytest.raises(KeyError, match="first"), simnet.Network(target="server") as net:
        net.host("server").spawn(keep)
        socket.create_connection(("server", 7)).close()
        net.host("server").spawn(fail)
    assert [verdict.name for verdict in net.verdicts] == ["nothing-left"]


class CleanupError(Exception):
    """The word of a program for what failed while it put something right."""


class GaveUpError(Exception):
    """Its word for all of that."""


def in_a_circle(act: Callable[[], object]) -> None:
    """Each of the two errors is said to be why the other was raised."""
    try:
        act()
    except OSError as first:
        try:
            raise CleanupError from first
        except CleanupError as second:
            raise GaveUpError("first") from second
    raise AssertionError("nothing has failed")


def gone_wrong(act: Callable[[], object]) -> None:
    try:
        in_a_circle(act)
    except GaveUpError as error:
        error.__cause__.__cause__ = error  # type: ignore[union-attr]  # it has one
        raise


def test_causes_that_a_program_has_put_in_a_circle_are_gone_through_once() -> None:
    with pytest.raises(GaveUpError, match="first") as raised, simnet.Network():
        gone_wrong(lambda: socket.create_connection(("nobody", 7)))
    assert isinstance(raised.value.__cause__, CleanupError)

    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            with contextlib.suppress(AssertionError):
                gone_wrong(lambda: connection.recv(9))

    def body(net: simnet.Network) -> None:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            sock.recv(9)

    result = run_sweep(body, SweepOptions.of(target="server", kinds="reset"))
    assert "if GaveUpError is this program's word" in report(result.failures[0], result).why


@pytest.mark.parametrize("ssl", [None, contexts("server")], ids=["plain", "tls"])
def test_a_transport_that_a_run_has_left_open_is_no_warning_for_who_comes_later(ssl: Any) -> None:
    """The exception held it. It went in the midst of another test, which failed for it where warnings are errors."""
    inside, outside = ssl or (None, None)

    async def serve() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with await asyncio.start_server(talk, port=7, ssl=inside) as server:
            await server.serve_forever()

    async def ask() -> None:
        _, writer = await asyncio.open_connection("server", 7, ssl=outside)
        raise KeyError(writer)

    def test(net: simnet.Network) -> None:
        net.host("server").spawn(asyncio.run, serve())
        net.host("client").spawn(asyncio.run, ask())

    gc.collect()
    run = simnet.play(test)
    assert isinstance(run.failures[0].error, KeyError)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        del run
        gc.collect()
    assert [str(each.message) for each in said] == []
