"""Every mart that has a reference, built by dbt from small adversarial worlds, row for row."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from orchestration.warehouse import open_warehouse
from tests.reference.compare import as_text, built_marts, report
from tests.reference.generator import SETTINGS, make_worlds
from tests.reference.marts import MARTS
from tests.support import build_marts, test_settings

WORLDS: dict[str, dict[str, Any]] = {
    "as_of_date by default": {"seeds": (0, 1, 2, 3)},
    "records beyond as_of_date, in summer time": {
        "seeds": (4, 9),
        "beyond": True,
        "settings": {"timezone": "America/New_York"},
    },
    "as_of_date in the middle": {
        "seeds": (2, 7),
        "settings": {"as_of_date": date(2025, 1, 14), "reporting_currency": "KWD"},
    },
}

SELECT = " ".join(f"+marts.{mart}" for mart in MARTS if not mart.startswith("intermediate."))


@pytest.mark.parametrize("name", WORLDS)
def test_marts_equal_their_reference(name: str, tmp_path: Path) -> None:
    world = dict(WORLDS[name])
    settings = test_settings(tmp_path, **SETTINGS, **world.pop("settings", {}))
    build_marts(settings, make_worlds(**world), select=SELECT)
    with open_warehouse(settings, read_only=True) as connection:
        missing = set(MARTS) - set(built_marts(connection))
        assert not missing, f"not built: {', '.join(sorted(missing))}"
        differences = report(connection)
    assert not differences, as_text(differences)
