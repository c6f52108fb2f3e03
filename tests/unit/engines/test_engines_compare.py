"""Two copies of one table: what counts as a difference, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from orchestration.engines.compare import COMMITTED, Difference, compare_tables
from orchestration.warehouse import literal

HERE = """
    (1, 'a', 0.5, date '2026-01-01'), (2, 'b', null, null), (2, 'b', null, null)
"""


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("create schema dim")
        connection.execute(
            f"create table dim.things as from (values {HERE}) as t(id, name, share, day)"
        )
        connection.execute("alter table dim.things alter id type bigint")
        yield connection


def _compare(connection: duckdb.DuckDBPyConnection, there: Path, query: str) -> Difference:
    folder = there / "dim.db" / "things"
    folder.mkdir(parents=True, exist_ok=True)
    connection.execute(f"copy ({query}) to {literal(folder / 'part-0.parquet')} (format parquet)")
    (folder / COMMITTED).touch()
    [difference] = compare_tables(connection, ["dim.things"], there)
    return difference


def test_equal_rows_are_equal_in_any_order_and_width(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    found = _compare(
        connection,
        tmp_path,
        "select cast(id as integer) as id, name, share, day from dim.things order by id desc",
    )
    assert found.is_equal
    assert (found.rows_here, found.rows_there, found.columns) == (3, 3, ())


@pytest.mark.parametrize(
    ("query", "counts", "columns"),
    [
        ("select * replace ('z' as name) from dim.things where id = 1", (3, 1), ("name",)),
        ("select distinct * from dim.things", (1, 0), ("id", "name", "share", "day")),
        (
            "select * replace (case when id = 2 then 0.0 else share end as share) from dim.things",
            (2, 2),
            ("share",),
        ),
        (
            "select * replace (case id when 1 then 'b' else 'a' end as name) from dim.things "
            "where day is null or id = 1",
            (3, 3),
            ("name",),
        ),
    ],
)
def test_a_difference_is_counted_and_its_columns_named(
    connection: duckdb.DuckDBPyConnection,
    tmp_path: Path,
    query: str,
    counts: tuple[int, int],
    columns: tuple[str, ...],
) -> None:
    found = _compare(connection, tmp_path, query)
    assert not found.is_equal
    assert (found.only_here, found.only_there) == counts
    assert set(columns) <= set(found.columns)
    assert "'" not in found.summary


def test_columns_that_are_only_combined_otherwise(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    connection.execute("create or replace table dim.things as from (values (1, 2), (3, 4)) t(a, b)")
    found = _compare(connection, tmp_path, "from (values (1, 4), (3, 2)) t(a, b)")
    assert (found.only_here, found.only_there, found.columns) == (2, 2, ())
    assert "combined" in found.summary


def test_a_table_that_is_missing_or_has_other_columns_is_a_problem(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    [missing] = compare_tables(connection, ["dim.things"], tmp_path)
    assert not missing.is_equal
    assert "no Parquet" in missing.problem
    other = _compare(connection, tmp_path, "select id, name, share from dim.things")
    assert other.problem == "columns of one copy alone: day"


def test_a_table_that_was_not_written_whole_is_a_problem(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    assert _compare(connection, tmp_path, "from dim.things").is_equal
    folder = tmp_path / "dim.db" / "things"
    (folder / COMMITTED).unlink()
    [stopped] = compare_tables(connection, ["dim.things"], tmp_path)
    assert "stopped while it wrote" in stopped.problem
    (folder / COMMITTED).touch()
    with (folder / "part-0.parquet").open("r+b") as part:
        part.truncate(100)
    [cut] = compare_tables(connection, ["dim.things"], tmp_path)
    assert "part-0.parquet" in cut.problem
