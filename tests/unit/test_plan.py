from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import pytest

from orchestration import plan as plan_module
from orchestration.ingest.tables import create_tables
from orchestration.plan import code_fingerprint, make_plan, write_plan
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from tests.support import fill_raw, test_settings

EVENT = {"source": "s", "event_id": "e", "account_id": "a", "event_type": "read"}
CODE = "code"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(plan_module, "code_fingerprint", lambda: CODE)
    return test_settings(tmp_path)


@pytest.fixture
def connection(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_warehouse(settings) as connection:
        create_tables(connection)
        yield connection


def past(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    number: int,
    state: str,
    as_of: date | None = date(2026, 1, 10),
    code: str = CODE,
) -> None:
    """A build that planned; `number` is its place in time and its batch."""
    connection.execute(
        "insert into control.builds values (?, ?, null, ?, ?, ?, ?, ?)",
        [f"b{number}", f"2026-02-{number:02d}", number, as_of, settings.fingerprint(), code, state],
    )


def as_of(settings: Settings, day: int) -> Settings:
    return settings.model_copy(update={"as_of_date": date(2026, 1, day)})


def test_an_empty_warehouse_has_no_date_and_is_built_whole(
    settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    found = make_plan(connection, settings)
    assert (found.as_of_date, found.watermark_batch_id, found.batch_id) == (None, 0, 0)
    assert found.full_refresh


def test_as_of_date_is_the_last_local_date_of_events_and_messages(
    settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    # 16:30 UTC is half past midnight in Shanghai.
    fill_raw(connection, {"community/events": [EVENT | {"occurred_at": "2026-01-05T16:30:00Z"}]})
    assert make_plan(connection, settings).as_of_date == date(2026, 1, 6)
    utc = settings.model_copy(update={"timezone": "UTC"})
    assert make_plan(connection, utc).as_of_date == date(2026, 1, 5)
    assert make_plan(connection, as_of(settings, 3)).as_of_date == date(2026, 1, 3)


@pytest.mark.parametrize("state", ["published", "transformed"])
def test_the_watermark_is_that_of_the_last_build_that_transformed(
    settings: Settings, connection: duckdb.DuckDBPyConnection, state: str
) -> None:
    past(connection, settings, 1, "published")
    past(connection, settings, 2, state)
    past(connection, settings, 3, "blocked")
    past(connection, settings, 4, "failed")
    found = make_plan(connection, as_of(settings, 10))
    assert (found.watermark_batch_id, found.full_refresh) == (2, False)
    assert make_plan(connection, as_of(settings, 10), full_refresh=True).full_refresh


def test_other_code_or_settings_rebuild_everything_even_if_that_build_failed(
    settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    past(connection, settings, 1, "published")
    now = as_of(settings, 10)
    assert not make_plan(connection, now).full_refresh
    assert make_plan(connection, now.model_copy(update={"timezone": "UTC"})).full_refresh
    past(connection, settings, 2, "failed", code="other")
    assert make_plan(connection, now).full_refresh
    past(connection, settings, 3, "published")
    assert not make_plan(connection, now).full_refresh


def test_another_engine_than_made_the_models_rebuilds_everything(
    settings: Settings, connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    past(connection, settings, 1, "published")
    on_spark = settings.model_copy(update={"engine": "spark"})
    assert not make_plan(connection, as_of(settings, 10)).full_refresh
    assert make_plan(connection, as_of(on_spark, 10)).full_refresh
    path = tmp_path / "spark" / "builds" / "b" / "users.db" / "daily" / "part-0.parquet"
    path.parent.mkdir(parents=True)
    connection.execute(f"copy (select 1 as a) to '{path}'")
    connection.execute(f"create view daily as select * from read_parquet(['{path}'])")
    assert make_plan(connection, as_of(settings, 10)).full_refresh
    assert not make_plan(connection, as_of(on_spark, 10)).full_refresh


@pytest.mark.parametrize(
    ("attempts", "now", "previous", "everything"),
    [
        ([], 10, 10, False),
        ([], 12, 10, False),
        ([12], 13, 10, False),
        ([12], 9, 12, False),
        ([12], 11, 10, True),
        ([8], 9, 8, True),
        ([12, 14], 14, 10, False),
    ],
)
def test_dates_that_failed_builds_had_are_within_what_is_rebuilt(
    settings: Settings,
    connection: duckdb.DuckDBPyConnection,
    attempts: list[int],
    now: int,
    previous: int,
    everything: bool,
) -> None:
    past(connection, settings, 1, "published")
    for number, day in enumerate(attempts, start=2):
        past(connection, settings, number, "failed", date(2026, 1, day))
    found = make_plan(connection, as_of(settings, now))
    assert found.full_refresh is everything
    if not everything:
        assert found.previous_as_of_date == date(2026, 1, previous)


def test_a_build_that_never_planned_says_nothing(
    settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    past(connection, settings, 1, "published")
    connection.execute(
        "insert into control.builds (build_id, started_at, state) values ('b2', now(), 'failed')"
    )
    assert not make_plan(connection, as_of(settings, 10)).full_refresh


def test_parameters_are_one_row_and_survive_a_version_with_other_settings(
    settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    connection.execute("create or replace table control.parameters as select 1 as forgotten")
    found = make_plan(connection, as_of(settings, 10))
    for window in ([date(2026, 1, 2), date(2026, 1, 1), date(2026, 1, 2)], []):
        write_plan(connection, settings, found, window)
        rows = connection.execute(
            "select as_of_date, timezone, full_refresh from control.parameters"
        ).fetchall()
        assert rows == [(date(2026, 1, 10), "Asia/Shanghai", True)]
        days = connection.execute("select * from control.window_dates order by all").fetchall()
        assert [day for (day,) in days] == sorted(set(window))


def test_code_fingerprint_follows_sql_python_and_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, statistics = tmp_path / "project", tmp_path / "statistics"
    monkeypatch.setattr(plan_module, "DBT_PROJECT", project)
    monkeypatch.setattr(plan_module, "STATISTICS", statistics)
    (project / "models").mkdir(parents=True)
    statistics.mkdir()
    (project / "dbt_project.yml").write_text("name: x", encoding="utf-8")
    seen = {code_fingerprint()}
    changes = [
        *((project / "models" / "a.sql", text) for text in ("select 1", "select 2")),
        (project / "models" / "a.yml", "x: 1"),
        (project / "models" / "b.py", "def model(dbt, session): ..."),
        (statistics / "b.py", "TWO = 2"),
    ]
    for path, text in changes:
        path.write_text(text, encoding="utf-8")
        seen.add(code_fingerprint())
    assert len(seen) == len(changes) + 1
    (project / "models" / "README.md").write_text("words", encoding="utf-8")
    assert code_fingerprint() in seen
