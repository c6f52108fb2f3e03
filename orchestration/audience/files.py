"""A pack's data files: the same rows give the same bytes, and order says nothing but the rows."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from orchestration.audience.interface import PackSpec
from orchestration.audience.recode import column_list, quoted
from orchestration.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

FILE_MODE = 0o640
FOLDER_MODE = 0o750


def data_name(spec: PackSpec) -> str:
    """`rows` or `counts`: the stem of the data files."""
    return spec.product


def released_table(connection: duckdb.DuckDBPyConnection, spec: PackSpec, table: str) -> pa.Table:
    """What leaves: each cell as often as it has rows, or once with its measures; sorted."""
    names = column_list(column.name for column in spec.columns)
    keys = column_list(spec.key_columns)
    if spec.product == "counts":
        query = f"select {names} from {quoted(table)} order by {keys}"
    else:
        query = (
            f"select {names} from (select *, unnest(range(cell_rows)) from {quoted(table)}) "
            f"order by {keys}"
        )
    return connection.execute(query).to_arrow_table()


def write_data(folder: Path, spec: PackSpec, table: pa.Table) -> dict[str, str]:
    """Write `<product>.parquet`, in one row group without metadata of its own, and `.csv`.

    Returns file name → SHA-256.
    """
    import pyarrow.csv as csv
    import pyarrow.parquet as parquet

    name = data_name(spec)
    bare = table.replace_schema_metadata(None).combine_chunks()
    parquet.write_table(
        bare,
        folder / f"{name}.parquet",
        row_group_size=max(bare.num_rows, 1),
        compression="zstd",
        store_schema=False,
        write_statistics=True,
    )
    csv.write_csv(bare, folder / f"{name}.csv")
    found = {}
    for suffix in ("parquet", "csv"):
        path = folder / f"{name}.{suffix}"
        path.chmod(FILE_MODE)
        found[path.name] = sha256_of(path)
    return found


def write_text(path: Path, text: str) -> None:
    """Write a text file with the mode of a pack's files."""
    path.write_text(text, encoding="utf-8", newline="\n")
    path.chmod(FILE_MODE)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def exports_path(settings: Settings) -> Path:
    """Where released packs stand."""
    return settings.home / "exports"


def version_path(settings: Settings, pack: str, version: int) -> Path:
    """The folder of one released version."""
    return exports_path(settings) / pack / f"v{version:03d}"


def candidate_path(settings: Settings, pack: str, version: int) -> Path:
    """Where a version is written before the gate judges it."""
    return exports_path(settings) / pack / f".candidate-v{version:03d}"
