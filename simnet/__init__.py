"""A deterministic simulated network that tests network code against what networks do to it.

``@simnet.sweep(target="server")`` on a test runs it once for every single fault at every point where one could act.
``simnet.check(test)`` does so at once, and ``simnet.play(test, plan)`` makes one run. ``with simnet.Network() as net:`` is a
network of your own, and the pytest fixture ``simnet_network`` puts one around a test: ``net.host("server").spawn(serve, 7)``
runs a program on it, unmodified. Faults are in ``simnet.faults``, plans and payloads for hypothesis in ``simnet.strategies``,
state machines in ``simnet.stateful``.

Names are imported when first asked for, so that the pytest plugin costs nothing in a project whose tests want no network.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simnet import faults, stateful, strategies
    from simnet.explore.baseline import NotRepeatable
    from simnet.explore.check import check, fuzz, sweep
    from simnet.faces.under_pytest.fixture import fixture
    from simnet.faults import DISRUPTIVE, TRANSPARENT, FaultPlan, FaultRates
    from simnet.host import Host
    from simnet.link import Link
    from simnet.process import Process
    from simnet.realnet import RealNetwork
    from simnet.run import Run, play
    from simnet.scenario import Scenario
    from simnet.socket import Socket
    from simnet.trace import Trace
    from simnet.verdicts import Deadlock, Escape, Hang, NotModelled, Spin
    from simnet.world import Network

_HOMES = {
    "DISRUPTIVE": "simnet.faults",
    "Deadlock": "simnet.verdicts",
    "Escape": "simnet.verdicts",
    "FaultPlan": "simnet.faults",
    "FaultRates": "simnet.faults",
    "Hang": "simnet.verdicts",
    "Host": "simnet.host",
    "Link": "simnet.link",
    "Network": "simnet.world",
    "NotModelled": "simnet.verdicts",
    "NotRepeatable": "simnet.explore.baseline",
    "Process": "simnet.process",
    "RealNetwork": "simnet.realnet",
    "Run": "simnet.run",
    "Scenario": "simnet.scenario",
    "Socket": "simnet.socket",
    "Spin": "simnet.verdicts",
    "TRANSPARENT": "simnet.faults",
    "Trace": "simnet.trace",
    "check": "simnet.explore.check",
    "faults": "",
    "fixture": "simnet.faces.under_pytest.fixture",
    "fuzz": "simnet.explore.check",
    "play": "simnet.run",
    "stateful": "",
    "strategies": "",
    "sweep": "simnet.explore.check",
}

__all__ = [
    "DISRUPTIVE",
    "TRANSPARENT",
    "Deadlock",
    "Escape",
    "FaultPlan",
    "FaultRates",
    "Hang",
    "Host",
    "Link",
    "Network",
    "NotModelled",
    "NotRepeatable",
    "Process",
    "RealNetwork",
    "Run",
    "Scenario",
    "Socket",
    "Spin",
    "Trace",
    "check",
    "faults",
    "fixture",
    "fuzz",
    "play",
    "stateful",
    "strategies",
    "sweep",
]


def __getattr__(name: str) -> Any:
    __tracebackhide__ = True
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'simnet' has no attribute {name!r}", name=name, obj=sys.modules[__name__])
    try:
        value = getattr(import_module(home), name) if home else import_module(f"simnet.{name}")
    except ModuleNotFoundError as error:
        from simnet.extra import missing

        text = missing(error)
        if text is None:
            raise
        raise ModuleNotFoundError(text, name=error.name) from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
