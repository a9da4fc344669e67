"""The loop that the running code belongs to: a channel made without ``loop=`` joins it."""

from __future__ import annotations

from contextvars import ContextVar, Token

from dispatch.annotations import TYPE_CHECKING

if TYPE_CHECKING:
    from dispatch.loop import Loop

current: ContextVar[Loop] = ContextVar("dispatch.current_loop")


def current_loop() -> Loop:
    """The loop whose turn this code runs in, or the innermost ``with Loop() as loop:`` around it.

    Raises:
        RuntimeError: there is none.
    """
    loop = current.get(None)
    if loop is None:
        raise RuntimeError("no loop here: pass loop=, or make channels inside `with dispatch.Loop() as loop:`")
    return loop


def enter(loop: Loop) -> Token[Loop] | None:
    """*loop* is the current one until :func:`leave` is called with what this returns."""
    # Mostly it is already, by a `with`: then nothing is to be undone.
    return None if current.get(None) is loop else current.set(loop)


def leave(token: Token[Loop] | None) -> None:
    """What was current before is so again."""
    if token is not None:
        current.reset(token)
