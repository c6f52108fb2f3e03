"""A whole build with Spark as the engine: its gates, its publish, Dagster's graph, and back.

The project is the five models of the stub; that all models of the real one agree is held by
test_engines_agree.py. Needs Java 17 and the extra `spark`, as that does.
"""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from orchestration import plan
from orchestration.build import nothing_new
from orchestration.defs.resources import instance_path
from orchestration.engines.requirements import missing_requirement
from orchestration.engines.tables import build_folder, read_from_spark
from orchestration.errors import GateError
from orchestration.recorder import run_job
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from tests.integration.stub import World, event, follow_here, make_world, read
from tests.integration.test_build_dagster import few

MISSING = missing_requirement()
pytestmark = [
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.timeout(900),
]
REAL_MACROS = plan.DBT_PROJECT / "macros"
PORTABLE = """
select distinct {{ local_date('events.occurred_at', 'parameters') }} as activity_date
from {{ ref('stg_community__events') }} as events
cross join {{ source('control', 'parameters') }} as parameters
where events.batch_id > parameters.watermark_batch_id
"""
ON_SPARK = {
    ("intermediate", "int_days"),
    ("intermediate", "int_dirty_dates"),
    ("users", "daily_active"),
    ("engagement", "live_board"),
}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = make_world(tmp_path, monkeypatch)
    few(monkeypatch)
    follow_here(monkeypatch)
    project = world.own_project(monkeypatch)
    shutil.copytree(REAL_MACROS, project / "macros", dirs_exist_ok=True)
    shutil.copy(REAL_MACROS.parent / "profiles.yml", project)
    models = project / "models"
    (models / "intermediate" / "int_dirty_dates.sql").write_text(PORTABLE, encoding="utf-8")
    world.land([event(number, f"2026-01-0{number}", account="ab"[number % 2]) for number in (1, 2)])
    with open_warehouse(world.settings) as connection:
        connection.execute("create schema seeds")
        connection.execute("create table seeds.calendar as select 1 as day")
    return world


def on(world: World, engine: str) -> Settings:
    return world.settings.model_copy(update={"engine": engine})


def shown(settings: Settings) -> dict[str, Any]:
    """What readers find: each published table's columns, and its rows."""
    names = ("users.daily_active", "engagement.live_board")
    columns = "select table_name, column_name, data_type from information_schema.columns"
    found: dict[str, Any] = {
        name: read(settings.serving_path, f"select * from {name} order by all") for name in names
    }
    where = "table_schema in ('users', 'engagement') order by table_name, ordinal_position"
    return found | {"columns": read(settings.serving_path, f"{columns} where {where}")}


def materialised(settings: Settings) -> set[dg.AssetKey]:
    with dg.DagsterInstance.from_config(str(instance_path(settings))) as instance:
        run = instance.get_run_ids()[0]
        records = instance.get_records_for_run(run).records
    return {
        record.event_log_entry.dagster_event.asset_key
        for record in records
        if record.event_log_entry.dagster_event is not None
        and record.event_log_entry.dagster_event.is_step_materialization
        and record.event_log_entry.dagster_event.asset_key is not None
    }


def from_spark(settings: Settings) -> dict[tuple[str, str], str]:
    with open_warehouse(settings, read_only=True) as connection:
        return read_from_spark(connection)


def test_readers_and_dagster_do_not_notice_the_engine(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TANDEM_SPARK_HOST", raising=False)
    duckdb, spark = on(world, "duckdb"), on(world, "spark")
    run_job(duckdb)
    before, assets = shown(duckdb), materialised(duckdb)

    first = run_job(spark)
    assert shown(spark) == before
    assert materialised(spark) == assets
    assert from_spark(spark) == dict.fromkeys(ON_SPARK, first.build_id)
    assert nothing_new(spark)
    assert not nothing_new(duckdb)

    # New records, and a gate that fails: what is published stays, and so does what it shows.
    world.land([event(3, "2026-01-03")])
    world.failing = {"intermediate"}
    with pytest.raises(GateError):
        run_job(spark)
    assert shown(spark) == before
    found = from_spark(spark)
    assert {table for table, build in found.items() if build == first.build_id} == {
        ("users", "daily_active"),
        ("engagement", "live_board"),
    }

    world.failing = set()
    second = run_job(spark)
    assert (date(2026, 1, 3), "s", 1) in world.served()
    assert set(from_spark(spark).values()) == {second.build_id}
    builds = build_folder(spark, second.build_id).parent
    assert [path.name for path in builds.iterdir()] == [second.build_id]
    after = shown(spark)

    back = run_job(duckdb)
    assert "as Spark made what is there" in next(
        stage.summary for stage in back.stages if stage.stage == "plan"
    )
    assert shown(duckdb) == after
    assert not from_spark(duckdb)
    assert not list(builds.iterdir())
    world.land([event(4, "2026-01-04")])
    again = run_job(duckdb)
    assert again.plan is not None
    assert not again.plan.full_refresh
    assert (date(2026, 1, 4), "s", 1) in world.served()
