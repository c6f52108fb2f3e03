"""Every suite passes on a good warehouse, and every rule sees the fault that it is for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from benchmarks.rules import judge as rules_alone
from data_quality.catalogue import STAGES, Stage, Suite, suite, suites
from data_quality.export_rules import CATALOG, WAREHOUSE, published_tables
from data_quality.fingerprint import Fingerprints
from data_quality.runner import Outcome, judge, run_suites
from data_quality.verdicts import assert_publishable, record
from orchestration.errors import GateError
from orchestration.gates import GateWorker
from orchestration.publish.allowlist import PUBLISHED_SCHEMAS
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse, set_key
from tests.integration.gates_mutation import Mutation
from tests.integration.gates_mutations import EXPORT, MUTATIONS
from tests.integration.gates_world import build
from tests.support import KEY, test_settings

WAREHOUSE_STAGES: tuple[Stage, ...] = ("raw", "staging", "intermediate", "marts")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TANDEM_KEY", KEY)
        return build(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def warehouse(
    good: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """A writable copy, held open: a fault is put in and judged within one transaction."""
    settings = test_settings(tmp_path_factory.mktemp("faulty"))
    shutil.copy(good.warehouse_path, settings.warehouse_path)
    with open_warehouse(settings) as connection:
        set_key(connection, settings)
        yield connection, settings.warehouse_path


@pytest.fixture(scope="module")
def publication(
    good: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """A writable publication beside its warehouse, as `reading` opens it for judging."""
    settings = test_settings(tmp_path_factory.mktemp("published"))
    shutil.copy(good.warehouse_path, settings.warehouse_path)
    path = _publish(settings)
    with duckdb.connect(str(path)) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"attach '{settings.warehouse_path}' as {WAREHOUSE} (read_only)")
        yield connection, path


@pytest.fixture
def scratch(good: Settings, tmp_path: Path) -> Settings:
    shutil.copy(good.warehouse_path, tmp_path / good.warehouse_path.name)
    return test_settings(tmp_path)


def test_the_benchmark_runs_the_rules_of_a_good_warehouse(
    good: Settings, scratch: Settings
) -> None:
    assert tuple(rules_alone(good)) == WAREHOUSE_STAGES
    with open_warehouse(scratch) as connection:
        connection.execute("insert into dim.persons from dim.persons limit 1")
    with pytest.raises(ValueError, match=r"^dim\.persons: key_unique is broken by 1 rows$"):
        rules_alone(scratch)


def _failed(outcomes: list[Outcome]) -> set[str]:
    return {outcome.expectation for outcome in outcomes if not outcome.success}


def _red(connection: duckdb.DuckDBPyConnection, path: Path, mutation: Mutation) -> set[str]:
    """The rules of the table's suite that fail once the fault is there; it is undone again."""
    connection.begin()
    try:
        _mutate(connection, mutation)
        wanted = [suite(mutation.stage, mutation.table)]
        return _failed(judge(connection, wanted, path=path, run_id="bad", reuse=False))
    finally:
        connection.rollback()


def _mutate(connection: duckdb.DuckDBPyConnection, mutation: Mutation) -> None:
    schema, table = mutation.table.split(".")
    view = connection.execute(
        "select 1 from duckdb_views() where database_name = current_database()"
        " and not internal and schema_name = ? and view_name = ?",
        [schema, table],
    ).fetchone()
    if view:
        connection.execute(f"create table main.kept as select * from {mutation.table}")
        connection.execute(f"drop view {mutation.table}")
        connection.execute(f"create table {mutation.table} as select * from main.kept")
    connection.execute(mutation.sql.format(t=mutation.table))


def _publish(settings: Settings) -> Path:
    path = settings.serving_path
    path.parent.mkdir(parents=True)
    with open_warehouse(settings) as connection:
        connection.execute(f"attach '{path}' as published")
        for schema in PUBLISHED_SCHEMAS:
            connection.execute(f"create schema published.{schema}")
        for name in published_tables():
            connection.execute(f"create table published.{name} as select * from warehouse.{name}")
        connection.execute("create table published.main._publish as select 1 as version")
        connection.execute("detach published")
    return path


@pytest.fixture(scope="module")
def verdicts(good: Settings) -> Mapping[Stage, list[Outcome]]:
    """What is judged of the good warehouse, stage by stage."""
    return {stage: run_suites(good, stage, run_id="good") for stage in WAREHOUSE_STAGES}


@pytest.mark.parametrize("stage", WAREHOUSE_STAGES)
def test_a_good_warehouse_passes(verdicts: Mapping[Stage, list[Outcome]], stage: Stage) -> None:
    outcomes = verdicts[stage]
    assert [outcome for outcome in outcomes if not outcome.success] == []
    judged = {(outcome.table_name, outcome.expectation) for outcome in outcomes}
    assert judged == {(suite.table, name) for suite in suites(stage) for name in suite.expectations}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_a_fault_turns_its_rule_red(
    warehouse: tuple[duckdb.DuckDBPyConnection, Path], mutation: Mutation
) -> None:
    red = _red(*warehouse, mutation)
    assert mutation.seen_by(red), red


def test_a_good_publication_passes(scratch: Settings) -> None:
    _publish(scratch)
    outcomes = run_suites(scratch, "export", run_id="good")
    assert _failed(outcomes) == set()
    assert {outcome.table_name for outcome in outcomes} == {CATALOG, *published_tables()}


@pytest.mark.parametrize("mutation", EXPORT, ids=str)
def test_a_faulty_publication_is_seen(
    publication: tuple[duckdb.DuckDBPyConnection, Path], mutation: Mutation
) -> None:
    assert _red(*publication, mutation) == {mutation.rule, *mutation.also}


def test_every_written_rule_has_a_fault_that_it_sees() -> None:
    tried = {(one.stage, one.table, one.rule) for one in [*MUTATIONS, *EXPORT]}
    kinds = {(one.stage, one.rule) for one in [*MUTATIONS, *EXPORT]}
    untried = []
    for stage in STAGES:
        for each in suites(stage):
            for rule in each.rules:
                # Of rules made for many tables alike, one of each kind is enough.
                alike = (stage, rule.id) in kinds or rule.id.rpartition("_")[2] in (
                    "known",
                    "token",
                    "bounds",
                    "json",
                    "conserved",
                )
                generated = stage in ("raw", "staging", "export") or rule.id == "no_private_columns"
                if (stage, each.table, rule.id) not in tried and not (generated and alike):
                    untried.append(f"{each.name}: {rule.id}")
    assert untried == []


def test_publishing_needs_every_verdict_on_the_very_rows(
    verdicts: Mapping[Stage, list[Outcome]], scratch: Settings
) -> None:
    outcomes = [
        replace(outcome, run_id="r1") for stage in WAREHOUSE_STAGES for outcome in verdicts[stage]
    ]
    with open_warehouse(scratch) as connection:
        with pytest.raises(GateError, match="not judged in this run"):
            assert_publishable(connection, "r1")
        record(connection, outcomes)
        assert assert_publishable(connection, "r1") == []
        with pytest.raises(GateError, match="not judged in this run"):
            assert_publishable(connection, "r2")
        connection.execute("update revenue.daily set payers = payers where false")
        assert assert_publishable(connection, "r1") == []
        connection.execute("update revenue.daily set payers = payers + 1")
        with pytest.raises(
            GateError, match=r"marts/revenue\.daily: the rows or rules are not those"
        ):
            assert_publishable(connection, "r1")
        connection.execute("update revenue.daily set payers = payers - 1")
        assert assert_publishable(connection, "r1") == []
        connection.execute("create table users.unjudged as select 1 as one")
        with pytest.raises(GateError, match=r"marts/users\.unjudged: no rule judges it"):
            assert_publishable(connection, "r1")


def test_publishing_believes_what_the_gates_read_and_reads_the_marts(
    verdicts: Mapping[Stage, list[Outcome]], scratch: Settings
) -> None:
    outcomes = [
        replace(outcome, run_id="r1") for stage in WAREHOUSE_STAGES for outcome in verdicts[stage]
    ]
    tables = ("intermediate", "int_orders"), ("revenue", "daily")
    with open_warehouse(scratch) as connection:
        record(connection, outcomes)
        database = connection.execute("select current_database()").fetchall()[0][0]
        known = {
            (database, schema, table): Fingerprints(connection).of_table(f"{schema}.{table}")
            for schema, table in tables
        }
        assert assert_publishable(connection, "r1", known=known) == []
        connection.execute("delete from intermediate.int_orders")
        assert assert_publishable(connection, "r1", known=known) == []
        with pytest.raises(GateError, match="the rows or rules are not those"):
            assert_publishable(connection, "r1")
        connection.execute("delete from revenue.daily")
        with pytest.raises(GateError, match=r"revenue\.daily: the rows or rules are not those"):
            assert_publishable(connection, "r1", known=known)


def test_a_worker_hands_on_what_it_read_in_a_run(scratch: Settings) -> None:
    with GateWorker() as worker:
        assert worker.settled("r1") == {}
        worker.run(scratch, "raw", run_id="r1", tables=["raw.community__accounts"])
        assert {schema for _, schema, _ in worker.settled("r1")} == {"raw"}
        assert worker.settled("r2") == {}


def test_what_has_not_changed_is_not_judged_again(
    verdicts: Mapping[Stage, list[Outcome]], scratch: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [replace(outcome, run_id="r1") for outcome in verdicts["marts"]]
    with open_warehouse(scratch) as connection:
        record(connection, first)
        connection.execute("update users.rfm set monetary_minor = monetary_minor + 1")
    judged: list[str] = []
    original = run_suites.__globals__["_judge_one"]

    def spy(source: object, suite: Suite, *rest: object) -> object:
        judged.append(suite.table)
        return original(source, suite, *rest)

    monkeypatch.setitem(run_suites.__globals__, "_judge_one", spy)
    second = run_suites(scratch, "marts", run_id="r2")
    assert judged == ["users.rfm"]
    assert _failed(second) == {"money_recomputed"}
    assert len(second) == len(first)
    assert {outcome.run_id for outcome in second} == {"r2"}
