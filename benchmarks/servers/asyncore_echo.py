"""Echo on asyncore, as its documentation writes it: the interpreter's (or pyasyncore's), or dispatch's drop-in.

python asyncore_echo.py interpreter|dispatch
"""

import importlib
import sys
import warnings

warnings.simplefilter("ignore", DeprecationWarning)
asyncore = importlib.import_module("dispatch.asyncore" if sys.argv[1] == "dispatch" else "asyncore")


class Echo(asyncore.dispatcher_with_send):
    def handle_read(self) -> None:
        data = self.recv(65536)
        if data:
            self.send(data)


class Server(asyncore.dispatcher):
    def __init__(self) -> None:
        super().__init__()
        self.create_socket()
        self.bind(("127.0.0.1", 0))
        self.listen(1024)

    def handle_accepted(self, sock: object, addr: object) -> None:
        Echo(sock)


print(Server().socket.getsockname()[1], flush=True)
asyncore.loop(use_poll=True)
