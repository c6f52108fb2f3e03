"""Share policies from a file that a person wrote: YAML, CSV or JSON Lines.

The fields are those of the log `commerce/share_policies`, and so are their checks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import yaml

from orchestration.contracts import contracts
from orchestration.errors import TandemError
from orchestration.ingest.checks import Clock, quote, typed_sql, verdict_sql
from orchestration.ingest.lines import csv_lines, csv_record, json_lines, json_record
from orchestration.plain_yaml import PlainYamlError, require_plain

_CONTRACT = contracts()["commerce/share_policies"]
_FIELDS = ("source", *(field.name for field in _CONTRACT.fields))
_LINE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Policy:
    """One share policy; `share_bps` in basis points, in force from `valid_from` on."""

    source: str
    policy_id: str
    scope: str
    share_bps: int
    valid_from: date
    scope_id: str | None = None


@dataclass(frozen=True)
class _Written:
    """What stands at one place of the file, as texts."""

    place: str
    values: Mapping[str, str]


def read_policies(path: Path) -> list[Policy]:
    """The policies of a `.yaml`, `.yml`, `.csv` or `.jsonl` file, in its order.

    YAML is a list of mappings, or a mapping with one under `policies`. Raises TandemError that
    names file, line or item, field and reason: unknown fields and a policy given twice are
    errors too, since a person wrote the file.
    """
    try:
        written = list(_read(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise TandemError(f"{path}: {reason}") from error
    seen: dict[tuple[str, str], str] = {}
    policies = []
    for item, policy in zip(written, _checked(path, written), strict=True):
        key = (policy.source, policy.policy_id)
        if key in seen:
            raise TandemError(f"{path}: {item.place}: policy_id: given at {seen[key]} already")
        seen[key] = item.place
        policies.append(policy)
    return policies


def _read(path: Path) -> Iterator[_Written]:
    match path.suffix.lower():
        case ".jsonl":
            for line in json_lines([path.read_bytes()], _LINE_BYTES):
                record = json_record(line, _CONTRACT)
                yield _written(path, f"line {line.number}", record)
        case ".csv":
            lines = csv_lines([path.read_text(encoding="utf-8").encode()], _LINE_BYTES)
            header = next(lines, (None, None))[1] or []
            for line, fields in lines:
                record = csv_record(line, fields, header, _CONTRACT)
                yield _written(path, f"line {line.number}", record)
        case ".yaml" | ".yml":
            yield from _items(path)
        case _:
            raise TandemError(f"{path}: name it .yaml, .csv or .jsonl")


def _written(path: Path, place: str, record: Any) -> _Written:
    if record.malformed:
        raise TandemError(f"{path}: {place}: malformed")
    if record.unknown:
        raise TandemError(f"{path}: {place}: {record.unknown[0][:60]}: no such field")
    return _Written(place, record.values)


def _items(path: Path) -> Iterator[_Written]:
    text = path.read_text(encoding="utf-8")
    try:
        require_plain(text)
        content = yaml.safe_load(text)
    except PlainYamlError as error:
        raise TandemError(f"{path}: {error}") from error
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise TandemError(f"{path}: {line}malformed YAML") from error
    if isinstance(content, dict) and set(content) == {"policies"}:
        content = content["policies"]
    if not isinstance(content, list):
        raise TandemError(f"{path}: a list of policies is wanted")
    for number, item in enumerate(content, start=1):
        place = f"item {number}"
        if not isinstance(item, dict):
            raise TandemError(f"{path}: {place}: a mapping of fields is wanted")
        unknown = [str(name) for name in item if name not in _CONTRACT_NAMES]
        if unknown:
            raise TandemError(f"{path}: {place}: {unknown[0][:60]}: no such field")
        values = {name: _text(value) for name, value in item.items() if value not in (None, "")}
        yield _Written(place, values)


_CONTRACT_NAMES = frozenset(field.name for field in _CONTRACT.all_fields)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 64:
        # Python refuses to write out thousands of digits; no field holds so many.
        return "(too large)"
    return value.isoformat() if isinstance(value, date) else str(value)


def _checked(path: Path, written: list[_Written]) -> list[Policy]:
    names = [field.name for field in _CONTRACT.all_fields]
    clock = Clock(datetime.now(UTC).replace(tzinfo=None))
    typed = {field.name: field for field in _CONTRACT.fields}
    selected = ", ".join(
        typed_sql(typed[name], quote(name)) if name in typed else quote(name) for name in _FIELDS
    )
    columns = ", ".join(f"{quote(name)} varchar" for name in names)
    marks = ", ".join("?" for _ in range(len(names) + 1))
    with duckdb.connect() as connection:
        connection.execute(f"create table written (number bigint, {columns})")
        for number, item in enumerate(written):
            row = [number, *(item.values.get(name) for name in names)]
            connection.execute(f"insert into written values ({marks})", row)
        found = connection.execute(
            f"""
            select number, {verdict_sql(_CONTRACT, clock)} as verdict, {selected}
            from written order by number
            """
        ).fetchall()
    policies = []
    for number, verdict, *values in found:
        if verdict is not None:
            reason, _, field = verdict.partition(" ")
            raise TandemError(f"{path}: {written[number].place}: {field}: {reason}")
        policies.append(Policy(**dict(zip(_FIELDS, values, strict=True))))
    return policies
