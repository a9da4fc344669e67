"""A program of socket calls as a Python script that runs by itself, on the kernel or on simnet.

It is meant to be sent to other people: no names of conform in it, plain calls, and after each what it answered and what
poll says of every socket.
"""

from __future__ import annotations

from typing import Any

from simnet.conform.program import FAMILIES, IOCTLS, OPTIONS, TIGHT, Place, Program, Step
from simnet.conform.words import Setting

__all__ = ["as_script"]

HEAD = '''\
"""{title}

    python {name}              on the kernel
    python {name} --simnet     on simnet
"""

import array, errno, fcntl, select, socket, struct, sys, time

sockets, numbers, shown = {{}}, {{}}, {{}}
NOBODY = {nobody}  # a port
BITS = {{1: "IN", 2: "PRI", 4: "OUT", 8: "ERR", 16: "HUP", 64: "RDNORM", 256: "WRNORM", 512: "WRBAND", 0x2000: "RDHUP"}}


def words(mask):
    return "|".join(name for bit, name in BITS.items() if mask & bit) or "0"


def say(text, call):
    """Make the call; print what it answered and what poll says then."""
    try:
        answer = call()
    except OSError as error:
        answer = errno.errorcode.get(error.errno, error)
    except (TypeError, ValueError, OverflowError) as error:
        answer = repr(error)
    except KeyError:
        answer = "(no such socket)"
    acknowledge()
    time.sleep(0.002)
    poll = select.poll()
    for each in sockets.values():
        if each.fileno() != -1:
            poll.register(each, 0x23C7)
    masks = dict(poll.poll(0))
    told = {{name: words(masks.get(each.fileno(), 0)) for name, each in sockets.items() if each.fileno() != -1}}
    news = ", ".join(f"{{name}} {{mask}}" for name, mask in told.items() if shown.get(name) != mask)
    shown.clear()
    shown.update(told)
    print(f"{{text}} -> {{answer}}" + (f"    [{{news}}]" if news else ""))


def acknowledge():
    """Have every connection acknowledge what it has received now, and not in 40 ms."""
    for each in sockets.values():
        if isinstance(each, socket.socket) and each.fileno() != -1 and is_tcp(each):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def is_tcp(sock):
    return sock.family != socket.AF_UNIX and sock.type == socket.SOCK_STREAM


def new(family, kind, buffers=0):
    """A socket that sends at once what it is given, and has buffers of a size."""
    made = socket.socket(family, kind)
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF) if buffers else ():
        made.setsockopt(socket.SOL_SOCKET, option, buffers)
    if is_tcp(made):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def keep(name, made):
    """Give a new socket its name."""
    if isinstance(made, socket.socket):
        made.setblocking(False)
    sockets[name] = made
    numbers[made.fileno()] = name
    return "ok"


def port_of(name):
    """The port that a socket has; one where nobody is of a socket that is closed or was never made."""
    try:
        return sockets[name].getsockname()[1] or NOBODY
    except (KeyError, OSError):
        return NOBODY


def ready(names):
    """Which of them select finds ready: to read, to write, in trouble."""
    there = [sockets[name].fileno() for name in names if name in sockets and sockets[name].fileno() != -1]
    return " / ".join(",".join(numbers[each] for each in part) for part in select.select(there, there, there, 0))


def wait(epoll, most):
    return [f"{{numbers[number]}} {{words(mask)}}" for number, mask in epoll.poll(0, most)]


def ioctl(sock, request):
    answer = array.array("i", [0])
    fcntl.ioctl(sock.fileno(), request, answer, True)
    return answer[0]


def fill(sock):
    """Send until no more is taken."""
    try:
        while True:
            sock.send(b"F" * 65536)
    except BlockingIOError:
        return "full"


def drain(sock):
    """Receive until nothing is left, or the end."""
    total = b""
    try:
        while True:
            part = sock.recv(65536)
            if not part:
                return total, "end"
            total += part
    except OSError as error:
        return total, errno.errorcode.get(error.errno, error)


def hand_over(sock, data, names):
    """Send data, and the descriptors of sockets."""
    fds = [sockets[name].fileno() for name in names if name in sockets and sockets[name].fileno() != -1]
    return sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{{len(fds)}}i", *fds))])


def take(name, sock, size, room):
    """Receive with room for so many descriptors: the first gets a name, the others are closed."""
    data, ancillary, flags, address = sock.recvmsg(size, socket.CMSG_SPACE(4 * room) if room else 0)
    came = [socket.socket(fileno=fd) for _, _, packed in ancillary for (fd,) in struct.iter_unpack("i", packed)]
    for number, each in enumerate(came):
        keep(name, each) if number == 0 else each.close()
    return data, len(came), flags, address


def body():
'''
TAIL = """

if "--simnet" in sys.argv:
    import simnet

    with simnet.Network():
        body()
else:
    body()
"""


def as_script(
    program: Program, setting: Setting, title: str = "A program of socket calls.", name: str = "it.py"
) -> str:
    """The script; *title* is the first line of its docstring, *name* what the file will be called."""
    lines = [f'    say("{str(step).replace(chr(34), chr(39))}", lambda: {_code(step, setting)})' for step in program]
    return (
        HEAD.format(title=title, name=name, nobody=setting.ports["C"]) + "\n".join(lines or ["    pass"]) + "\n" + TAIL
    )


def _code(step: Step, setting: Setting) -> str:
    """The expression that makes this call."""
    call, on, args = step.call, f'sockets["{step.on}"]', step.args
    if call == "socket":
        family, kind = FAMILIES[args[0]]
        buffers = f", {TIGHT}" if args[0] == "tight" else ""
        return f'keep("{step.makes[0]}", new({int(family)}, {int(kind)}{buffers}))'
    if call == "socketpair":
        family, kind = FAMILIES[args[0]]
        return f"list(map(keep, {list(step.makes)}, socket.socketpair({int(family)}, {int(kind)})))"
    if call == "epoll":
        return f'keep("{step.makes[0]}", select.epoll())'
    if call == "select":
        return f"ready({list(args)})"
    if call in ("accept", "dup"):
        return f'keep("{step.makes[0]}", {on}.{call}(){"[0]" if call == "accept" else ""})'
    if call in ("fill", "drain"):
        return f"{call}({on})"
    if call == "ioctl":
        return f"ioctl({on}, {IOCTLS[args[0]]:#x})"
    if call in ("getsockopt", "setsockopt"):
        level, option = OPTIONS[args[0]]
        return f"{on}.{call}({', '.join(map(str, (int(level), int(option), *args[1:])))})"
    if call == "linger":
        return f'{on}.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))'
    if call in ("register", "modify", "unregister"):
        return f"{on}.{call}({', '.join([f'sockets[{args[0]!r}]', *map(hex, args[1:])])})"
    if call == "wait":
        return f"wait({on}, {args[0]})"
    if call == "sendmsg":
        return f"{on}.sendmsg({list(args)})"
    if call == "recv_into":
        return f"{on}.recv_into(bytearray({args[0]}))"
    if call == "recvmsg_into":
        return f"{on}.recvmsg_into([{', '.join(f'bytearray({size})' for size in args)}])"
    if call == "pass":
        return f"hand_over({on}, {args[0]!r}, {list(args[1:])})"
    if call == "take":
        return f'take("{step.makes[0]}", {on}, {args[0]}, {args[1]})'
    if call == "recvmsg":
        return f"{on}.recvmsg({', '.join(map(str, (args[0], 0, *args[1:])))})"
    return f"{on}.{call}({', '.join(_argument(each, call, setting) for each in args)})"


def _argument(value: Any, call: str, setting: Setting) -> str:
    if isinstance(value, Place):
        port = setting.ports.get(str(value.port), value.port)
        shown = f'port_of("{port}")' if isinstance(port, str) else str(port)
        return f"({setting.host(value.host)!r}, {shown})"
    if isinstance(value, str) and call in ("bind", "connect", "sendto"):
        return repr(setting.unix(value))
    return repr(value)
