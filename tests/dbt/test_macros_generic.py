"""Every generic test passes on rows that are right and fails on rows that are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dbt.scratch import Scratch
from tests.support import test_settings

ROWS = "select * from (values {values}) as rows ({columns})"
PARENT = ROWS.format(values="('a', '1'), ('b', '1')", columns="source, id")

# name → (test, its arguments, column or None, rows that pass, rows that fail)
CASES: dict[str, tuple[str, dict[str, Any], str | None, str, str]] = {
    "pair": (
        "unique_combination",
        {"columns": ["source", "id"]},
        None,
        ROWS.format(values="('a', 1), ('a', 2), ('b', 1)", columns="source, id"),
        ROWS.format(values="('a', 1), ('a', 2), ('a', 1)", columns="source, id"),
    ),
    "pair_of_nulls": (
        "unique_combination",
        {"columns": ["source", "id"]},
        None,
        ROWS.format(values="('a', null), ('b', null)", columns="source, id"),
        ROWS.format(values="('a', null), ('a', null)", columns="source, id"),
    ),
    "never_null": (
        "never_null",
        {"columns": ["source", "id"]},
        None,
        ROWS.format(values="('a', 1), ('b', 2)", columns="source, id"),
        ROWS.format(values="('a', 1), ('b', null)", columns="source, id"),
    ),
    "expression": (
        "expression_is_true",
        {"expression": "dau <= wau"},
        None,
        ROWS.format(values="(1, 1), (1, 2)", columns="dau, wau"),
        ROWS.format(values="(1, 1), (3, 2)", columns="dau, wau"),
    ),
    "expression_of_null": (
        "expression_is_true",
        {"expression": "dau <= wau"},
        None,
        ROWS.format(values="(0, 0)", columns="dau, wau"),
        ROWS.format(values="(0, 0), (1, null)", columns="dau, wau"),
    ),
    "range": (
        "accepted_range",
        {"min_value": 0, "max_value": 10},
        "x",
        ROWS.format(values="(0), (10), (null)", columns="x"),
        ROWS.format(values="(0), (11)", columns="x"),
    ),
    "lower_bound": (
        "accepted_range",
        {"min_value": 0},
        "x",
        ROWS.format(values="(0), (1000)", columns="x"),
        ROWS.format(values="(-1), (1000)", columns="x"),
    ),
    "scoped_relationship": (
        "relationships_on",
        {"to": "ref('parent')", "columns": ["source", "id"]},
        None,
        ROWS.format(values="('a', '1'), ('b', '1'), ('b', null)", columns="source, id"),
        ROWS.format(values="('a', '1'), ('c', '1')", columns="source, id"),
    ),
    "renamed_relationship": (
        "relationships_on",
        {
            "to": "ref('parent')",
            "columns": ["source", "account_id"],
            "to_columns": ["source", "id"],
        },
        None,
        ROWS.format(values="('a', '1')", columns="source, account_id"),
        ROWS.format(values="('a', '2')", columns="source, account_id"),
    ),
    "row_count": (
        "equal_row_count",
        {"compare_to": "ref('parent')"},
        None,
        ROWS.format(values="(1), (2)", columns="x"),
        ROWS.format(values="(1), (2), (3)", columns="x"),
    ),
    "total": (
        "equal_sum",
        {"compare_to": "ref('amounts')", "compare_column": "y"},
        "x",
        ROWS.format(values="(5), (null)", columns="x"),
        ROWS.format(values="(5), (1)", columns="x"),
    ),
}


@pytest.fixture(scope="module")
def statuses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("generic")
    models = {
        "parent.sql": PARENT,
        "amounts.sql": ROWS.format(values="(2), (3)", columns="y"),
    }
    papers = []
    for case, (test, arguments, column, good, bad) in CASES.items():
        for outcome, rows in (("good", good), ("bad", bad)):
            name = f"{case}_{outcome}"
            models[f"{name}.sql"] = rows
            wanted = {test: {"name": f"test_{name}", "arguments": arguments}}
            paper: dict[str, Any] = {"name": name}
            if column is None:
                paper["data_tests"] = [wanted]
            else:
                paper["columns"] = [{"name": column, "data_tests": [wanted]}]
            papers.append(paper)
    models["papers.yml"] = yaml.safe_dump({"version": 2, "models": papers})
    scratch = Scratch(folder / "project", test_settings(folder / "home"), models)
    outcomes = scratch.run(["build"], check=False)
    return {item.name: item.status for item in outcomes if item.resource_type == "test"}


@pytest.mark.parametrize("case", sorted(CASES))
def test_right_rows_pass(case: str, statuses: dict[str, str]):
    assert statuses[f"test_{case}_good"] == "pass"


@pytest.mark.parametrize("case", sorted(CASES))
def test_wrong_rows_fail(case: str, statuses: dict[str, str]):
    assert statuses[f"test_{case}_bad"] == "fail"


def test_every_generic_test_of_the_project_has_a_case():
    text = (Path(__file__).parents[2] / "dbt_project/macros/generic_tests.sql").read_text("utf-8")
    named = {line.split()[2].split("(")[0] for line in text.splitlines() if "{% test " in line}
    assert named == {test for test, *_ in CASES.values()}
