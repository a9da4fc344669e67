"""The life of a connection, in both worlds: open, refuse, talk, end in every order."""

from __future__ import annotations

import select
import socket

import pytest

from tests.contract.worlds import World


def test_a_connection_carries_bytes_both_ways_and_ends_in_order(world: World) -> None:
    client, server = world.pair()
    assert client.getpeername() == server.getsockname()
    assert server.getpeername() == client.getsockname()
    world.ready(client, "OUT")
    world.ready(server, "OUT")
    assert client.send(b"ping") == 4
    world.ready(server, "IN|OUT")
    world.gives(b"ping", server.recv, 100)
    assert server.send(b"pong") == 4
    world.gives(b"pong", client.recv, 100)
    world.gives("EAGAIN", client.recv, 100)
    client.close()
    world.ready(server, "IN|OUT|RDHUP")
    world.gives(b"", server.recv, 100)


def test_a_connect_to_a_port_without_a_listener_is_refused(world: World) -> None:
    sock = world.socket()
    port = world.dead_port()
    world.gives("EINPROGRESS", sock.connect, (world.ip, port))
    world.ready(sock, "IN|OUT|RDHUP|ERR|HUP")
    world.gives("ECONNREFUSED", sock.recv, 1)
    world.gives(b"", sock.recv, 1)
    world.gives("EPIPE", sock.send, b"x")
    assert world.error(sock) == "0"


@pytest.mark.parametrize("first", ["opener", "acceptor"])
def test_whoever_closes_first_the_other_reads_all_and_then_the_end(world: World, first: str) -> None:
    client, server = world.pair()
    closing, staying = (client, server) if first == "opener" else (server, client)
    closing.send(b"last words")
    closing.close()
    world.ready(staying, "IN|OUT|RDHUP")
    world.gives(b"last", staying.recv, 4)
    world.gives(b" words", staying.recv, 100)
    world.gives(b"", staying.recv, 100)
    world.gives(b"", staying.recv, 100)
    assert world.error(staying) == "0"
    staying.close()


def test_a_half_closed_connection_goes_on_in_the_other_direction(world: World) -> None:
    client, server = world.pair()
    client.send(b"question")
    client.shutdown(socket.SHUT_WR)
    world.ready(server, "IN|OUT|RDHUP")
    world.gives(b"question", server.recv, 100)
    world.gives(b"", server.recv, 100)
    world.gives("EPIPE", client.send, b"more")
    world.ready(client, "OUT")
    assert server.send(b"answer") == 6
    world.gives(b"answer", client.recv, 100)
    server.close()
    world.ready(client, "IN|OUT|RDHUP|HUP")
    world.gives(b"", client.recv, 100)


def test_unread_data_at_close_resets_the_peer(world: World) -> None:
    client, server = world.pair()
    client.send(b"nobody reads this")
    world.readable(server)
    server.close()
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    world.gives("ECONNRESET", client.recv, 100)
    world.gives(b"", client.recv, 100)
    world.gives("EPIPE", client.send, b"x")


def test_a_reset_leaves_what_had_arrived_to_be_read(world: World) -> None:
    client, server = world.pair()
    client.send(b"before")
    world.readable(server)
    world.reset(client)
    world.ready(server, "IN|OUT|RDHUP|ERR|HUP")
    world.gives(b"before", server.recv, 100)
    world.gives("ECONNRESET", server.recv, 100)
    world.gives(b"", server.recv, 100)


def test_a_full_connection_takes_no_more_until_the_peer_reads(world: World) -> None:
    client, server = world.tight_pair()
    sent = world.fill(client, server)
    world.gives("EAGAIN", client.send, b"x")
    world.ready(client, "0")
    received = 0
    while received < sent:
        world.readable(server)
        received += len(server.recv(65536))
    assert received == sent
    world.ready(client, "OUT")
    assert client.send(b"x") == 1
    world.gives(b"x", server.recv, 100)


def test_a_client_that_closes_before_accept_is_accepted_with_its_data(world: World) -> None:
    listener = world.listener()
    client = world.client(listener)
    client.send(b"hello")
    client.close()
    server = world.accept(listener)
    world.gives(b"hello", server.recv, 100)
    world.gives(b"", server.recv, 100)


def test_an_urgent_byte_stands_apart_from_the_stream(world: World) -> None:
    client, server = world.pair()
    client.send(b"ab")
    client.send(b"!", socket.MSG_OOB)
    client.send(b"cd")
    world.ready(server, "IN|PRI|OUT")
    world.gives(b"!", server.recv, 1, socket.MSG_OOB)
    world.ready(server, "IN|OUT")
    world.gives(b"ab", server.recv, 100)
    assert world.at_mark(server) == 1
    world.gives(b"cd", server.recv, 100)


def test_a_blocking_program_of_two_talks_and_ends(world: World) -> None:
    listener = world.keep(socket.create_server((world.ip, 0)))
    address = listener.getsockname()
    heard: list[bytes] = []

    def client() -> None:
        with socket.create_connection(address, timeout=5.0) as sock:
            sock.sendall(b"one\ntwo\n")
            sock.shutdown(socket.SHUT_WR)
            heard.append(sock.makefile("rb").read())

    join = world.beside(client)
    server, _ = listener.accept()
    with server, server.makefile("rb") as lines:
        for line in lines:
            server.sendall(line.upper())
    join()
    assert heard == [b"ONE\nTWO\n"]


def test_select_poll_and_epoll_tell_the_same_story(world: World) -> None:
    client, server = world.pair()
    client.send(b"x")
    world.ready(server, "IN|OUT")
    assert select.select([client, server], [client, server], [client, server], 0) == ([server], [client, server], [])
    with select.epoll() as epoll:
        epoll.register(server, select.EPOLLIN)
        epoll.register(client, select.EPOLLIN)
        assert epoll.poll(0) == [(server.fileno(), select.EPOLLIN)]
