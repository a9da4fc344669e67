"""The echo server of tutorial_server.py, corrected: whatever a client sends comes back, whatever the network does.

    $ python corrected_server.py 8007
    $ nc localhost 8007          # in another window; type something

Still two classes on asyncore, and each comment that starts with "Mended" says what was wrong.
"""

from dispatch import asyncore  # with `import asyncore` it runs on the one of Python 3.11

import logging
import socket
import sys

log = logging.getLogger("echo")


class EchoHandler(asyncore.dispatcher):
    """One client: reads, and sends back what it has read."""

    chunk_size = 32  # bytes in one read; small, so that the log shows the buffer at work

    def __init__(self, conn, addr, server):
        self.server = server
        # Mended: a list of pieces, where the rest of one went behind the next. In one buffer nothing changes places.
        self.to_send = b""
        self.finished = False  # the client will send no more
        # Mended: self.addr is None when the client has gone before we ask who it is; accept() knew.
        self.name = "%s:%d" % addr
        asyncore.dispatcher.__init__(self, conn)
        log.info("%s connected", self.name)

    def readable(self):
        return not self.finished

    def handle_read(self):
        # Mended: the socket may have nothing after all, and that is no reason to hang up.
        try:
            data = self.recv(self.chunk_size)
        except BlockingIOError:
            return
        log.debug("%s read %d bytes", self.name, len(data))
        self.to_send += data

    def writable(self):
        """Wake us for writing only while there is something to write."""
        return len(self.to_send) > 0

    def handle_write(self):
        """Send as much as the socket takes; the rest stays first in the buffer."""
        sent = self.send(self.to_send)
        self.to_send = self.to_send[sent:]
        log.debug("%s sent %d bytes, %d wait", self.name, sent, len(self.to_send))
        if self.finished and not self.to_send:
            self.handle_close()

    def handle_close(self):
        # Mended: the client has finished, we have not. It still reads, so the reply goes out first. If it no longer
        # does, sending fails, and that leads here a second time.
        if self.to_send and not self.finished:
            self.finished = True
            return
        log.info("%s disconnected", self.name)
        self.close()

    def handle_expt(self):
        # Mended: an urgent byte that nobody takes would wake us for ever.
        try:
            self.socket.recv(1, socket.MSG_OOB)
        except OSError as error:
            log.info("%s sent an urgent byte, which is gone: %s", self.name, error)

    def handle_error(self):
        # Mended: what goes wrong here ends this connection at once, whatever waits to be sent.
        log.exception("%s went wrong", self.name)
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
        # Mended: accept() returns None when the client has already left the queue.
        accepted = self.accept()
        if accepted is None:
            return
        conn, addr = accepted
        log.info("%s:%d is calling", *addr)
        if self.verify_request(conn, addr):
            self.process_request(conn, addr)
        else:
            conn.close()  # Mended: a client that is turned away is told so.

    def verify_request(self, conn, addr):
        """Override this to turn clients away."""
        return True

    def process_request(self, conn, addr):
        self.handler_class(conn, addr, self)

    def handle_error(self):
        # Mended: whatever goes wrong with one client, or for want of a descriptor, the others still find us listening.
        log.exception("could not take a client")

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
