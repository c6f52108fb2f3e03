"""Views over what Spark wrote, with Parquet that DuckDB writes in its place."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from data_quality.fingerprint import Fingerprints
from orchestration.build import open_build
from orchestration.engines.compare import COMMITTED
from orchestration.engines.relations import Model, switch
from orchestration.engines.stages import SparkStages
from orchestration.engines.tables import (
    build_folder,
    drop_left_over,
    drop_unread,
    have_folders,
    read_from_spark,
)
from orchestration.erasure.search import compact
from orchestration.errors import SettingsError, TandemError
from orchestration.live import live_base
from orchestration.settings import Settings, load_settings
from orchestration.transform import DbtSession
from orchestration.warehouse import literal, open_warehouse
from tests.support import test_settings

DAILY = Model("users", "daily", None, {"day": "date", "persons": "bigint", "share": "double"})
ROWS = "select 8 as persons, cast(0.5 as double) as share, date '2026-01-02' as day"
STATED = Model(
    "intermediate",
    "int_stated",
    "select cast(1 as hugeint) as n, timestamp '2026-01-01' as seen_at, ['a'] as texts",
    {},
)
STATED_ROWS = (
    "select cast(3 as decimal(38, 0)) as n, timestamp '2026-01-01' as seen_at, ['a'] as texts"
)
SEEN = Model("users", "seen", "select day, persons + 1 as more from users.daily", {}, is_view=True)


@pytest.fixture(params=["plain", "a 'quoted' [set]"])
def settings(tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    return test_settings(tmp_path / str(request.param), engine="spark")


@pytest.fixture
def connection(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_warehouse(settings) as connection:
        yield connection


def write(settings: Settings, model: Model, *parts: str, build: str = "b1") -> Path:
    """The folder of a table as Spark leaves it, a file for each query; the last file."""
    folder = build_folder(settings, build) / f"{model.schema}.db" / model.name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder
    with duckdb.connect() as connection:
        for number, query in enumerate(parts):
            path = folder / f"part-{number}.parquet"
            connection.execute(f"copy ({query}) to {literal(path)} (format parquet)")
    (folder / COMMITTED).touch()
    return path


def kinds(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    return {row[0]: row[1] for row in connection.execute(f"describe {table}").fetchall()}


def test_views_take_the_place_of_tables_with_the_contracts_columns(
    settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    connection.execute("create schema users")
    connection.execute("create table users.daily as select date '2025-01-01' as day")
    connection.execute("create view users.seen as select 1 as more")
    write(settings, DAILY, ROWS, ROWS.replace("8", "7"))
    switch(connection, settings, [DAILY, SEEN], build_folder(settings, "b1"))
    assert kinds(connection, "users.daily") == {
        "day": "DATE",
        "persons": "BIGINT",
        "share": "DOUBLE",
    }
    assert connection.execute("select more from users.seen order by all").fetchall() == [(8,), (9,)]
    assert read_from_spark(connection) == {("users", "daily"): "b1"}


def test_without_a_contract_the_types_are_those_that_duckdb_gives(
    settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    aware = "timestamptz '2026-01-01 00:00:00+08'"
    write(
        settings,
        STATED,
        f"select cast(3 as decimal(38, 0)) as n, {aware} as seen_at, ['b'] as texts",
    )
    switch(connection, settings, [STATED], build_folder(settings, "b1"))
    found = {"n": "HUGEINT", "seen_at": "TIMESTAMP", "texts": "VARCHAR[]"}
    assert kinds(connection, "intermediate.int_stated") == found
    connection.execute("set timezone = 'Asia/Tokyo'")
    row = connection.execute(
        "select cast(seen_at as varchar) from intermediate.int_stated"
    ).fetchone()
    assert row == ("2025-12-31 16:00:00",)


def test_what_python_made_keeps_its_own_types_and_partitions_are_columns(
    settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    learnt = Model("intermediate", "int_learnt", None, {})
    folder = write(settings, learnt).parent / "int_learnt" / "day=2026-01-02"
    folder.mkdir()
    with duckdb.connect() as other:
        other.execute(f"copy (select 1.5 as a) to {literal(folder / 'p.parquet')}")
    switch(connection, settings, [learnt], build_folder(settings, "b1"))
    assert kinds(connection, "intermediate.int_learnt") == {"a": "DECIMAL(2,1)", "day": "DATE"}


def test_only_the_owner_reads_the_files(
    settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    path = write(settings, DAILY, ROWS)
    path.chmod(0o644)
    switch(connection, settings, [DAILY], build_folder(settings, "b1"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(one.stat().st_mode) for one in path.parents[:3]} == {0o700}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def unfinished(path: Path) -> None:
    (path.parent / COMMITTED).unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (cut, "a file was not written whole"),
        (unfinished, "has not finished writing"),
        (Path.unlink, "no Parquet in"),
    ],
)
def test_a_table_that_is_not_whole_replaces_nothing(
    settings: Settings, connection: duckdb.DuckDBPyConnection, spoil: object, words: str
) -> None:
    connection.execute("create schema intermediate")
    connection.execute("create table intermediate.int_stated as select 1 as n")
    write(settings, STATED, STATED_ROWS)
    spoil(write(settings, DAILY, ROWS))  # type: ignore[operator]
    with pytest.raises(TandemError, match=rf"users\.daily.*{words}"):
        switch(connection, settings, [STATED, DAILY], build_folder(settings, "b1"))
    assert kinds(connection, "intermediate.int_stated") == {"n": "INTEGER"}
    assert not read_from_spark(connection)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (ROWS.replace("8 as", "5.5::double as"), "persons is DOUBLE on Spark and BIGINT on DuckDB"),
        (ROWS.replace("8 as", "'8' as"), "persons is VARCHAR on Spark"),
        (f"{ROWS}, 1 as more", "columns of one engine alone: more"),
    ],
)
def test_what_the_contract_does_not_say_replaces_nothing(
    settings: Settings, connection: duckdb.DuckDBPyConnection, rows: str, words: str
) -> None:
    write(settings, STATED, STATED_ROWS)
    write(settings, DAILY, rows)
    with pytest.raises(TandemError, match=words):
        switch(connection, settings, [STATED, DAILY], build_folder(settings, "b1"))
    assert not read_from_spark(connection)


def test_a_file_that_is_lost_is_an_error_and_not_fewer_rows(
    settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    path = write(settings, DAILY, ROWS, ROWS)
    switch(connection, settings, [DAILY], build_folder(settings, "b1"))
    path.unlink()
    with pytest.raises(duckdb.IOException):
        connection.execute("select count(*) from users.daily")


_KILLED = """
import os, signal, sys
from pathlib import Path
from orchestration.engines import relations
from orchestration.warehouse import open_warehouse
from tests.unit.engines.test_relations import DAILY, STATED, build_folder, test_settings

settings = test_settings(Path(sys.argv[1]), engine="spark")
drop = relations._drop

def die(connection, model):
    drop(connection, model)
    if model is DAILY:
        os.kill(os.getpid(), signal.SIGKILL)

relations._drop = die
with open_warehouse(settings) as connection:
    relations.switch(connection, settings, [STATED, DAILY], build_folder(settings, "b2"))
"""


def test_a_kill_in_the_middle_of_the_switch_leaves_what_was_read_before(tmp_path: Path) -> None:
    settings = test_settings(tmp_path, engine="spark")
    for build in ("b1", "b2"):
        write(settings, STATED, STATED_ROWS, build=build)
        write(settings, DAILY, ROWS, build=build)
    with open_warehouse(settings) as connection:
        switch(connection, settings, [STATED, DAILY], build_folder(settings, "b1"))
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    with open_warehouse(settings) as connection:
        assert set(read_from_spark(connection).values()) == {"b1"}
        drop_unread(settings, [connection])
        assert connection.execute("select persons from users.daily").fetchall() == [(8,)]
    assert not build_folder(settings, "b2").exists()


def test_folders_go_once_no_view_reads_them(
    settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    assert not have_folders(settings)
    write(settings, STATED, STATED_ROWS)
    write(settings, DAILY, ROWS)
    switch(connection, settings, [STATED, DAILY], build_folder(settings, "b1"))
    write(settings, DAILY, ROWS, build="b2")
    switch(connection, settings, [DAILY], build_folder(settings, "b2"))
    drop_unread(settings, [connection])
    assert all(build_folder(settings, name).exists() for name in ("b1", "b2"))
    # `int_stated` is no model any more.
    drop_left_over(connection, "b2")
    drop_unread(settings, [connection])
    assert [path.name for path in build_folder(settings, "b2").parent.iterdir()] == ["b2"]
    assert read_from_spark(connection) == {("users", "daily"): "b2"}


def test_compacting_the_warehouse_keeps_the_views(settings: Settings) -> None:
    write(settings, DAILY, ROWS)
    with open_warehouse(settings) as connection:
        switch(connection, settings, [DAILY, SEEN], build_folder(settings, "b1"))
    compact(settings.warehouse_path, settings.home / ".compact.tmp", {})
    with open_warehouse(settings) as connection:
        assert connection.execute("select more from users.seen").fetchall() == [(9,)]


def test_a_view_over_files_is_judged_by_its_rows_like_a_table(
    settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    connection.execute("create schema users")
    order = "select day, cast(persons as bigint) as persons, share"
    connection.execute(f"create table users.daily as {order} from ({ROWS})")
    as_table = Fingerprints(connection).of_table("users.daily")
    path = write(settings, DAILY, ROWS)
    switch(connection, settings, [DAILY], build_folder(settings, "b1"))
    assert Fingerprints(connection).of_table("users.daily") == as_table
    with duckdb.connect() as other:
        other.execute(f"copy ({ROWS.replace('5 as', '6 as')}) to {literal(path)}")
    assert Fingerprints(connection).of_table("users.daily") != as_table


def test_the_engine_is_one_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().engine == "duckdb"
    monkeypatch.setenv("TANDEM_ENGINE", "spark_thrift")
    assert load_settings().engine == "spark_thrift"
    monkeypatch.setenv("TANDEM_ENGINE", "sparc")
    with pytest.raises(SettingsError, match=r"^TANDEM_ENGINE: [^;]*'spark_thrift'$"):
        load_settings()


def test_a_build_without_what_spark_needs_begins_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.engines.spark.missing_requirement", lambda: "no java")
    settings = test_settings(tmp_path, engine="spark")
    with pytest.raises(TandemError, match="no java"), open_build(settings):
        pass
    assert not settings.warehouse_path.exists()


def test_spark_makes_whole_layers_in_their_order(tmp_path: Path) -> None:
    settings = test_settings(tmp_path, engine="spark")
    stages = SparkStages(settings, "b1", DbtSession(settings))
    for layer, models in (("staging", ["stg_group__groups"]), ("marts", None)):
        with pytest.raises(TandemError, match="a layer after the other"):
            stages.run(settings, layer, models)


def test_only_duckdb_refreshes_the_live_board(tmp_path: Path) -> None:
    with pytest.raises(TandemError, match="only DuckDB refreshes the live board"):
        live_base(test_settings(tmp_path, engine="spark_thrift"))
