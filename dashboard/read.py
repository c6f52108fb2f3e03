"""Reads a page's figures from the published file."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import Any

import duckdb

from dashboard.model import Figure, Page, Tile
from dashboard.words import COLUMNS, VALUES
from orchestration.errors import TandemError
from orchestration.warehouse import literal

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """An open published file: what it says of itself, and the tables it has."""

    connection: duckdb.DuckDBPyConnection
    about: Mapping[str, Any]
    """`version`, `published_at`, `as_of_date`, `build_id`, `kind` and the like, of `_publish`."""
    tables: frozenset[str]


@contextmanager
def open_published(serving_file: Path) -> Iterator[Published]:
    """Open `serving/marts.duckdb` for reading, and nothing else on the machine.

    Raises TandemError when it is no published file.
    """
    try:
        with duckdb.connect() as connection:
            connection.execute(f"attach {literal(serving_file)} as published (read_only)")
            connection.execute("use published")
            cursor = connection.execute("select * from main._publish")
            row = cursor.fetchone()
            if row is None:
                raise TandemError(f"{serving_file} is no published file: its _publish is empty")
            names = [column[0] for column in cursor.description or []]
            about = dict(zip(names, row, strict=True))
            tables = connection.execute(
                "select schema_name || '.' || table_name from duckdb_tables() "
                "where database_name = 'published'"
            ).fetchall()
            as_of = about["as_of_date"]
            day = "null" if as_of is None else literal(as_of)
            connection.execute(f"set variable as_of = cast({day} as date)")
            connection.execute("set enable_external_access = false")
            yield Published(connection, about, frozenset(name for (name,) in tables))
    except duckdb.Error as error:
        raise TandemError(f"cannot read {serving_file}: {str(error).splitlines()[0]}") from error


def read_metrics(published: Published) -> dict[str, dict[str, Any]]:
    """The metric catalogue by id, with what the marts' columns say of themselves in `about`."""
    if "quality.metrics" not in published.tables:
        return {}
    run = published.connection.execute
    cursor = run("select * from quality.metrics order by id")
    names = [column[0] for column in cursor.description or []]
    found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    words = {
        (table, column): comment
        for table, column, comment in run(
            """
            select schema_name || '.' || table_name, column_name, comment
            from duckdb_columns()
            where database_name = 'published' and comment is not null
            """
        ).fetchall()
    }
    for metric in found:
        metric["about"] = [
            [column, words[metric["mart"], column]]
            for column in str(metric.get("mart_columns") or "").split()
            if (metric["mart"], column) in words
        ]
    return {metric["id"]: metric for metric in found}


def read_page(published: Published, page: Page) -> dict[str, Any]:
    """All that a page shows, as JSON has it; a figure that cannot be read says why."""
    return {
        "id": page.id,
        "tiles": [read_tile(published, tile) for tile in page.tiles],
        "figures": [read_figure(published, figure) for figure in page.figures],
    }


def read_tile(published: Published, tile: Tile) -> dict[str, Any]:
    """A tile's words and its one row; `value` is None where nothing could be observed."""
    found: dict[str, Any] = {
        "id": tile.id,
        "title": tile.title,
        "format": tile.format,
        "metrics": tile.metrics,
        "per": tile.per,
        "than": tile.than,
        "up_is_good": tile.up_is_good,
    }
    missing = sorted(set(tile.marts) - published.tables)
    if missing:
        return found | {"state": "missing", "missing": missing}
    try:
        cursor = published.connection.execute(tile.sql)
        row = cursor.fetchone()
    except duckdb.Error as error:
        return found | _unreadable(f"tile {tile.id}", error)
    names = [column[0] for column in cursor.description or []]
    values = [_plain(value) for value in row or [None] * len(names)]
    return found | {"state": "ok"} | dict(zip(names, values, strict=True))


def read_figure(published: Published, figure: Figure) -> dict[str, Any]:
    """A figure's words, columns and rows (a list a column), and how many rows there would be.

    `state` is `ok`, `empty`, `missing` (with the marts that are) or `unreadable`.
    """
    found: dict[str, Any] = {
        "id": figure.id,
        "title": figure.title,
        "chart": figure.chart,
        "metrics": figure.metrics,
        "marts": figure.marts,
        "per": figure.per,
        "note": figure.note,
        "logs": figure.logs,
        "facets": figure.facets,
        "first": figure.first,
        "wide": figure.wide,
        "clock": figure.clock,
    }
    missing = sorted(set(figure.marts) - published.tables)
    if missing:
        return found | {"state": "missing", "missing": missing}
    try:
        cursor = published.connection.execute(figure.sql)
        described = [(column[0], str(column[1])) for column in cursor.description or []]
        rows = cursor.fetchmany(figure.limit)
        total = len(rows)
        while more := cursor.fetchmany(100_000):
            total += len(more)
    except duckdb.Error as error:
        return found | _unreadable(f"figure {figure.id}", error)
    columns = [
        {
            "name": name,
            "label": COLUMNS.get(name, (name, name)),
            "format": figure.formats.get(name) or _format(name, kind),
        }
        | ({"values": VALUES[name]} if name in VALUES else {})
        | ({"hidden": True} if name in figure.hidden else {})
        for name, kind in described
    ]
    data = [[_plain(value) for value in column] for column in zip(*rows, strict=True)]
    return found | {
        "state": "ok" if rows else "empty",
        "columns": columns,
        "data": data or [[] for _ in columns],
        "total": total,
    }


def _unreadable(what: str, error: duckdb.Error) -> dict[str, Any]:
    """A mart of another version, with other columns: the page says so, the log says why."""
    _log.warning("%s: %s", what, str(error).splitlines()[0])
    return {"state": "unreadable"}


def _format(name: str, kind: str) -> str:
    """How a column is written, by its type and the grammar of its name."""
    if kind == "BOOLEAN":
        return "bool"
    if name in ("month", "cohort_month"):
        return "month"
    if kind.startswith("TIMESTAMP"):
        return "moment"
    if kind == "DATE":
        return "date"
    if kind == "VARCHAR":
        return "text"
    if name.endswith("_minor"):
        return "money"
    for ending, found in (
        (("_rate", "_share", "stickiness", "ctr"), "ratio"),
        (("_seconds", "seconds_per_visitor"), "seconds"),
        (("_ms",), "ms"),
    ):
        if name.endswith(ending):
            return found
    return "number" if kind == "DOUBLE" else "count"


def _plain(value: Any) -> Any:
    """A value as JSON has it; doubles keep nine significant digits."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else _plain(float(value))
    if isinstance(value, float):
        return float(f"{value:.9g}") if isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="minutes")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
