"""Echo as a dispatch.Stream: what a user would write."""

import dispatch


class Echo(dispatch.Stream):
    def handle_data(self, data: bytes) -> None:
        self.write(data)


with dispatch.Loop() as loop:
    print(dispatch.Listener(("127.0.0.1", 0), Echo, loop=loop).addr[1], flush=True)
    loop.run()
