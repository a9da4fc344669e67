"""What a test may return, observe or raise: an object that each run changes, one that cannot be compared, or told of. No sweep ends by it."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

import simnet
from simnet.both.seen import as_it_is
from simnet.explore.baseline import NotRepeatable
from simnet.explore.options import SweepOptions
from simnet.explore.report.ladder import ladder
from simnet.explore.sweep import run_sweep
from simnet.trace import OBSERVE

SHORT = SweepOptions.of(target="server", kinds=["short-recv"])


def answer_once(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        conn, _ = listener.accept()
        with conn:
            conn.sendall(conn.recv(100))


def talk(net: Any) -> bytes:
    net.host("server").spawn(answer_once, 7)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello")
        return sock.recv(100)


HEARD: list[bytes] = []
DEEP: dict[str, Any] = {"of": ({"server": deque[bytes]()},)}
RAW = bytearray()


def returned(net: Any) -> list[bytes]:
    HEARD.clear()
    HEARD.append(talk(net))
    return HEARD


def observed(net: Any) -> None:
    HEARD.clear()
    net.observe("heard", HEARD)
    HEARD.append(talk(net))


def deep(net: Any) -> dict[str, Any]:
    DEEP["of"][0]["server"].clear()
    DEEP["of"][0]["server"].append(talk(net))
    return DEEP


def raw(net: Any) -> tuple[bytearray]:
    RAW[:] = talk(net)
    return (RAW,)


@pytest.mark.parametrize("test", [returned, observed, deep, raw])
def test_what_is_the_same_object_in_each_run_is_compared_as_it_was(test: Callable[[Any], object]) -> None:
    (failure,) = run_sweep(test, SHORT).failures
    assert failure.reason == "outcome"
    assert "'hello'" in failure.finding.message


def test_containers_that_hold_each_other_are_kept_as_they_hang_together() -> None:
    family: dict[str, Any] = {"children": []}
    family["children"] += [{"parent": family, "siblings": family["children"]} for _ in range(9)]

    kept = as_it_is((family, family["children"]))

    assert kept[0] is not family
    assert kept[0]["children"] is kept[1]
    assert all(each["parent"] is kept[0] and each["siblings"] is kept[1] for each in kept[1])


class Ambiguous:
    """As an array of numpy's compares: with what cannot be taken for true or false."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __eq__(self, other: object) -> Any:
        return Ambiguous(self.data)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")

    def __repr__(self) -> str:
        return f"array({self.data!r})"


class Nameless:
    """Its repr fails."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Nameless) and self.data == other.data

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise AttributeError("it has no name yet")


class Speechless(Exception):
    """Its text is that of an argument that it was not given."""

    def __str__(self) -> str:
        return str(self.args[0])


@pytest.mark.slow
def test_values_that_cannot_be_compared_are_told_as_that() -> None:
    with pytest.raises(NotRepeatable) as caught:
        run_sweep(lambda net: Ambiguous(talk(net)), SHORT)
    assert str(caught.value).startswith(
        "two runs without faults differ: the test returned array(b'hello'), and == cannot compare it: "
        "ValueError: the truth value of an array is ambiguous."
    )


def test_a_value_whose_repr_fails_is_told_by_its_type() -> None:
    result = run_sweep(lambda net: Nameless(talk(net)), SHORT)
    (failure,) = result.failures
    assert failure.finding.message == (
        "the test returned a Nameless; without the fault one that looks alike and is not equal to it"
    )
    assert "Nameless" in str(result.baseline.outcome)


@pytest.mark.parametrize("whose", ["test", "server"])
def test_an_exception_that_has_no_text_is_told_by_its_name(whose: str) -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            conn, _ = listener.accept()
            with conn:
                if conn.recv(100) != b"hello" and whose == "server":
                    raise Speechless
                conn.sendall(b"hello")

    def test(net: Any) -> None:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            if sock.recv(100, socket.MSG_WAITALL) != b"hello" or (net.happened and whose == "test"):
                raise Speechless

    result = run_sweep(test, SHORT)
    (failure,) = result.failures
    (report,) = result.reports()
    assert failure.type_name == "Speechless"
    assert report.title == "Speechless: <exception str() failed>"
    with pytest.raises(Speechless):
        result.raise_failures()


class Answer:
    """It is compared with others of its class, and takes everything for one."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __eq__(self, other: object) -> bool:
        return bool(self.data == other.data)  # type: ignore[attr-defined]

    __hash__ = None  # type: ignore[assignment]


def answer_each(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        conn, _ = listener.accept()
        with conn:
            while data := conn.recv(100):
                conn.sendall(data)


def ask_thrice() -> list[Answer | None]:
    found: list[Answer | None] = []
    with socket.create_connection(("server", 7), timeout=40) as sock:
        for question in (b"a", b"b", b"c"):
            sock.sendall(question)
            try:
                found.append(Answer(sock.recv(1)))
            except TimeoutError:
                found.append(None)
    return found


def test_answers_that_cannot_be_compared_with_none_are_told_apart_all_the_same() -> None:
    def test(net: Any) -> Any:
        net.host("server").spawn(answer_each, 7)
        return net.host("client").run(ask_thrice)

    result = run_sweep(test, SweepOptions.of(target="client", kinds=["stall"]))
    assert not result.failures
    assert "answers-told-apart" in {each.name for each in result.warnings}


class Same:
    """It is told by where it lies in memory, as any object that has no repr of its own."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.data == other.data

    __hash__ = None  # type: ignore[assignment]


LIVING: list[Same] = []  # so that no two of them lie at one place


def test_what_is_observed_is_the_same_in_each_run_wherever_it_lies() -> None:
    def test(net: Any) -> None:
        LIVING.append(Same(talk(net)))
        net.observe("heard", [LIVING[-1]])

    result = run_sweep(test, SweepOptions.of(target="server", kinds=["coalesce", "eof"]))
    assert result.ok
    LIVING.clear()


def test_what_is_observed_though_its_repr_fails_is_told_by_its_type() -> None:
    result = run_sweep(lambda net: net.observe("heard", Nameless(talk(net))), SHORT)
    (failure,) = result.failures
    assert failure.finding.message.startswith(
        "observation 1 is heard=a Nameless; without the fault heard=one that looks"
    )
    assert [each.detail for each in result.baseline.trace.of(OBSERVE)] == ["a Nameless"]


def test_a_trace_has_what_is_observed_in_one_order_and_a_ladder_in_one_line() -> None:
    with simnet.Network() as net:
        net.observe("heard", {b"a", b"b", b"c", b"hello"})
        net.observe("table", Table())
    assert [each.detail for each in net.trace.of(OBSERVE)] == [
        "{b'a', b'b', b'c', b'hello'}",
        "array([[1],\n       [2]])",
    ]
    assert "observes table=array([[1], [2]])\n" in f"{ladder(net.trace, whole=True)}\n"


class Table:
    """It takes several lines, as a table of numpy's or pandas'."""

    def __repr__(self) -> str:
        return "array([[1],\n       [2]])"
