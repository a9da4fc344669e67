"""The collector of circles is off while a run goes on: it would end sockets whenever it comes."""

from __future__ import annotations

import gc
import os
import threading

import simnet


def test_the_end_of_a_run_in_one_thread_lets_no_collector_into_that_of_another() -> None:
    ends = [os.pipe() for _ in range(3)]  # real ones, which no run knows: the threads wait for each other in real time
    (first_in, first_goes), (second_in, second_goes), (over, first_is_over) = ends
    seen: list[bool] = []

    def first() -> None:
        with simnet.Network():
            os.write(first_goes, b"x")
            os.read(second_in, 1)
        os.write(first_is_over, b"x")

    def second() -> None:
        os.read(first_in, 1)
        with simnet.Network():
            os.write(second_goes, b"x")
            os.read(over, 1)
            seen.append(gc.isenabled())

    threads = [threading.Thread(target=each) for each in (first, second)]
    try:
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        for pair in ends:
            for fd in pair:
                os.close(fd)
    assert seen == [False]
    assert gc.isenabled()


def test_it_stays_off_where_it_was_off_before() -> None:
    gc.disable()
    try:
        with simnet.Network():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
