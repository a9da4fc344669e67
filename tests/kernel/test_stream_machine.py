"""Two connected sockets against a simple model: whatever is called, bytes arrive in order and readiness does not lie."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from simnet.kernel.readiness import IN, OUT
from tests.kernel.conftest import Fabric, Note

ENDS = st.integers(0, 1)


class TwoEnds(RuleBasedStateMachine):
    """``said[i]`` is what end *i* sent and was taken, ``heard[i]`` what it read."""

    @initialize(
        latency=st.sampled_from([0, 1_000_000]),
        sizes=st.lists(st.sampled_from([0, 1, 3000, 20_000]), min_size=2, max_size=2),
        mss=st.sampled_from([None, 700]),
        lossy=st.booleans(),
    )
    def open(self, latency: int, sizes: list[int], mss: int | None, lossy: bool) -> None:
        self.fabric = Fabric(latency)
        client, server = self.fabric.stack("10.0.0.1"), self.fabric.stack("10.0.0.2")
        if mss is not None:
            client.mss = server.mss = lambda source, target: mss
        if lossy:
            client.lossy, server.lossy = {"10.0.0.2"}, {"10.0.0.1"}
        _, a, c = self.fabric.pair(client, server)
        self.ends: list[Any] = [a, c]
        for end, size in zip(self.ends, sizes, strict=True):
            if size:
                end.setsockopt(1, 7, size)
                end.setsockopt(1, 8, size)
        self.said, self.heard, self.finished = [b"", b""], [b"", b""], [False, False]
        self.notes = [Note(), Note()]
        for end, note in zip(self.ends, self.notes, strict=True):
            end.watch(note)

    @rule(i=ENDS, size=st.sampled_from([1, 2, 1000, 5000, 200_000]))
    def send(self, i: int, size: int) -> None:
        end = self.ends[i]
        start = len(self.said[i])
        payload = bytes((start + n) % 251 for n in range(min(size, 4000))) + bytes(max(0, size - 4000))
        writable = bool(end.mask() & OUT)
        try:
            n = end.send(payload)
        except BlockingIOError:
            assert not writable, "OUT was reported, and send said EAGAIN"
        except BrokenPipeError:
            assert self.finished[i]
        else:
            assert n > 0
            self.said[i] += payload[:n]

    @rule(i=ENDS, size=st.sampled_from([1, 7, 5000, 1 << 20]))
    def receive(self, i: int, size: int) -> None:
        end = self.ends[i]
        readable = bool(end.mask() & IN)
        try:
            part = end.recv(size)
        except BlockingIOError:
            assert not readable, "IN was reported, and recv said EAGAIN"
        else:
            assert readable
            self.heard[i] += part
            if not part:
                assert self.finished[1 - i]
                assert self.heard[i] == self.said[1 - i]

    @rule(i=ENDS)
    def finish(self, i: int) -> None:
        if not (self.finished[0] and self.finished[1]):
            self.ends[i].shutdown(1)
            self.fabric.drain()  # as a network does after each call; what watches this end is told with it
            self.finished[i] = True

    @rule(seconds=st.sampled_from([0, 0.0005, 0.01]))
    def wait(self, seconds: float) -> None:
        self.fabric.run(seconds)

    @precondition(lambda self: hasattr(self, "ends"))
    @invariant()
    def bytes_are_in_order_and_readiness_returns_with_news(self) -> None:
        for i, end in enumerate(self.ends):
            assert self.said[1 - i].startswith(self.heard[i])
            ready = end.mask() & (IN | OUT)
            if ready & ~getattr(self, f"seen{i}", ready):
                assert self.notes[i].events, "a bit came up, and nobody was told"
            setattr(self, f"seen{i}", ready)
            self.notes[i].events.clear()

    def teardown(self) -> None:
        if not hasattr(self, "ends"):
            return
        for _ in range(10_000):
            self.fabric.run(0.01)
            progress = False
            for i, end in enumerate(self.ends):
                try:
                    part = end.recv(1 << 20)
                except BlockingIOError:
                    continue
                self.heard[i] += part
                progress = progress or bool(part)
            if not progress and self.heard == [self.said[1], self.said[0]]:
                break
        assert self.heard == [self.said[1], self.said[0]], "bytes were taken and never arrived"
        for i, end in enumerate(self.ends):
            assert self.finished[i] or end.mask() & OUT, "all was read, and the sender never became writable"


TestTwoEnds = pytest.mark.slow(TwoEnds.TestCase)
TestTwoEnds.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
