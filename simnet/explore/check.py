"""What users call: ``@simnet.sweep`` or ``@simnet.fuzz`` on a test, ``simnet.check(test)`` in unittest and notebooks."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Unpack, overload

from simnet.both.asked import plan_of
from simnet.explore.examples import pass_over, refuse_what_draws
from simnet.explore.fuzz import run_fuzz
from simnet.explore.judging.stays import GIVEN
from simnet.explore.options import RUNS_DEFAULT, Asked, AskedOfAny, SweepOptions, seeds_of
from simnet.explore.parameters import network_parameter, refuse, where
from simnet.explore.progress import Progress
from simnet.explore.quiet import quiet
from simnet.explore.result import SweepResult
from simnet.explore.sweep import NothingToTest, run_sweep
from simnet.faults.plan import FaultPlan
from simnet.project.setups import has_been_told_more, set_up_by

__all__ = ["as_called", "check", "fuzz", "sweep", "test_id"]

_Function = Callable[..., Any]

taken_over: Callable[[Any, Sequence[Any], Mapping[str, Any]], None] | None = None
"""Who sweeps when a decorated test is called, given the test and its arguments; None: the test itself does. Set by pytest's plugin."""


@overload
def sweep(test: _Function, /) -> _Function: ...
@overload
def sweep(**options: Unpack[Asked]) -> Callable[[_Function], _Function]: ...


def sweep(test: _Function | classmethod[Any, Any, Any] | None = None, /, **options: Any) -> Any:
    """Run a test once for every fault at every point; the network is given to its first parameter, whatever its name.

    ``target``: hosts under test. ``kinds``: which faults. ``survives``: disruptive kinds that must not change the outcome.
    ``may_raise``: what a target may end with under a disruptive fault. ``strict``: an interrupted body is a failure.
    ``runs``: the maximum of simulations. ``depth``: 2 for pairs of faults, ``"recovery"`` for a second one where the first makes a point.
    ``invariants``: levels by name. ``first``: stop at the first failure. ``shrink=False``: leave plans as they were found.
    ``seed``: the network's. ``per_process``: globals, as ``"module:name"``, that each process of each run finds fresh.

    Raises:
        TypeError: the test is ``async def`` or a generator, takes no network, or an option is of the wrong type.
        ValueError: an option has an impossible value.
    """
    __tracebackhide__ = True
    try:
        decorate = functools.partial(_decorated, options=SweepOptions.of(**options))
        return _above(test, decorate, "sweep")
    except (TypeError, ValueError) as error:
        raise error.with_traceback(None) from None  # what is wrong is the line that says @simnet.sweep


@overload
def fuzz(test: _Function, /) -> _Function: ...
@overload
def fuzz(*, seeds: int | range = ..., **options: Unpack[AskedOfAny]) -> Callable[[_Function], _Function]: ...


def fuzz(
    test: _Function | classmethod[Any, Any, Any] | None = None, /, *, seeds: int | range = 1_000, **options: Any
) -> Any:
    """Run a test under random faults, several at once, seed after seed: for what a sweep, with one fault at a time, does not show.

    ``seeds``: how many, or a range of them; each draws some of the kinds and a rate for each, the same ones in every session.
    The other options are those of ``sweep``, without its ``runs`` and ``depth``. ``simnet fuzz`` goes on beyond these seeds.

    Raises:
        TypeError: the test is ``async def`` or a generator, takes no network, or an option is of the wrong type.
        ValueError: an option has an impossible value.
    """
    __tracebackhide__ = True
    try:
        several = seeds_of(seeds)
        for name in ("runs", "depth"):
            if name in options:
                raise TypeError(
                    f"fuzz has no option {name!r}: each of its seeds is one run, with as many faults as it draws"
                )
        checked = SweepOptions.of("fuzz", **options, runs=len(several))
        return _above(test, functools.partial(_decorated, options=checked, first_seed=several.start), "fuzz")
    except (TypeError, ValueError) as error:
        raise error.with_traceback(None) from None


def _above(test: Any, decorate: Callable[[Any], Any], word: str) -> Any:
    """What ``@simnet.sweep`` or ``@simnet.fuzz`` gives, with options or without."""
    if test is None:

        def decorator(test: Any) -> Any:
            __tracebackhide__ = True
            try:
                return decorate(test)
            except (TypeError, ValueError) as error:
                raise error.with_traceback(None) from None

        return decorator
    if not (callable(test) or isinstance(test, classmethod)):
        raise TypeError(f"{word}({test!r}): options are given by name, as in @simnet.{word}(target='server')")
    return decorate(test)


def check(test: _Function, *, plan: FaultPlan | str | None = None, **options: Unpack[Asked]) -> SweepResult:
    """Sweep *test* at once, or fuzz it if it is decorated so; raises its failures, otherwise returns the result.

    The options given here override those of a decorated test. With a *plan*, or its one-line form,
    only that one is played, and what the programs print is shown.

    Raises:
        TypeError: a *plan*, beside an option that says which faults a sweep tries, or how many.
    """
    if plan is not None:
        plan = plan_of(plan)
        for name in ("kinds", "runs", "depth"):
            if options.get(name) is not None:
                raise TypeError(f"{name}= is for a sweep, and here one plan is played; leave it out")
    known = getattr(test, "simnet_options", None)
    chosen = SweepOptions.of(**options) if known is None else known.but(**options)
    bare = getattr(test, "simnet_test", test)
    if bare is not test and inspect.ismethod(test):
        bare = bare.__get__(test.__self__)  # decorated in its class, and taken from an object
    refuse(bare)
    position, _ = network_parameter(bare)
    if position:
        raise TypeError(
            f"{where(bare)} is a method of no object; take it from one, as in check(Test().{bare.__name__})"
        )
    identity = test_id(bare)
    name = identity or _name(bare)
    if known is None and (set_up_by(bare) or has_been_told_more(bare)):
        identity = ""  # no command could play it: neither pytest knows it, nor what it has been set up with
    with quiet() if plan is None else nullcontext():
        if plan is not None:
            result = run_sweep(bare, chosen, name=name, plan=plan)
        else:
            result = _explored(bare, chosen, name, getattr(test, "simnet_first_seed", None))
    _save(result, bare, identity)
    result.raise_failures(identity)
    return result


def _explored(
    test: _Function, options: SweepOptions, name: str, first_seed: int | None, progress: Progress | None = None
) -> SweepResult:
    """The result of a sweep or, from *first_seed* on, of as many seeds as there are to be runs."""
    if first_seed is None:
        return run_sweep(test, options, name=name, progress=progress)
    seeds = range(first_seed, first_seed + (RUNS_DEFAULT if options.runs is None else options.runs))
    return run_fuzz(test, options, seeds=seeds, name=name, progress=progress)


def _decorated(test: Any, *, options: SweepOptions, first_seed: int | None = None) -> Any:
    if isinstance(test, (staticmethod, classmethod)):  # our decorator stands above theirs: the test is within
        return type(test)(_decorated(test.__func__, options=options, first_seed=first_seed))
    if hasattr(test, "simnet_options"):
        if (test.simnet_first_seed is None) == (first_seed is None):
            word = "sweep" if first_seed is None else "fuzz"
            raise TypeError(f"{_name(test)} is decorated with @simnet.{word} twice; put all options into one")
        raise TypeError(
            f"{_name(test)} is decorated with @simnet.sweep and @simnet.fuzz: its runs are the one's or the other's. Write "
            "two tests that call one function"
        )
    refuse(test)
    position, signature = network_parameter(test)

    def bind(*args: Any, **kwargs: Any) -> Callable[[Any], object]:
        """The test with all but the network given: what ``play`` takes."""
        before, after = args[:position], args[position:]
        refuse_what_draws((*after, *kwargs.values()), where(test))

        @functools.wraps(test)
        def body(network: Any) -> object:
            with _SubtestsRaise(before):
                return test(*before, network, *after, **kwargs)

        del body.__wrapped__  # its own signature is the one that counts
        given = dict(zip(signature.parameters, args, strict=False))
        setattr(body, GIVEN, {**given, **kwargs})
        return body

    def explore(
        body: Callable[[Any], object] | None = None, chosen: SweepOptions = options, progress: Progress | None = None
    ) -> SweepResult:
        name = test_id(test) or _name(test)
        try:
            return _explored(bind() if body is None else body, chosen, name, first_seed, progress)
        except NothingToTest as error:
            if error.of_these_kinds:
                pass_over(error)
            raise

    @functools.wraps(test)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        if taken_over is not None:
            taken_over(wrapper, args, kwargs)
            return
        with quiet():
            result = explore(bind(*args, **kwargs))
        called = as_called(test, args)
        identity = test_id(called)
        _save(result, called, identity)
        result.raise_failures(identity)

    wrapper.__signature__ = signature  # type: ignore[attr-defined]  # pytest asks it for the fixtures
    wrapper.simnet_options = options  # type: ignore[attr-defined]
    wrapper.simnet_first_seed = first_seed  # type: ignore[attr-defined]  # None: it is swept
    wrapper.simnet_test = test  # type: ignore[attr-defined]
    wrapper.simnet_bind = bind  # type: ignore[attr-defined]
    wrapper.simnet_explore = explore  # type: ignore[attr-defined]
    return wrapper


class _SubtestsRaise:
    """In a method of unittest's, ``subTest`` passes on what is raised in it: the verdict says if that is a failure, not the case's result.

    A class, for contextlib writes on each exception that goes through a generator, and not all let it.
    """

    def __init__(self, before: Sequence[Any]) -> None:
        unittest = sys.modules.get("unittest.case")
        first = before[0] if before else None
        self.case: Any = first if unittest is not None and isinstance(first, unittest.TestCase) else None

    def __enter__(self) -> None:
        if self.case is not None:
            self.outcome, self.case._outcome = getattr(self.case, "_outcome", None), None

    def __exit__(self, *raised: object) -> None:
        if self.case is not None:
            self.case._outcome = self.outcome


def _name(test: Any) -> str:
    """What it is called; a `functools.partial`, or an object that can be called, has no name."""
    name: str = getattr(test, "__name__", "test")
    return name


def as_called(test: _Function, arguments: Sequence[Any]) -> _Function:
    """*test* as it is called with these *arguments*: a method is bound to its object."""
    position, _ = network_parameter(test)
    bound: _Function = test.__get__(arguments[0]) if position and arguments else test
    return bound


def test_id(test: _Function) -> str:
    """``tests/test_echo.py::test_echo``, from the project's root; empty where there is no such file, as in a notebook.

    A method that is bound is named as one of its object's class, which may have inherited it.
    """
    place = _file_and_root(test)
    if place is None:
        return ""
    file, root = place
    name = getattr(inspect.unwrap(test), "__qualname__", "")
    owner = _owner(test)
    if owner is not None:
        name = f"{owner.__qualname__}.{_name(test)}"
    if not name or "<" in name:
        return ""
    return f"{file.relative_to(root).as_posix()}::{name.replace('.', '::')}"


test_id.__test__ = False  # type: ignore[attr-defined]  # pytest, this is no test


def _owner(test: _Function) -> type | None:
    """The class of the object that *test* is bound to; None if it is bound to none."""
    if not inspect.ismethod(test):
        return None
    return test.__self__ if isinstance(test.__self__, type) else type(test.__self__)


def _file_and_root(test: _Function) -> tuple[Path, Path] | None:
    from simnet.project.nodeid import project_root

    code = getattr(inspect.unwrap(test), "__code__", None)
    if code is None:
        return None
    module = sys.modules.get(getattr(_owner(test), "__module__", ""))
    file = Path(getattr(module, "__file__", None) or code.co_filename).resolve()
    if not file.is_file():
        return None
    try:
        return file, project_root(file)
    except ValueError:
        return file, file.parent  # a script of its own, in no project


def _save(result: SweepResult, test: _Function, identity: str) -> None:
    place = _file_and_root(test) if identity and result.failures else None
    if place is not None:
        result.save(place[1], identity)
