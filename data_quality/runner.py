"""Judging tables by their suites: Great Expectations decides, DuckDB computes.

Outcomes hold counts and never a value of the data. Great Expectations is imported when a table
has to be judged (its import alone takes seconds), and every connection is closed afterwards.
"""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import duckdb

from data_quality.catalogue import CANARY, STAGES, Rule, Stage, Suite, suites
from data_quality.export_rules import WAREHOUSE
from data_quality.fingerprint import MISSING, Fingerprints, TableKey
from orchestration.errors import TandemError, first_line
from orchestration.settings import Settings
from orchestration.warehouse import duckdb_config, give_room, open_warehouse, set_key

TABLE_MISSING = "table missing"
RESULT_FORMAT = {"result_format": "SUMMARY", "partial_unexpected_count": 0}
_ROWS_CANARY, _SQL_CANARY = "canary_rows", "canary_sql"
_SQL_CANARY_QUERY = (
    "with batch as (select count(*) as n from {batch}) select n from batch where n >= 0"
)
_Counts = Mapping[str, Callable[[], int]]
"""SQL rule of a table to what gives the number of rows that break it."""
_COUNTS: ContextVar[_Counts] = ContextVar("counts")


@dataclass(frozen=True)
class Outcome:
    """One rule's verdict on one table: a row of `control.validations`.

    `observed` is a count or an aggregate of counts. `fingerprint` stands for the judged rows and
    the rules (see `fingerprint.Fingerprints.of_suite`), `missing` where there is no table.
    """

    run_id: str
    stage: str
    suite: str
    expectation: str
    column_name: str | None
    severity: str
    success: bool
    observed: str
    table_name: str
    fingerprint: str
    checked_at: datetime

    @property
    def blocks(self) -> bool:
        """Whether this stops what comes after."""
        return not self.success and self.severity == "critical"


@dataclass(frozen=True)
class _Judged:
    success: bool
    observed: str
    raised: bool = False


def run_suites(
    settings: Settings,
    stage: Stage,
    *,
    run_id: str,
    database: Path | None = None,
    tables: Collection[str] | None = None,
    reuse: bool = True,
    settled: dict[TableKey, str] | None = None,
) -> list[Outcome]:
    """Judge a stage's tables, or those named, and return every rule's outcome, in order.

    `database` is the published file (or the candidate for it) at the stage `export`, and the
    warehouse otherwise. Where `reuse` holds, a table whose rows and rules have the fingerprint
    of an earlier run in which all its rules passed keeps that run's outcomes.

    `settled` holds the fingerprints of the layers before this one, which the stages of one build
    hand on: a build writes each layer once, and publishing reads all that it copies again. Those
    of this layer are added.

    No connection of this process may be open on these files. Raises TandemError for an unknown
    stage or table, a file that cannot be opened, and a rule without an outcome.
    """
    if stage not in STAGES:
        raise TandemError(f"no stage {stage!r}: there are {', '.join(STAGES)}")
    wanted = _wanted(stage, tables)
    path = database or (settings.serving_path if stage == "export" else settings.warehouse_path)
    with reading(settings, stage, path) as connection:
        # A layer's tables lie in the schema of its name, which no later stage writes.
        before = STAGES[: STAGES.index(stage)] if stage != "export" else ()
        known = {key: value for key, value in (settled or {}).items() if key[1] in before}
        fingerprints = Fingerprints(connection, known)
        with contextlib.closing(connection.cursor()) as beside:
            _prepare(beside, settings, stage)
            outcomes = judge(
                connection,
                wanted,
                path=path,
                run_id=run_id,
                reuse=reuse,
                fingerprints=fingerprints,
                beside=beside,
            )
        if settled is not None:
            settled.clear()
            settled.update(fingerprints.of_schemas([*before, stage]))
        return outcomes


def judge(
    connection: duckdb.DuckDBPyConnection,
    wanted: Sequence[Suite],
    *,
    path: Path,
    run_id: str,
    reuse: bool = True,
    fingerprints: Fingerprints | None = None,
    beside: duckdb.DuckDBPyConnection | None = None,
) -> list[Outcome]:
    """`run_suites` on an open connection, with what its own transaction has changed.

    `wanted` are suites of one stage, `path` is the connection's file. `beside` is a second
    connection that sees the same: SQL rules are then counted there, ahead of being asked for.
    Raises TandemError for a rule without an outcome.
    """
    fingerprints = fingerprints or Fingerprints(connection)
    found = {
        suite.table: fingerprints.of_suite(suite) if fingerprints.exists(suite.table) else MISSING
        for suite in wanted
    }
    # Earlier verdicts of the export judged a file that is gone by now.
    stages = {suite.stage for suite in wanted} - {"export"} if reuse else set()
    earlier = {
        key: verdicts for stage in stages for key, verdicts in _earlier(connection, stage).items()
    }
    kept = {
        suite.table: earlier[suite.name, found[suite.table]]
        for suite in wanted
        if set(earlier.get((suite.name, found[suite.table]), {})) == set(suite.expectations)
    }
    to_judge = [
        suite for suite in wanted if suite.table not in kept and found[suite.table] != MISSING
    ]
    judged = _judge(connection, path, to_judge, beside) if to_judge else {}
    now = datetime.now(UTC).replace(tzinfo=None)
    outcomes: list[Outcome] = []
    for suite in wanted:
        results = kept.get(suite.table) or judged.get(suite.table)
        columns = {rule.id: rule.column for rule in suite.rules}
        for expectation, severity in suite.expectations.items():
            if found[suite.table] == MISSING:
                result = _Judged(success=False, observed=TABLE_MISSING)
            elif results is None or expectation not in results:
                raise TandemError(f"{suite.name}: {expectation} has no outcome")
            else:
                result = results[expectation]
            outcomes.append(
                Outcome(
                    run_id=run_id,
                    stage=suite.stage,
                    suite=suite.name,
                    expectation=expectation,
                    column_name=columns.get(expectation),
                    # A rule that could not be judged may hide anything.
                    severity="critical" if result.raised else severity,
                    success=result.success,
                    observed=result.observed,
                    table_name=suite.table,
                    fingerprint=found[suite.table],
                    checked_at=now,
                )
            )
    return outcomes


def _wanted(stage: Stage, tables: Collection[str] | None) -> list[Suite]:
    available = suites(stage)
    if tables is None:
        return list(available)
    unknown = set(tables) - {suite.table for suite in available}
    if unknown:
        raise TandemError(f"the stage {stage} has no suite for {', '.join(sorted(unknown))}")
    return [suite for suite in available if suite.table in tables]


@contextlib.contextmanager
def reading(settings: Settings, stage: Stage, path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to what a stage judges: it has the key, or the warehouse attached.

    Raises TandemError for a file that is not there or cannot be opened.
    """
    try:
        if stage != "export":
            with open_warehouse(settings, read_only=True) as connection:
                _prepare(connection, settings, stage)
                yield connection
            return
        if not path.exists():
            raise TandemError(f"{path} does not exist: nothing was published")
        with contextlib.closing(
            duckdb.connect(str(path), read_only=True, config=dict(duckdb_config(settings)))
        ) as connection:
            _prepare(connection, settings, stage)
            give_room(connection, settings)
            warehouse = str(settings.warehouse_path).replace("'", "''")
            connection.execute(f"attach '{warehouse}' as {WAREHOUSE} (read_only)")
            yield connection
    except (duckdb.ConnectionException, duckdb.IOException, duckdb.BinderException) as error:
        raise TandemError(f"cannot read {path}: {first_line(error)}") from error


def _prepare(connection: duckdb.DuckDBPyConnection, settings: Settings, stage: Stage) -> None:
    """What a connection has for itself: the zone, and before the export the key."""
    connection.execute("set timezone = 'UTC'")
    if stage != "export":
        set_key(connection, settings)


def _earlier(
    connection: duckdb.DuckDBPyConnection, stage: Stage
) -> dict[tuple[str, str], dict[str, _Judged]]:
    """(suite, fingerprint) to the outcomes of the last run that passed wholly on it."""
    if not Fingerprints(connection).exists("control.validations"):
        return {}
    rows = connection.execute(
        """
        with passed as (
            select run_id, suite, fingerprint, max(checked_at) as checked_at
            from control.validations where stage = ?
            group by run_id, suite, fingerprint having bool_and(success)
        ),
        latest as (
            select suite, fingerprint, max_by(run_id, (checked_at, run_id)) as run_id
            from passed group by suite, fingerprint
        )
        select verdicts.suite, verdicts.fingerprint, verdicts.expectation, verdicts.observed
        from control.validations as verdicts
        inner join latest using (run_id, suite, fingerprint)
        where verdicts.stage = ?
        """,
        [stage, stage],
    ).fetchall()
    found: dict[tuple[str, str], dict[str, _Judged]] = {}
    for suite, fingerprint, expectation, observed in rows:
        found.setdefault((suite, fingerprint), {})[expectation] = _Judged(
            success=True, observed=observed
        )
    return found


def _judge(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    wanted: Sequence[Suite],
    beside: duckdb.DuckDBPyConnection | None,
) -> dict[str, dict[str, _Judged]]:
    """Table to rule id to verdict, the canary among them."""
    from data_quality import duckdb_readonly, engine

    engine.load()
    with (
        _counting(connection, wanted, beside) as counts,
        duckdb_readonly.reading(path, connection) as url,
        _silence(),
    ):
        source = _data_source(url)
        return {
            suite.table: _judge_one(
                source, suite, counts[suite.table], _count(connection, suite.table)
            )
            for suite in wanted
        }


@contextlib.contextmanager
def _counting(
    connection: duckdb.DuckDBPyConnection,
    wanted: Sequence[Suite],
    beside: duckdb.DuckDBPyConnection | None,
) -> Iterator[dict[str, _Counts]]:
    """Table to its counts, made on `connection` when asked for, or before on `beside`.

    DuckDB lets Python go on while it works, so that rules are counted while Great Expectations
    thinks about others.
    """
    from data_quality.duckdb_readonly import read

    def count(table: str, query: str) -> int:
        statement = f"select count(*) from ({query.format(batch=table)}) as unexpected_rows"
        return int(read(beside or connection, statement)[0][0][0])

    with ThreadPoolExecutor(1) as ahead:

        def counter(table: str, query: str) -> Callable[[], int]:
            asked = partial(count, table, query)
            return asked if beside is None else ahead.submit(asked).result

        try:
            yield {
                suite.table: {
                    rule_id: counter(suite.table, query)
                    for rule_id, query in (
                        (_SQL_CANARY, _SQL_CANARY_QUERY),
                        *((rule.id, rule.sql) for rule in suite.rules if rule.sql),
                    )
                }
                for suite in wanted
            }
        finally:
            ahead.shutdown(cancel_futures=True)


def _data_source(url: str) -> Any:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    # It would write all it knows as YAML, twice a table, and forget that with the process.
    context._save_project_config = lambda: None  # type: ignore[method-assign]
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context.data_sources.add_sql("judged", connection_string=url, create_temp_table=False)


def _judge_one(source: Any, suite: Suite, counts: _Counts, rows: int) -> dict[str, _Judged]:
    import great_expectations as gx

    schema, table = suite.table.split(".")
    asset = source.add_table_asset(suite.table, table_name=table, schema_name=schema)
    rules = gx.ExpectationSuite(
        name=suite.name, expectations=[_native(rule) for rule in suite.rules] + _canaries()
    )
    # A validation definition would judge the same, and store the suite and the result on top.
    batch = asset.add_batch_definition_whole_table("all").get_batch()
    kept = _COUNTS.set(counts)
    try:
        result = batch.validate(rules, result_format=RESULT_FORMAT)
    finally:
        _COUNTS.reset(kept)
    verdicts: dict[str, _Judged] = {}
    for item in result.results:
        rule_id = item.expectation_config.meta["id"]
        raised = _raised(item.exception_info)
        if raised is not None:
            verdicts[rule_id] = _Judged(success=False, observed=raised, raised=True)
        else:
            verdicts[rule_id] = _Judged(
                success=item.success is True, observed=_observed(item.result)
            )
    verdicts[CANARY] = _canary(verdicts, rows)
    return verdicts


def _native(rule: Rule) -> Any:
    """The rule as Great Expectations takes it; SQL rules only count (see `_counting_rule`)."""
    kind = _counting_rule() if rule.sql else _kind(rule.type)
    return kind(**rule.kwargs, severity=rule.severity, meta={"id": rule.id})


def _canaries() -> list[Any]:
    """Two rules that must fail, one of Great Expectations' own and one in SQL."""
    return [
        _kind("expect_table_row_count_to_equal")(
            value=-1, severity="critical", meta={"id": _ROWS_CANARY}
        ),
        _counting_rule()(
            unexpected_rows_query=_SQL_CANARY_QUERY,
            severity="critical",
            meta={"id": _SQL_CANARY},
        ),
    ]


def _canary(verdicts: Mapping[str, _Judged], rows: int) -> _Judged:
    by_rows, by_sql = verdicts.get(_ROWS_CANARY), verdicts.get(_SQL_CANARY)
    looked = by_rows == _Judged(success=False, observed=f"{rows}") and by_sql == _Judged(
        success=False, observed="1"
    )
    return _Judged(
        success=looked,
        observed=f"rows={rows}" if looked else f"the engine did not look: rows={rows}",
    )


@cache
def _counting_rule() -> Any:
    """`unexpected_rows_expectation` that is told how many rows there are and never fetches them.

    Great Expectations' own runs the query twice, brings 200 rows of data into the process, and
    takes longer to plan its two metrics than DuckDB to find them.
    """
    from great_expectations.expectations.core.unexpected_rows_expectation import (
        UnexpectedRowsExpectation,
    )

    class UnexpectedRowsCounted(UnexpectedRowsExpectation):
        metric_dependencies = ()

        def _validate(
            self,
            metrics: dict[str, Any],  # noqa: ARG002
            runtime_configuration: dict[str, Any] | None = None,  # noqa: ARG002
            execution_engine: Any = None,  # noqa: ARG002
        ) -> dict[str, Any]:
            count = _COUNTS.get()[(self.meta or {})["id"]]()
            return {"success": count == 0, "result": {"observed_value": count}}

    return _remembering(UnexpectedRowsCounted)


@cache
def _kind(name: str) -> Any:
    """One of Great Expectations' own expectations by its name."""
    from great_expectations.expectations.registry import get_expectation_impl

    return _remembering(get_expectation_impl(name))


def _remembering(kind: Any) -> Any:
    """The expectation with its configuration kept until a field is set.

    It is asked for sixty times a rule, and made from all fields each time.
    """
    from great_expectations.compatibility import pydantic

    def configuration(self: Any) -> Any:
        if self._kept is None:
            self._kept = kind.configuration.fget(self)
        return self._kept

    def set_field(self: Any, name: str, value: Any) -> None:
        kind.__setattr__(self, name, value)
        if name != "_kept":
            self._kept = None

    # Registered under the kind's own name, where Great Expectations looks for it.
    return type(kind)(
        kind.__name__,
        (kind,),
        {
            "__module__": __name__,
            "_kept": pydantic.PrivateAttr(None),
            "configuration": property(configuration),
            "__setattr__": set_field,
        },
    )


def _observed(result: Mapping[str, Any]) -> str:
    """Counts only: whatever else a result holds may be data."""
    unexpected, total = result.get("unexpected_count"), result.get("element_count")
    if unexpected is not None:
        return f"{unexpected} of {total}"
    value = result.get("observed_value")
    if isinstance(value, (bool, int, float)):
        return f"{value}"
    if isinstance(value, (list, tuple, set)):
        return f"{len(value)} columns"
    return "withheld"


def _raised(info: Mapping[str, Any] | None) -> str | None:
    """What to say of a rule that raised, None for one that did not.

    Great Expectations gives one flat dictionary, or one a metric. Only our driver's own words
    about names and syntax are repeated: other texts may quote data.
    """
    if not info:
        return None
    details = [info] if "raised_exception" in info else [*info.values()]
    if not any(item.get("raised_exception") for item in details):
        return None
    for item in details:
        # In the message as SQLAlchemy wraps it, else at the end of the traceback.
        said = f"{item.get('exception_message')}\n{item.get('exception_traceback')}"
        found = re.search(r"duckdb_readonly\.\w+[):] ?([^\n]+)", said)
        if found:
            return f"error: {found[1]}"
    return "error: the rule could not be judged"


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"select count(*) from {table}").fetchone()
    return int(row[0]) if row else 0


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Great Expectations logs exceptions with the data that they quote."""
    logger = logging.getLogger("great_expectations")
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.CRITICAL + 1)
    logger.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        logger.propagate = propagate
