"""TCP_USER_TIMEOUT where a window stays shut: how long a sender that nobody reads from goes on asking for it.

A peer that answers keeps a sender waiting for ever, unless the program has set a limit: then it ends with ETIMEDOUT, that long
after its first question (tcp_probe_timer). The peer is not told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.messages import SIOCOUTQ, SIOCOUTQNSD
from simnet.kernel.options.values import IPPROTO_TCP, TCP_USER_TIMEOUT
from simnet.kernel.states import SYN_SENT
from simnet.kernel.tcp.window import PROBED_NS, TALKING, next_probe_ns

if TYPE_CHECKING:
    from simnet.kernel.tcp.sending import Sender

NEVER: Final = -1
UNANSWERED_NS: Final = 640_000_000  # the second question after it: measured 633 to 652 ms
SHORTEST_NS: Final = 8_000_000  # TCP_TIMEOUT_MIN, two ticks


def patience_ns(sender: Sender, since_ns: int, now_ns: int) -> int:
    """Until when *sender* waits, whose window is shut *since_ns* and whose limit is asked about at *now_ns*; NEVER if it has none.

    A limit that is set later is looked at with the next question, which is no earlier for it.
    """
    limit_ms: int | None = sender.option(IPPROTO_TCP, TCP_USER_TIMEOUT)
    if not limit_ms:
        return NEVER
    first_ns = since_ns + PROBED_NS[0]
    ends_ns = first_ns + max(limit_ms * 1_000_000, SHORTEST_NS)
    return ends_ns if now_ns <= first_ns else max(ends_ns, next_question_ns(since_ns, now_ns))


def limit_patience(sender: Sender) -> None:
    """TCP_USER_TIMEOUT was set."""
    ledger = sender.ledger
    if ledger is None:
        ask_later(sender)
    elif ledger.held_ns != NEVER:
        ledger.patience_ns = patience_ns(sender, ledger.held_ns, sender.stack.clock.now_ns)
        ledger.follow()


def ask_later(sender: Sender) -> None:
    """Something waits: if it is for the window, and whoever waits may lose a segment or patience, a guard asks for it."""
    if sender.guard is not None:
        sender.guard.probe_later(sender)
        return
    waits = sender.ledger is None and sender.snd_edge <= sender.snd_nxt and sender.unsent and sender.state in TALKING
    if waits and sender.option(IPPROTO_TCP, TCP_USER_TIMEOUT):
        sender.watch_losses()


def next_question_ns(since_ns: int, now_ns: int) -> int:
    """When a sender whose window is shut *since_ns* asks next, answered or not."""
    second_ns = since_ns + UNANSWERED_NS
    next_ns = next_probe_ns(since_ns, now_ns)
    return min(next_ns, second_ns) if now_ns < second_ns else next_ns


def left(sender: Any) -> tuple[int, int]:
    """What SIOCOUTQ and SIOCOUTQNSD tell of *sender* once it has given up: as much as before, though nobody will send it."""
    if sender.state == SYN_SENT:
        return 1, 0  # the SYN
    return sender.ioctl(SIOCOUTQ), sender.ioctl(SIOCOUTQNSD)
