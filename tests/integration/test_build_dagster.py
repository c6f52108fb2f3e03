"""The same build as a Dagster job: its order, what blocks it, and the backfill's window."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from data_quality import checks, runner
from orchestration.build import STAGES, Observer, StageResult, open_build
from orchestration.defs import build_defs, headless, resources
from orchestration.defs.raw import WINDOW
from orchestration.defs.resources import instance_path
from orchestration.errors import GateError, TandemError
from orchestration.publish import published
from orchestration.recorder import run_job
from orchestration.steps import Steps
from orchestration.warehouse import open_warehouse
from tests.integration.stub import World, event, follow_here, make_world, outcome, read

EVENTS = [event(number, f"2026-01-0{number}") for number in range(1, 7)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = make_world(tmp_path, monkeypatch)
    world.land(EVENTS)
    few(monkeypatch)
    follow_here(monkeypatch)
    return world


def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """One check a stage, as the stub's gates give one verdict a stage."""

    def listed(stage: Any) -> tuple[checks.CheckSpec, ...]:
        found = outcome("", stage, success=True)
        return (
            checks.CheckSpec(
                name=found.expectation,
                stage=stage,
                suite=found.suite,
                table=found.table_name,
                column=None,
                severity="critical",
                description_zh="",
                description_en="",
                faults=(),
                expectation_type="canary",
            ),
        )

    from orchestration.defs import gates

    monkeypatch.setattr(gates, "list_expectations", listed)


class Stages(Observer):
    def __init__(self) -> None:
        self.ended: list[StageResult] = []

    def finished(self, result: StageResult) -> None:
        self.ended.append(result)


def instance(world: World) -> dg.DagsterInstance:
    return dg.DagsterInstance.from_config(str(instance_path(world.settings)))


def test_the_job_goes_through_every_stage_and_remembers_the_run(world: World) -> None:
    seen = Stages()
    build = run_job(world.settings, observer=seen)
    assert [result.stage for result in seen.ended] == list(STAGES)
    assert len(world.served()) == 6
    with instance(world) as remembered:
        run = remembered.get_run_by_id(build.build_id)
        assert run is not None
        assert run.is_success
        rows = remembered.get_latest_materialization_event(
            dg.AssetKey(["raw", "community__events"])
        )
        assert rows is not None
        assert rows.asset_materialization is not None
        assert rows.asset_materialization.metadata["dagster/row_count"].value == 6
        for key in (["serving", "marts_duckdb"], ["serving", "marts_parquet"]):
            assert remembered.get_latest_materialization_event(dg.AssetKey(key)) is not None


def test_a_run_that_dagster_starts_does_the_steps_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "load_settings", lambda: world.settings)
    job = build_defs(settings=world.settings).resolve_job_def("build")
    with instance(world) as remembered:
        result = job.execute_in_process(instance=remembered, raise_on_error=False)
    assert result.success
    assert len(world.served()) == 6
    builds = read(world.settings.warehouse_path, "select build_id, state from control.builds")
    assert builds == [(result.run_id, "published")]


def test_old_runs_are_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headless, "RUNS_KEPT", 1)
    first = run_job(world.settings)
    world.land([event(9, "2026-01-07")])
    second = run_job(world.settings)
    with instance(world) as remembered:
        assert list(remembered.get_run_ids()) == [second.build_id]
        assert not remembered.all_logs(first.build_id)
        folder = Path(remembered.root_directory)
    with closing(sqlite3.connect(next(folder.rglob("event_log.db")))) as events:
        checked = events.execute("select distinct run_id from asset_check_executions").fetchall()
    assert checked == [(second.build_id,)]


@pytest.mark.parametrize(
    ("stage", "last"), [("raw", "gate raw"), ("marts", "gate marts"), ("export", "publish")]
)
def test_a_critical_rule_stops_what_comes_after(world: World, stage: str, last: str) -> None:
    world.failing = {stage}
    seen = Stages()
    with pytest.raises(GateError, match="1 critical rules did not pass"):
        run_job(world.settings, observer=seen)
    assert seen.ended[-1].stage == last
    assert published(world.settings) is None
    states = read(world.settings.warehouse_path, "select state from control.builds")
    assert states == [("blocked",)]


def test_a_failed_model_stops_what_comes_after(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = world.own_project(monkeypatch) / "models" / "intermediate" / "int_days.sql"
    text = model.read_text(encoding="utf-8")
    model.write_text(text.replace("count(*)", "error('broken')"), encoding="utf-8")
    seen = Stages()
    with pytest.raises(TandemError, match="int_days"):
        run_job(world.settings, observer=seen)
    assert seen.ended[-1].stage == "intermediate"


def test_a_backfill_rebuilds_exactly_its_partitions_in_one_run(world: World) -> None:
    run_job(world.settings)
    with open_warehouse(world.settings) as connection:
        connection.execute("update intermediate.int_days set source = 'damaged'")
    first, last = date(2026, 1, 2), date(2026, 1, 4)
    with open_build(world.settings) as build, instance(world) as remembered:
        job = build_defs({"build": Steps(build)}, world.settings).resolve_job_def("backfill")
        result = job.execute_in_process(
            instance=remembered,
            raise_on_error=False,
            tags={
                "dagster/asset_partition_range_start": first.isoformat(),
                "dagster/asset_partition_range_end": last.isoformat(),
            },
        )
        assert build.error is None
        assert result.success
        partitions = remembered.get_materialized_partitions(WINDOW)
    days = [first + timedelta(days=offset) for offset in range(3)]
    assert partitions == {day.isoformat() for day in days}
    window = read(world.settings.warehouse_path, "select * from control.window_dates order by all")
    assert [row[0] for row in window] == days
    rebuilt = {row[0] for row in world.served() if row[1] == "s"}
    assert rebuilt == set(days)


def test_a_rule_that_warns_stops_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestration.gates import GateWorker

    def warn(_: GateWorker, settings: Any, stage: str, **named: Any) -> list[runner.Outcome]:
        found = outcome(named["run_id"], stage, success=False)
        return [runner.Outcome(**(vars(found) | {"severity": "warning"}))]

    monkeypatch.setattr(GateWorker, "run", warn)
    assert run_job(world.settings).state == "published"
