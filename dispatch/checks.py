"""What a program passes in is checked when it does: a mistake is reported at its line, not later inside the loop."""

from __future__ import annotations

import socket as _socket

from dispatch.annotations import Any

FAMILY_MAX = 0xFFFF  # sa_family_t is an unsigned short
NO_FAMILY = "is no address family: give socket.AF_INET, AF_INET6 or AF_UNIX, or None to guess it"
SIZE_MAX = 0x7FFFFFFF  # bytes; one read brings no more (read(2), NOTES), and room for so many is asked for before it


def check_seconds(name: str, value: Any, *, or_none: bool = True) -> None:
    """*value* as a time to wait, or None for no limit if it may be that (*or_none*).

    Raises:
        TypeError: no number.
        ValueError: negative, or nan.
    """
    if value is None and or_none:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}={value!r} is no time: give seconds{', or None for no limit' if or_none else ''}")
    if not 0 <= value < _MANY and value != _INFINITE:
        if value > 0:
            raise no_time(name)
        raise ValueError(f"{name}={value!r} must be 0 or more seconds{'; None means no limit' if or_none else ''}")


def check_flag(name: str, value: Any) -> None:
    """*value* as a yes or a no. A text is neither: "no", and what a configuration has as "0", would be a yes.

    Raises:
        TypeError: neither True nor False, nor 1 nor 0.
    """
    if not isinstance(value, int) or value not in (False, True):
        raise TypeError(f"{name}={value!r} must be True or False")


def a_time(name: str, value: Any, what: str = "seconds") -> float:
    """*value* as a float; *what* says what it should be.

    Raises:
        TypeError: no number.
        ValueError: more than a clock can show.
    """
    if not isinstance(value, (int, float)):
        raise TypeError(f"{name}={value!r} is no time: give {what}")
    try:
        return float(value)
    except OverflowError:
        raise no_time(name) from None


def no_time(name: str) -> ValueError:
    """What to raise when a time turns out to be no float."""
    return ValueError(f"{name} is a number of more than 300 digits, and no clock comes to it: give seconds")


def check_count(name: str, value: Any, least: int, most: int | None = None) -> None:
    """*value* as a number of things.

    Raises:
        TypeError: no whole number.
        ValueError: fewer than *least*, or more than *most*.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}={value!r} must be a whole number")
    if value < least:
        raise ValueError(f"{name}={value!r} must be {least} or more")
    if most is not None and value > most:
        raise ValueError(f"{name} must be {most} or less")  # itself it may have more digits than can be shown


def check_family(family: Any, least: int = 1) -> None:
    """*family* as that of an address, one of ``socket``'s constants; 0 is AF_UNSPEC.

    Raises:
        TypeError: no number.
        ValueError: one that no family has.
    """
    if isinstance(family, bool) or not isinstance(family, int):
        raise TypeError(f"{family=} {NO_FAMILY}")
    if not least <= family <= FAMILY_MAX:
        raise ValueError(f"{family=} {NO_FAMILY}")


def check_address(address: Any, family: int | None = None, *, looked_up: bool = False) -> None:
    """An address by its looks: (host, port), for IPv6 with flow and scope, or a path. Other families pass.

    Where it is *looked_up*, the name of a service may stand for the port.

    Raises:
        TypeError: not a tuple of a host and a port; or one of another family.
        ValueError: no such port.
    """
    if family is not None:
        check_family(family, 0 if looked_up else 1)
        if family == getattr(_socket, "AF_UNIX", None):
            if not is_path(address):
                raise TypeError(f"{address!r} is no path, and the family is AF_UNIX")
            return
        if family not in (_socket.AF_INET, _socket.AF_INET6):
            return
        if is_path(address):
            raise TypeError(f"{address!r} is the path of a Unix socket, and the family is IP: give (host, port)")
    if isinstance(address, (str, bytes)):
        host, colon, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
        if colon and port.isdecimal() and "/" not in host:
            raise TypeError(
                f"{address!r} would be the path of a Unix socket; a host and its port are a pair, {(host, int(port))!r}, and a path "
                "with a colon begins with ./"
            )
        return
    if hasattr(address, "__fspath__"):
        return
    if not isinstance(address, tuple) or not 2 <= len(address) <= 4:
        raise TypeError(f"{address!r} is no address: give (host, port), or the path of a Unix socket")
    host, port = address[0], address[1]
    if not isinstance(host, (str, bytes)) and not (looked_up and host is None):
        raise TypeError(f"{address!r} is no address: its host must be a text, not {type(host).__name__}")
    if looked_up and isinstance(port, (str, bytes)):
        return
    if isinstance(port, bool) or not isinstance(port, int):
        raise TypeError(f"{address!r} is no address: its port must be a number, not {type(port).__name__}")
    if not 0 <= port <= 65535:
        raise ValueError(f"{address!r} is no address: a port is a number from 0 to 65535")


def is_path(address: Any) -> bool:
    """Whether it can only be meant for a Unix socket."""
    return isinstance(address, (str, bytes, bytearray)) or hasattr(address, "__fspath__")


def descriptor(file: Any, remedy: str = "") -> int:
    """The number of an open file.

    Raises:
        TypeError: it has none, as what is kept in memory.
        ValueError: it is closed.
    """
    try:
        fd = file.fileno()
    except (AttributeError, OSError):  # io.UnsupportedOperation is an OSError
        raise TypeError(f"{file!r} is no open file with a descriptor{remedy}") from None
    if not isinstance(fd, int):
        raise TypeError(f"{file!r} is no open file: its fileno() is {fd!r}")
    return fd


def no_socket(sock: Any) -> TypeError:
    """What to raise when *sock* turns out to be none."""
    return TypeError(f"{sock!r} is no socket: a channel takes what accept() or socket.socket() gives")


def no_stream(sock: Any) -> TypeError:
    """What to raise when *sock* carries messages, whose cuts a stream would lose, and their ends."""
    remedy = "Datagram(sock=...) takes it" if sock.type == _socket.SOCK_DGRAM else "a Dispatcher can recv() from it"
    return TypeError(f"{sock!r} is no stream: it carries messages; {remedy}")


def listens(sock: Any) -> bool:
    """Whether *sock* accepts connections already."""
    try:
        return bool(sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN))
    except (AttributeError, OSError):
        return False  # it is none of a kernel's that can be asked


def refuse_listener(sock: Any) -> None:
    """*sock* is one end of a connection, or will be.

    Raises:
        ValueError: it listens, and would say so only when somebody connects, by an ENOTCONN.
    """
    if listens(sock):
        raise ValueError(f"{sock!r} listens and has no peer: Listener(handler=..., sock=sock) accepts its connections")


def refuse_tls(sock: Any, remedy: str) -> None:
    """*sock* is none of the ``ssl`` module's, which say in errors of their own what they wait for.

    Raises:
        TypeError: it is one.
    """
    if hasattr(sock, "do_handshake"):
        raise TypeError(f"{sock!r} speaks TLS by itself; give the plain socket, and {remedy}")


_MANY, _INFINITE = 1e300, float("inf")  # seconds; a float holds not many more
COROUTINE, GENERATOR = 0x80 | 0x200, 0x20  # of `async def`, with yields in it or without; of `def` with yields


def refuse_waiting(name: str, handler: Any) -> None:
    """*handler* runs when it is called.

    Raises:
        TypeError: it would give a coroutine or a generator, and do nothing.
    """
    flags = getattr(getattr(handler, "__code__", None), "co_flags", 0)
    if flags & COROUTINE:
        raise TypeError(f"{name} is a coroutine, and nobody awaits it: handlers are plain functions")
    if flags & GENERATOR:
        raise TypeError(f"{name} is a generator (it holds `yield`), and nobody runs it: handlers are plain functions")


def refuse_no_function(cls: type, name: str, handler: Any) -> None:
    """*handler*, which a class has in the place of one of *cls*'s, can be called, or gives what can, as a property does.

    Raises:
        TypeError: it is a number, a text, None ..., and the first event would fail.
    """
    if not (callable(handler) or hasattr(handler, "__get__")) and any(
        _is_ours(base) and name in vars(base) for base in cls.__mro__
    ):
        raise TypeError(f"{cls.__name__}.{name}={handler!r} is no function, and will be called")


def refuse_what_waits(function: Any, made: Any) -> None:
    """*made* is what a call of *function* gave, which nobody takes.

    Raises:
        TypeError: it waits for somebody to run it, and nothing was done yet.
    """
    if type(made).__name__ == "coroutine":
        made.close()  # else it would be told of besides, as never awaited
        raise TypeError("it gave a coroutine, and nobody awaits it: a loop calls plain functions")
    refuse_waiting("it", function)


def refuse_private_names(cls: type) -> None:
    """*cls*, and what is mixed into it, leaves the names alone that this library has for itself.

    Raises:
        TypeError: it defines one, or a method of it sets one of its object's.
    """
    owners = {
        name: base for base in reversed(cls.__mro__) if _is_ours(base) for name in vars(base) if _is_private(name)
    }
    for kind in cls.__mro__:
        if _is_ours(kind) or kind is object:
            continue
        for name, value in vars(kind).items():
            if name in owners and kind is cls:
                told = f"{kind.__name__} defines {name}"
            else:
                # It may be a method of a base, by another name.
                code = None if _is_ours(value) else getattr(value, "__code__", None)
                name = (
                    _set_on_itself(code, owners) if not owners.keys().isdisjoint(getattr(code, "co_names", ())) else ""
                )
                told = f"{kind.__name__}.{getattr(value, '__name__', '')} sets {name}"
            if name in owners:
                owner = owners[name]
                raise TypeError(
                    f"{told}, which {owner.__module__}.{owner.__name__} needs for itself; give it another name, or two underscores"
                )


def _is_ours(thing: Any) -> bool:
    return (getattr(thing, "__module__", None) or "").partition(".")[0] == "dispatch"


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _set_on_itself(code: Any, names: Any) -> str:
    """The first of *names* that a method of this *code* sets as an attribute of its object; empty if none."""
    from dis import get_instructions  # here, since hardly any program comes to it

    itself, before = code.co_varnames[:1], None
    for each in get_instructions(code):
        if each.opname == "STORE_ATTR" and each.argval in names and before is not None:
            loaded = before.argval if isinstance(before.argval, tuple) else (before.argval,)
            if "LOAD_FAST" in before.opname and loaded[-1:] == itself:
                return str(each.argval)
        before = each
    return ""


def misfit(cls: type, name: str, handler: Any) -> str:
    """What to say if *handler*, which *cls* has in the place of a handler of this library, cannot be called as that is; else ""."""
    code = getattr(handler, "__code__", None)
    ours: Any = next((vars(base)[name] for base in cls.__mro__[1:] if name in vars(base)), None)
    if code is None or not name.startswith("handle_") or not _is_ours(ours):
        return ""
    given = ours.__code__.co_varnames[1 : ours.__code__.co_argcount]
    most = code.co_argcount - 1
    least = most - len(handler.__defaults__ or ())
    if least <= len(given) and (len(given) <= most or code.co_flags & 0x04):  # 0x04: it takes *args
        return ""
    taken = ", ".join(code.co_varnames[: code.co_argcount])
    return f"{cls.__name__}.{name}({taken}) cannot be called as it will be: {name}({', '.join(given)})"


#: What takes that which arrives, by class; of a Chat, which has two, the first counts.
TAKERS = {"handle_message": "Chat", "handle_data": "Stream", "handle_datagram": "Datagram", "handle_read": "Dispatcher"}


def called_elsewhere(cls: type, name: str) -> str:
    """The class whose handler *name* is, if *cls* does not call it and leaves that alone which it does call; else ""."""
    for each in TAKERS:
        if any(hasattr(base, each) for base in cls.__bases__):
            return TAKERS.get(name, "") if _is_ours(getattr(cls, each)) else ""
    return ""


#: What asyncio's protocols have, and what is called here instead.
PROTOCOLS = {
    "connection_made": "handle_connect",
    "data_received": "handle_data",
    "eof_received": "handle_eof",
    "connection_lost": "handle_close",
    "pause_writing": "handle_full",
    "resume_writing": "handle_drained",
    "datagram_received": "handle_datagram",
    "error_received": "handle_failure",
}


def called_by_asyncio(cls: type, name: str) -> str:
    """The handler for which *cls* has *name*, which asyncio would call, and not what is called here; else "".

    One that has both calls the one from the other, perhaps.
    """
    here = PROTOCOLS.get(name, "")
    if here == "handle_data" and hasattr(cls, "handle_message"):
        here = "handle_message"
    return here if here and _is_ours(getattr(cls, here, None)) else ""


OPTIONS = (
    *("read_size", "read_size_max", "high_water", "low_water", "terminator", "max_message", "max_size", "queue_limit"),
    *("connect_timeout", "idle_timeout", "write_timeout", "close_timeout", "background"),
)


def meant_by(cls: type, name: str) -> str:
    """The handler or option of *cls* that *name*, which it does not know, is one slip of the fingers away from; empty if none is.

    Of a handler another letter is no slip: a server of commands has a `handle_date` and a `handle_clone`.
    """
    for known in dir(cls):
        if known not in vars(cls):
            if known.startswith("handle_") and sorted(known) != sorted(name) and len(known) == len(name):
                continue
            if (known.startswith("handle_") or known in OPTIONS) and _one_slip(known, name):
                return known
    return ""


def _one_slip(one: str, other: str) -> bool:
    """Whether a character is missing, too many, another, or has changed places with the next."""
    if not -1 <= len(one) - len(other) <= 1:
        return False
    at = next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    mine, others = one[at:], other[at:]
    swapped = mine[:2] == others[1::-1] and mine[2:] == others[2:]
    return swapped or mine[1:] == others[1:] or mine[1:] == others or mine == others[1:]


def check_made(channel: Any) -> None:
    """*channel* is what its class's constructor makes it.

    Raises:
        RuntimeError: a subclass has one of its own that does not call it.
        TypeError: it is no channel, but what somebody gave to a method that was called on the class.
    """
    if not hasattr(type(channel), "_channel_state"):
        raise TypeError(f"this is called on a channel, not on its class with {channel!r}: make one first, with loop=")
    if not hasattr(channel, "_channel_state"):
        raise RuntimeError(
            f"{type(channel).__name__}.__init__ has not called super().__init__; hand on to it what the listener gives "
            "(sock, addr=addr, loop=loop), or loop=loop for a client"
        )


_INSTEAD = {  # what channels of asyncore's and asynchat's have, and ours have not
    "send": "write(data) sends all of it",
    "recv": "what arrives is given to handle_data(data)",
    "accept": "a Listener accepts, and makes a channel of each connection",
    "create_socket": "connect(address) makes the socket",
    "push": "dispatch.Chat has it; write(data) is the same",
    "set_terminator": "dispatch.Chat has it",
    "close_when_done": "dispatch.Chat has it; close() is the same",
    "log": "use the module logging",
    "log_info": "use the module logging",
}
_INSTEAD_OF_OTHERS = {  # the same, of asyncio's transports and writers, and of sockets
    "sendall": "write(data) sends all of it",
    "writelines": "write_from(items) sends them one after the other",
    "drain": "write() says False if too much waits, and handle_drained follows",
    "flush": "what is written goes out when the handler returns",
    "transport": "the channel itself has write(data), pause(), close() and abort()",
    "is_closing": "that is the attribute closing",
    "get_extra_info": "the attributes addr, socket and tls say what it says",
    "getpeername": "addr is the peer's address",
    "get_write_buffer_size": "that is the attribute queued",
    "pause_reading": "that is pause()",
    "resume_reading": "that is resume()",
    "shutdown": "write_eof() ends the output, and close() both",
    "settimeout": "set idle_timeout and its like on the class",
}


def tell_what_was_not_made_yet(error: AttributeError) -> None:
    """Note on *error*, of a constructor, that it has called a method of a channel's before ours had made it one."""
    channel, name = error.obj, str(error.name)
    if hasattr(type(channel), "_channel_state") and hasattr(type(channel), name):
        error.add_note(f"{type(channel).__name__}.__init__ has not called super().__init__ yet: do that first")


def tell_what_is_there_instead(channel: Any, error: AttributeError) -> None:
    """Note on *error*, of a handler of *channel*, what takes the place of a method of others' that it called."""
    if error.obj is channel:
        name = str(error.name)
        if name in _INSTEAD:
            error.add_note(f"{name} is a method of asyncore's; here {_INSTEAD[name]}")
        elif name in _INSTEAD_OF_OTHERS:
            error.add_note(f"{name} is what others have; here {_INSTEAD_OF_OTHERS[name]}")
