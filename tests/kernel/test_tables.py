"""Descriptor tables, buffers, and what socket(2) refuses."""

from __future__ import annotations

from errno import EAFNOSUPPORT, EBADF, EINVAL, EMFILE, EPERM, EPROTONOSUPPORT, ESOCKTNOSUPPORT
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet.kernel import Descriptors, File, NotModelled, Stack
from simnet.kernel.buffer import Buffer
from simnet.kernel.readiness import ANY_NEWS, describe
from tests.kernel.conftest import Fabric, fails


@pytest.fixture
def stack(fabric: Fabric) -> Stack:
    return fabric.stack("10.0.0.1")


def test_numbers_are_given_lowest_first(stack: Stack) -> None:
    table = Descriptors(base=100, limit=4)
    files = [stack.socket(2, 1) for _ in range(5)]
    fds = [table.add(file) for file in files[:4]]
    assert fds == [100, 101, 102, 103]
    for call in (table.reserve, lambda: table.add(files[4]), lambda: table.dup(100)):
        with fails(EMFILE):
            call()
    table.close(102)
    table.close(100)
    table.reserve()
    assert [table.add(files[4]), table.dup(101)] == [100, 102]
    assert (len(table), list(table), 101 in table, 104 in table) == (4, [100, 101, 102, 103], True, False)
    assert [fd for fd, file in table.items() if file is files[1]] == [101, 102]
    assert files[1].refs == 2


def test_a_lowered_limit_counts_at_once(stack: Stack) -> None:
    table = Descriptors(limit=10)
    for _ in range(4):
        table.add(stack.socket(2, 1))
    table.close(3)
    table.limit = 2
    with fails(EMFILE):
        table.add(stack.socket(2, 1))


def test_numbers_that_are_not_open_are_bad(stack: Stack) -> None:
    table = Descriptors()
    for call in (table.get, table.close, table.dup):
        with fails(EBADF):
            call(0)
    fd = table.add(stack.socket(2, 1))
    assert table.get(fd) is table.close(fd)


def test_a_file_is_released_once(stack: Stack) -> None:
    file = stack.socket(2, 1)
    file.release()
    with pytest.raises(AssertionError, match="released more often than held"):
        file.release()


def test_a_bare_file_answers_nothing() -> None:
    for call in (File().mask, File().destroy):
        with pytest.raises(NotImplementedError):
            call()


def test_masks_print_their_bits() -> None:
    assert (describe(0), describe(ANY_NEWS | 0x20)) == ("0", "IN|PRI|OUT|RDHUP|ERR|HUP|NVAL")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param((99, 1), EAFNOSUPPORT, id="no-such-family"),
        pytest.param((2, 99), EINVAL, id="no-such-type"),
        pytest.param((2, 1, 17), EPROTONOSUPPORT, id="tcp-with-udp"),
        pytest.param((2, 2, 6), EPROTONOSUPPORT, id="udp-with-tcp"),
        pytest.param((2, 5), ESOCKTNOSUPPORT, id="seqpacket-on-inet"),
        pytest.param((2, 1, 263), EINVAL, id="protocol-too-large"),
        pytest.param((2, 3), EPROTONOSUPPORT, id="raw-without-protocol"),
        pytest.param((2, 3, 1), EPERM, id="raw"),
        pytest.param((17, 3), EPERM, id="packet"),
        pytest.param((3, 5), EAFNOSUPPORT, id="a-family-without-its-module"),
        pytest.param((1, 1, 7), EPROTONOSUPPORT, id="unix-with-protocol"),
        pytest.param((1, 4), ESOCKTNOSUPPORT, id="unix-rdm"),
    ],
)
def test_socket_refuses(stack: Stack, arguments: Any, code: int) -> None:
    with fails(code):
        stack.socket(*arguments)


@pytest.mark.parametrize("arguments", [(16, 3), (2, 1, 262)])
def test_socket_knows_what_it_does_not_model(stack: Stack, arguments: Any) -> None:
    with pytest.raises(NotModelled) as caught:
        stack.socket(*arguments)
    assert caught.value.call.startswith("socket(")


def test_socket_hides_its_flags(stack: Stack) -> None:
    assert stack.socket(2, 1 | 0o4000 | 0o2000000).type == 1
    assert stack.socket(1, 3).type == 2  # SOCK_RAW is SOCK_DGRAM there
    assert (repr(stack), repr(Stack(["x"], clock=stack.clock, out=stack.out, name="n"))) == (
        "<Stack 10.0.0.1>",
        "<Stack n>",
    )


@given(
    st.lists(
        st.one_of(
            st.binary(min_size=1, max_size=9), st.integers(1, 12), st.tuples(st.integers(0, 9), st.integers(0, 5))
        )
    )
)
def test_a_buffer_is_a_queue_of_bytes(steps: list[Any]) -> None:
    buffer, model = Buffer(), b""
    for step in steps:
        if isinstance(step, bytes):
            buffer.append(step)
            model += step
        elif isinstance(step, int):
            assert buffer.take(step) == model[:step]
            model = model[step:]
        else:
            n, skip = step
            assert buffer.peek(n, skip) == model[skip : skip + n]
        assert buffer.size == len(model)


def test_a_chunk_is_handed_over_as_it_came() -> None:
    chunk = bytes(100)
    buffer = Buffer(chunk)
    assert buffer.take(100) is chunk
    buffer.append(chunk)
    buffer.append(chunk)
    assert buffer.take(100) is chunk
