"""Reads what a conversion landed, and holds it against the contracts."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import orjson
import zstandard

from orchestration.contracts import LogField, contracts

Records = dict[str, list[dict[str, Any]]]
SHARED_DATA = Path(__file__).parents[3].parent / "shared" / "data"
FIXTURES = Path(__file__).parent / "fixtures"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")


def landed_files(landing: Path) -> list[str]:
    """Every path below the landing zone, folders too."""
    return sorted(path.relative_to(landing).as_posix() for path in landing.rglob("*"))


def read_landing(landing: Path) -> Records:
    """All records by log, in the files' order."""
    found: Records = {}
    for path in sorted(landing.rglob("*.jsonl.zst")):
        log = "/".join(path.relative_to(landing).parts[:2])
        with path.open("rb") as file:
            reader = zstandard.ZstdDecompressor().stream_reader(file)
            lines = io.TextIOWrapper(reader, encoding="utf-8", newline="\n")
            found.setdefault(log, []).extend(orjson.loads(line) for line in lines)
    return found


def contract_faults(records: Records, extra_key: str) -> list[str]:
    """What ingestion would reject, or report as drift beyond the one extra key."""
    faults = []
    for log, rows in records.items():
        fields = {field.name: field for field in contracts()[log].all_fields}
        required = {name for name, field in fields.items() if field.required}
        for number, row in enumerate(rows):
            place = f"{log} record {number}"
            faults += [f"{place}: no {name}" for name in required if row.get(name) in (None, "")]
            for name, value in row.items():
                if name == extra_key:
                    continue
                if name not in fields:
                    faults.append(f"{place}: unknown field {name}")
                elif not _fits(fields[name], value):
                    faults.append(f"{place}: {name} = {value!r}")
    return faults


def _fits(field: LogField, value: Any) -> bool:
    match field.type:
        case "enum":
            return value in (field.enum or ())
        case "timestamp":
            return isinstance(value, str) and _TIME.fullmatch(value) is not None
        case "integer":
            return isinstance(value, int) and (field.min is None or value >= field.min)
        case "boolean":
            return isinstance(value, bool)
        case "list":
            return isinstance(value, list) and all(isinstance(item, str) for item in value)
        case "object":
            return isinstance(value, dict)
        case _:
            return isinstance(value, str)
