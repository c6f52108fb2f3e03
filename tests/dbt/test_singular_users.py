"""The singular tests of the users marts pass on rows that add up and see those that do not."""

from __future__ import annotations

import shutil

import pytest

from orchestration.warehouse import open_warehouse
from tests.dbt.scratch import REAL_PROJECT, Scratch
from tests.support import test_settings

TESTS = ("lifecycle_weekly_adds_up", "tier_daily_sums_up")
# What the models show is replaced between the runs, so that one parsed project serves all.
TABLES = {
    "lifecycle_weekly": 'week_start date, core varchar, new_persons bigint, "returning" bigint,'
    " resurrected bigint, dormant bigint, active bigint",
    "tier_daily": "date date, tier varchar, persons bigint",
    "int_person_days": "activity_date date, person_id varchar, core varchar",
}
WEEKS = [
    "('2026-01-05', 'all', 3, 0, 0, 0, 3)",
    "('2026-01-12', 'all', 1, 2, 0, 1, 3)",
    "('2026-01-19', 'all', 0, 1, 1, 2, 2)",
    "('2026-01-05', 'group', 1, 0, 0, 0, 1)",
    "('2026-01-12', 'group', 0, 0, 0, 1, 0)",
]
DAYS = [
    "('2026-01-05', 'p', 'community')",
    "('2026-01-05', 'p', 'group')",
    "('2026-01-06', 'q', 'group')",
    "('2026-01-07', 'p', 'group')",
]
TIERS = [
    "('2026-01-05', 'lurker', 1)",
    "('2026-01-05', 'core', 0)",
    "('2026-01-06', 'lurker', 2)",
    "('2026-01-06', 'core', 0)",
    "('2026-01-07', 'lurker', 1)",
    "('2026-01-07', 'core', 1)",
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    folder = tmp_path_factory.mktemp("singular")
    settings = test_settings(folder / "home")
    models = {
        f"{name}.sql": "{{ config(materialized='view') }}\n" + f"select * from main.{name}_rows"
        for name in TABLES
    }
    scratch = Scratch(folder / "project", settings, models)
    (folder / "project" / "tests").mkdir()
    for name in TESTS:
        shutil.copy(REAL_PROJECT / "tests" / f"{name}.sql", folder / "project" / "tests")
    with open_warehouse(settings) as connection:
        for name, columns in TABLES.items():
            connection.execute(f"create table main.{name}_rows ({columns})")
    scratch.run(["run"])
    return scratch


def _failures(project: Scratch, test: str, rows: dict[str, list[str]]) -> int | None:
    with open_warehouse(project.session.settings) as connection:
        for name, values in rows.items():
            connection.execute(f"delete from main.{name}_rows")
            connection.execute(f"insert into main.{name}_rows values {', '.join(values)}")
    (result,) = project.run(["test", "--select", test], check=False)
    assert result.name == test
    return result.failures


@pytest.mark.parametrize(
    ("position", "row", "failures"),
    [
        pytest.param(0, WEEKS[0], 0, id="it adds up"),
        pytest.param(1, "('2026-01-12', 'all', 1, 2, 1, 1, 3)", 1, id="more parts than active"),
        pytest.param(2, "('2026-01-19', 'all', 0, 1, 1, 1, 2)", 1, id="one of last week is lost"),
        pytest.param(2, "('2026-01-19', 'all', 0, 2, 0, 2, 2)", 1, id="one is in two parts"),
        pytest.param(1, "('2026-01-12', 'all', 2, 2, 0, 1, 4)", 1, id="the next week disagrees"),
    ],
)
def test_lifecycle_weekly_adds_up(project: Scratch, position: int, row: str, failures: int) -> None:
    weeks = [*WEEKS[:position], row, *WEEKS[position + 1 :]]
    found = _failures(project, "lifecycle_weekly_adds_up", {"lifecycle_weekly": weeks})
    assert found == failures


@pytest.mark.parametrize(
    ("tiers", "failures"),
    [
        pytest.param(TIERS, 0, id="it sums up"),
        pytest.param([*TIERS[:3], "('2026-01-06', 'core', 1)", *TIERS[4:]], 1, id="one too many"),
        pytest.param(TIERS[:5], 1, id="a tier is missing"),
        pytest.param([*TIERS, "('2026-01-07', 'core', 1)"], 1, id="a row twice"),
    ],
)
def test_tier_daily_sums_up(project: Scratch, tiers: list[str], failures: int) -> None:
    rows = {"tier_daily": tiers, "int_person_days": DAYS}
    assert _failures(project, "tier_daily_sums_up", rows) == failures
