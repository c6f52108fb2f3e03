"""Every mart that has a reference, built by dbt from small adversarial worlds, row for row."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestration.warehouse import open_warehouse
from tests.reference.compare import as_text, built_marts, report
from tests.reference.generator import SETTINGS, make_world, start_of
from tests.reference.marts import MARTS
from tests.support import build_marts, test_settings

WORLDS: dict[str, dict[str, Any]] = {
    "spring-festival": {"seed": 0},
    "national-day, records beyond as_of_date": {"seed": 1, "beyond": True},
    "year-end, as_of_date in the middle": {"seed": 2, "as_of_day": 33},
    "april, as_of_date after everything": {"seed": 3, "as_of_day": 60},
}


@pytest.mark.parametrize("name", WORLDS)
def test_marts_equal_their_reference(name: str, tmp_path: Path) -> None:
    world = dict(WORLDS[name])
    as_of_day = world.pop("as_of_day", None)
    values: dict[str, Any] = dict(SETTINGS)
    if as_of_day is not None:
        values["as_of_date"] = start_of(world["seed"]) + timedelta(days=as_of_day)
    settings = test_settings(tmp_path, **values)
    build_marts(settings, make_world(**world))
    with open_warehouse(settings, read_only=True) as connection:
        missing = set(MARTS) - set(built_marts(connection))
        assert not missing, f"not built: {', '.join(sorted(missing))}"
        differences = report(connection)
    assert not differences, as_text(differences)
