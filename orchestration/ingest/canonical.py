"""Canonical JSON of a typed record: what states are compared by, and what breaks ties.

The SQL and the Python form give the same bytes; a property test holds them together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from orchestration.contracts import LogContract, LogField

_LEFT_OUT = ("received_at",)


def canonical_fields(contract: LogContract) -> list[LogField]:
    """The contract fields that canonical JSON holds, in its order."""
    fields = [field for field in contract.all_fields if field.name not in _LEFT_OUT]
    return sorted(fields, key=lambda field: field.name)


def canonical_sql(contract: LogContract, alias: str = "") -> str:
    """An expression over `raw` columns that gives the record's canonical JSON."""
    prefix = f"{alias}." if alias else ""
    members = []
    for field in canonical_fields(contract):
        column = f'{prefix}"{field.name}"'
        members.append(f"""'"{field.name}":' || {_value_sql(field, column)}""")
    return "'{' || concat_ws(',', " + ", ".join(members) + ") || '}'"


def _value_sql(field: LogField, column: str) -> str:
    match field.type:
        case "timestamp":
            return f"strftime({column}, '\"%Y-%m-%dT%H:%M:%S.%fZ\"')"
        case "date":
            return f"strftime({column}, '\"%Y-%m-%d\"')"
        case "integer" | "boolean":
            return f"cast({column} as varchar)"
        case "list" | "object":
            return column
        case _:
            return (
                f"case when regexp_matches({column}, '[\\x00-\\x1f]') then {_escaped(column)} "
                f"else cast(to_json({column}) as varchar) end"
            )


def _escaped(column: str) -> str:
    # to_json() writes control characters with upper-case hex digits; canonical JSON as RFC 8785.
    text = f"replace(replace({column}, '\\', '\\\\'), '\"', '\\\"')"
    for code in range(32):
        escape = json.dumps(chr(code))[1:-1]
        text = f"replace({text}, chr({code}), '{escape}')"
    return f"'\"' || {text} || '\"'"


def canonical_json(contract: LogContract, record: Mapping[str, Any]) -> str:
    """The same for one typed record: column name to Python value, times UTC without a zone."""
    members = []
    for field in canonical_fields(contract):
        value = record.get(field.name)
        if value is None:
            continue
        if field.type in ("list", "object"):
            text = str(value)
        elif isinstance(value, datetime):
            text = f'"{value.isoformat(timespec="microseconds")}Z"'
        elif isinstance(value, date):
            text = f'"{value.isoformat()}"'
        else:
            text = json.dumps(value, ensure_ascii=False)
        members.append(f'"{field.name}":{text}')
    return "{" + ",".join(members) + "}"


def canonical_sha256(contract: LogContract, record: Mapping[str, Any]) -> str:
    """Lower-case hex SHA-256 of `canonical_json`."""
    return hashlib.sha256(canonical_json(contract, record).encode()).hexdigest()
