"""A wrong option speaks up where it is given."""

from __future__ import annotations

import socket
from dataclasses import fields
from typing import get_type_hints

import pytest

import simnet
from simnet import faults
from simnet.explore.options import Asked, SweepOptions
from simnet.explore.sweep import NothingToTest


def test_one_name_or_several_may_stand() -> None:
    assert SweepOptions.of(target="server").target == ("server",)
    assert SweepOptions.of(target=["a", "b", "a"]).target == ("a", "b")
    assert SweepOptions.of(target={"c", "a", "b"}).target == ("a", "b", "c")  # a set's order is another in each session
    assert SweepOptions.of(kinds="reset").kinds == ("reset",)
    assert SweepOptions.of(kinds=faults.Reset).kinds == ("reset",)
    assert SweepOptions.of(kinds=["eof", faults.Split]).kinds == ("split", "eof")
    assert SweepOptions.of(may_raise=OSError).may_raise == (OSError,)
    assert SweepOptions.of(survives="reset").survives == ("reset",)
    assert SweepOptions.of(survives=["stall", "reset"]).survives == ("stall", "reset")
    assert SweepOptions.of(survives=()).survives == ()
    assert SweepOptions.of(per_process="mylib:Pool.free").per_process == ("mylib:Pool.free",)


def test_a_whole_class_of_kinds_means_those_that_are_tried_unasked() -> None:
    for whole in (faults.TRANSPARENT, "transparent", faults.DISRUPTIVE, "disruptive", faults.ALL):
        kinds = SweepOptions.of(kinds=whole).kinds
        assert kinds is not None
        assert {"split", "reset"} & {*kinds}
        assert all(faults.drawn(kind) for kind in kinds)
    assert SweepOptions.of(kinds=["restart", "crash"]).kinds == ("crash", "restart")
    assert "crash" in (SweepOptions.of(kinds=["disruptive", "crash"]).kinds or ())


def test_options_change_by_what_is_given_and_keep_the_rest() -> None:
    options = SweepOptions.of(target="server", runs=50, strict=True)
    changed = options.but(runs=7, kinds=None)
    assert (changed.target, changed.runs, changed.strict, changed.kinds) == (("server",), 7, True, None)


def test_an_invariant_takes_a_level_and_a_reason() -> None:
    options = SweepOptions.of(invariants={"no-spin": "off: polls by design", "waits-for-ever": "failure"})
    assert options.invariants == {"no-spin": "off", "waits-for-ever": "failure"}
    assert options.playing["invariants"] == {"no-spin": "off"}  # of waiting for ever only a sweep knows


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"targets": "server"}, TypeError, "no option 'targets'; did you mean 'target'"),
        ({"target": 7}, TypeError, "a host's name"),
        ({"target": ""}, TypeError, "a host's name"),
        ({"target": "a, b"}, ValueError, r"several are a list: \['a', 'b'\]"),
        ({"kinds": "reset,eof"}, ValueError, r"in Python several are a list: \['reset', 'eof'\]"),
        (
            {"kinds": "all"},
            ValueError,
            r"'all' is no kind of fault; it is both classes: \['transparent', 'disruptive'\]",
        ),
        ({"survives": ["reset,eof"]}, ValueError, "in Python several are a list"),
        ({"kinds": "short-read"}, ValueError, "did you mean 'short-recv'"),
        ({"kinds": "transparant"}, ValueError, "did you mean 'transparent'"),
        ({"kinds": ()}, ValueError, "names no kind"),
        ({"survives": "split"}, ValueError, "transparent"),
        ({"depth": 3}, ValueError, "1 for single faults, 2 for pairs"),
        ({"depth": True}, TypeError, "1 for single faults"),
        ({"per_process": "mylib.pool"}, ValueError, "not of the form 'module:attribute'"),
        ({"per_process": ["mylib:Pool."]}, ValueError, "not of the form 'module:attribute'"),
        ({"per_process": 7}, TypeError, "names such as"),
        ({"runs": 0}, ValueError, "at least 1"),
        ({"runs": "many"}, TypeError, "whole number"),
        ({"strict": "yes"}, TypeError, "True or False"),
        ({"may_raise": "OSError"}, TypeError, "exception classes"),
        ({"invariants": {"spin": "off"}}, ValueError, "no invariant 'spin'"),
        ({"invariants": {"no-spin": "quiet"}}, ValueError, "it can be failure, warning, off"),
        ({"invariants": ["no-spin"]}, TypeError, "a mapping"),
    ],
)
def test_a_wrong_option_is_refused_with_the_remedy(
    options: dict[str, object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        SweepOptions.of(**options)


def test_a_whole_class_of_kinds_is_named_by_one_word() -> None:
    chosen = SweepOptions.of(kinds="transparent").kinds
    assert chosen is not None
    assert set(chosen) == {each for each in faults.TRANSPARENT if faults.drawn(each)}
    assert SweepOptions.of(kinds=["transparent", "eof"]).kinds == (*chosen, "eof")


def test_a_wrong_option_is_told_at_the_line_that_gives_it() -> None:
    with pytest.raises(TypeError, match=r"sweep has no option 'targt'; did you mean 'target'\?") as caught:
        simnet.sweep(targt="server")
    assert [entry.name for entry in caught.traceback][1:] == ["sweep"]
    with pytest.raises(TypeError, match=r"no option 'seeds': @simnet\.fuzz has"):  # and not: did you mean 'seed'?
        simnet.sweep(seeds=5)


def test_a_target_whose_calls_no_fault_can_touch_is_told_so() -> None:
    def test(net: simnet.Network) -> None:
        def talk() -> None:
            near, far = socket.socketpair(type=socket.SOCK_DGRAM)
            with near, far:
                near.send(b"hello")
                assert far.recv(100) == b"hello"

        net.host("server").run(talk)

    with pytest.raises(
        NothingToTest, match=r"no connection and no listener, .* No fault acts on datagrams and records of Unix sockets"
    ):
        simnet.check(test, target="server")


def test_type_checkers_know_the_options_that_there_are() -> None:
    assert set(get_type_hints(Asked)) == {each.name for each in fields(SweepOptions)}
