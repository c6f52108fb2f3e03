"""Readers of the published file while it is replaced, refused and half-written."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration import durable
from orchestration.errors import GateError, TandemError
from orchestration.publish import MartTable, published, snapshot, sweep
from orchestration.publish import publish as publish_now
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from tests.support import test_settings

MARTS = [
    MartTable("users", "daily_active", "One row a date.", {"date": "Local date.", "dau": "人数"}),
    MartTable("dim", "dates", "One row a date.", {"date": "It's a date."}),
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = test_settings(tmp_path, snapshots_kept=2)
    fill(settings, 1)
    return settings


def fill(settings: Settings, dau: int, rows: int = 5) -> None:
    with open_warehouse(settings) as connection:
        connection.execute(
            f"""
            create schema if not exists users;
            create schema if not exists dim;
            create schema if not exists control;
            create schema if not exists raw;
            create or replace table raw.secret as select 'private' as display_name;
            create or replace table control.parameters as select date '2026-01-31' as as_of_date;
            create or replace table users.daily_active as
                select date '2026-01-01' + cast(n as integer) as date, cast({dau} as bigint) as dau
                from range({rows}) as numbers(n);
            create or replace table dim.dates as select date '2026-01-01' as date;
            """
        )


def publish(settings: Settings, run_id: str = "run", **named: Any) -> Any:
    arguments = {"tables": MARTS, "judge": lambda connection: None} | named
    return publish_now(settings, run_id, **arguments)


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        connection.execute(f"attach '{path}' as file (read_only)")
        connection.execute("use file")
        return connection.execute(query).fetchall()


def leftovers(settings: Settings) -> list[Path]:
    serving = settings.serving_path.parent
    return [*serving.glob(".*"), *(serving / "parquet").glob(".*")]


def test_a_publish_holds_the_marts_with_their_words_and_nothing_private(
    settings: Settings,
) -> None:
    report = publish(settings, "build-1", rules="r")
    assert (report.version, report.rows, report.as_of_date) == (1, 6, date(2026, 1, 31))
    tables = rows(
        settings.serving_path,
        "select schema_name || '.' || table_name, comment from duckdb_tables() order by all",
    )
    assert tables == [
        ("dim.dates", "One row a date."),
        ("main._publish", None),
        ("main._publish_tables", None),
        ("users.daily_active", "One row a date."),
    ]
    comments = rows(
        settings.serving_path,
        "select column_name, comment from duckdb_columns() where comment is not null order by all",
    )
    assert comments == [("date", "It's a date."), ("date", "Local date."), ("dau", "人数")]
    served = published(settings)
    assert served is not None
    assert served["build_id"] == "build-1"
    assert served["rules"] == "r"
    assert (served["reporting_currency"], served["currency_exponent"]) == ("CNY", 2)
    assert served["timezone"] == "Asia/Shanghai"
    assert settings.serving_path.stat().st_mode & 0o777 == 0o444
    assert not list(settings.serving_path.parent.glob("*.wal"))
    current = settings.serving_path.parent / "parquet" / "current"
    assert str(current.readlink()) == "v001"
    assert (
        rows(
            settings.serving_path,
            f"select * from users.daily_active except"
            f" select * from read_parquet('{current}/users/daily_active.parquet')",
        )
        == []
    )
    assert duckdb.sql(f"select version from '{current}/_publish.parquet'").fetchall() == [(1,)]


def test_the_file_has_the_format_that_old_clients_read(settings: Settings) -> None:
    publish(settings)
    with duckdb.connect() as connection:
        connection.execute(f"attach '{settings.serving_path}' as file (read_only)")
        tags = connection.execute(
            "select tags from duckdb_databases() where database_name = 'file'"
        ).fetchall()
    assert "v1.4.0" in str(tags)


def test_unchanged_tables_keep_their_parquet_and_old_versions_go(settings: Settings) -> None:
    publish(settings)
    fill(settings, dau=2)
    second = publish(settings)
    assert {table.name: table.reused for table in second.tables} == {
        "users.daily_active": False,
        "dim.dates": True,
    }
    third = publish(settings)
    assert all(table.reused for table in third.tables)
    serving = settings.serving_path.parent
    assert sorted(path.name for path in (serving / "parquet").iterdir()) == [
        "current",
        "v002",
        "v003",
    ]
    assert sorted(path.name for path in (serving / "snapshots").iterdir()) == [
        "marts-v002.duckdb",
        "marts-v003.duckdb",
    ]


@pytest.mark.parametrize("where", ["judge", "audit", "columns", "missing"])
def test_a_refused_publish_changes_nothing(settings: Settings, where: str) -> None:
    publish(settings, "good")
    fill(settings, dau=2)

    def refuse(_: object) -> None:
        raise GateError("no")

    named: dict[str, Any] = {where: refuse} if where in ("judge", "audit") else {}
    if where == "columns":
        named["tables"] = [MartTable("users", "daily_active", "", {"date": ""})]
    if where == "missing":
        named["tables"] = [*MARTS, MartTable("users", "rfm", "", {"person_id": ""})]
    with pytest.raises(TandemError):
        publish(settings, "bad", **named)
    served = published(settings)
    assert served is not None
    assert served["build_id"] == "good"
    assert leftovers(settings) == []
    assert publish(settings, "next").version == 2


def test_the_audit_sees_the_whole_file_before_readers_do(settings: Settings) -> None:
    seen = []

    def audit(path: Path) -> None:
        seen.append(rows(path, "select max(dau) from users.daily_active"))
        assert not settings.serving_path.exists()

    publish(settings, audit=audit)
    assert seen == [[(1,)]]


def test_a_full_disk_is_one_clear_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(settings)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "sync", full)
    with pytest.raises(OSError, match="No space left"):
        publish(settings)
    monkeypatch.undo()
    assert leftovers(settings) == []
    assert publish(settings).version == 2


READER = """
import json, os, sys, duckdb
path, stop = sys.argv[1:]
errors, seen, count = [], set(), 0
while not os.path.exists(stop):
    try:
        with duckdb.connect(path, read_only=True) as connection:
            seen.add(connection.execute(
                "select version, min(dau), max(dau), count(*)"
                " from users.daily_active cross join _publish group by version"
            ).fetchone())
        count += 1
    except duckdb.Error as error:
        errors.append(str(error))
print(json.dumps([errors, sorted(seen), count]))
"""


def test_ten_readers_during_ten_publishes_see_whole_versions(settings: Settings) -> None:
    fill(settings, dau=1, rows=20_000)
    publish(settings)
    stop = settings.home / "stop"
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, str(settings.serving_path), str(stop)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(10)
    ]
    for version in range(2, 12):
        fill(settings, dau=version, rows=20_000)
        publish(settings)
    stop.touch()
    found = [json.loads(reader.communicate(timeout=120)[0]) for reader in readers]
    assert [errors for errors, _, _ in found if errors] == []
    assert sum(count for _, _, count in found) >= 10
    for _, seen, _ in found:
        assert all(low == high == version and n == 20_000 for version, low, high, n in seen)


HOLDER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=True)
connection.execute("set enable_progress_bar = false")
cursor = connection.execute("select dau from users.daily_active")
first = cursor.fetchone()
print("open", flush=True)
sys.stdin.readline()
rest = cursor.fetchall()
again = connection.execute("select max(dau), count(*) from users.daily_active").fetchone()
print(first[0], {row[0] for row in rest}, again, flush=True)
"""


def test_an_open_reader_keeps_its_snapshot(settings: Settings) -> None:
    fill(settings, dau=1, rows=100_000)
    publish(settings)
    reader = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(settings.serving_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "open\n"
    for dau in (2, 3, 4, 5):
        fill(settings, dau=dau)
        publish(settings)
    output, _ = reader.communicate("go\n", timeout=60)
    assert output == "1 {1} (1, 100000)\n"
    assert rows(settings.serving_path, "select max(dau) from users.daily_active") == [(5,)]


def test_a_reader_in_this_process_does_not_hinder_a_publish(settings: Settings) -> None:
    publish(settings)
    with duckdb.connect(str(settings.serving_path), read_only=True) as held:
        fill(settings, dau=2)
        assert publish(settings).version == 2
        assert held.execute("select max(dau) from users.daily_active").fetchone() == (1,)


def _killed_in(settings: Settings, step: str) -> None:
    real = getattr(snapshot, step)

    def die(*arguments: object, **named: object) -> object:
        # Sweeping points at the old version first; only the new one is interrupted.
        if step == "_point_current" and arguments[-1] == 1:
            return real(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    setattr(snapshot, step, die)
    publish(settings, "killed")


@pytest.mark.parametrize(
    ("step", "version", "build_id"),
    [
        ("_describe", 1, "good"),
        ("_write_file", 1, "good"),
        ("_swap", 1, "good"),
        ("_link", 1, "good"),
        ("_point_current", 2, "killed"),
    ],
)
def test_a_kill_leaves_the_old_version_or_the_new_one(
    settings: Settings, step: str, version: int, build_id: str
) -> None:
    publish(settings, "good")
    fill(settings, 2)
    child = multiprocessing.get_context("fork").Process(target=_killed_in, args=(settings, step))
    child.start()
    child.join(timeout=60)
    assert child.exitcode == -signal.SIGKILL
    sweep(settings)
    assert leftovers(settings) == []
    served = published(settings)
    assert served is not None
    assert (served["version"], served["build_id"]) == (version, build_id)
    current = settings.serving_path.parent / "parquet" / "current"
    assert str(current.readlink()) == f"v{version:03d}"
    assert rows(settings.serving_path, "select max(dau) from users.daily_active") == [(version,)]
    assert publish(settings, "again").version == version + 1
    assert leftovers(settings) == []


def test_a_damaged_file_is_named(settings: Settings) -> None:
    settings.serving_path.parent.mkdir(parents=True)
    settings.serving_path.write_bytes(b"not a database" * 1000)
    with pytest.raises(TandemError, match=r"marts\.duckdb"):
        published(settings)
