"""Echo on pyftpdlib's loop: asyncore's classes over persistent registration."""

import warnings

warnings.simplefilter("ignore", DeprecationWarning)

from pyftpdlib.ioloop import Acceptor, AsyncChat, IOLoop  # noqa: E402


class Echo(AsyncChat):
    def handle_read(self) -> None:
        data = self.recv(65536)
        if data:
            self.push(data)


class Server(Acceptor):
    def handle_accepted(self, sock: object, addr: object) -> None:
        Echo(sock, ioloop=self.ioloop)


loop = IOLoop.instance()
server = Server(ioloop=loop)
server.bind_af_unspecified(("127.0.0.1", 0))
server.listen(1024)
print(server.socket.getsockname()[1], flush=True)
loop.loop(blocking=True)
