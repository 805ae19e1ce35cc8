"""RunComfy's Model API, stood up on loopback: for demonstrations without an account, and for tests that need an honest count of what was paid for."""

from batcher.simulator.bill import Bill
from batcher.simulator.errors import SimulatorError
from batcher.simulator.faults import FaultRule
from batcher.simulator.server import Simulator, serve
from batcher.simulator.settings import SimulatorSettings

__all__ = ["Bill", "FaultRule", "Simulator", "SimulatorError", "SimulatorSettings", "serve"]
