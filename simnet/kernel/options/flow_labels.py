"""IPV6_FLOWINFO_SEND: the flow label given to ``connect`` is sent along, and ``getpeername`` returns it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from simnet.kernel.inet import shown
from simnet.kernel.messages import AF_INET6
from simnet.kernel.options.idle import IPV6_AUTOFLOWLABEL
from simnet.kernel.options.rare import IPV6_FLOWINFO_SEND
from simnet.kernel.options.values import IPPROTO_IPV6, Key
from simnet.kernel.segment import Endpoint

CHOOSES_LABEL: Final = (IPPROTO_IPV6, IPV6_AUTOFLOWLABEL)  # which is on
NO_LABEL: Final = -1
SENDS_LABEL: Final = (IPPROTO_IPV6, IPV6_FLOWINFO_SEND)
LABEL: Final = (IPPROTO_IPV6, -IPV6_FLOWINFO_SEND)  # beside the options: that of the connect


def note_label(options: dict[Key, Any] | None, address: Sequence[Any]) -> None:
    """Keep the label in the *address* of a connect, if the socket of these *options* sends labels."""
    if not options:
        return
    label = address[2] if len(address) > 2 and options.get(SENDS_LABEL) else 0
    if label or LABEL in options:
        options[LABEL] = label


def label_of(options: dict[Key, Any]) -> int:
    """The label of its connect that a socket of these *options* sends; 0 for none."""
    return int(options.get(LABEL, 0)) if options.get(SENDS_LABEL) else 0


def label_sent(options: dict[Key, Any]) -> int:
    """What goes with its datagrams: that label, 0 for one of the kernel's choice, or NO_LABEL."""
    return label_of(options) or (0 if options.get(CHOOSES_LABEL, 1) else NO_LABEL)


def peer_name(family: int, peer: Endpoint, options: dict[Key, Any] | None) -> tuple[Any, ...]:
    """*peer* as a socket of *family* and *options* shows it."""
    name = shown(family, peer)
    return name if family != AF_INET6 or not options else (*name[:2], label_of(options), name[3])
