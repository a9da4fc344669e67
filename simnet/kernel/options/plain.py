"""What setsockopt and getsockopt do on UDP and Unix sockets, where hardly an option does anything at once."""

from __future__ import annotations

import struct
from errno import EINVAL, ENOPROTOOPT, EOPNOTSUPP
from typing import Any, Final, Protocol

from simnet.kernel.datagrams.groups import EVERY_GROUP
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_INET6, AF_UNIX, SOCK_STREAM
from simnet.kernel.options import values as o
from simnet.kernel.options.idle import ALL_UDP_OPTIONS, ALL_UNIX_OPTIONS, IPV6_MULTICAST_IF
from simnet.kernel.options.packed import get_packed, link_of, read, set_packed
from simnet.kernel.options.rare import BUFFER_LOCKS, TELLS_REST
from simnet.kernel.options.routes import note_option, note_tos
from simnet.kernel.options.timestamps import STAMPS, set_stamps, stamp_option
from simnet.kernel.ports import REUSE_ADDRESS, REUSE_PORT, V6_ONLY
from simnet.kernel.states import LISTEN


class AskedSocket(Protocol):
    """What a socket must have for `fixed` to answer."""

    stack: Any
    state: str
    error: int
    options: dict[o.Key, Any] | None

    @property
    def family(self) -> int: ...
    @property
    def type(self) -> int: ...
    @property
    def proto(self) -> int: ...


class PlainSocket(AskedSocket, Protocol):
    """What a socket must have for its options to be kept here."""

    port: int
    peer: Any
    sharing: int

    @property
    def credentials(self) -> tuple[int, int, int]: ...
    def options_changed(self, level: int, name: int) -> None: ...


GROUPS_LINK: Final = (o.IPPROTO_IPV6, IPV6_MULTICAST_IF)
_FLAGS: Final = {o.SO_REUSEADDR: REUSE_ADDRESS, o.SO_REUSEPORT: REUSE_PORT}
_SOCKET_LEVEL: Final = frozenset({o.SOL_SOCKET})
_UDPLITE: Final = 136  # IPPROTO_UDPLITE, whose options UDP takes for its own
_UDP_LEVELS: Final = frozenset({o.SOL_SOCKET, o.IPPROTO_IP, o.IPPROTO_UDP})


def _table(socket: PlainSocket) -> tuple[dict[o.Key, o.Option], frozenset[int]]:
    if socket.family == AF_UNIX:
        return ALL_UNIX_OPTIONS, _SOCKET_LEVEL
    return ALL_UDP_OPTIONS, _UDP_LEVELS | {o.IPPROTO_IPV6} if socket.family == AF_INET6 else _UDP_LEVELS


def set_option(socket: PlainSocket, level: int, name: int, value: Any) -> None:
    """setsockopt: keep the value, and tell the socket of it."""
    table, levels = _table(socket)
    if level == _UDPLITE and socket.family != AF_UNIX:
        level = o.IPPROTO_UDP
    if level not in levels:
        # AF_UNIX has no protocol level at all.
        raise socket_error(EOPNOTSUPP if socket.family == AF_UNIX else ENOPROTOOPT)
    if isinstance(value, o.NoBuffer):
        value = read(socket, (level, name), value, (level, name) in table)
    level, name = o.shared(level, name, value)
    if set_packed(socket, (level, name), value):
        return
    option = o.look_up(table, level, name)
    value = o.check_length(level, option, value)
    if o.read_only(level, name):
        raise socket_error(ENOPROTOOPT)
    if (level, name) in STAMPS:
        set_stamps(socket, (level, name), value)
        return
    kept: Any
    if level == o.SOL_SOCKET and name == o.SO_LINGER:
        kept = o.linger(value)
        if not kept[0]:  # a time is only kept where it counts
            kept = (0, ((socket.options or {}).get((level, name)) or (0, 0))[1])
    elif level == o.SOL_SOCKET and name in o.TIMES:
        name, kept = o.TIMES[name], o.timeval(value)
    else:
        _refuse(socket, (level, name), value)
        if option is None:
            raise o.unknown(level, name, setting=True)
        number = o.integer(value)
        if level == o.SOL_SOCKET:
            name, number = _of_socket_level(socket, name, number)
            option = table[(level, name)]
        elif (level, name) == GROUPS_LINK and number and link_of(socket) not in (0, number):
            o.stored(socket, (level, name), option, number)  # is there such a link?
            raise socket_error(EINVAL)
        kept = o.stored(socket, (level, name), option, number)
        _share(socket, (level, name), bool(kept))
    if socket.options is None:
        socket.options = {}
    if (level, name) == o.TOS:
        note_tos(socket, o.integer(value), kept)
    else:
        note_option(socket, (level, name), kept)
    socket.options[(level, name)] = kept
    socket.options_changed(level, name)


def _refuse(socket: PlainSocket, key: o.Key, value: Any) -> None:
    """Raise what a socket of another kind says of an option."""
    if key == TELLS_REST:
        if socket.type != SOCK_STREAM:
            raise socket_error(ENOPROTOOPT)
        if not isinstance(value, int) and len(value) > 4:
            raise socket_error(EINVAL)
    elif key[0] == o.SOL_SOCKET and _refused_by_family(socket, key[1], o.integer(value)):
        raise socket_error(EOPNOTSUPP)


def _of_socket_level(socket: PlainSocket, name: int, number: int) -> tuple[int, int]:
    """The option of SOL_SOCKET that is meant, and the number as it is kept."""
    forced = name in o.FORCED and socket.stack.privileged
    if forced:
        name = o.FORCED[name]
    if name in (o.SO_SNDBUF, o.SO_RCVBUF):
        number = o.sndbuf(number, forced) if name == o.SO_SNDBUF else o.rcvbuf(number, forced)
        if socket.options is not None and BUFFER_LOCKS in socket.options:
            socket.options[BUFFER_LOCKS] |= 1 if name == o.SO_SNDBUF else 2
    elif name == o.SO_RCVLOWAT:
        number = (o.INT_MAX if number < 0 else number) or 1
    return name, number


def _share(socket: PlainSocket, key: o.Key, on: bool) -> None:
    """Whether the socket shares its address is asked at each bind: it stands in its bits, too."""
    level, name = key
    if level == o.SOL_SOCKET and name in _FLAGS:
        bit = _FLAGS[name]
    elif level == o.IPPROTO_IPV6 and name == o.IPV6_V6ONLY:
        if socket.port:
            raise socket_error(EINVAL)
        bit = V6_ONLY
    else:
        return
    socket.sharing = socket.sharing | bit if on else socket.sharing & ~bit


def get_option(socket: PlainSocket, level: int, name: int, buflen: int) -> int | bytes:
    """getsockopt, as CPython answers it."""
    o.check_buflen(buflen)
    table, levels = _table(socket)
    if level == _UDPLITE and socket.family != AF_UNIX:
        level = o.IPPROTO_UDP
    if level not in levels:
        raise socket_error(ENOPROTOOPT if socket.family == AF_INET6 else EOPNOTSUPP)
    kept = None if socket.options is None else socket.options.get(o.shared(level, name))
    if level == o.SOL_SOCKET:
        if name == o.SO_LINGER:
            return o.packed_answer(struct.pack("=ii", *(kept or (0, 0))), buflen)
        if name in o.TIMES:
            kept = None if socket.options is None else socket.options.get((level, o.TIMES[name]))
            return o.packed_answer(o.pack_timeval(kept or 0), buflen)
        if name == o.SO_PEERCRED:
            return o.packed_answer(struct.pack("=iii", *socket.credentials), buflen)
        value = fixed(socket, name)
        if value is not None:
            return o.answer(value, buflen)
    packed = get_packed(socket, (level, name), buflen)
    if packed is not None:
        return o.packed_answer(packed, buflen)
    if level == o.IPPROTO_IPV6 and name == o.IPV6_V6ONLY:
        return o.answer(int(bool(socket.sharing & V6_ONLY)), buflen)  # bind() sets it too
    option = table.get((level, name))
    if option is None:
        raise o.unknown(level, name, setting=False)
    if kept is None and (level, name) == EVERY_GROUP and socket.family == AF_INET6:
        kept = 0  # what comes over IPv4 is not what it has asked for
    return o.answer(option.default if kept is None else kept, buflen, level)


def fixed(socket: AskedSocket, name: int) -> int | None:
    """The value of a SOL_SOCKET option that follows from what the socket is or was sent; ``None`` for any other."""
    if name == o.SO_ERROR:
        error, socket.error = socket.error, 0
        return error
    if name == o.SO_TYPE:
        return socket.type
    if name == o.SO_DOMAIN:
        return socket.family
    if name == o.SO_PROTOCOL:
        return socket.proto
    if name == o.SO_ACCEPTCONN:
        return int(socket.state == LISTEN)
    if name == o.SO_SNDLOWAT:
        return 1
    if (o.SOL_SOCKET, name) in STAMPS and name not in (o.SO_TIMESTAMPING, o.SO_TIMESTAMPING_NEW):
        return stamp_option(socket.options, name)
    if name in o.FOR_UNIX and socket.family != AF_UNIX:
        raise socket_error(EOPNOTSUPP)
    return None


def _refused_by_family(socket: PlainSocket, name: int, value: int) -> bool:
    return name == o.SO_REUSEPORT and value != 0 if socket.family == AF_UNIX else name in o.FOR_UNIX
