"""The same faces as the simulator's, over this machine's loopback sockets: does a real kernel do what we say it does?"""

from simnet.realnet.classes import CONFIRMED, INJECTED, SIMULATOR_ONLY, verdict_class
from simnet.realnet.host import RealHost
from simnet.realnet.network import RealNetwork
from simnet.realnet.run import RealRun, play_real

__all__ = [
    "CONFIRMED",
    "INJECTED",
    "SIMULATOR_ONLY",
    "RealHost",
    "RealNetwork",
    "RealRun",
    "play_real",
    "verdict_class",
]
