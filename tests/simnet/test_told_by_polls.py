"""What a poll told its program stands in the trace in the same words, whichever poller was asked, and whatever has no name of a plan's."""

from __future__ import annotations

import os
import select
import selectors
import socket
from collections.abc import Callable
from typing import Any

import pytest

import simnet


def by_a_selector(kind: type[selectors.BaseSelector]) -> Callable[[list[Any]], list[int]]:
    def asked(files: list[Any]) -> list[int]:
        with kind() as selector:
            for file in files:
                selector.register(file, selectors.EVENT_READ)
            return [key.fd for key, _ in selector.select(1)]

    return asked


def by_epoll(files: list[Any]) -> list[int]:
    with select.epoll() as poller:
        for file in files:
            poller.register(file, select.EPOLLIN)
        return [number for number, _ in poller.poll(1)]


def told(asked: Callable[[list[Any]], list[int]]) -> tuple[list[str], int]:
    """What the trace says of a poll that found what there is; how many the program was told of."""
    with simnet.Network() as net:
        listener = net.host("test").listen(7)
        client = socket.create_connection(("test", 7))
        flow = socket.socket(type=socket.SOCK_DGRAM)
        flow.bind(("", 53))
        flow.sendto(b"x", ("test", 53))
        one, other = socket.socketpair()
        other.send(b"x")
        reading, writing = os.pipe()
        os.write(writing, b"x")
        found = asked([listener, flow, one, reading])
        *_, polled = (event for event in net.trace.of("call") if event.op == "poll")
        for each in (listener, client, flow, one, other):
            each.close()
        for number in (reading, writing):
            os.close(number)
    return [str(each).partition(" (")[0] for each in polled.result], len(found)


@pytest.mark.parametrize("kind", [selectors.EpollSelector, selectors.PollSelector, selectors.SelectSelector])
def test_each_thing_that_is_ready_is_told_once_and_by_its_name(kind: type[selectors.BaseSelector]) -> None:
    names, several = told(by_a_selector(kind))
    assert (len(names), several) == (4, 4), names
    assert sorted(names) == sorted(told(by_epoll)[0])


@pytest.mark.parametrize("asked", [by_epoll, by_a_selector(selectors.EpollSelector)])
def test_what_has_no_name_is_told_where_everything_else_is_as_usual(asked: Callable[[list[Any]], list[int]]) -> None:
    with simnet.Network() as net, socket.socket(type=socket.SOCK_DGRAM) as flow:
        flow.bind(("", 53))
        flow.sendto(b"x", ("test", 53))
        assert asked([flow]) == [flow.fileno()]
        (polled,) = (event for event in net.trace.of("call") if event.op == "poll")
    assert polled.result == ("test:53 IN",)


def test_a_number_that_was_closed_while_a_second_one_keeps_the_file_is_told_as_that() -> None:
    with simnet.Network() as net, selectors.EpollSelector() as selector:
        one, other = socket.socketpair()
        copy = one.dup()
        key = selector.register(one, selectors.EVENT_READ)
        one.close()
        other.send(b"x")
        assert selector.select(1) == [(key, selectors.EVENT_READ)]
        (polled,) = (event for event in net.trace.of("call") if event.op == "poll")
        for each in (copy, other):
            each.close()
    assert [str(each) for each in polled.result] == ["a closed descriptor IN"]
