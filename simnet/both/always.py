"""``net.always``: what must hold under every fault. This part of a network is the same in both worlds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from simnet.blame import exception_text, says_no
from simnet.both.asked import function_of
from simnet.faults.hosts import BODY
from simnet.link import NotALink
from simnet.verdicts import Verdict

__all__ = ["Holding"]


class Holding(NotALink):
    """A network that can be told what must always hold."""

    __slots__ = ()

    _held: list[Callable[[], object]]  # what is to be called when the network has become quiet

    def always(self, check: Callable[[], object] | None = None) -> Any:
        """``with net.always(): assert ...`` states what must hold under every fault; a failure there is the target's.

        ``@net.always`` on a function calls it when the network has become quiet.
        """
        if check is None:
            return self._always()
        self._held.append(function_of(check))
        return check

    @contextmanager
    def _always(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            if says_no(error):
                self._record_always(error)
            raise

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
