"""What lies there after a landing, for Spark, for DuckDB, for others, and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from orchestration.cli import app
from orchestration.engines.mirror import mirror, mirror_root
from orchestration.land import land
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from tests.unit.ingest.landing_files import EVENTS, as_jsonl, event, put, settings_at


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    made = settings_at(tmp_path, raw_storage="parquet")
    late = event(3, occurred_at="2026-05-09T23:30:00-01:00")
    put(made, EVENTS, "a.jsonl", as_jsonl([event(1), event(2), event(2), late]))
    return made


def test_spark_is_given_the_landed_files_themselves(config: Settings) -> None:
    land(config)
    with open_warehouse(config) as connection:
        connection.execute("create schema seeds")
        connection.execute("create table seeds.calendar as select 1 as day")
    rows = {f"{table.schema}.{table.name}": table.rows for table in mirror(config)}
    assert (rows["raw.community__events"], rows["raw.group__messages"]) == (3, 0)
    folder = mirror_root(config) / "raw" / "community__events"
    landed = config.home / "landed" / "community__events" / "current"
    assert {path.stat().st_ino for path in folder.iterdir()} == {
        path.stat().st_ino for path in landed.glob("*/*.parquet")
    }
    put(config, EVENTS, "b.jsonl", as_jsonl([event(1, received_at="2026-05-02T00:00:00Z")]))
    for number in range(3):
        put(config, EVENTS, f"c{number}.jsonl", as_jsonl([event(10 + number)]))
        land(config)
    assert duckdb.sql(f"select count(*) from '{folder}/*.parquet'").fetchone() == (3,)
    assert len(list((config.home / "landed" / "community__events").glob("v*"))) == 2


def test_others_find_the_days_in_utc_under_current(config: Settings) -> None:
    land(config)
    landed = config.home / "landed"
    assert landed.stat().st_mode & 0o777 == 0o700
    folders = (landed / "community__events" / "current").iterdir()
    assert sorted(path.name for path in folders) == [
        "_files.json",
        "dt=2026-05-01",
        "dt=2026-05-10",
    ]
    assert not (landed / "run").exists()


def test_the_command_says_what_it_took(config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_HOME", str(config.home))
    monkeypatch.setenv("TANDEM_RAW_STORAGE", "parquet")
    monkeypatch.setenv("TANDEM_LOCK_WAIT_SECONDS", "0")
    said = CliRunner().invoke(app, ["land", "--json"])
    totals = {"files": 1, "lines_read": 4, "accepted": 3, "rejected": 0, "duplicates": 1}
    assert json.loads(said.stdout)["logs"] == {EVENTS: totals}
    assert "0 files taken as batch 1" in CliRunner().invoke(app, ["land"]).output
    assert "no landing is under way" in CliRunner().invoke(app, ["land", "--join"]).output
