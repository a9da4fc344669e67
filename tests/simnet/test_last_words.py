"""Programs that complain of whatever ends them: of the end of their network, their host or their program nobody hears."""

from __future__ import annotations

import contextlib
import io
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import simnet
from tests.simnet.silence import in_silence


class Worker(threading.Thread):
    """As those of a web server: it logs what ends it, and asks for a report."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.tasks: queue.Queue[Any] = queue.Queue()

    def run(self) -> None:
        try:
            self.tasks.get()
        except BaseException:
            sys.stderr.write("please report this\n")
            sys.stderr.buffer.write(b"with all of this\n")
            traceback.print_exc()
            raise


def serve() -> None:
    workers = [Worker() for _ in range(2)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()


def by_its_network(net: Any) -> None:
    net.host("server").spawn(serve)
    net.sleep(1)


def by_a_crash(net: Any) -> None:
    by_its_network(net)
    net.host("server").crash()


def by_its_program(net: Any) -> None:
    net.host("server").run(Worker().start)


def by_a_signal(net: Any) -> None:
    server = net.host("server").spawn(serve)
    net.sleep(1)
    server.send_signal(signal.SIGKILL)


def by_its_test(net: Any) -> None:
    Worker().start()


@pytest.mark.parametrize("ends", [by_its_network, by_a_crash, by_its_program, by_a_signal, by_its_test])
@pytest.mark.slow
def test_who_is_ended_wherever_it_is_has_no_last_words(
    ends: Callable[[Any], None], capfd: pytest.CaptureFixture[str]
) -> None:
    with in_silence(capfd):
        with simnet.Network() as net:
            ends(net)
        del net


def test_until_then_it_is_heard_and_so_is_the_test_after_it(capfd: pytest.CaptureFixture[str]) -> None:
    def stumbles() -> None:
        print("an error", file=sys.stderr)
        Worker().start()

    before = sys.stderr
    with simnet.Network() as net:
        net.host("server").spawn(stumbles)
        net.host("server").spawn(serve)
    print("the end", file=sys.stderr)
    assert sys.stderr is before
    assert capfd.readouterr() == ("", "an error\nthe end\n")


def test_who_has_led_errors_elsewhere_for_a_while_leads_them_back() -> None:
    def serve_in_silence() -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            serve()

    before = sys.stderr
    with simnet.Network() as net:
        net.host("server").spawn(serve_in_silence)
        net.sleep(1)
    assert sys.stderr is before


@pytest.mark.parametrize("text", ["\u2192", "\udcff"])
def test_no_word_is_too_strange_not_to_be_heard(text: str) -> None:
    """An interpreter's own ``sys.stderr`` writes whatever it is given, and what code leads there expects that."""
    said: list[str] = []

    def complain() -> None:
        try:
            threading.Event().wait()
        finally:
            sys.stderr.write(text)
            said.append(text)

    with simnet.Network() as net:
        net.host("server").spawn(complain)
        net.sleep(1)
    assert said == [text]


@pytest.mark.slow
def test_an_interpreter_that_warns_of_encodings_that_are_not_named_has_nothing_to_say() -> None:
    program = "import simnet\nwith simnet.Network() as net:\n    net.sleep(1)\n"
    options = ("-X", "warn_default_encoding", "-W", "error::EncodingWarning:simnet.owned.unheard")
    subprocess.run([sys.executable, *options, "-c", program], check=True)
