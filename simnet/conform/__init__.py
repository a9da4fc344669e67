"""Random programs of socket calls, run on the real kernel and on simnet, and compared in every answer and readiness bit."""

from simnet.conform.compare import Divergence
from simnet.conform.known import KNOWN, Known
from simnet.conform.moves import random_program
from simnet.conform.program import Program, Step
from simnet.conform.report import Report
from simnet.conform.series import NoKernel, run

__all__ = ["KNOWN", "Divergence", "Known", "NoKernel", "Program", "Report", "Step", "random_program", "run"]
