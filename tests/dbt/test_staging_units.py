"""The hand-computed cases beside staging, persons, activity and dimensions, as dbt unit tests."""

from __future__ import annotations

from pathlib import Path

from orchestration.plan import make_plan, write_plan
from orchestration.transform import DbtSession
from orchestration.warehouse import open_warehouse
from tests.support import fill_raw, test_settings

MODELS = (
    "stg_community__nodes_history",
    "stg_group__members_history",
    "int_identity_edges",
    "int_persons",
    "int_activity",
    "int_person_days",
    "int_dirty_dates",
    "int_dates",
    "persons",
    "nodes",
)


def test_unit_tests_of_what_the_marts_stand_on(tmp_path: Path):
    settings = test_settings(tmp_path)
    with open_warehouse(settings) as connection:
        fill_raw(connection, {})
        write_plan(connection, settings, make_plan(connection, settings))
    session = DbtSession(settings)
    session.parse()
    # A unit test reads the columns of its inputs from the warehouse: empty ones will do.
    session.invoke(["seed", "--select", "cn_calendar"])
    session.invoke(
        ["run", "--full-refresh", "--empty", "--select", *(f"+{name}" for name in MODELS)]
    )
    outcomes = session.invoke(["test", "--select", *(f"{name},test_type:unit" for name in MODELS)])
    assert {item.resource_type for item in outcomes} == {"unit_test"}
    assert len(outcomes) == len(MODELS)
