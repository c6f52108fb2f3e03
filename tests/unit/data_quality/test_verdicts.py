from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import duckdb
import pytest

from data_quality import verdicts
from data_quality.catalogue import CANARY, Suite
from data_quality.fingerprint import Fingerprints
from data_quality.runner import Outcome
from data_quality.verdicts import PROBLEMS_SHOWN, gate, load, record, require
from orchestration.errors import GateError
from orchestration.ingest.tables import create_tables

NOW = datetime.fromisoformat("2026-01-01T12:00:00")


def _rule(name: str, severity: str) -> dict[str, object]:
    return {
        "type": "unexpected_rows_expectation",
        "kwargs": {"unexpected_rows_query": f"select '{name}' from {{batch}} where n < 0"},
        "severity": severity,
        "meta": {"id": name, "description": {"zh": "规则", "en": "rule"}, "faults": ["f"]},
    }


SUITE = Suite.model_validate(
    {
        "stage": "marts",
        "table": "users.t",
        "rules": [_rule("must", "critical"), _rule("should", "warning")],
    }
)


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[duckdb.DuckDBPyConnection]:
    monkeypatch.setattr(verdicts, "suites", lambda stage: (SUITE,) if stage == "marts" else ())
    with duckdb.connect() as connection:
        create_tables(connection)
        connection.execute("create schema users; create table users.t as select 1 as n")
        yield connection


def _outcomes(connection: duckdb.DuckDBPyConnection, run_id: str = "r1") -> list[Outcome]:
    return [
        Outcome(
            run_id=run_id,
            stage="marts",
            suite=SUITE.name,
            expectation=name,
            column_name=None,
            severity=severity,
            success=True,
            observed="0",
            table_name=SUITE.table,
            fingerprint=Fingerprints(connection).of_suite(SUITE),
            checked_at=NOW,
        )
        for name, severity in SUITE.expectations.items()
    ]


def test_what_is_stored_comes_back(connection: duckdb.DuckDBPyConnection) -> None:
    outcomes = _outcomes(connection)
    record(connection, outcomes)
    record(connection, outcomes)
    assert load(connection, "r1") == sorted(outcomes, key=lambda one: one.expectation)


def test_all_passed_on_these_rows(connection: duckdb.DuckDBPyConnection) -> None:
    record(connection, _outcomes(connection))
    assert gate(connection, "r1", "marts") == []
    assert verdicts.assert_publishable(connection, "r1") == []


def test_a_warning_is_listed_and_does_not_block(connection: duckdb.DuckDBPyConnection) -> None:
    outcomes = _outcomes(connection)
    outcomes[2] = replace(outcomes[2], success=False, observed="3")
    record(connection, outcomes)
    assert [one.expectation for one in gate(connection, "r1", "marts")] == ["should"]
    assert [one.expectation for one in require(outcomes)] == ["should"]


@pytest.mark.parametrize("name", [CANARY, "must"])
def test_a_critical_failure_blocks(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    outcomes = [
        replace(one, success=False, observed="3") if one.expectation == name else one
        for one in _outcomes(connection)
    ]
    record(connection, outcomes)
    with pytest.raises(GateError, match=rf"marts/users\.t: {name} failed \(3\)"):
        gate(connection, "r1", "marts")


def test_a_rule_that_raised_blocks_though_it_would_only_warn(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    outcomes = _outcomes(connection)
    outcomes[2] = replace(outcomes[2], success=False, severity="critical", observed="error: x")
    record(connection, outcomes)
    with pytest.raises(GateError, match="should failed"):
        gate(connection, "r1", "marts")


@pytest.mark.parametrize("missing", [CANARY, "must", "should"])
def test_a_missing_verdict_blocks(connection: duckdb.DuckDBPyConnection, missing: str) -> None:
    record(connection, [one for one in _outcomes(connection) if one.expectation != missing])
    with pytest.raises(GateError, match=f"{missing} has no verdict"):
        gate(connection, "r1", "marts")


def test_another_runs_verdicts_do_not_count(connection: duckdb.DuckDBPyConnection) -> None:
    record(connection, _outcomes(connection, "r1"))
    with pytest.raises(GateError, match="not judged in this run"):
        gate(connection, "r2", "marts")


@pytest.mark.parametrize(
    "change",
    [
        "insert into users.t values (2)",
        "update users.t set n = 2",
        "delete from users.t",
        "alter table users.t rename n to m",
        "drop table users.t",
    ],
)
def test_other_rows_than_the_judged_block(
    connection: duckdb.DuckDBPyConnection, change: str
) -> None:
    record(connection, _outcomes(connection))
    connection.execute(change)
    with pytest.raises(GateError, match="not those that were judged"):
        gate(connection, "r1", "marts")
    with pytest.raises(GateError, match="not those that were judged"):
        verdicts.assert_publishable(connection, "r1")
    assert gate(connection, "r1", "marts", same_rows=False) == []


def test_other_rules_than_the_judging_block(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(connection, _outcomes(connection))
    stricter = SUITE.model_copy(
        update={"rules": (SUITE.rules[0].model_copy(update={"kwargs": {"a": 1}}), SUITE.rules[1])}
    )
    monkeypatch.setattr(verdicts, "suites", lambda _: (stricter,))
    with pytest.raises(GateError, match="not those that were judged"):
        gate(connection, "r1", "marts")


def test_storing_verdicts_does_not_void_those_on_a_view_of_them(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute(
        "create or replace view users.v as select run_id as n from control.validations"
    )
    view = SUITE.model_copy(update={"table": "users.v"})
    before = Fingerprints(connection).of_suite(view)
    record(connection, _outcomes(connection))
    assert Fingerprints(connection).of_suite(view) == before


def test_old_runs_are_forgotten(connection: duckdb.DuckDBPyConnection) -> None:
    for number in range(6):
        later = NOW + timedelta(hours=number)
        outcomes = [replace(one, checked_at=later) for one in _outcomes(connection, f"r{number}")]
        record(connection, outcomes, runs_kept=3)
    kept = connection.execute(
        "select distinct run_id from control.validations order by all"
    ).fetchall()
    assert kept == [("r3",), ("r4",), ("r5",)]


def test_a_long_list_of_problems_is_cut(connection: duckdb.DuckDBPyConnection) -> None:
    first = replace(_outcomes(connection)[1], success=False)
    many = [replace(first, expectation=f"rule_{number}") for number in range(20)]
    with pytest.raises(GateError, match=f"and {20 - PROBLEMS_SHOWN} more"):
        require(many)
