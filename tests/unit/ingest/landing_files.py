"""Writing landing files of every format, and looking at what became of them."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import zstandard

from orchestration.contracts import contracts
from orchestration.ingest.tables import raw_columns
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from tests.support import test_settings as make_settings

NOW = datetime(2026, 6, 1, tzinfo=UTC)
EVENTS = "community/events"


def settings_at(home: Path, **values: Any) -> Settings:
    return make_settings(home, **({"now": NOW} | values))


def event(number: int = 1, **values: Any) -> dict[str, Any]:
    record = {
        "source": "app",
        "event_id": f"e{number}",
        "account_id": "a1",
        "event_type": "read",
        "occurred_at": "2026-05-01T08:00:00+08:00",
    }
    return {name: value for name, value in (record | values).items() if value is not None}


def as_jsonl(records: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)


def as_csv(records: Sequence[Mapping[str, Any]]) -> bytes:
    names = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(names)
    writer.writerows([_text(record.get(name)) for name in names] for record in records)
    return text.getvalue().encode()


def as_parquet(records: Sequence[Mapping[str, Any]]) -> bytes:
    """Every column as text: native types have tests of their own."""
    names = list(dict.fromkeys(name for record in records for name in record))
    table = pyarrow.table(
        {
            name: pyarrow.array([_text(r.get(name)) or None for r in records], pyarrow.string())
            for name in names
        }
    )
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink)
    return sink.getvalue()


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value)


WRITERS = {
    "jsonl": as_jsonl,
    "jsonl.gz": lambda records: gzip.compress(as_jsonl(records), mtime=0),
    "jsonl.zst": lambda records: zstandard.compress(as_jsonl(records)),
    "csv": as_csv,
    "csv.gz": lambda records: gzip.compress(as_csv(records), mtime=0),
    "csv.zst": lambda records: zstandard.compress(as_csv(records)),
    "parquet": as_parquet,
}


def put(settings: Settings, log: str, name: str, data: bytes) -> Path:
    path = settings.landing_path / log / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def query(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with open_warehouse(settings, read_only=True) as connection:
        return connection.execute(sql).fetchall()


def rows(settings: Settings, log: str, extra: bool = False) -> list[dict[str, Any]]:
    """The log's `raw` rows without file and batch, in the order of their key."""
    contract = contracts()[log]
    names = [
        name
        for name in raw_columns(contract)
        if name not in ("_file_id", "_batch_id") and (extra or name != "_extra")
    ]
    columns = ", ".join(f'"{name}"' for name in names)
    found = query(settings, f"select {columns} from raw.{contract.table} order by all")
    return [dict(zip(names, row, strict=True)) for row in found]


def rejected(settings: Settings) -> list[tuple[Any, ...]]:
    return query(
        settings,
        "select path, line, reason, field from quarantine.lines order by path, line, reason",
    )


def counts(settings: Settings) -> dict[str, tuple[int, int, int, int]]:
    """Path to (lines_read, accepted, rejected, duplicates)."""
    found = query(
        settings,
        "select path, lines_read, accepted, rejected, duplicates from control.files order by path",
    )
    return {row[0]: row[1:] for row in found}
