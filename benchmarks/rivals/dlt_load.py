"""The load with dlt, all logs into DuckDB, in two ways.

`load_rows` is what dlt's documentation shows: resources that yield dictionaries, typed by hints,
which dlt writes as Parquet; of JSON Lines DuckDB would guess the columns by the first rows.
`load_arrow` is the fastest that dlt offers: resources that yield Arrow tables, read with pyarrow,
which pass to Parquet without a look at their rows.
Neither validates, rejects or removes duplicates: the disposition is `replace`.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pa_parquet
import zstandard

from orchestration.contracts import LogContract, contracts

_DLT_TYPES = {"TIMESTAMP": "timestamp", "BIGINT": "bigint", "BOOLEAN": "bool", "DATE": "date"}
_ARROW_TYPES = {
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
}
_ROWS_A_CHUNK = 10_000


def load_rows(landing: Path, home: Path) -> dict[str, int]:
    """Dictionaries through dlt's normaliser; rows of the largest log."""
    return _run(landing, home, _dictionaries, "parquet")


def load_arrow(landing: Path, home: Path) -> dict[str, int]:
    """Arrow tables through Parquet; rows of the largest log."""
    return _run(landing, home, _arrow_tables, "parquet")


def _run(
    landing: Path, home: Path, read: Callable[[LogContract, Path], Iterator[Any]], file_format: Any
) -> dict[str, int]:
    pipeline = dlt.pipeline(
        pipeline_name="landing",
        pipelines_dir=str(home / "pipelines"),
        destination=dlt.destinations.duckdb(str(home / "dlt.duckdb")),
        dataset_name="raw",
    )
    resources = []
    for log, contract in contracts().items():
        paths = [
            path
            for path in sorted((landing / log).rglob("*.*"))
            if not path.name.endswith(".control.json")
        ]
        if paths:
            resources.append(
                dlt.resource(
                    _of_files(contract, paths, read),
                    name=contract.table,
                    write_disposition="replace",
                    columns=_hints(contract),
                )
            )
    pipeline.run(resources, loader_file_format=file_format)
    with pipeline.sql_client() as client:
        found = client.execute_sql("select count(*) from community__events")
    return {"community/events": int(found[0][0]) if found else 0}


def _hints(contract: LogContract) -> dict[str, Any]:
    return {
        field.name: {"data_type": _DLT_TYPES.get(field.duckdb_type, "text")}
        for field in contract.all_fields
    }


def _of_files(
    contract: LogContract, paths: list[Path], read: Callable[[LogContract, Path], Iterator[Any]]
) -> Iterator[Any]:
    for path in paths:
        yield from read(contract, path)


def _opened(path: Path) -> Any:
    if path.suffix == ".zst":
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(path.open("rb")))
    if path.suffix == ".gz":
        return gzip.open(path)
    return path.open("rb")


def _dictionaries(contract: LogContract, path: Path) -> Iterator[list[dict[str, Any]]]:
    names = {field.name for field in contract.all_fields}
    nested = {field.name for field in contract.all_fields if field.type in ("list", "object")}
    chunk: list[dict[str, Any]] = []
    for row in _rows(path):
        record = {name: value for name, value in row.items() if name in names and value != ""}
        for name in nested & record.keys():
            if not isinstance(record[name], str):
                record[name] = orjson.dumps(record[name]).decode()
        chunk.append(record)
        if len(chunk) == _ROWS_A_CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        for batch in pa_parquet.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
        return
    with _opened(path) as handle:
        if ".jsonl" in path.name:
            for line in handle:
                yield orjson.loads(line)
        else:
            yield from csv.DictReader(io.TextIOWrapper(handle, "utf-8", newline=""))


def _arrow_tables(contract: LogContract, path: Path) -> Iterator[pa.Table]:
    if path.suffix == ".parquet":
        table = pa_parquet.read_table(path)
    else:
        with _opened(path) as handle:
            if ".jsonl" in path.name:
                table = pa_json.read_json(handle)
            else:
                table = pa_csv.read_csv(handle, parse_options=_MULTILINE, convert_options=_TEXT)
    columns = {}
    for field in contract.all_fields:
        if field.name not in table.column_names:
            continue
        column = table[field.name]
        if pa.types.is_nested(column.type):
            texts = [None if v is None else orjson.dumps(v).decode() for v in column.to_pylist()]
            column = pa.chunked_array([pa.array(texts, pa.string())])
        wanted = _ARROW_TYPES.get(field.duckdb_type, pa.string())
        if column.type != wanted and pa.types.is_timestamp(wanted):
            column = _as_utc(column)
        columns[field.name] = column.cast(wanted)
    yield pa.table(columns)


_MULTILINE = pa_csv.ParseOptions(newlines_in_values=True)
_TEXT = pa_csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=True)


def _as_utc(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_string(column.type):
        return column.cast(pa.timestamp("us", tz="UTC"))
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        return column.cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    return column
