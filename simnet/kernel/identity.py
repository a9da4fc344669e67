"""Who runs on a host: asked by what few calls show it, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Identified", "Identity"]


class Identity(NamedTuple):
    """Who runs now, as a kernel knows it."""

    credentials: tuple[int, int, int] = (1, 0, 0)  # pid, uid, gid
    groups: tuple[int, ...] = ()  # and what groups it is in besides
    pids: frozenset[int] = frozenset({1})  # of the processes that there are, for SCM_CREDENTIALS


class Identified:
    """A kernel that knows who runs: *who*, given by the rooms above, is called once, when somebody wants to know."""

    __slots__ = ("who", "_identity")

    who: Callable[[], Identity]
    _identity: Identity | None

    @property
    def identity(self) -> Identity:
        if self._identity is None:
            self._identity = self.who()
        return self._identity

    @property
    def credentials(self) -> tuple[int, int, int]:
        return self.identity.credentials

    @credentials.setter
    def credentials(self, credentials: tuple[int, int, int]) -> None:
        self._identity = self.identity._replace(credentials=credentials)

    @property
    def groups(self) -> tuple[int, ...]:
        return self.identity.groups

    @groups.setter
    def groups(self, groups: tuple[int, ...]) -> None:
        self._identity = self.identity._replace(groups=groups)

    @property
    def pids(self) -> frozenset[int]:
        return self.identity.pids

    @pids.setter
    def pids(self, pids: frozenset[int]) -> None:
        self._identity = self.identity._replace(pids=pids)
