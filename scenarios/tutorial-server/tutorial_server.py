"""An echo server on asyncore: whatever a client sends comes back.

    $ python tutorial_server.py 8007
    $ nc localhost 8007          # in another window; type something

Two classes share the work. EchoServer owns the listening socket and makes an EchoHandler for each
client; EchoHandler keeps what it has read until the client's socket takes it back. Both are called
by asyncore's loop when their socket is ready, so that no call here ever waits.
"""

from dispatch import asyncore  # with `import asyncore` it runs on the one of Python 3.11

import logging
import socket
import sys

log = logging.getLogger("echo")


class EchoHandler(asyncore.dispatcher):
    """One client: reads, and sends back what it has read."""

    chunk_size = 32  # bytes in one read; small, so that the log shows the buffer at work

    def __init__(self, conn, server):
        self.server = server
        self.to_send = []
        asyncore.dispatcher.__init__(self, conn)
        log.info("%s:%d connected", *self.addr)

    def handle_read(self):
        data = self.recv(self.chunk_size)
        if not data:
            log.info("%s:%d read nothing", *self.addr)
        else:
            log.debug("%s:%d read %d bytes", *self.addr, len(data))
        self.to_send.append(data)

    def writable(self):
        """Wake us for writing only while there is something to write."""
        return len(self.to_send) > 0

    def handle_write(self):
        """Send the oldest piece; what the socket does not take goes back to wait for its turn."""
        data = self.to_send.pop(0)
        sent = self.send(data)
        if sent < len(data):
            self.to_send.append(data[sent:])
        log.debug("%s:%d sent %d of %d bytes", *self.addr, sent, len(data))

    def handle_close(self):
        log.info("%s:%d disconnected", *self.addr)
        self.close()


class EchoServer(asyncore.dispatcher):
    """The listening socket: a handler for each client that connects."""

    address_family = socket.AF_INET
    socket_type = socket.SOCK_STREAM
    request_queue_size = 5
    allow_reuse_address = True

    def __init__(self, server_address, handler_class=EchoHandler):
        asyncore.dispatcher.__init__(self)
        self.server_address = server_address
        self.handler_class = handler_class
        self.create_socket(self.address_family, self.socket_type)
        if self.allow_reuse_address:
            self.set_reuse_addr()
        self.server_bind()
        self.server_activate()

    def server_bind(self):
        self.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def server_activate(self):
        self.listen(self.request_queue_size)
        log.info("listening on %s:%d", *self.server_address)

    def handle_accept(self):
        conn, addr = self.accept()
        log.info("%s:%d is calling", *addr)
        if self.verify_request(conn, addr):
            self.process_request(conn, addr)

    def verify_request(self, conn, addr):
        """Override this to turn clients away."""
        return True

    def process_request(self, conn, addr):
        self.handler_class(conn, self)

    def handle_close(self):
        log.info("the server closes")
        self.close()

    def serve_forever(self):
        asyncore.loop()


def serve(port):
    server = EchoServer(("", port))
    server.serve_forever()


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(message)s")
    serve(int(sys.argv[1]) if len(sys.argv) > 1 else 8007)
