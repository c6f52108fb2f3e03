"""False alarms: clean simulations through every gate."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.world import make_world
from simulator import SimulatorConfig

INTENDED = frozenset(
    {
        "control.schema_drift: no_drift",
        "raw.commerce__refunds: orders_known",
        "intermediate.int_orders: rates_found",
    }
)
"""What the contract means to say of the simulator's deliberate dirt: a field that no contract
names, a refund of an unknown order, a currency without a rate."""


@dataclass(frozen=True)
class CleanRun:
    """One seed: what failed though nothing was wrong, and what was meant to."""

    seed: int
    alarms: tuple[str, ...]
    intended: tuple[str, ...]


def run_clean(seeds: int, persons: int, days: int) -> list[CleanRun]:
    """Judge clean platforms of `seeds` seeds at every stage; each is built in its own folder."""
    runs = []
    for seed in range(1, seeds + 1):
        with tempfile.TemporaryDirectory() as folder:
            config = SimulatorConfig(persons=persons, days=days, seed=seed)
            world = make_world(Path(folder), config)
            failed = {rule for found in world.known.values() for rule in found}
            runs.append(
                CleanRun(seed, tuple(sorted(failed - INTENDED)), tuple(sorted(failed & INTENDED)))
            )
    return runs
