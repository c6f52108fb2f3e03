"""Reads landing files and judges their records, in plain Python and apart from ingestion."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import zstandard

from orchestration.contracts import LogContract, LogField, contracts

FIRST = datetime(2000, 1, 1, tzinfo=UTC)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?")
CURRENCIES = {"CNY", "USD", "JPY", "KWD", "EUR", "ISK"}

Record = dict[str, Any]


def data_files(landing: Path, log: str) -> list[Path]:
    """The log's data files, control files and hidden ones left out."""
    return sorted(
        path
        for path in (landing / log).rglob("*")
        if path.is_file() and not path.name.startswith(".") and ".control.json" not in path.name
    )


def read_file(path: Path) -> Iterator[Record | None]:
    """Records of a file, null fields left out; None for a line that is no object."""
    if path.suffix == ".parquet":
        for row in pq.read_table(path).to_pylist():
            yield {name: value for name, value in row.items() if value is not None}
        return
    stored = path.read_bytes()
    if path.suffix == ".gz":
        stored = gzip.decompress(stored)
    elif path.suffix == ".zst":
        stored = zstandard.ZstdDecompressor().decompressobj().decompress(stored)
    text = stored.decode("utf-8")
    if ".csv" in path.name:
        for fields in csv.DictReader(io.StringIO(text, newline="")):
            yield {name: value for name, value in fields.items() if value != ""}
        return
    for line in text.split("\n"):
        if not line:
            continue
        try:
            values = json.loads(line)
        except ValueError:
            yield None
            continue
        yield {name: value for name, value in values.items() if value is not None}


def reason(record: Record | None, contract: LogContract) -> str | None:
    """The contract's reason for rejecting a record, None when it is valid."""
    if record is None:
        return "malformed"
    found: list[str] = []
    for field in contract.all_fields:
        if field.name not in record:
            if field.required:
                found.append("missing_required")
            continue
        problem = _value_problem(record[field.name], field)
        if problem:
            found.append(problem)
    for rule in contract.rules:
        names = rule.at_least_one_of
        if names and not any(name in record for name in names):
            found.append("missing_required")
        unless = rule.required_unless
        if unless and record.get(unless.field) != unless.equals and unless.require not in record:
            found.append("missing_required")
    order = ("missing_required", "bad_type", "bad_enum", "naive_timestamp", "out_of_range")
    return next((name for name in order if name in found), None)


def valid_records(landing: Path, log: str) -> list[Record]:
    """Every record of a log that its contract accepts, in file order, duplicates included."""
    contract = contracts()[log]
    return [
        record
        for path in data_files(landing, log)
        for record in read_file(path)
        if record is not None and reason(record, contract) is None
    ]


def distinct_records(landing: Path, log: str) -> dict[tuple[str, ...], Record]:
    """Accepted records by (source, key), for entity logs by (source, key, updated_at).

    Of several, the one with the smallest `received_at` stays.
    """
    contract = contracts()[log]
    kept: dict[tuple[str, ...], Record] = {}
    for record in valid_records(landing, log):
        key = (str(record["source"]), str(record[contract.key]))
        if contract.kind == "entity":
            key = (*key, moment(record["updated_at"]).isoformat())
        other = kept.get(key)
        if other is None or (
            "received_at" in record and moment(record["received_at"]) < moment(other["received_at"])
        ):
            kept[key] = record
    return kept


def moment(value: Any) -> datetime:
    """A time field's value as an aware datetime."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found.astimezone(UTC)


def _value_problem(value: Any, field: LogField) -> str | None:
    check = _CHECKS.get(field.type)
    if check:
        return check(value, field)
    if field.type == "list":
        items = json.loads(value) if isinstance(value, str) else value
        allowed = field.items.enum if field.items else None
        fine = all(isinstance(item, str) and (not allowed or item in allowed) for item in items)
        return None if fine else "bad_type"
    if field.type == "object":
        whole = json.loads(value) if isinstance(value, str) else value
        return None if isinstance(whole, dict) else "bad_type"
    return None if isinstance(value, str) and value else "bad_type"


def _time(value: Any, field: LogField) -> str | None:
    if isinstance(value, datetime):
        return None if value.tzinfo else "naive_timestamp"
    if not TIME.fullmatch(value):
        return "bad_type"
    parsed = datetime.fromisoformat(value)
    if parsed.tzinfo is None:
        return "naive_timestamp"
    return "out_of_range" if parsed < FIRST else None


def _date(value: Any, field: LogField) -> str | None:
    if isinstance(value, date):
        return None
    try:
        date.fromisoformat(value)
    except ValueError:
        return "bad_type"
    return None


def _integer(value: Any, field: LogField) -> str | None:
    if isinstance(value, bool) or not re.fullmatch(r"-?[0-9]+", str(value)):
        return "bad_type"
    below = field.min is not None and int(value) < field.min
    above = field.max is not None and int(value) > field.max
    return "out_of_range" if below or above else None


def _boolean(value: Any, field: LogField) -> str | None:
    return None if value in (True, False, "true", "false") else "bad_type"


def _enum(value: Any, field: LogField) -> str | None:
    return None if field.enum and value in field.enum else "bad_enum"


def _currency(value: Any, field: LogField) -> str | None:
    return None if value in CURRENCIES else "bad_enum"


def _decimal(value: Any, field: LogField) -> str | None:
    return None if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value) and float(value) > 0 else "bad_type"


_CHECKS = {
    "timestamp": _time,
    "date": _date,
    "integer": _integer,
    "boolean": _boolean,
    "enum": _enum,
    "currency": _currency,
    "decimal": _decimal,
}
