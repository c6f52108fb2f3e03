"""The gates' rules as plain SQL on one open connection, without an engine around them.

`agrees` holds the verdicts against those of Great Expectations on the same rows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import duckdb

from benchmarks.faults.fault import Finding
from data_quality.catalogue import Rule, Stage, Suite, suites
from orchestration.transform import DataTest

Seen = dict[tuple[str, str], str]


def failures(
    connection: duckdb.DuckDBPyConnection, stage: Stage, changed: Collection[str] | None = None
) -> dict[str, str]:
    """`<table>: <rule>` to severity of the rules of a stage that fail.

    `changed` narrows it to rules that judge or read one of these tables. A rule that raises is
    critical, as it is in a build.
    """
    found: dict[str, str] = {}
    for suite in suites(stage):
        present = suite.table == "information_schema.tables" or _exists(connection, suite.table)
        for rule in suite.rules:
            if changed is not None and not _concerns(suite, rule, changed):
                continue
            if not present:
                found[f"{suite.table}: table missing"] = "critical"
                break
            severity = _verdict(connection, suite, rule)
            if severity is not None:
                found[f"{suite.table}: {rule.id}"] = severity
    return found


def test_failures(
    connection: duckdb.DuckDBPyConnection, tests: Sequence[DataTest]
) -> dict[str, str]:
    """`dbt: <test>` to severity of the data tests that fail."""
    found = {}
    for test in tests:
        limit = f"limit {test.limit}" if test.limit is not None else ""
        try:
            row = connection.execute(
                f"""
                select {test.fail_calc} {test.warn_if}, {test.fail_calc} {test.error_if}
                from ({test.sql} {limit}) as dbt_internal_test
                """
            ).fetchone()
        except duckdb.Error:
            found[f"dbt: {test.name}"] = "critical"
            continue
        warns, errs = row or (False, False)
        if errs and test.severity == "error":
            found[f"dbt: {test.name}"] = "critical"
        elif warns:
            found[f"dbt: {test.name}"] = "warning"
    return found


def agrees(
    connection: duckdb.DuckDBPyConnection, path: Path, stage: Stage, changed: Collection[str]
) -> bool:
    """Whether Great Expectations fails the same rules as `failures`, of every concerned suite."""
    from data_quality.runner import judge

    wanted = [
        suite
        for suite in suites(stage)
        if any(_concerns(suite, rule, changed) for rule in suite.rules)
    ]
    names = {suite.table for suite in wanted}
    judged = judge(connection, wanted, path=path, run_id="agreement", reuse=False)
    theirs = {
        f"{item.table_name}: {item.expectation}": item.severity
        for item in judged
        if not item.success
    }
    ours = {
        name: severity
        for name, severity in failures(connection, stage).items()
        if name.split(":")[0] in names
    }
    return ours == theirs


def as_findings(stage: Stage, found: dict[str, str], known: Collection[str]) -> list[Finding]:
    """What fails beyond what fails on the clean warehouse."""
    return [
        Finding(stage, rule, "reported" if severity == "info" else severity)
        for rule, severity in found.items()
        if rule not in known
    ]


def _concerns(suite: Suite, rule: Rule, changed: Collection[str]) -> bool:
    return suite.table in changed or any(table in rule.sql for table in changed)


def _verdict(connection: duckdb.DuckDBPyConnection, suite: Suite, rule: Rule) -> str | None:
    """The severity with which a rule fails, None if it passes."""
    try:
        if rule.type == "expect_table_columns_to_match_ordered_list":
            columns = [row[0] for row in connection.execute(f"describe {suite.table}").fetchall()]
            return None if columns == rule.kwargs["column_list"] else rule.severity
        row = connection.execute(f"select count(*) from ({_query(suite, rule)})").fetchone()
    except duckdb.Error:
        return "critical"
    return rule.severity if row and row[0] else None


def _query(suite: Suite, rule: Rule) -> str:
    if rule.sql:
        return rule.sql.format(batch=suite.table)
    column = rule.column
    if rule.type == "expect_column_values_to_be_in_set":
        allowed = ", ".join("'" + str(value) + "'" for value in rule.kwargs["value_set"])
        broken = f"cast({column} as varchar) not in ({allowed})"
    elif rule.type == "expect_column_values_to_be_between":
        bounds = [("min_value", "<"), ("max_value", ">")]
        broken = " or ".join(
            f"{column} {sign} {rule.kwargs[name]}" for name, sign in bounds if name in rule.kwargs
        )
    else:
        raise ValueError(f"{suite.table}: {rule.type} has no plain SQL here")
    return f"select 1 from {suite.table} where {column} is not null and ({broken})"


def _exists(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    schema, name = table.split(".")
    row = connection.execute(
        "select 1 from duckdb_columns() where database_name = current_database()"
        f" and schema_name = '{schema}' and table_name = '{name}' limit 1"
    ).fetchone()
    return row is not None
