"""What the accounts of two ends send each other, in its order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from simnet.kernel.counted.receiving import OF_A_SEGMENT, Letter

if TYPE_CHECKING:
    from simnet.kernel.counted.account import Account


class Wire:
    """Between the two: what is posted has arrived, one letter after the other."""

    __slots__ = ("busy", "letters")

    def __init__(self) -> None:
        self.letters: deque[tuple[Letter, Account]] = deque()
        self.busy = False

    def post(self, letter: Letter, to: Account) -> None:
        self.letters.append((letter, to))
        if self.busy:
            return
        self.busy = True
        while self.letters:
            letter, to = self.letters.popleft()
            if to.deaf and letter.parcel is not None:
                to.note_acknowledged(letter)
            elif not to.in_call:
                to.hear(letter)
            elif letter.parcel is None and to.backlog and to.backlog[-1].parcel is None:
                to.backlog[-1] = letter  # acknowledgements in a row count as their last
            else:
                to.backlog.append(letter)
                if letter.parcel is not None:
                    to.backlog_memory += letter.parcel.size + OF_A_SEGMENT
        self.busy = False
