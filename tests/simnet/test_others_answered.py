"""What befalls one connection leaves nobody on another waiting: a target that does not answer there any more is told."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from simnet.explore.judging.verdict import judge
from simnet.explore.options import SweepOptions
from simnet.explore.points import families
from simnet.explore.sweep import run_sweep
from simnet.faults.plan import FaultPlan
from simnet.realnet import play_real
from simnet.run import play

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


def upper(port: int) -> None:
    """One client at a time, whose lines come back in capitals."""
    with socket.create_server(("", port)) as listener:
        while True:
            with listener.accept()[0] as sock, sock.makefile("rb") as lines:
                try:
                    for line in lines:
                        sock.sendall(line.upper())
                except OSError:
                    pass


def serving(talk: Callable[..., Any], port: int = 7) -> Callable[[], None]:
    async def main() -> None:
        await (await asyncio.start_server(talk, port=port)).serve_forever()

    return lambda: asyncio.run(main())


def proxy(careful: bool) -> Callable[[], None]:
    """What a client says is passed on, and what comes back; who is not *careful* lets the client's side stand when the other breaks."""

    async def pass_on(reader: Reader, writer: Writer) -> None:
        try:
            while data := await reader.read(100):
                writer.write(data)
                await writer.drain()
            writer.close()
        except OSError:
            if careful:
                writer.close()

    async def talk(reader: Reader, writer: Writer) -> None:
        kept.append(writer)
        try:
            back, there = await asyncio.open_connection("origin", 80)
        except OSError:
            if careful:
                writer.close()
            return
        await asyncio.gather(pass_on(reader, there), pass_on(back, writer))
        there.close()
        writer.close()

    kept: list[Writer] = []
    return serving(talk)


def through_a_proxy(careful: bool, patience: float | None = None) -> Callable[[Any], bytes]:
    def test(net: Any) -> bytes:
        net.host("origin").spawn(upper, 80)
        net.host("server").spawn(proxy(careful))
        with socket.create_connection(("server", 7), timeout=patience) as sock, sock.makefile("rb") as lines:
            sock.sendall(b"hello\n")
            return lines.readline()

    return test


def found(test: Callable[[Any], object], **options: Any) -> list[tuple[str, str, str]]:
    result = run_sweep(test, SweepOptions.of(**{"target": "server", "kinds": ["refuse", "reset", "eof"], **options}))
    return [(each.reason, str(each.plan), each.finding.message) for each in result.failures]


LEFT = "server left test->server:7#1 without an answer, though the fault was on server->origin:80#1"


@pytest.mark.slow
@pytest.mark.parametrize("patience", [None, 5])
def test_a_proxy_whose_other_side_breaks_and_that_lets_its_client_wait_is_a_failure(patience: float | None) -> None:
    ((reason, plan, message),) = found(through_a_proxy(careful=False, patience=patience))
    assert reason == "others-answered"
    assert message.startswith(LEFT)
    if patience is None:
        assert ": server/<lambda> waits for readiness of server/<lambda> epoll1 at test_others_answered.py:" in message
    assert "server->origin:80#1" in plan


@pytest.mark.slow
def test_one_that_hangs_up_on_its_client_passes() -> None:
    assert found(through_a_proxy(careful=True)) == []


@pytest.mark.slow
def test_an_answer_that_is_only_late_is_none_that_is_missing() -> None:
    """The client's time is up, and the other side's word still on its way."""
    stall = FaultPlan.parse("stall server->origin:80#1 end=client byte=0 seconds=61")
    result = run_sweep(through_a_proxy(careful=False, patience=5), SweepOptions.of(target="server"), plan=stall)
    assert (result.ok, result.interrupted) == (True, 1)


@pytest.mark.slow
def test_who_lets_an_answer_be_lost_on_purpose_says_so() -> None:
    result = run_sweep(through_a_proxy(careful=False), SweepOptions.of(target="server", kinds=["refuse"]))
    assert "invariants={'others-answered': 'off: why'} says so" in result.reports()[0].why
    off = {"others-answered": "off: a bridge", "nothing-left": "off"}
    assert found(through_a_proxy(careful=False), kinds=["refuse"], invariants=off) == []


# --- clients of one listener -----------------------------------------------------------------------------------------


def one_at_a_time(careful: bool) -> Callable[[], None]:
    """A printer: who has it is asked for a word before the next one gets it."""

    async def talk(reader: Reader, writer: Writer) -> None:
        kept.append(writer)
        try:
            line = await reader.readline()
            await printer.acquire()
            try:
                writer.write(line)
                await writer.drain()
                await reader.readexactly(1)
            except (OSError, asyncio.IncompleteReadError):
                if not careful:
                    return  # and keeps the printer
            printer.release()
        except OSError:
            pass
        finally:
            if careful or not printer.locked():
                writer.close()

    kept: list[Writer] = []
    printer = asyncio.Semaphore(1)
    return serving(talk)


def one_after_the_other(careful: bool) -> Callable[[Any], None]:
    def test(net: Any) -> None:
        net.host("server").spawn(one_at_a_time(careful))
        for _ in range(2):
            try:
                with socket.create_connection(("server", 7)) as sock:
                    sock.sendall(b"page\n")
                    if sock.recv(100):
                        sock.sendall(b"!")
                        sock.recv(1)
            except ConnectionError:
                pass

    return test


@pytest.mark.slow
def test_what_a_client_held_and_nobody_gave_back_leaves_the_next_one_waiting() -> None:
    assert "others-answered" in [reason for reason, _, _ in found(one_after_the_other(careful=False))]
    assert found(one_after_the_other(careful=True)) == []


@pytest.mark.slow
def test_who_waits_for_the_words_of_one_that_has_gone_waits_rightly() -> None:
    """A hub: what the one cannot say any more, the other does not hear."""

    async def talk(reader: Reader, writer: Writer) -> None:
        clients.append(writer)
        try:
            while line := await reader.readline():
                for each in clients:
                    each.write(line)
        except OSError:
            pass
        finally:
            clients.remove(writer)
            writer.close()

    clients: list[Writer] = []

    def test(net: Any) -> bytes:
        clients.clear()
        net.host("server").spawn(serving(talk))
        at = ("server", 7)
        with net.host("one").connect(at) as one, net.host("two").connect(at) as two:
            one.sendall(b"here\n")
            with one.makefile("rb") as lines:
                heard = lines.readline()
                two.sendall(b"hello\n")
                return heard + lines.readline()

    assert found(test) == []


@pytest.mark.slow
def test_who_never_put_it_there_leaves_the_next_one_waiting_rightly() -> None:
    """A mailbox: what the first client could not say whole is not there for the second."""

    async def talk(reader: Reader, writer: Writer) -> None:
        try:
            line = await reader.readline()
            if line == b"take\n":
                taking, gone = asyncio.ensure_future(mail.get()), asyncio.ensure_future(reader.read(1))
                await asyncio.wait([taking, gone], return_when=asyncio.FIRST_COMPLETED)
                writer.write(taking.result() if taking.done() else b"")
                taking.cancel()
            elif line.endswith(b"\n"):
                mail.put_nowait(line)
            await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    def test(net: Any) -> bytes:
        nonlocal mail
        mail = asyncio.Queue()
        net.host("server").spawn(serving(talk))
        with socket.create_connection(("server", 7)) as one:
            one.sendall(b"hello\n")
            one.recv(1)
        with socket.create_connection(("server", 7)) as other, other.makefile("rb") as lines:
            other.sendall(b"take\n")
            return lines.readline()

    mail: asyncio.Queue[bytes]
    assert found(test, kinds=["eof"]) == []


@pytest.mark.slow
def test_a_side_that_has_given_up_without_a_word_has_told_nobody() -> None:
    """The origin's own kernel gives up the connection; to the proxy that is a peer that is silent."""
    plan = FaultPlan.parse("error server->origin:80#1 end=server op=recv call=1 errno=ETIMEDOUT")
    options = SweepOptions.of(target=["server", "origin"])
    result = run_sweep(through_a_proxy(careful=True), options, plan=plan)
    assert (result.failures, result.interrupted) == ([], 1)


def test_what_a_client_reads_may_be_told_before_the_call_that_sent_it() -> None:
    """Real sockets are seen by threads: the server's may come to tell of its send when the client has closed."""
    plan = FaultPlan.parse("reset server->origin:80#1 end=client byte=0")
    test = through_a_proxy(careful=False)
    baseline, run = (play(test, each, target="server") for each in (FaultPlan(), plan))
    entries = baseline.trace.entries
    (answer,) = (each for each in entries if each[2:6] == ("server", "test->server:7#1", "server", "send"))
    entries.remove(answer)
    entries.append(answer)
    assert judge(baseline, run).findings[0].reason == "others-answered"


@pytest.mark.slow
def test_real_sockets_say_so_too() -> None:
    plan = FaultPlan.parse("reset server->origin:80#1 end=client byte=0")
    test = through_a_proxy(careful=False)
    baseline, run = (play_real(test, each, target="server") for each in (FaultPlan(), plan))
    found = judge(baseline, run).findings[0]
    assert (found.reason, found.message.startswith(LEFT)) == ("others-answered", True)


# --- who gets no socket ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_proxy_that_gets_no_socket_for_its_other_side_is_tried_unasked_and_told() -> None:
    baseline = play(through_a_proxy(careful=True), target="server")
    tried = [family.make(n) for family in families(baseline.points, ("server",)) for n in range(family.size)]
    refused = [fault for fault in tried if fault.anchor.op == "socket"]
    assert {fault.anchor.number for fault in refused} == {3}  # the first two are listeners, of IPv4 and IPv6
    assert len(refused) == 4  # errnos
    for careful, reasons in ((True, []), (False, ["others-answered"])):
        plan = FaultPlan((refused[0],))
        result = run_sweep(through_a_proxy(careful), SweepOptions.of(target="server"), plan=plan)
        assert [each.reason for each in result.failures] == reasons


def hub(hands_out: Callable[[list[Writer], bytes], Any]) -> Callable[[], None]:
    """What one says is said to all, by one task; who comes as the second is told that both are there."""

    async def main() -> None:
        words: asyncio.Queue[bytes] = asyncio.Queue()
        there: list[Writer] = []

        async def hand_out() -> None:
            while True:
                await hands_out(there, await words.get())

        async def talk(reader: Reader, writer: Writer) -> None:
            there.append(writer)
            try:
                while line := await reader.readline():
                    await words.put(line)
            except OSError:
                pass
            there.remove(writer)
            writer.close()

        telling = asyncio.create_task(hand_out())
        async with await asyncio.start_server(talk, None, 7) as server:
            await server.serve_forever()
        telling.cancel()

    return lambda: asyncio.run(main())


async def to_all(there: list[Writer], word: bytes) -> None:
    for writer in list(there):
        writer.write(word)
        await writer.drain()


async def to_all_that_hear(there: list[Writer], word: bytes) -> None:
    for writer in list(there):
        try:
            writer.write(word)
            await writer.drain()
        except OSError:
            pass


async def when_both_are_there(there: list[Writer], word: bytes) -> None:
    if len(there) == 2:
        await to_all_that_hear(there, word)


def two_at_a_hub(hands_out: Callable[[list[Writer], bytes], Any], words: int) -> Callable[[Any], list[bytes]]:
    """The one only listens, and the other speaks and listens."""

    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(hub(hands_out))
        heard = []
        with (
            socket.create_connection(("server", 7), timeout=20) as first,
            socket.create_connection(("server", 7), timeout=20) as second,
            first.makefile("rb") as hears,
            second.makefile("rb") as listens,
        ):
            for number in range(words):
                time.sleep(0.1)
                second.sendall(b"word %d\n" % number)
                heard += [listens.readline(), hears.readline()]
        return heard

    return test


@pytest.mark.slow
def test_who_hands_out_words_ends_when_one_that_never_spoke_has_gone_and_the_other_waits() -> None:
    ((reason, _, message),) = found(two_at_a_hub(to_all, words=3), kinds=["reset"])
    assert reason == "others-answered"
    assert message.startswith(
        "server left test->server:7#2 without an answer, though the fault was on test->server:7#1"
    )


@pytest.mark.slow
def test_who_goes_on_with_the_others_passes_and_so_does_one_that_has_to_wait_for_two() -> None:
    assert found(two_at_a_hub(to_all_that_hear, words=3)) == []
    assert found(two_at_a_hub(when_both_are_there, words=1)) == [], (
        "who was never answered may wait for the other one to be there"
    )


@pytest.mark.slow
def test_what_came_in_one_piece_with_a_word_that_was_handed_out_may_go_with_its_connection() -> None:
    """Each word is confirmed; who is not there to hear that is left, and what else it has said is not looked at."""

    async def main() -> None:
        hears: list[Writer] = []

        async def talk(reader: Reader, writer: Writer) -> None:
            try:
                if await reader.readline() == b"hear\n":
                    hears.append(writer)
                    writer.write(b"ok\n")
                    await reader.read()
                while line := await reader.readline():
                    for each in hears:
                        each.write(line)
                    writer.write(b"told\n")
                    await writer.drain()
            except OSError:
                pass
            finally:
                writer.close()

        async with await asyncio.start_server(talk, None, 7) as server:
            await server.serve_forever()

    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(lambda: asyncio.run(main()))
        with (
            socket.create_connection(("server", 7)) as first,
            socket.create_connection(("server", 7)) as second,
            first.makefile("rb") as hears,
            second.makefile("rb") as confirmed,
        ):
            first.sendall(b"hear\n")
            heard = [hears.readline()]
            second.sendall(b"speak\none\ntwo\n")
            return [*heard, confirmed.readline(), confirmed.readline(), hears.readline(), hears.readline()]

    assert found(test, kinds=["error", "reset"]) == []


@pytest.mark.slow
def test_a_server_without_a_descriptor_waits_a_second_and_who_has_less_patience_was_not_left() -> None:
    """As asyncio does, and as who sleeps before the next accept."""

    async def talk(reader: Reader, writer: Writer) -> None:
        with suppress(OSError):
            writer.write((await reader.readline()).upper())
        writer.close()

    def sleeps(port: int) -> None:
        with socket.create_server(("", port)) as listener:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    time.sleep(1)
                    continue
                with suppress(OSError), sock, sock.makefile("rb") as lines:
                    sock.sendall(lines.readline().upper())

    def test(net: Any, serve: Callable[[], Any]) -> list[bytes]:
        for name in ("one", "two"):
            net.host(name).spawn(serve)
        got = []
        for word in (b"a\n", b"b\n"):
            for name in ("one", "two"):
                try:
                    with socket.create_connection((name, 7), timeout=0.5) as sock:
                        sock.sendall(word)
                        got.append(sock.recv(100))
                        break
                except OSError:
                    pass
        return got

    for serve in (serving(talk), lambda: sleeps(7)):
        result = run_sweep(lambda net, serve=serve: test(net, serve), SweepOptions.of(target="one", kinds=["error"]))
        assert result.ok, [each.finding for each in result.failures]
