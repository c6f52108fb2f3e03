"""Compares a built warehouse with the reference, mart by mart and row for row."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import duckdb

from orchestration.contracts import contracts
from tests.reference.marts import MARTS
from tests.reference.world import OPEN, Parameters, Person, Records, Row, World

SHOWN = 12
_FITS = "intermediate.int_ltv_fits"


def read_records(connection: duckdb.DuckDBPyConnection) -> Records:
    """Accepted records of a warehouse's raw tables, `<core>/<log>` → records.

    Times are aware in UTC; lists and objects are Python values.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for log, contract in contracts().items():
        structured = {f.name for f in contract.all_fields if f.type in ("list", "object")}
        found[log] = [
            {name: _from_raw(value, name in structured) for name, value in row.items()}
            for row in _rows(connection, f"raw.{contract.table}")
        ]
    return found


def read_parameters(connection: duckdb.DuckDBPyConnection) -> Parameters:
    """The parameters that the warehouse's marts were built with."""
    (row,) = _rows(connection, "control.parameters")
    return Parameters.from_mapping(row)


def read_world(connection: duckdb.DuckDBPyConnection) -> World:
    """What the warehouse's marts should have been computed from."""
    tables = _tables(connection)
    fits = _rows(connection, _FITS) if _FITS in tables else []
    steps = _rows(connection, "control.funnel_steps")
    return World(
        read_records(connection),
        read_parameters(connection),
        person_ids={ids: name for name, ids in read_persons(connection).items()},
        fits={row["fit"]: row for row in fits},
        funnels={
            row["funnel"]: (
                row["window_days"],
                [
                    step["step_kind"]
                    for step in sorted(steps, key=lambda step: step["step"])
                    if step["funnel"] == row["funnel"]
                ],
            )
            for row in steps
        },
    )


def read_persons(connection: duckdb.DuckDBPyConnection) -> dict[str, Person]:
    """person_id → the person's ids, from `intermediate.int_identities`."""
    found: dict[str, set[tuple[str, str, str]]] = {}
    for row in _rows(connection, "intermediate.int_identities"):
        place = (row["source"], row["id_kind"], row["id"])
        found.setdefault(row["person_id"], set()).add(place)
    return {person_id: frozenset(places) for person_id, places in found.items()}


def built_marts(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The referenced marts that exist in the warehouse, in the registry's order."""
    return [mart for mart in MARTS if mart in _tables(connection)]


def compare(
    connection: duckdb.DuckDBPyConnection, mart: str, world: World | None = None
) -> list[str]:
    """Differences between the warehouse's mart and its reference, one text each; [] when equal.

    Only the columns that the reference has are compared.
    """
    reference = MARTS[mart]
    world = read_world(connection) if world is None else world
    expected = reference.rows(world)
    found = _rows(connection, mart)
    differences = reference.faults(found)
    actual = _translated(found, read_persons(connection))
    columns = {name for row in expected for name in row}
    if actual and columns - set(actual[0]):
        return [f"columns missing: {', '.join(sorted(columns - set(actual[0])))}"]

    left = _by_key(expected, reference.key, "the reference", differences)
    right = _by_key(actual, reference.key, "the warehouse", differences)
    for key in sorted(left | right, key=_sort_text):
        one, other = left.get(key), right.get(key)
        if one is not None and other is not None:
            for name, value in one.items():
                if not _equal(value, other[name]):
                    differences.append(
                        f"{_label(reference.key, key)}: {name} should be {value!r}, "
                        f"is {other[name]!r}"
                    )
        elif not reference.is_open(world, one or other or {}):
            missing = "missing" if other is None else "should not exist"
            differences.append(f"{_label(reference.key, key)}: row {missing}: {one or other}")
    return differences


def report(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """Mart → differences, for every mart that exists and differs."""
    world = read_world(connection)
    found = {mart: compare(connection, mart, world) for mart in built_marts(connection)}
    return {mart: differences for mart, differences in found.items() if differences}


def as_text(differences: dict[str, list[str]]) -> str:
    """A report as text, the first differences of each mart."""
    lines = []
    for mart, found in differences.items():
        lines.append(f"{mart}: {len(found)} differences")
        lines += [f"    {difference}" for difference in found[:SHOWN]]
    return "\n".join(lines)


def _tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    return {
        f"{schema}.{name}"
        for schema, name in connection.execute(
            "select table_schema, table_name from information_schema.tables"
        ).fetchall()
    }


def _rows(connection: duckdb.DuckDBPyConnection, table: str) -> list[Row]:
    cursor = connection.execute(f"select * from {table}")
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def _from_raw(value: Any, is_structured: bool) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    if is_structured and value is not None:
        return json.loads(value)
    return value


def _translated(rows: list[Row], persons: dict[str, Person]) -> list[Row]:
    for row in rows:
        if "person_id" in row:
            row["person_id"] = persons.get(row["person_id"], row["person_id"])
    return rows


def _by_key(
    rows: list[Row], key: tuple[str, ...], side: str, differences: list[str]
) -> dict[tuple[Any, ...], Row]:
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        place = tuple(row[name] for name in key)
        if place in found:
            differences.append(f"{_label(key, place)}: more than one row in {side}")
        found[place] = row
    return found


def _equal(expected: Any, actual: Any) -> bool:
    if expected is OPEN:
        return True
    if isinstance(actual, Decimal) and actual == actual.to_integral_value():
        actual = int(actual)
    if isinstance(expected, float) and isinstance(actual, float):
        return math.isclose(expected, actual, rel_tol=1e-9, abs_tol=1e-9)
    return type(expected) is type(actual) and bool(expected == actual)


def _label(names: tuple[str, ...], key: tuple[Any, ...]) -> str:
    return ", ".join(f"{name}={_plain(value)}" for name, value in zip(names, key, strict=True))


def _plain(value: Any) -> str:
    if isinstance(value, frozenset):
        return "{" + " ".join("/".join(place) for place in sorted(value)) + "}"
    return str(value)


def _sort_text(key: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(_plain(value) for value in key)
