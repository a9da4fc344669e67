"""A proxy of one loop, between clients and the server "origin". Who is careless forgets the client whose other side has broken."""

import selectors
import socket

ORIGIN = ("origin", 80)


class Proxy:
    def __init__(self, port, careful):
        self.careful = careful
        self.others = {}  # of each socket, the one at its other side
        self.unsent = {}  # of each socket, what is to be sent there
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("", port))
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)

    def run(self):
        while True:
            for key, events in self.selector.select():
                if key.fileobj is self.listener:
                    self.accept()
                elif key.fileobj in self.others:
                    self.pass_on(key.fileobj, events)

    def accept(self):
        try:
            client, _ = self.listener.accept()
        except OSError:
            return
        try:
            origin = socket.create_connection(ORIGIN)
        except OSError:
            client.close()
            return
        for sock, other in ((client, origin), (origin, client)):
            sock.setblocking(False)
            self.others[sock], self.unsent[sock] = other, b""
            self.selector.register(sock, selectors.EVENT_READ)

    def pass_on(self, sock, events):
        other = self.others[sock]
        try:
            if events & selectors.EVENT_WRITE:
                self.unsent[sock] = self.unsent[sock][sock.send(self.unsent[sock]) :]
                self.ask(sock)
            if events & selectors.EVENT_READ:
                data = sock.recv(4096)
                if not data:
                    self.end(sock)
                elif other in self.unsent:
                    self.unsent[other] += data
                    self.ask(other)
        except BlockingIOError:
            pass
        except OSError:
            if self.careful:
                self.end(sock)
            else:
                self.close(sock)  # and the other side never hears of it

    def ask(self, sock):
        writes = selectors.EVENT_WRITE if self.unsent[sock] else 0
        self.selector.modify(sock, selectors.EVENT_READ | writes)

    def end(self, sock):
        other = self.others[sock]
        self.close(sock)
        if other in self.others:
            self.close(other)

    def close(self, sock):
        self.selector.unregister(sock)
        del self.others[sock], self.unsent[sock]
        sock.close()


def serve(port, careful):
    Proxy(port, careful).run()
