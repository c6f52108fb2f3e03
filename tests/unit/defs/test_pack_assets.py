"""A pack's asset releases, and its check is the gate."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from orchestration.audience import attacks
from orchestration.defs.audience import assets
from orchestration.settings import Settings
from tests.support import KEY
from tests.unit.audience.pack_world import COUNTS_PACK, blocking, make_world, passing


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = make_world(tmp_path, 500, {"demand": COUNTS_PACK})
    monkeypatch.setenv("TANDEM_HOME", str(settings.home))
    monkeypatch.setenv("TANDEM_KEY", KEY)
    monkeypatch.setenv("TANDEM_AUDIENCE", json.dumps({"packs": [str(tmp_path / "packs")]}))
    return settings


def test_the_gate_decides_whether_the_asset_is_made(
    world: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pack,) = (found for found in assets(world) if found.key.path[-1] == "demand")
    with dg.DagsterInstance.ephemeral() as instance:
        for gate, passed in ((blocking, False), (passing, True)):
            monkeypatch.setattr(attacks, "run_attacks", gate)
            run = dg.materialize([pack], instance=instance, raise_on_error=False)
            (verdict,) = run.get_asset_check_evaluations()
            made = run.get_asset_materialization_events()
            assert (run.success, verdict.passed, len(made)) == (passed, passed, int(passed))
            if not passed:
                assert verdict.metadata["stub"].value == "1, gate 0.5"
                assert "blocked by stub" in str(verdict.metadata["reason"].value)
    assert made[0].materialization.metadata["version"].value == 2


def test_a_missing_folder_of_packs_does_not_stop_the_build(world: Settings, tmp_path: Path) -> None:
    policy = world.audience.model_copy(update={"packs": (tmp_path / "gone",)})
    assert assets(world.model_copy(update={"audience": policy})) == []
