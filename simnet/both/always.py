"""``net.always``: what must hold under every fault. This part of a network is the same in both worlds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ContextDecorator
from typing import Any

from simnet.blame import exception_text, says_no
from simnet.both.asked import function_of
from simnet.faults.hosts import BODY
from simnet.link import NotALink
from simnet.verdicts import Verdict

__all__ = ["Holding"]


class _Always(ContextDecorator):
    """No generator, since contextlib writes on what is raised in it, and not all exceptions let it."""

    def __init__(self, network: Holding) -> None:
        self.network = network

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None and says_no(error):
            self.network._record_always(error)


class Holding(NotALink):
    """A network that can be told what must always hold."""

    __slots__ = ()

    _held: list[Callable[[], object]]  # what is to be called when the network has become quiet

    def always(self, check: Callable[[], object] | None = None) -> Any:
        """``with net.always(): assert ...`` states what must hold under every fault; a failure there is the target's.

        ``@net.always`` on a function calls it when the network has become quiet.
        """
        if check is None:
            return _Always(self)
        self._held.append(function_of(check))
        return check

    def _look_at_what_must_hold(self) -> None:
        """The network is quiet: call what waits for that. What they say no to is recorded, all else is raised."""
        for check in self._held:
            try:
                check()
            except BaseException as error:
                if not says_no(error):
                    raise
                self._record_always(error)

    def _record_always(self, error: BaseException) -> None:
        message = f"what must always hold does not: {exception_text(error)}"
        self._record(Verdict("always", message, BODY, error))

    def _record(self, verdict: Verdict) -> None:
        """Keep *verdict*, whatever becomes of the exception that carries it."""
        raise NotImplementedError
