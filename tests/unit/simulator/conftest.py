"""One small platform with every kind of dirt, simulated once for this folder's tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from simulator import Dirt, SimulationReport, SimulatorConfig, simulate


@dataclass(frozen=True)
class Simulated:
    config: SimulatorConfig
    landing: Path
    truth: Path
    report: SimulationReport


def _simulated(config: SimulatorConfig, folder: Path) -> Simulated:
    report = simulate(config, folder / "landing", folder / "truth")
    return Simulated(config, folder / "landing", folder / "truth", report)


@pytest.fixture(scope="session")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    config = SimulatorConfig(persons=400, days=35, activity=0.6, dirt=Dirt.every_kind(0.01))
    return _simulated(config, tmp_path_factory.mktemp("dirty"))


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    config = SimulatorConfig(persons=400, days=35, activity=0.6, dirt=Dirt.none())
    return _simulated(config, tmp_path_factory.mktemp("clean"))
