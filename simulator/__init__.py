"""Makes a platform's and its groups' raw logs from known truths.

The demo and the tests stand on it: what the marts should find is written beside the logs.
"""

from simulator.config import Dirt, SimulatorConfig
from simulator.run import SimulationReport, simulate

__all__ = ["Dirt", "SimulationReport", "SimulatorConfig", "simulate"]
