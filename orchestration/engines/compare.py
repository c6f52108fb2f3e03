"""Whether two engines made the same tables: every row, both ways, duplicates counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from orchestration.errors import TandemError, first_line
from orchestration.warehouse import literal

COMMITTED = "_SUCCESS"
"""What Spark leaves in a table's folder once every file of it is written."""


@dataclass(frozen=True)
class Difference:
    """How two copies of one table compare. Holds counts and names, never values.

    `only_here` and `only_there` are the rows that the other copy lacks, `columns` those whose
    values differ as a bag; where rows differ and none does, it is how they are combined.
    `problem` is set where the copies could not be compared at all.
    """

    table: str
    rows_here: int = 0
    rows_there: int = 0
    only_here: int = 0
    only_there: int = 0
    columns: tuple[str, ...] = ()
    problem: str = ""

    @property
    def is_equal(self) -> bool:
        """Whether both copies hold the same rows."""
        return not (self.problem or self.only_here or self.only_there)

    @property
    def summary(self) -> str:
        """One line of counts and names."""
        if self.problem:
            return self.problem
        if self.is_equal:
            return f"{self.rows_here:,} rows, equal"
        return (
            f"{self.only_here:,} of {self.rows_here:,} rows here alone, {self.only_there:,} of "
            f"{self.rows_there:,} there alone; "
            + (f"in {', '.join(self.columns)}" if self.columns else "columns combined otherwise")
        )


def compare_tables(
    connection: duckdb.DuckDBPyConnection, tables: Iterable[str], there: Path
) -> list[Difference]:
    """Compare `schema.table` of the connection with Parquet in `<there>/<schema>.db/<table>`.

    The other copy's columns are cast to the types of this one, so that an engine's own widths
    of integers count as equal and a value that does not fit is a difference.
    """
    return [_compare(connection, table, there) for table in tables]


def parquet_of(there: Path, table: str) -> str:
    """The Parquet files of a table of Spark, as a SQL table function.

    Raises TandemError where there are none, and where Spark had not written the last of them.
    """
    schema, name = table.split(".")
    folder = there / f"{schema}.db" / name
    if not any(folder.glob("**/*.parquet")):
        raise TandemError(f"{table}: no Parquet in {folder}")
    if not (folder / COMMITTED).exists():
        raise TandemError(f"{table}: Spark was stopped while it wrote {folder}")
    # Partitions by date stand in the paths alone.
    return f"read_parquet({literal(folder / '**/*.parquet')}, hive_partitioning = true)"


def _compare(connection: duckdb.DuckDBPyConnection, table: str, there: Path) -> Difference:
    here_types = _types(connection, f"from {table}")
    try:
        source = parquet_of(there, table)
        there_types = _types(connection, f"from {source}")
    except (TandemError, duckdb.Error) as error:
        return Difference(table, problem=first_line(error))
    odd = set(here_types) ^ set(there_types)
    if odd:
        return Difference(table, problem=f"columns of one copy alone: {', '.join(sorted(odd))}")
    here = f"select {_list(here_types)} from {table}"
    casts = ", ".join(
        f'try_cast("{name}" as {kind}) as "{name}"' for name, kind in here_types.items()
    )
    there_rows = f"select {casts} from {source}"
    connection.execute(f"create or replace temporary table here_rows as {here}")
    connection.execute(f"create or replace temporary table there_rows as {there_rows}")
    connection.execute(
        """
        create or replace temporary table only_here as
        select * from here_rows except all select * from there_rows
        """
    )
    connection.execute(
        """
        create or replace temporary table only_there as
        select * from there_rows except all select * from here_rows
        """
    )
    only_here, only_there = _count(connection, "only_here"), _count(connection, "only_there")
    return Difference(
        table,
        rows_here=_count(connection, "here_rows"),
        rows_there=_count(connection, "there_rows"),
        only_here=only_here,
        only_there=only_there,
        columns=_differing(connection, list(here_types)) if only_here or only_there else (),
    )


def _differing(connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> tuple[str, ...]:
    found = []
    for column in columns:
        row = connection.execute(
            f"""
            select count(*) from (
                (select "{column}" from only_here except all select "{column}" from only_there)
                union all
                (select "{column}" from only_there except all select "{column}" from only_here)
            )
            """
        ).fetchone()
        if row and row[0]:
            found.append(column)
    return tuple(found)


def _types(connection: duckdb.DuckDBPyConnection, source: str) -> dict[str, str]:
    rows = connection.execute(f"describe select * {source}").fetchall()
    return {row[0]: row[1] for row in rows}


def _list(columns: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"select count(*) from {table}").fetchone()
    return int(row[0]) if row else 0
