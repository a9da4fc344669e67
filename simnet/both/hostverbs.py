"""What a host does with a process or a socket of its own, on either network."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from simnet.both.asked import address_of, is_unix, port_of

__all__ = ["connected", "listening", "result_of"]


class _Socket(Protocol):
    def settimeout(self, value: float | None, /) -> None: ...
    def connect(self, address: Any, /) -> None: ...
    def bind(self, address: Any, /) -> None: ...
    def listen(self, backlog: int, /) -> None: ...
    def close(self) -> None: ...


SomeSocket = TypeVar("SomeSocket", bound=_Socket)


class _Process(Protocol):
    result: Any
    error: BaseException | None
    answered: bool

    def join(self) -> object: ...


def result_of(process: _Process) -> Any:
    """Wait for its end, and give what its function returned, or raise what it raised: the caller's to handle."""
    process.join()
    if process.error is not None:
        process.answered = True
        raise process.error
    return process.result


def connected(sock: SomeSocket, address: tuple[str, int] | str | bytes, timeout: float | None) -> SomeSocket:
    """*sock*, connected to *address* within *timeout* seconds; closed, if it cannot be."""
    try:
        sock.settimeout(timeout)
        sock.connect(address_of(address))
    except BaseException:
        sock.close()
        raise
    return sock


def listening(sock: SomeSocket, port: int | str | bytes, backlog: int) -> SomeSocket:
    """*sock*, listening on *port* of all addresses, or on the path of a Unix socket; closed, if it cannot."""
    try:
        sock.bind(port if is_unix(port) else ("", port_of(port)))
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock
