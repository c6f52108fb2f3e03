"""The hand-computed cases beside the first marts and what they stand on, as dbt unit tests."""

from __future__ import annotations

from pathlib import Path

from orchestration.plan import make_plan, write_plan
from orchestration.transform import DbtSession
from orchestration.warehouse import open_warehouse
from tests.support import fill_raw, test_settings

MODELS = (
    "daily_active",
    "node_daily_active",
    "daily_performance",
    "group_daily",
    "daily",
    "int_content_days",
    "int_like_days",
    "int_node_ancestors",
    "int_membership_changes",
    "int_conversion_rates",
)


def test_unit_tests_of_first_marts(tmp_path: Path) -> None:
    settings = test_settings(tmp_path)
    with open_warehouse(settings) as connection:
        fill_raw(connection, {})
        write_plan(connection, settings, make_plan(connection, settings))
    session = DbtSession(settings)
    session.parse()
    # A unit test reads the columns of its inputs from the warehouse: empty ones will do.
    resources = ["--resource-type", "model", "--resource-type", "seed"]
    selected = ["--select", *(f"+{name}" for name in MODELS)]
    session.invoke(["build", "--full-refresh", "--empty", *resources, *selected])
    outcomes = session.invoke(["test", "--select", *(f"{name},test_type:unit" for name in MODELS)])
    assert len(outcomes) >= len(MODELS)
