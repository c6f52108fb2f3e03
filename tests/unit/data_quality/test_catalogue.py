from __future__ import annotations

import re
import subprocess
import sys

import duckdb
import pytest
from pydantic import ValidationError

from data_quality.catalogue import CANARY, STAGES, Rule, suite, suites
from data_quality.checks import list_expectations
from data_quality.export_rules import published_tables
from data_quality.fingerprint import Fingerprints
from orchestration.contracts import contracts
from orchestration.errors import TandemError


def test_every_log_and_every_mart_has_its_suites() -> None:
    raw = {f"raw.{contract.table}" for contract in contracts().values()}
    assert raw <= {found.table for found in suites("raw")}
    assert {"control.files", "quarantine.lines"} <= {found.table for found in suites("raw")}
    staging = {f"staging.stg_{contract.table}" for contract in contracts().values()}
    assert staging <= {found.table for found in suites("staging")}
    assert set(published_tables()) <= {found.table for found in suites("marts")}
    assert set(published_tables()) <= {found.table for found in suites("export")}


@pytest.mark.parametrize("stage", STAGES)
def test_rules_are_written_out(stage: str) -> None:
    for found in suites(stage):  # type: ignore[arg-type]
        assert CANARY in found.expectations
        for rule in found.rules:
            assert rule.meta.faults
            assert re.search(r"[\u4e00-\u9fff]", rule.meta.description.zh), rule.id
            assert rule.meta.description.en.isascii(), rule.id


@pytest.mark.parametrize("stage", STAGES)
def test_duckdb_parses_every_rule(stage: str) -> None:
    with duckdb.connect() as connection:
        fingerprints = Fingerprints(connection)
        for found in suites(stage):  # type: ignore[arg-type]
            assert re.fullmatch("[0-9a-f]{64}", fingerprints.of_suite(found))


def test_sql_rules_avoid_what_sqlalchemy_would_take_for_a_parameter() -> None:
    for stage in STAGES:
        for found in suites(stage):
            for rule in found.rules:
                assert not re.search(r"(?<![:\w\\]):\w", rule.sql), f"{found.name}: {rule.id}"
                assert "?" not in rule.sql, f"{found.name}: {rule.id}"


def test_listing_is_cheap_and_names_are_unique() -> None:
    for stage in STAGES:
        specs = list_expectations(stage)
        assert len({(spec.table, spec.name) for spec in specs}) == len(specs)
        assert all(re.fullmatch(r"[A-Za-z0-9_]+", spec.name) for spec in specs)
    code = (
        "import sys; from data_quality.checks import list_expectations;"
        "list_expectations('marts'); print('great_expectations' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_unknown_names_are_errors() -> None:
    with pytest.raises(TandemError, match="no stage 'mart'"):
        suites("mart")  # type: ignore[arg-type]
    with pytest.raises(TandemError, match=r"no suite for raw\.nothing"):
        suite("raw", "raw.nothing")


def test_a_rule_that_great_expectations_could_not_run_is_refused() -> None:
    def rule(query: str) -> dict[str, object]:
        return {
            "type": "unexpected_rows_expectation",
            "kwargs": {"unexpected_rows_query": query},
            "severity": "warning",
            "meta": {"id": "r", "description": {"zh": "规", "en": "r"}, "faults": ["f"]},
        }

    with pytest.raises(ValidationError, match=r"to name \{batch\}, write"):
        Rule.model_validate(rule("select 1 from {batch} as found, raw.other as others"))
    assert Rule.model_validate(rule("select 1 from (select * from {batch}) as found")).id == "r"
