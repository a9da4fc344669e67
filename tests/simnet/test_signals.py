"""Signals of a simulated process: its own handlers, what it sends itself, and asyncio's way to hear of them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from functools import partial
from typing import Any

import pytest

import dispatch
import simnet
from simnet.explore.report.ladder import ladder

USR1, INT, TERM, WINCH = signal.SIGUSR1, signal.SIGINT, signal.SIGTERM, signal.SIGWINCH

both_networks = pytest.mark.parametrize("network", [simnet.Network, simnet.RealNetwork])


@both_networks
def test_a_handler_is_the_processes_own_and_goes_with_it(network: Any) -> None:
    before = signal.getsignal(USR1)

    def story(heard: list[str], name: str) -> None:
        assert signal.getsignal(USR1) is before
        assert (
            signal.signal(USR1, lambda number, frame: heard.append(f"{name} {number} {frame.f_code.co_name}")) is before
        )
        signal.siginterrupt(USR1, False)
        signal.raise_signal(USR1)
        os.kill(os.getpid(), USR1)
        signal.pthread_kill(threading.get_ident(), USR1)
        mine = signal.signal(USR1, signal.SIG_IGN)
        assert callable(mine)
        signal.raise_signal(USR1)
        assert signal.getsignal(USR1) is signal.SIG_IGN

    with network() as net:
        for name in ("a", "b"):
            heard: list[str] = []
            net.host(name).run(story, heard, name)
            assert heard == [f"{name} 10 story"] * 3
        assert signal.getsignal(USR1) is before
    assert signal.getsignal(USR1) is before


@both_networks
def test_a_program_is_alone_in_its_group(network: Any) -> None:
    """A server that ends its children by a signal to its group would end pytest, and make; this one does no harm to others."""
    heard: list[int] = []

    def story() -> None:
        signal.signal(WINCH, lambda number, frame: heard.append(number))
        os.kill(0, WINCH)
        os.kill(-os.getpgrp(), WINCH)
        os.killpg(0, WINCH)
        os.killpg(os.getpgrp(), WINCH)
        for refused in (os.killpg, lambda whom, number: os.kill(float(whom), number)):
            with pytest.raises((OSError, TypeError)):
                refused(-3, WINCH)

    with network() as net:
        net.host("a").run(story)
    assert heard == [WINCH] * 4


@pytest.mark.parametrize("send", [lambda: os.kill(-1, 0), lambda: os.killpg(1, 0)], ids=["kill", "killpg"])
def test_a_signal_to_all_processes_of_the_machine_is_refused(send: Any) -> None:
    with pytest.raises(simnet.Escape, match=r"reached for os\.kill of all processes"), simnet.Network():
        send()
    with simnet.RealNetwork(), pytest.raises(PermissionError):
        send()


@pytest.mark.parametrize(
    "send",
    [
        pytest.param(lambda: os.kill(os.getpid(), TERM), id="kill"),
        pytest.param(lambda: signal.pthread_kill(threading.get_ident(), TERM), id="pthread_kill"),
        pytest.param(lambda: signal.raise_signal(TERM), id="raise_signal"),
    ],
)
@both_networks
def test_who_would_end_itself_ends_not_the_interpreter(send: Any, network: Any) -> None:
    with pytest.raises(simnet.Escape, match="SIGTERM, of which it has no handler"), network() as net:
        os.kill(os.getpid(), 0)
        os.kill(os.getpid(), signal.SIGWINCH)
        net.host("a").run(send)


@both_networks
def test_asyncio_hears_a_signal(network: Any) -> None:
    async def serve() -> float:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        loop.add_signal_handler(TERM, stop.set)
        began = loop.time()
        loop.call_later(0.03, os.kill, os.getpid(), TERM)
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "0.0.0.0", 80)
        async with server:
            await asyncio.wait_for(stop.wait(), 60)
        assert loop.remove_signal_handler(TERM)
        return loop.time() - began

    before = signal.getsignal(TERM)
    with network() as net:
        assert 0.03 <= net.host("server").run(asyncio.run, serve()) < 10
    assert signal.getsignal(TERM) is before


@both_networks
@pytest.mark.parametrize(
    "send", [lambda: os.kill(os.getpid(), INT), lambda: signal.raise_signal(INT)], ids=["kill", "raise"]
)
def test_asyncio_hears_an_interrupt_that_a_program_sends_itself(send: Any, network: Any) -> None:
    async def stopped() -> bool:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        loop.add_signal_handler(INT, stop.set)
        loop.call_later(0.03, send)
        await asyncio.wait_for(stop.wait(), 60)
        return loop.remove_signal_handler(INT)

    with network():
        assert asyncio.run(stopped())
    assert signal.getsignal(INT) is signal.default_int_handler


@both_networks
def test_a_dispatch_loop_ends_in_order_by_a_signal(network: Any) -> None:
    def serve() -> str:
        with dispatch.Loop() as loop:
            dispatch.Listener(("", 80), dispatch.Stream, loop=loop)
            loop.call_on_signal(TERM, loop.close, 10)
            loop.call_soon(os.kill, os.getpid(), TERM)
            loop.run()
            return "done"

    with network() as net:
        assert net.host("server").run(serve) == "done"


@pytest.mark.parametrize("where", ["kernel", "simnet"])
def test_what_is_no_signal_and_no_handler(where: str) -> None:
    def answers() -> list[str]:
        told = []
        one, other = socket.socketpair()
        for call, *arguments in (
            (signal.signal, 0, signal.SIG_DFL),
            (signal.signal, 65, signal.SIG_DFL),
            (signal.signal, TERM, "x"),
            (signal.signal, signal.SIGKILL, signal.SIG_IGN),
            (signal.getsignal, 99),
            (signal.siginterrupt, 99, True),
            (signal.set_wakeup_fd, "x"),
            (signal.set_wakeup_fd, one.fileno()),
        ):
            try:
                told.append(repr(call(*arguments)))
            except (TypeError, ValueError, OSError) as error:
                told.append(f"{type(error).__name__}: {error}".replace(str(one.fileno()), "FD"))
        one.setblocking(False)
        number = one.fileno()
        assert (signal.set_wakeup_fd(number), signal.set_wakeup_fd(-1)) == (-1, number)
        one.close()
        other.close()
        return told

    expected: Any = [
        "ValueError: signal number out of range",
        "ValueError: signal number out of range",
        "TypeError: signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable object",
        "OSError: [Errno 22] Invalid argument",
        "ValueError: signal number out of range",
        "ValueError: signal number out of range",
        "TypeError: 'str' object cannot be interpreted as an integer",
        "ValueError: the fd FD must be in non-blocking mode",
    ]
    if where == "kernel":
        assert answers() == expected
    else:
        with simnet.Network():
            assert answers() == expected


def test_an_alarm_is_the_processes_own_and_rings_in_virtual_time() -> None:
    heard: list[tuple[str, float]] = []

    def story(name: str, seconds: int) -> None:
        signal.signal(signal.SIGALRM, lambda *_: heard.append((name, time.monotonic())))
        signal.alarm(seconds)
        time.sleep(3600)

    with simnet.Network() as net:
        processes = [net.host(name).spawn(story, name, seconds) for name, seconds in (("a", 20), ("b", 10))]
        for process in processes:
            process.join()
    assert heard == [("b", 10.0), ("a", 20.0)]


def test_who_has_no_handler_for_its_alarm_would_end() -> None:
    def story() -> None:
        signal.alarm(1)
        time.sleep(5)

    with (
        pytest.raises(simnet.Escape, match=r"an end by SIGALRM, of which it has no handler, at .* give it one"),
        simnet.Network() as net,
    ):
        net.host("server").spawn(story)


def test_an_alarm_goes_with_its_process_and_keeps_no_network_going() -> None:
    heard: list[int] = []

    def story() -> None:
        signal.signal(signal.SIGALRM, lambda *_: heard.append(1) or signal.alarm(1))  # type: ignore[func-returns-value]
        signal.alarm(100)

    def waits() -> None:
        story()
        signal.alarm(1)
        with socket.create_server(("", 7)) as listener:
            listener.accept()

    with simnet.Network() as net:
        net.host("a").spawn(story)
        net.host("b").spawn(waits)
        time.sleep(200)
    assert 190 < len(heard) < 210
    assert net.time < 210


def test_a_body_that_waits_for_ever_is_told_so_whatever_alarms_ring() -> None:
    def waits() -> None:
        signal.signal(signal.SIGALRM, lambda *_: signal.alarm(1))
        signal.alarm(1)
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            connection.recv(1)

    with pytest.raises(simnet.Deadlock, match="test waits for recv"), simnet.Network() as net:
        net.host("server").spawn(waits)
        with socket.create_connection(("server", 7)) as sock:
            sock.recv(1)


def test_an_alarm_on_real_sockets_would_be_the_whole_programs() -> None:
    with (
        pytest.raises(simnet.Escape, match=r"reached for signal.alarm at test_signals.py"),
        simnet.RealNetwork() as net,
    ):
        net.host("server").spawn(lambda: signal.alarm(1))


async def board() -> str:
    """A server that says good-bye to its clients when it is to stop."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(TERM, stop.set)
    writers = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.read()

    server = await asyncio.start_server(answer, port=7)
    await stop.wait()
    server.close()
    for each in writers:
        each.write(b"going down")
        each.close()
        await each.wait_closed()
    return "stopped"


@pytest.mark.slow
def test_a_server_that_is_told_to_stop_by_a_signal_does_so_in_order() -> None:
    def conversation(net: Any) -> tuple[bytes, object]:
        server = net.host("server").spawn(asyncio.run, board())
        with socket.create_connection(("server", 7)) as sock:
            time.sleep(5)
            server.send_signal(TERM)
            said = sock.makefile("rb").read()
        assert server.join(1)
        server.send_signal(TERM)  # of which nobody hears any more
        return said, server.result

    result = simnet.check(conversation, target="server", kinds=["eof", "reset", "would-block"])
    assert result.baseline.outcome.returned == (b"going down", "stopped")
    assert "SIGTERM comes to server/run\n" in ladder(result.baseline.trace)


def patient(heard: list[str]) -> None:
    with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
        threading.Thread(target=time.sleep, args=(100,)).start()
        connection.recv(1)
    heard.append("never")


@pytest.mark.parametrize("number", [TERM, signal.SIGKILL, USR1, signal.SIGHUP])
def test_who_has_no_handler_ends_by_a_signal_threads_and_all_and_its_peers_hear_of_it(
    number: int, request: pytest.FixtureRequest
) -> None:
    if number != signal.SIGKILL:  # a program begins with what its interpreter has: under nohup(1) that ignores SIGHUP
        request.addfinalizer(partial(signal.signal, number, signal.signal(number, signal.SIG_DFL)))
    heard: list[str] = []
    with simnet.Network(target="server") as net:
        server = net.host("server").spawn(patient, heard)
        with socket.create_connection(("server", 7)) as sock:
            time.sleep(1)
            server.send_signal(number)
            assert (server.done, server.error, sock.recv(1)) == (True, None, b"")
        assert net.time < 2
    assert not heard


def test_a_signal_that_is_ignored_blocked_or_harmless_ends_nobody() -> None:
    def serve() -> list[int]:
        signal.signal(USR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [TERM])
        time.sleep(10)
        return sorted(signal.sigpending())

    with simnet.Network() as net:
        server = net.host("server").spawn(serve)
        for number in (USR1, signal.SIGWINCH, signal.SIGCHLD, TERM):
            server.send_signal(number)
        server.join()
        assert server.result == [TERM]


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (signal.SIGINT, r"send_signal\(2\): 2 ends the run; send SIGTERM"),
        (signal.SIGSTOP, r"host.pause\(seconds\) stops"),
        (signal.SIGTTOU, r"host.pause\(seconds\) stops"),
        (0, "no such signal"),
        (65, "no such signal"),
    ],
)
def test_what_signal_cannot_be_sent_is_told(number: int, told: str) -> None:
    with simnet.Network() as net:
        process = net.host("a").spawn(time.sleep, 10)
        with pytest.raises(ValueError, match=told):
            process.send_signal(number)
        assert not process.done


def test_who_sends_itself_a_signal_is_told_how_and_on_real_sockets_that_nobody_can() -> None:
    def own() -> None:
        itself[0].send_signal(TERM)

    itself: list[Any] = []
    with simnet.Network() as net:
        process = net.host("a").spawn(lambda: (time.sleep(1), own()))
        itself.append(process)
        process.join()
        assert str(process.error).endswith(f"sends itself a signal by os.kill(os.getpid(), {TERM.value})")
        process.answered = True
    with simnet.RealNetwork() as real, pytest.raises(RuntimeError, match="simulated network"):
        real.host("a").spawn(time.sleep, 0).send_signal(TERM)


def test_the_test_itself_hears_a_signal_and_is_not_ended_by_one() -> None:
    heard: list[int] = []
    with simnet.Network() as net:
        body = net.processes[0]
        process = net.host("a").spawn(body.send_signal, TERM)
        process.join()
        assert str(process.error) == f"send_signal({TERM.value}) would end the test, which has no handler of it"
        process.answered = True
        assert "signal" not in [event.op for event in net.trace]  # what is refused has not happened
        signal.signal(TERM, lambda number, _: heard.append(number))
        net.host("a").spawn(body.send_signal, TERM)
        time.sleep(1)
    assert heard == [TERM]
