"""What tests of several folders share: raw tables filled without landing files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from orchestration.contracts import contracts
from orchestration.ingest.load import ingest
from orchestration.ingest.tables import create_tables, raw_columns
from orchestration.land import store
from orchestration.plan import make_plan, write_plan
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse

Logs = Mapping[str, Iterable[Mapping[str, Any]]]
_ARROW_TYPES = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
    "DATE": pa.date32(),
}
KEY = "test-key-0123456789abcdef"


def test_settings(home: Path, **values: Any) -> Settings:
    """Settings for a throw-away home, with a fixed key."""
    return Settings.model_validate({"home": home, "key": KEY, "threads": 2} | values)


test_settings.__test__ = False  # type: ignore[attr-defined]


def fill_raw(connection: duckdb.DuckDBPyConnection, logs: Logs, batch_id: int = 1) -> None:
    """Insert records (contract field → value; times as ISO text with offset) as accepted rows.

    What ingestion would do is not checked here: give valid, distinct records. A state without a
    `_state_sha256` of its own gets its place in the log, so that of a tie the last one wins.
    """
    # One transaction, one statement a log: each commit waits for the disk.
    connection.begin()
    create_tables(connection)
    for log, records in logs.items():
        contract = contracts()[log]
        columns = raw_columns(contract)
        rows = []
        for number, record in enumerate(records):
            row = {name: _value(record.get(name), kind) for name, kind in columns.items()}
            row |= {"_file_id": 1, "_batch_id": batch_id}
            if contract.kind == "entity":
                row["_state_sha256"] = record.get("_state_sha256", f"{number:064x}")
            rows.append(row)
        schema = pa.schema([(name, _ARROW_TYPES[kind]) for name, kind in columns.items()])
        connection.register("incoming", pa.Table.from_pylist(rows, schema=schema))
        connection.execute(f"insert into raw.{contract.table} select * from incoming")
        connection.unregister("incoming")
    connection.execute(
        "insert into control.batches values (?, now(), now(), 1, 0, 0, 0, 0)", [batch_id]
    )
    connection.commit()


def build_marts(
    settings: Settings,
    logs: Logs,
    select: str | None = None,
    *,
    data_tests: bool = True,
    as_parquet: bool = False,
) -> None:
    """Fill raw, plan, and run dbt (without unit tests) on a fresh warehouse.

    `select` is dbt's; tests that need more than is selected are then left out. With `as_parquet`
    raw is views over landed Parquet.
    """
    with open_warehouse(settings) as connection:
        fill_raw(connection, logs)
        if as_parquet:
            move_to_parquet(connection, settings)
    _transform(settings, select, data_tests)


def move_to_parquet(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Land the rows of raw's tables as they are, and put views in the tables' place."""
    landed = []
    for log, contract in contracts().items():
        added, rows = {}, {}
        table = f"raw.{contract.table}"
        day = store.day_sql(contract)
        for name, count in connection.execute(
            f"select {day}, count(*) from {table} group by 1"
        ).fetchall():
            path = settings.home / "moved" / contract.table / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            connection.execute(f"copy (from {table} where {day} = '{name}') to '{path}'")
            relative = f"{store.day_folder(name)}/b000001-0.parquet".removeprefix("/")
            added[relative], rows[relative] = path, count
        if added:
            name = "v000001-00000000"
            landed.append(store.assemble(settings, log, name, 1, {}, added, rows))
        connection.execute(f"delete from {table}")
    store.prepare(connection, settings)
    store.record(connection, landed)
    store.write_views(connection, settings, store.versions(connection))


def build_landed(settings: Settings, select: str | None = None) -> None:
    """Ingest what lies in the landing zone, plan, and run dbt as `build_marts` does."""
    ingest(settings)
    _transform(settings, select)


def _transform(settings: Settings, select: str | None, data_tests: bool = True) -> None:
    from orchestration.transform import DbtSession

    with open_warehouse(settings) as connection:
        write_plan(connection, settings, make_plan(connection, settings))
    session = DbtSession(settings)
    arguments = ["build", "--exclude-resource-type", "unit_test", "--full-refresh"]
    if not data_tests:
        arguments += ["--exclude-resource-type", "test"]
    if select:
        arguments += ["--indirect-selection", "buildable", "--select", *select.split()]
    session.invoke(arguments)


def _value(value: Any, kind: str) -> Any:
    if value is not None and kind == "TIMESTAMP":
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return moment.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if isinstance(value, str) and kind == "DATE":
        return date.fromisoformat(value)
    if isinstance(value, (int, float)) and kind == "VARCHAR":
        return str(value)
    return value
