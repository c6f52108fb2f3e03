"""An earlier version published again: its tables, its number, and what must not come back."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from orchestration.errors import GateError, LockedError, TandemError
from orchestration.lock import build_lock
from orchestration.publish import MartTable, drop_with_next, published
from orchestration.publish import publish as publish_now
from orchestration.publish.rollback import kept_versions, roll_back
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from tests.support import test_settings

MARTS = [
    MartTable("users", "daily_active", "One row a date.", {"dau": "人数"}),
    MartTable("audience", "pack_rows", "One row a cell.", {"pack": "A pack."}),
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = test_settings(tmp_path, snapshots_kept=3, lock_wait_seconds=0.0)
    for number, packs in ((1, "'old'"), (2, "'old', 'gone'"), (3, "'new'")):
        with open_warehouse(settings) as connection:
            connection.execute(
                f"""
                create schema if not exists users;
                create schema if not exists audience;
                create schema if not exists control;
                create or replace table control.parameters
                    as select date '2026-01-3{number % 2}' as as_of_date;
                create or replace table users.daily_active
                    as select {number} * n as dau from range(3) as numbers(n);
                create or replace table audience.pack_rows as select unnest([{packs}]) as pack
                """
            )
        publish_now(settings, f"build-{number}", tables=MARTS, judge=lambda connection: None)
    return settings


def _read(settings: Settings, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        connection.execute(f"attach '{settings.serving_path}' as file (read_only)")
        connection.execute("use file")
        return connection.execute(query).fetchall()


def test_the_version_before_comes_back_under_a_new_number(settings: Settings) -> None:
    report = roll_back(settings)
    assert (report.version, report.build_id) == (4, "build-2")
    about = published(settings)
    assert about is not None
    assert (about["version"], about["kind"], about["restored_version"]) == (4, "rollback", 2)
    assert _read(settings, "select dau from users.daily_active order by 1") == [(0,), (2,), (4,)]
    current = settings.serving_path.parent / "parquet" / "current"
    assert current.readlink() == Path("v004")
    assert _read(
        settings,
        f"select sum(dau) from read_parquet('{current}/users/daily_active.parquet')",
    ) == [(6,)]
    assert [(one.number, one.is_served) for one in kept_versions(settings)] == [
        (3, False),
        (2, True),
        (1, False),
    ]


def test_packs_stay_as_they_are_served(settings: Settings) -> None:
    roll_back(settings, to=2)
    assert _read(settings, "select pack from audience.pack_rows") == [("new",)]
    words = _read(settings, "select comment from duckdb_tables() where table_name = 'pack_rows'")
    assert words == [("One row a cell.",)]


def test_again_goes_one_further_and_a_build_goes_forward(settings: Settings) -> None:
    roll_back(settings)
    assert roll_back(settings).build_id == "build-1"
    with pytest.raises(TandemError, match="no version before 1 is kept"):
        roll_back(settings)
    assert roll_back(settings, to=3).version == 6
    report = publish_now(settings, "build-4", tables=MARTS, judge=lambda connection: None)
    about = published(settings)
    assert report.version == 7
    assert about is not None
    assert (about["kind"], about.get("restored_version")) == ("full", None)
    assert [one.number for one in kept_versions(settings)] == [7, 3, 2]


def test_what_is_refused_changes_nothing(settings: Settings) -> None:
    with pytest.raises(TandemError, match="version 9 is not kept: kept are 3, 2, 1"):
        roll_back(settings, to=9)
    with pytest.raises(TandemError, match="already"):
        roll_back(settings, to=3)
    kept = settings.serving_path.parent / "snapshots" / "marts-v002.duckdb"
    kept.chmod(0o600)
    with duckdb.connect(str(kept)) as connection:
        connection.execute("update users.daily_active set dau = 99")
    with pytest.raises(GateError, match="not what was published as version 2"):
        roll_back(settings)
    with build_lock(settings), pytest.raises(LockedError):
        roll_back(settings)
    about = published(settings)
    assert about is not None
    assert about["version"] == 3
    serving = settings.serving_path.parent
    assert [*serving.glob(".*"), *(serving / "parquet").glob(".*")] == []


def test_readers_keep_what_they_opened(settings: Settings) -> None:
    with duckdb.connect() as reader:
        reader.execute(f"attach '{settings.serving_path}' as file (read_only)")
        roll_back(settings)
        assert reader.execute("select max(dau) from file.users.daily_active").fetchall() == [(6,)]
    assert _read(settings, "select max(dau) from users.daily_active") == [(4,)]


def test_no_way_back_to_what_is_to_be_dropped(settings: Settings) -> None:
    with build_lock(settings):
        drop_with_next(settings)
    assert len(kept_versions(settings)) == 3
    publish_now(settings, "build-4", tables=MARTS, judge=lambda connection: None)
    assert [one.number for one in kept_versions(settings)] == [4]
    with pytest.raises(TandemError, match="no version before 4 is kept"):
        roll_back(settings)
    publish_now(settings, "build-5", tables=MARTS, judge=lambda connection: None)
    assert [one.number for one in kept_versions(settings)] == [5, 4]


def test_nothing_published(tmp_path: Path) -> None:
    with pytest.raises(TandemError, match="nothing is published yet"):
        roll_back(test_settings(tmp_path))
