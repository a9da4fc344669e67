"""The same program on the real kernel over loopback, held against what simnet predicted.

A kernel is a little late: an acknowledgement, a reset, a wake-up may take it microseconds. So after each step the masks
are polled until they equal the prediction, for at most 200 ms; where the prediction is that nothing happens, one look
is all, and the end of the program looks again, when everything has long arrived.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from simnet import real
from simnet.conform.bench import Bench
from simnet.conform.predict import LEFT_OUT, Masks, Prediction, final_look, without
from simnet.conform.program import mask_names
from simnet.conform.words import Setting

__all__ = ["Difference", "Run", "settings"]

_NAME = re.compile(r"\b[a-z]+\d+\b")  # of a socket; another program with the same fault has others
PATIENCE = 0.2  # seconds, until a mask that differs is a difference
FINAL = "at the end"
FIRST_PORT, PORTS_TO_USE = 10_000, 20_000  # below the ephemeral range, so that nobody has one of these by chance


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the kernel did otherwise: *kind* is "answer", "readiness", "end", or "crash" of simnet."""

    kind: str
    number: int  # of the step, from 0
    step: str
    simnet: str
    kernel: str

    @property
    def signature(self) -> tuple[str, str, str, str]:
        """What stays the same while a program shrinks."""
        call = self.step.rpartition(" = ")[2].partition("(")[0].rpartition(".")[2]
        return self.kind, call, _NAME.sub("_", self.simnet), _NAME.sub("_", self.kernel)

    def __str__(self) -> str:
        return (
            f"step {self.number + 1}, {self.step}\n  {self.kind:9} kernel {self.kernel}\n  {'':9} simnet {self.simnet}"
        )


class Run:
    """One run of a program on the kernel. *pace* (s) is slept after each step, to tell a divergence from a race."""

    def __init__(self, prediction: Prediction, setting: Setting, pace: float = 0.0) -> None:
        self._prediction = prediction
        self._bench = Bench(setting, prompt=True)
        self._pace = pace
        self.ended = 0.0  # when the last step was made, by the true clock

    def go(self) -> Difference | None:
        """Every step but the last look; the sockets stay open for that."""
        bench = self._bench
        for number, seen in enumerate(self._prediction.seen):
            step = seen.step
            if seen.answer == LEFT_OUT:
                continue
            answer = bench.perform(step, seen.answer, PATIENCE)
            if answer != seen.answer:
                return Difference("answer", number, str(step), seen.answer, answer)
            if self._pace:
                real.sleep(self._pace)
            bench.acknowledge()
            masks = self._settled(seen.masks, seen.ignored)
            if masks != seen.masks:
                return Difference("readiness", number, str(step), *_differing(seen.masks, masks))
        self.ended = real.monotonic()
        return None

    def look_again(self) -> Difference | None:
        """The last look, some time after the last step; then everything is closed."""
        prediction = self._prediction
        number = len(prediction.seen)
        try:
            if prediction.seen:
                last = prediction.seen[-1]
                masks = self._settled(last.masks, last.ignored)
                if masks != last.masks:
                    return Difference("readiness", number, FINAL, *_differing(last.masks, masks))
            if not prediction.final:
                return None
            found = final_look(self._bench, prediction.final, PATIENCE)
            for (step, answer), wanted in zip(found, prediction.final, strict=False):
                if (step, answer) != wanted:
                    return Difference("end", number, step, wanted[1] if wanted[0] == step else str(wanted), answer)
            return None
        finally:
            self.close()

    def close(self) -> None:
        self._bench.close()

    def _settled(self, wanted: Masks, ignored: dict[str, int]) -> Masks:
        masks = without(self._bench.masks(), ignored)
        if masks == wanted:
            return masks
        deadline = real.monotonic() + PATIENCE
        pause = 0.00002
        while masks != wanted and real.monotonic() < deadline:
            real.sleep(pause)
            pause = min(pause * 2, 0.005)
            masks = without(self._bench.masks(), ignored)
        return masks


def _differing(wanted: Masks, found: Masks) -> tuple[str, str]:
    """The masks that are not as predicted: what simnet says, and what the kernel says."""
    old, new = dict(wanted), dict(found)
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return tuple(  # type: ignore[return-value]
        ", ".join(f"{name} {mask_names(side[name]) if name in side else 'not open'}" for name in names)
        for side in (old, new)
    )


def settings(seed: int) -> Iterator[Setting]:
    """Addresses and ports for one run after another. No two of the last 20,000 runs share a port."""
    number = seed * 7_919 % PORTS_TO_USE
    while True:
        number += 3
        port = FIRST_PORT + number % PORTS_TO_USE
        high, low = 16 + number // 250 % 200, 2 * (number % 120) + 10
        if _is_free(port):
            prefix = f"simnet-conform-{os.getpid()}-{number}-"
            yield Setting(f"127.{high}.{number % 250}.{low}", f"127.{high}.{number % 250}.{low + 1}", port, prefix)


def _is_free(port: int) -> bool:
    """Does nobody on this machine hold one of the three ports, on any address?"""
    with contextlib.ExitStack() as stack:
        for each in range(port, port + 3):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                probe = stack.enter_context(socket.socket(socket.AF_INET6, kind))
                try:
                    probe.bind(("::", each))
                except OSError:
                    return False
    return True
