"""Echo on a hand-written epoll loop: the least that Python can do and still be right. Output that waits is bounded."""

import select
import socket

listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
listener.setblocking(False)
print(listener.getsockname()[1], flush=True)
epoll = select.epoll()
epoll.register(listener.fileno(), select.EPOLLIN)
connections: dict[int, socket.socket] = {}
waiting: dict[int, bytes] = {}


def drop(fd: int) -> None:
    epoll.unregister(fd)
    connections.pop(fd).close()
    waiting.pop(fd, None)


def serve() -> None:
    own = listener.fileno()
    while True:
        for fd, bits in epoll.poll():
            if fd == own:
                try:
                    while True:
                        sock, _ = listener.accept()
                        sock.setblocking(False)
                        connections[sock.fileno()] = sock
                        epoll.register(sock.fileno(), select.EPOLLIN)
                except BlockingIOError:
                    continue
            try:
                sock = connections[fd]
                if bits & select.EPOLLOUT:
                    data = waiting.pop(fd)
                else:
                    data = sock.recv(65536)
                    if not data:
                        drop(fd)
                        continue
                try:
                    sent = sock.send(data)
                except BlockingIOError:
                    sent = 0
                if sent < len(data):
                    waiting[fd] = data[sent:]
                    epoll.modify(fd, select.EPOLLOUT)
                elif bits & select.EPOLLOUT:
                    epoll.modify(fd, select.EPOLLIN)
            except OSError:
                drop(fd)


serve()
