"""The warehouse's inputs of dbt as Parquet, for an engine that cannot open DuckDB's file.

One folder a table, `<root>/<schema>/<table>/part-0.parquet`, of plain types: text, bigint, double,
boolean, date, timestamp without a zone in UTC.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from orchestration.contracts import contracts
from orchestration.errors import TandemError
from orchestration.land.store import Version, link_tree, versions
from orchestration.settings import Settings
from orchestration.warehouse import literal, open_warehouse

SCHEMAS = ("raw", "control", "quarantine", "seeds")
UNREAD_COLUMNS = frozenset({"_extra", "raw_text"})
"""What no model reads and may hold anything; such a column stays where it is."""
PLAIN_TYPES = frozenset({"VARCHAR", "BIGINT", "INTEGER", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP"})
"""What Parquet, DuckDB and Spark understand alike; of a HUGEINT Parquet makes a double."""


@dataclass(frozen=True)
class MirroredTable:
    """A table that was written, and its number of rows."""

    schema: str
    name: str
    rows: int


def mirror_root(settings: Settings) -> Path:
    """The folder of the mirrored tables, private like the warehouse."""
    return settings.home.absolute() / "spark" / "mirror"


def mirror(settings: Settings) -> list[MirroredTable]:
    """Write every table of `raw`, `control`, `quarantine` and `seeds` anew; the new set whole.

    Landed Parquet is linked, not copied. A killed run leaves the set of before: the folder is
    written beside it and renamed. Raises TandemError for a warehouse without these tables, for a
    column of another type, and for landed files that are not whole.
    """
    root = mirror_root(settings)
    fresh = root.with_name(f"mirror.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    # Spark's own tables come to stand beside the mirror, and nobody else may read those either.
    fresh.mkdir(parents=True)
    root.parent.chmod(0o700)
    try:
        with open_warehouse(settings) as connection:
            tables = _columns(connection)
            landed = {
                contracts()[log].table: version
                for log, version in versions(connection).items()
                if version.files
            }
            written = [
                _link(settings, fresh, name, landed[name])
                if schema == "raw" and name in landed
                else _write(connection, fresh, schema, name, columns)
                for (schema, name), columns in tables.items()
            ]
        shutil.rmtree(root, ignore_errors=True)
        fresh.rename(root)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return written


def _columns(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], dict[str, str]]:
    wanted = ", ".join(literal(schema) for schema in SCHEMAS)
    rows = connection.execute(
        f"""
        select schema_name, table_name, column_name, data_type
        from duckdb_columns()
        where schema_name in ({wanted}) and not internal
        order by schema_name, table_name, column_index
        """
    ).fetchall()
    tables: dict[tuple[str, str], dict[str, str]] = {}
    for schema, table, column, kind in rows:
        if column not in UNREAD_COLUMNS:
            tables.setdefault((schema, table), {})[column] = kind
    missing = [schema for schema in SCHEMAS if schema not in {schema for schema, _ in tables}]
    if missing:
        raise TandemError(
            f"the warehouse has no {', '.join(missing)} yet: run `tandem build` first"
        )
    return tables


def _link(settings: Settings, root: Path, name: str, version: Version) -> MirroredTable:
    """What was landed as Parquet is read as it lies, and stays while it is linked."""
    return MirroredTable("raw", name, link_tree(settings, version, root / "raw" / name))


def _write(
    connection: duckdb.DuckDBPyConnection,
    root: Path,
    schema: str,
    name: str,
    columns: Mapping[str, str],
) -> MirroredTable:
    odd = {column: kind for column, kind in columns.items() if kind not in PLAIN_TYPES}
    if odd:
        words = ", ".join(f"{column} {kind}" for column, kind in odd.items())
        raise TandemError(f"{schema}.{name} cannot be mirrored: {words} is no plain type")
    folder = root / schema / name
    folder.mkdir(parents=True)
    names = ", ".join(f'"{column}"' for column in columns)
    copied = connection.execute(
        f"""
        copy (select {names} from "{schema}"."{name}")
        to {literal(folder / "part-0.parquet")} (format parquet, compression zstd)
        """
    ).fetchone()
    return MirroredTable(schema, name, copied[0] if copied else 0)
