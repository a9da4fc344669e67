"""What is due when, and in which order."""

from __future__ import annotations

import random

import pytest

from simnet.clock import Clock


def test_what_is_due_at_one_instant_happens_in_the_order_in_which_it_was_put_off() -> None:
    for seed in range(200):
        dice = random.Random(seed)
        clock = Clock()
        told: list[tuple[int, int]] = []  # when, and the how-manieth to be put off
        expected: list[tuple[int, int]] = []
        count = 0

        def put_off(
            dice: random.Random = dice,
            clock: Clock = clock,
            told: list[tuple[int, int]] = told,
            expected: list[tuple[int, int]] = expected,
        ) -> None:
            nonlocal count
            count += 1
            mine = (clock.now_ns + dice.randrange(3), count)
            expected.append(mine)

            def happen(number: int) -> None:
                told.append((clock.now_ns, number))
                if len(expected) < 60 and dice.random() < 0.5:
                    put_off()

            if dice.random() < 0.7:
                clock.post(mine[0], happen, mine[1])
            elif dice.random() < 0.5:
                clock.at(mine[0], happen, mine[1])
            else:
                clock.at(mine[0], happen, mine[1], True)

        for _ in range(12):
            put_off()
        while clock.tick():
            pass
        assert told == sorted(expected)
        assert clock.busy == 0


def test_what_fails_takes_nobody_with_it() -> None:
    clock = Clock()
    told: list[int] = []

    def happen(number: int) -> None:
        if number == 2:
            raise LookupError
        told.append(number)

    for number in range(5):
        clock.post(7, happen, number)
    with pytest.raises(LookupError):
        clock.tick()
    assert clock.tick()
    assert told == [0, 1, 3, 4]
    assert clock.busy == 0
    assert not clock.tick()
