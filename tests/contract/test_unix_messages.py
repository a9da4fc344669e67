"""Unix sockets: urgent bytes, credentials and descriptors beside data, and the flags of a message."""

from __future__ import annotations

import array
import os
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.worlds import World

SO_INQ = 84
SOL, SCM_CREDENTIALS, SCM_RIGHTS = socket.SOL_SOCKET, 2, socket.SCM_RIGHTS
OOB, PEEK, TRUNC, CTRUNC = int(socket.MSG_OOB), int(socket.MSG_PEEK), int(socket.MSG_TRUNC), int(socket.MSG_CTRUNC)


def pair(world: World, kind: int = socket.SOCK_STREAM) -> tuple[Any, Any]:
    ends = socket.socketpair(socket.AF_UNIX, kind)
    for end in ends:
        world.keep(end).setblocking(False)
    return ends


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        # A step, and what follows it: the answer, FIONREAD, SIOCATMARK, readiness.
        ("Ox u", ["- 1 1 IN|PRI|OUT", "x 0 1 IN|OUT"]),
        # A look at no bytes goes past it, and finds nothing.
        ("Ox m", ["- 1 1 IN|PRI|OUT", "EAGAIN 1 1 IN|PRI|OUT"]),
        # The count of a byte that a normal read dropped stays for ever.
        ("sab Ox r9 r9 scd r1", ["- 2 0 IN|OUT", "- 3 0 IN|PRI|OUT", "ab 1 1 IN|PRI|OUT", "EAGAIN 1 0 OUT",
                                 "- 3 0 IN|OUT", "c 2 0 IN|OUT"]),
        ("Ox Oy r9 r9", ["- 1 1 IN|PRI|OUT", "- 2 0 IN|PRI|OUT", "x 1 1 IN|PRI|OUT", "EAGAIN 1 0 OUT"]),
        # Where one was read apart reading stops, unless another waits further on.
        ("sab Ox u scd r9 r9", ["- 2 0 IN|OUT", "- 3 0 IN|PRI|OUT", "x 2 0 IN|OUT", "- 4 0 IN|OUT", "ab 2 1 IN|OUT",
                                "cd 0 0 OUT"]),
        ("Oabc u Ode r9", ["- 3 0 IN|PRI|OUT", "c 2 0 IN|OUT", "- 4 0 IN|PRI|OUT", "abd 1 1 IN|PRI|OUT"]),
        ("Ox scd p9 u r9", ["- 1 1 IN|PRI|OUT", "- 3 1 IN|PRI|OUT", "cd 3 1 IN|PRI|OUT", "x 2 1 IN|OUT", "cd 0 0 OUT"]),
    ],
)  # fmt: skip
def test_k099_a_unix_stream_stops_at_urgent_bytes_and_drops_them(world: World, steps: str, told: list[str]) -> None:
    one, two = pair(world)
    calls = {
        "s": lambda text: one.send(text.encode()) and "-",
        "O": lambda text: one.send(text.encode(), OOB) and "-",
        "r": lambda text: two.recv(int(text)).decode(),
        "p": lambda text: two.recv(int(text), PEEK).decode(),
        "u": lambda _: two.recv(1, OOB).decode(),
        "m": lambda _: two.recvmsg(0, 0, PEEK)[0].decode(),
    }
    answers = []
    for step in steps.split():
        answer = outcome(lambda: calls[step[0]](step[1:]))  # noqa: B023 - called at once
        answers.append(f"{answer} {world.ioctl(two, 'FIONREAD')} {world.at_mark(two)} {world.mask(two)}")
    assert answers == told


@pytest.mark.parametrize("before", [b"", b"ab"])
@pytest.mark.parametrize("how", ["skipped", "taken", "two"])
def test_k099_a_file_beside_an_urgent_byte_that_nobody_received_is_closed(
    world: World, how: str, before: bytes
) -> None:
    one, two = pair(world)
    sent, peer = pair(world)
    one.sendmsg([before + b"!"], [(SOL, SCM_RIGHTS, array.array("i", [sent.fileno()]).tobytes())], OOB)
    sent.close()
    assert world.mask(peer) == "OUT"
    if how != "skipped":
        assert two.recv(1, OOB) == b"!"
    if how == "two":  # of two places in a row that were urgent one is kept
        one.send(b"?", OOB)
        assert two.recv(1, OOB) == b"?"
    one.send(b"on")
    assert two.recv(9) == (before or b"on")
    if before:
        assert two.recv(9) == b"on"
    assert world.mask(peer) == "IN|OUT|RDHUP|HUP"
    assert peer.recv(9) == b""


@pytest.mark.parametrize("taken", [False, True])
def test_k099_an_end_that_lies_beside_an_urgent_byte_is_closed_when_the_read_that_passed_it_is_over(
    world: World, taken: bool
) -> None:
    one, two = pair(world)
    one.sendmsg([b"!"], [(SOL, SCM_RIGHTS, array.array("i", [one.fileno()]).tobytes())], OOB)
    one.close()
    two.send(b"unread")
    if taken:
        assert two.recv(1, OOB) == b"!"
    with pytest.raises(BlockingIOError):
        two.recv(9)
    with pytest.raises(ConnectionResetError):
        two.recv(9)
    assert two.recv(9) == b""


def test_k106_what_was_sent_while_nobody_asked_comes_from_nobody(world: World) -> None:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        one, two = pair(world, kind)
        one.send(b"before")
        two.setsockopt(SOL, socket.SO_PASSCRED, 1)
        one.send(b"after")
        told = [two.recvmsg(6, 100)[1] for _ in range(2)]
        assert told[0] == [(SOL, SCM_CREDENTIALS, struct.pack("iii", 0, 65534, 65534))]
        assert struct.unpack("iii", told[1][0][2])[1:] == (os.getuid(), os.getgid())
    one, two = pair(world)
    two.setsockopt(SOL, socket.SO_PASSCRED, 1)
    one.close()
    assert two.recvmsg(6, 100)[:3] == (b"", [(SOL, SCM_CREDENTIALS, bytes(12))], 0)  # the end, too, is said by somebody


def test_k106_credentials_are_cut_to_the_buffer_and_descriptors_counted(world: World) -> None:
    one, two = pair(world)
    two.setsockopt(SOL, socket.SO_PASSCRED, 1)
    passed, kept = pair(world)
    rights = (SOL, SCM_RIGHTS, array.array("i", [passed.fileno(), kept.fileno()]))
    shapes = []
    for room in (0, 15, 16, 23, 28, 47, 52, 56):
        one.sendmsg([b"x"], [rights])
        _, messages, flags, _ = two.recvmsg(1, room)
        shapes.append((room, [(kind, len(data)) for _, kind, data in messages], flags))
        for _, kind, data in messages:
            if kind == SCM_RIGHTS:
                for (number,) in struct.iter_unpack("i", data):
                    socket.close(number)
    assert shapes == [
        (0, [], CTRUNC),
        (15, [], CTRUNC),
        (16, [(2, 0)], CTRUNC),
        (23, [(2, 7)], CTRUNC),
        (28, [(2, 12)], CTRUNC),
        (47, [(2, 12)], CTRUNC),
        (52, [(2, 12), (1, 4)], CTRUNC),
        (56, [(2, 12), (1, 8)], 0),
    ]


@pytest.mark.slow
def test_k106_messages_are_looked_at_in_their_order(world: World) -> None:
    one, _ = pair(world)
    no_such, short, nobody = (SOL, SCM_RIGHTS, struct.pack("i", 99_999)), (SOL, 2, b"12"), (SOL, 2, bytes(12))
    for messages, error in (
        ([no_such, short], "EBADF"),
        ([short, no_such], "EINVAL"),
        ([nobody], "ESRCH" if os.geteuid() == 0 else "EPERM"),
        ([(SOL, 99, b"")], "EINVAL"),
        ([(0, 99, b"")], 1),
    ):
        world.gives(error, one.sendmsg, [b"x"], messages)


def test_k106_a_peek_goes_on_to_the_next_descriptors(world: World) -> None:
    one, two = pair(world)
    passed, _ = pair(world)
    one.send(b"several")
    one.sendmsg([b"x"], [(SOL, SCM_RIGHTS, struct.pack("i", passed.fileno()))])
    data, messages, _, _ = two.recvmsg(3, 100, PEEK)
    assert (data, [kind for _, kind, _ in messages]) == (b"sev", [SCM_RIGHTS])
    socket.close(struct.unpack("i", messages[0][2])[0])


def test_k085_the_length_of_what_was_cut_is_told_where_a_number_is(world: World) -> None:
    receiver, sender = world.socket(kind=socket.SOCK_DGRAM), world.socket(kind=socket.SOCK_DGRAM)
    receiver.bind((world.ip, 0))
    sender.connect(receiver.getsockname())
    for one, two in (pair(world, socket.SOCK_DGRAM), pair(world, socket.SOCK_SEQPACKET), (sender, receiver)):
        answers: list[Any] = []
        for call in (
            lambda two=two: two.recv_into(bytearray(3), 0, TRUNC),
            lambda two=two: two.recvfrom_into(bytearray(3), 0, TRUNC)[0],
            lambda two=two: two.recvmsg_into([bytearray(2), bytearray(1)], 0, TRUNC)[0],
            lambda two=two: two.recvmsg(3, 0, TRUNC)[0],
        ):
            one.send(b"0123456789")
            world.readable(two)
            answers.append(call())  # type: ignore[no-untyped-call]
        assert answers == [10, 10, 10, b"012"]


def test_k085_one_flag_of_recvmsg_comes_back(world: World) -> None:
    client, server = world.pair()
    for one, two in ((client, server), pair(world), pair(world, socket.SOCK_DGRAM)):
        one.send(b"x")
        world.readable(two)
        assert two.recvmsg(9, 0, socket.MSG_CMSG_CLOEXEC)[:3] == (b"x", [], socket.MSG_CMSG_CLOEXEC)


def test_k106_pipes_and_files_travel_too(world: World, tmp_path: Path) -> None:
    left, right = map(world.keep, socket.socketpair())
    reader, writer = os.pipe()
    with open(tmp_path / "file", "wb") as file:
        socket.send_fds(left, [b"x"], [writer, file.fileno(), right.fileno()])
    os.close(writer)
    data, numbers, flags, _ = socket.recv_fds(right, 10, 3)
    assert (data, len(numbers), flags) == (b"x", 3, 0)
    assert [os.get_inheritable(each) for each in numbers] == [True] * 3
    os.write(numbers[0], b"through a pipe")
    os.write(numbers[1], b"into a file")
    assert os.read(reader, 99) == b"through a pipe"
    assert (tmp_path / "file").read_bytes() == b"into a file"
    for each in numbers:
        os.close(each)
    assert os.read(reader, 1) == b""  # nobody else had the other end
    os.close(reader)


def test_k106_a_pipe_that_nobody_takes_is_closed(world: World) -> None:
    left, right = map(world.keep, socket.socketpair())
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    socket.send_fds(left, [b"x"], [writer])
    os.close(writer)
    world.gives("EAGAIN", os.read, reader, 1)  # one end is on its way
    right.close()
    world.gives(b"", os.read, reader, 1)
    os.close(reader)


def test_k106_a_number_that_is_not_open_goes_nowhere(world: World) -> None:
    left, right = map(world.keep, socket.socketpair())
    reader, writer = os.pipe()
    os.close(writer)
    for numbers in ([writer], [reader, writer], [reader, -1]):
        world.gives("EBADF", socket.send_fds, left, [b"x"], numbers)
    right.setblocking(False)
    world.gives("EAGAIN", right.recv, 1)
    os.close(reader)


def test_k106_credentials_name_a_process_that_there_is(world: World) -> None:
    """Who has no privilege may name only himself, which is looked at before."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        one, two = pair(world, kind)
        two.setsockopt(SOL, socket.SO_PASSCRED, 1)
        for pid in (0, -1, 2**22 + 1):
            item = (SOL, SCM_CREDENTIALS, struct.pack("iii", pid, os.getuid(), os.getgid()))
            world.gives("ESRCH" if os.geteuid() == 0 else "EPERM", one.sendmsg, [b"x"], [item])
        own = (SOL, SCM_CREDENTIALS, struct.pack("iii", os.getpid(), os.getuid(), os.getgid()))
        assert one.sendmsg([b"x"], [own]) == 1
        assert two.recvmsg(9, 100)[:3] == (b"x", [own], 0)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_k106_who_is_not_accepted_yet_is_told_who_sent_it(world: World, kind: int) -> None:
    """He may ask for it once he is; what comes between the two has no sender."""
    listener, client = (world.socket(socket.AF_UNIX, kind) for _ in range(2))
    listener.bind("")
    listener.listen()
    client.connect(listener.getsockname())
    client.send(b"early")
    server = world.keep(listener.accept()[0])
    client.send(b"between")
    server.setsockopt(SOL, socket.SO_PASSCRED, 1)
    client.send(b"late")
    own = struct.pack("iii", os.getpid(), os.getuid(), os.getgid())
    nobody = struct.pack("iii", 0, 65534, 65534)
    for data, sender in ((b"early", own), (b"between", nobody), (b"late", own)):
        assert server.recvmsg(9, 100)[:3] == (data, [(SOL, SCM_CREDENTIALS, sender)], 0)


def test_k106_a_full_stream_says_so_before_it_refuses_files(world: World) -> None:
    one, two = pair(world)
    two.setsockopt(SOL, 83, 0)  # SO_PASSRIGHTS
    rights = (SOL, SCM_RIGHTS, array.array("i", [two.fileno()]))
    world.gives("EPERM", one.sendmsg, [b"x"], [rights])
    one.setblocking(False)
    while outcome(lambda: one.send(bytes(9999))) != "EAGAIN":
        pass
    world.gives("EAGAIN", one.sendmsg, [b"x"], [rights])


def test_k106_what_is_sent_without_a_word_is_from_the_same_process(world: World) -> None:
    one, two = pair(world)
    two.setsockopt(SOL, socket.SO_PASSCRED, 1)
    own = (SOL, SCM_CREDENTIALS, struct.pack("iii", os.getpid(), os.getuid(), os.getgid()))
    one.sendmsg([b"a"], [own])
    one.send(b"b")
    assert two.recvmsg(9, 100)[:3] == (b"ab", [own], 0)


def test_k105_what_is_left_is_told_behind_descriptors(world: World) -> None:
    one, two = pair(world)
    try:
        two.setsockopt(SOL, SO_INQ, 1)
    except OSError:
        pytest.skip("Linux 6.17")
    for room, left in ((100, struct.pack("i", 1)), (socket.CMSG_SPACE(4) + 16, b"")):
        socket.send_fds(one, [b"xy"], [one.fileno()])
        data, messages, flags, _ = two.recvmsg(1, room)
        os.close(struct.unpack("i", messages[0][2])[0])
        assert (data, messages[1:], flags) == (b"x", [(SOL, SO_INQ, left)], 0 if left else CTRUNC)
        assert two.recv(9) == b"y"


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM])
def test_k001_an_error_is_urgent_to_who_selects_errors_but_of_a_stream(world: World, kind: int) -> None:
    one, two = pair(world, kind)
    one.setsockopt(SOL, 45, 1)  # SO_SELECT_ERR_QUEUE
    two.bind(world.abstract("two"))
    one.send(b"unread")
    if kind == socket.SOCK_DGRAM:  # the error is of who was chosen before by who chooses another now
        other = world.keep(socket.socket(socket.AF_UNIX, kind))
        other.bind(world.abstract("other"))
        one.bind(world.abstract("one"))
        two.send(b"unread")
        two.connect(other.getsockname())
    else:
        two.close()
    mask = {socket.SOCK_STREAM: "IN|OUT|RDHUP|ERR|HUP", socket.SOCK_SEQPACKET: "IN|PRI|OUT|RDHUP|ERR|HUP"}
    world.ready(one, mask.get(kind, "IN|PRI|OUT|ERR"))


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM])
def test_k106_who_asks_for_labels_and_has_no_buffer_is_told_so(world: World, kind: int) -> None:
    """There is no label without a security module, for which nobody looks where there is no buffer."""
    one, two = pair(world, kind)
    two.setsockopt(SOL, 34, 1)  # SO_PASSSEC
    for room, flags in ((0, CTRUNC), (1, 0), (100, 0)):
        one.send(b"x")
        assert two.recvmsg(9, room)[:3] == (b"x", [], flags)


def let_go(*sockets: Any) -> None:
    for each in sockets:
        each.close()


def another_is_closed() -> None:
    let_go(*socket.socketpair())


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_k101_a_socket_that_only_its_own_queue_holds_ends_when_another_is_closed(world: World, kind: int) -> None:
    one, other = pair(world, kind)
    socket.send_fds(one, [b"own"], [other.fileno()])
    other.close()
    assert world.name == "kernel" or world.mask(one) == "OUT"  # there anybody on the machine may have closed one
    another_is_closed()
    if kind == socket.SOCK_DGRAM:  # which hears of it when it sends
        assert any(outcome(lambda: one.send(b"x")) == "ECONNREFUSED" or world.pause() for _ in range(500))
    else:
        world.ready(one, "IN|OUT|RDHUP|HUP")
        world.gives(b"", one.recv, 9)


def test_k101_so_do_those_that_only_each_others_queues_hold(world: World) -> None:
    one, other = pair(world)
    third, fourth = pair(world)
    socket.send_fds(one, [b"4"], [fourth.fileno()])
    socket.send_fds(third, [b"2"], [other.fileno()])
    let_go(other)
    another_is_closed()
    world.ready(one, "OUT")  # the fourth may still receive the second
    world.ready(third, "OUT")
    let_go(fourth)
    another_is_closed()
    world.ready(one, "IN|OUT|RDHUP|HUP")
    world.ready(third, "IN|OUT|RDHUP|HUP")


def test_k101_and_what_waits_in_the_queue_of_one_of_them_goes_along(world: World) -> None:
    one, other = pair(world)
    third, fourth = pair(world)
    socket.send_fds(one, [b"own"], [other.fileno(), fourth.fileno()])
    let_go(other, fourth)
    assert world.name == "kernel" or world.mask(third) == "OUT"
    another_is_closed()
    world.ready(third, "IN|OUT|RDHUP|HUP")


def test_k101_who_can_be_received_stays(world: World) -> None:
    one, other = pair(world)
    third, fourth = pair(world)
    socket.send_fds(one, [b"own"], [other.fileno()])
    socket.send_fds(third, [b"2"], [other.fileno()])
    let_go(other)
    another_is_closed()
    world.pause()
    world.ready(one, "OUT")
    received = world.keep(socket.socket(fileno=socket.recv_fds(fourth, 9, 1)[1][0]))
    received.setblocking(False)
    world.gives(b"own", received.recv, 9)
    received.close()
    world.ready(one, "IN|OUT|RDHUP|HUP")


def test_k101_a_listener_in_the_queue_of_who_waits_for_it_ends_too(world: World) -> None:
    listener = world.socket(socket.AF_UNIX)
    listener.bind(name := b"\0circle-%d-%d" % (os.getpid(), world.number))
    listener.listen()
    client = world.socket(socket.AF_UNIX)
    client.connect(name)
    socket.send_fds(client, [b"l"], [listener.fileno()])
    listener.close()
    assert world.name == "kernel" or world.mask(client) == "OUT"
    another_is_closed()
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    world.gives("ECONNRESET", client.recv, 9)
    world.gives("ECONNREFUSED", world.socket(socket.AF_UNIX).connect, name)


@pytest.mark.slow
def test_k101_many_sockets_each_in_the_queue_of_the_next_end_together(world: World) -> None:
    """One after the other: what a socket held is closed behind it, not within."""
    first, held = pair(world)
    last = None
    for _ in range(300):
        carrier, receiver = pair(world)
        if outcome(lambda: socket.send_fds(carrier, [b"x"], [held.fileno()])) == "ETOOMANYREFS":  # noqa: B023
            pytest.skip("before Linux 6.10 no more than four lie in each other")
        let_go(held)
        if last is not None:
            let_go(last)
        last, held = carrier, receiver
    assert world.mask(first) == "OUT"
    let_go(held)
    world.ready(first, "IN|OUT|RDHUP|HUP")
    assert last is not None
    world.gives("EPIPE", last.send, b"x")
