"""Every mart that has a reference, built by dbt from small adversarial worlds, row for row."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from orchestration.warehouse import open_warehouse
from tests.reference.cases import CASE_SETTINGS, OTHER_SETTINGS
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
        "as_parquet": True,
    },
    "as_of_date in the middle": {
        "seeds": (2, 7),
        "settings": {"as_of_date": date(2025, 1, 14), "reporting_currency": "KWD"} | OTHER_SETTINGS,
        "data_tests": True,
    },
}

SELECT = " ".join(f"+marts.{mart}" for mart in MARTS if not mart.startswith("intermediate."))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all worlds, so that dbt parses the project once."""
    return tmp_path_factory.mktemp("reference")


@pytest.mark.parametrize("name", WORLDS)
def test_marts_equal_their_reference(name: str, home: Path) -> None:
    world = dict(WORLDS[name])
    # One world is enough for dbt's own tests, which cost as much as the models.
    data_tests = world.pop("data_tests", False)
    # And one for raw records that lie as Parquet.
    as_parquet = world.pop("as_parquet", False)
    settings = test_settings(home, **SETTINGS | CASE_SETTINGS | world.pop("settings", {}))
    settings.warehouse_path.unlink(missing_ok=True)
    logs = make_worlds(**world, cases=True)
    build_marts(settings, logs, select=SELECT, data_tests=data_tests, as_parquet=as_parquet)
    with open_warehouse(settings, read_only=True) as connection:
        missing = set(MARTS) - set(built_marts(connection))
        assert not missing, f"not built: {', '.join(sorted(missing))}"
        differences = report(connection)
    assert not differences, as_text(differences)
