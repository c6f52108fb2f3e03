"""Keeping verdicts, and blocking what must not go on.

A Dagster check that blocks guards its own run only, so whoever publishes or releases reads the
verdicts themselves and fails closed: no verdict, a failed one, a rule that could not be judged,
or other rows than the judged ones are all the same refusal.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence

import duckdb

from data_quality.catalogue import STAGES, Stage, suites
from data_quality.export_rules import published_schemas
from data_quality.fingerprint import Fingerprints, TableKey
from data_quality.runner import TABLE_MISSING, Outcome
from orchestration.errors import GateError, first_of

RUNS_KEPT = 60
PROBLEMS_SHOWN = 12
JUDGED_BEFORE_PUBLISH: tuple[Stage, ...] = ("raw", "staging", "intermediate", "marts")
_COLUMNS = {
    "run_id": "VARCHAR",
    "stage": "VARCHAR",
    "suite": "VARCHAR",
    "expectation": "VARCHAR",
    "column_name": "VARCHAR",
    "severity": "VARCHAR",
    "success": "BOOLEAN",
    "observed": "VARCHAR",
    "table_name": "VARCHAR",
    "fingerprint": "VARCHAR",
    "checked_at": "TIMESTAMP",
}


def record(
    connection: duckdb.DuckDBPyConnection,
    outcomes: Sequence[Outcome],
    *,
    runs_kept: int = RUNS_KEPT,
) -> None:
    """Store outcomes in `control.validations`, in one transaction.

    They replace what their run had said about the same suites. Runs beyond the latest
    `runs_kept` are forgotten.
    """
    connection.begin()
    try:
        if outcomes:
            # One text, for DuckDB takes a millisecond to bind the values of a row.
            given = [{name: getattr(outcome, name) for name in _COLUMNS} for outcome in outcomes]
            connection.execute(
                f"""
                create or replace temporary table judged as
                select unnest(from_json(?, '{json.dumps([_COLUMNS])}'), recursive := true)
                """,
                [json.dumps(given, default=str)],
            )
            names = ", ".join(_COLUMNS)
            connection.execute(
                "delete from control.validations"
                " where (run_id, suite) in (select (run_id, suite) from judged)"
            )
            connection.execute(
                f"insert into control.validations ({names}) select {names} from judged"
            )
            connection.execute("drop table judged")
        connection.execute(
            """
            delete from control.validations where run_id not in (
                select run_id from control.validations
                group by run_id
                order by list_contains(?, run_id) desc, max(checked_at) desc, run_id desc limit ?
            )
            """,
            # With the clock set back, what was just judged is not the newest.
            [sorted({outcome.run_id for outcome in outcomes}), runs_kept],
        )
        connection.commit()
    except duckdb.Error:
        connection.rollback()
        raise


def load(connection: duckdb.DuckDBPyConnection, run_id: str) -> list[Outcome]:
    """A run's verdicts, in the order of stage, suite and expectation."""
    rows = connection.execute(
        f"select {', '.join(_COLUMNS)} from control.validations where run_id = ?", [run_id]
    ).fetchall()
    found = [Outcome(*row) for row in rows]
    order = {str(stage): number for number, stage in enumerate(STAGES)}
    return sorted(
        found,
        key=lambda outcome: (order[outcome.stage], outcome.suite, outcome.expectation),
    )


def require(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The failed rules that only warn. Raises GateError if a critical one failed.

    For a caller that has just judged; who comes later uses `gate`.
    """
    failed = [outcome for outcome in outcomes if not outcome.success]
    _refuse([_failure(outcome) for outcome in failed if outcome.blocks])
    return failed


def gate(
    connection: duckdb.DuckDBPyConnection,
    run_id: str,
    stage: Stage,
    *,
    tables: Collection[str] | None = None,
    judged: duckdb.DuckDBPyConnection | None = None,
    same_rows: bool = True,
) -> list[Outcome]:
    """The stage's failed rules that only warn; GateError unless every critical one passed.

    Every rule of every suite of the stage (or of `tables`) must have a verdict of this run. Where
    `same_rows` holds, the judged tables must still have the fingerprint that was judged; they are
    read through `judged`, by default `connection`, which holds the verdicts.
    """
    rows = Fingerprints(judged or connection) if same_rows else None
    problems, warnings = _examine(connection, run_id, stage, tables, rows)
    _refuse(problems)
    return warnings


def assert_publishable(
    connection: duckdb.DuckDBPyConnection,
    run_id: str,
    *,
    known: Mapping[TableKey, str] | None = None,
) -> list[Outcome]:
    """What warns about this run's tables; GateError unless the marts may be published.

    Every critical rule from raw to the marts must have passed in this run, the marts must hold
    the judged rows, and no table of a published schema may be without a verdict. `known` are
    fingerprints of what this run has judged the marts by; the marts are read again in any case.
    """
    below = {key: value for key, value in (known or {}).items() if key[1] in JUDGED_BEFORE_PUBLISH}
    problems: list[str] = []
    warnings: list[Outcome] = []
    for stage in JUDGED_BEFORE_PUBLISH:
        # What the marts were made of may have gone on since; what is copied may not.
        rows = Fingerprints(connection, below) if stage == "marts" else None
        found = _examine(connection, run_id, stage, None, rows)
        problems += found[0]
        warnings += found[1]
    marks = ", ".join("?" for _ in published_schemas())
    present = connection.execute(
        f"""
        select table_schema || '.' || table_name from information_schema.tables
        where table_catalog = current_database() and table_schema in ({marks})
        order by all
        """,
        list(published_schemas()),
    ).fetchall()
    ruled = {suite.table for suite in suites("marts")}
    problems += [f"marts/{name}: no rule judges it" for (name,) in present if name not in ruled]
    _refuse(problems)
    return warnings


def _examine(
    connection: duckdb.DuckDBPyConnection,
    run_id: str,
    stage: Stage,
    tables: Collection[str] | None,
    fingerprints: Fingerprints | None,
) -> tuple[list[str], list[Outcome]]:
    verdicts: dict[str, dict[str, Outcome]] = {}
    for outcome in load(connection, run_id):
        if outcome.stage == stage:
            verdicts.setdefault(outcome.suite, {})[outcome.expectation] = outcome
    problems: list[str] = []
    warnings: list[Outcome] = []
    for suite in suites(stage):
        if tables is not None and suite.table not in tables:
            continue
        found = verdicts.get(suite.name, {})
        if not found:
            problems.append(f"{suite.name}: not judged in this run")
            continue
        if any(outcome.observed == TABLE_MISSING for outcome in found.values()):
            problems.append(f"{suite.name}: {TABLE_MISSING}")
            continue
        unjudged = [name for name in suite.expectations if name not in found]
        problems += [f"{suite.name}: {name} has no verdict" for name in unjudged]
        failed = [outcome for outcome in found.values() if not outcome.success]
        problems += [_failure(outcome) for outcome in failed if outcome.blocks]
        warnings += [outcome for outcome in failed if not outcome.blocks]
        if fingerprints is not None:
            now = fingerprints.of_suite(suite)
            if any(outcome.fingerprint != now for outcome in found.values()):
                problems.append(f"{suite.name}: the rows or rules are not those that were judged")
    return problems, warnings


def _failure(outcome: Outcome) -> str:
    return f"{outcome.suite}: {outcome.expectation} failed ({outcome.observed})"


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise GateError(f"blocked: {first_of(problems, PROBLEMS_SHOWN, last='; and')}")
