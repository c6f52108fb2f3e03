"""Real builds through the real gate: honest packs pass every attack, a broken builder does not."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestration.audience import rows
from orchestration.audience.attacks import ATTACKS
from orchestration.audience.release import build_pack
from orchestration.errors import GateError
from orchestration.settings import Settings
from tests.unit.audience.pack_world import COUNTS_PACK, ROWS_PACK, make_world

NOW = datetime.fromisoformat("2026-07-01 08:00")
PACKS = {
    "seeds": ROWS_PACK,
    "again": ROWS_PACK.replace("pack: seeds", "pack: again"),
    "demand": COUNTS_PACK,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_world(tmp_path_factory.mktemp("gate"), 30_000, PACKS)


def attacks_of(manifest: Mapping[str, Any]) -> dict[str, bool]:
    return {attack["id"]: attack["pass"] for attack in manifest["attacks"]}


def test_honest_packs_are_released(world: Settings) -> None:
    for hours, pack in enumerate(("seeds", "demand")):
        release = build_pack(world, pack, now=NOW + timedelta(hours=hours))
        verdicts = attacks_of(release.manifest)
        assert len(verdicts) >= len(ATTACKS)
        assert all(verdicts.values())


def test_a_broken_builder_is_blocked(world: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps every class, and the file goes nowhere."""

    def keep_all(connection: Any, spec: Any, cells: str, table: str) -> None:
        if cells != table:
            connection.execute(f"create or replace table {table} as select * from {cells}")

    monkeypatch.setattr(rows, "filter_classes", keep_all)
    monkeypatch.setattr(rows, "build_cells", with_k_of_two(rows.build_cells))
    with pytest.raises(GateError, match="linkage_prosecutor"):
        build_pack(world, "again", now=NOW + timedelta(days=1))
    assert not list(Path(world.home).glob("exports/again/v*"))


def with_k_of_two(build: Any) -> Any:
    def loose(connection: Any, spec: Any, *args: Any, **values: Any) -> None:
        guarantee = replace(spec.guarantee, k=2)
        build(connection, replace(spec, guarantee=guarantee), *args, **values)

    return loose
