"""A published version whose every figure was added up by hand, and the questions put to it.

`FIGURES` are asked through every client that docs/bi.md names; each client answers in its own
way (SQL, reflected tables, data frames), and all must give `ANSWERS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from orchestration.publish import MartTable, PublishReport, publish
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse

ROOT = Path(__file__).resolve().parents[2]
MARTS = ROOT / "dbt_project" / "models" / "marts"
AS_OF = date(2026, 3, 29)
CHINESE = "读书会·上海 🎉"
BIG = 9_007_199_254_740_993
"""2⁵³ + 1: a client that goes through doubles gets another number."""


def utc(text: str) -> datetime:
    """A UTC time without a zone, as the marts have it."""
    return datetime.fromisoformat(text)


@dataclass(frozen=True)
class Figure:
    """One question: an aggregate of a column over the rows that hold `where`'s values.

    `how` is rows, sum, min, max, distinct, nulls, or major: a sum of minor units as a decimal
    of the major unit, two places.
    """

    table: str
    how: str
    column: str = ""
    where: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sql(self) -> str:
        """Plain SQL that DuckDB and PostgreSQL both take."""
        column = f'"{self.column}"'
        asked = {
            "rows": "count(*)",
            "sum": f"cast(sum({column}) as bigint)",
            "min": f"min({column})",
            "max": f"max({column})",
            "distinct": f"count(distinct {column})",
            "nulls": f"sum(case when {column} is null then 1 else 0 end)",
            "major": f"cast(sum({column}) * 0.01 as decimal(20, 2))",
        }[self.how]
        schema, name = self.table.split(".")
        tests = " and ".join(f'"{name}" = {_literal(value)}' for name, value in self.where.items())
        return f'select {asked} from "{schema}"."{name}"' + (f" where {tests}" if tests else "")


FIGURES = [
    Figure("dim.groups", "rows"),
    Figure("dim.groups", "max", "name", {"group_id": "g1"}),
    Figure("dim.groups", "nulls", "closed_date"),
    Figure("dim.groups", "min", "created_at"),
    Figure("dim.groups", "rows", "", {"observes_read": True}),
    Figure("dim.groups", "distinct", "kind"),
    Figure("users.daily_active", "max", "dau", {"core": "all", "source": "*"}),
    Figure("users.daily_active", "min", "date"),
    Figure("users.daily_active", "max", "date", {"is_complete": True}),
    Figure("users.rfm", "max", "monetary_minor"),
    Figure("users.rfm", "rows", "", {"segment": "011"}),
    Figure("users.rfm", "min", "segment"),
    Figure("revenue.daily", "sum", "net_order_minor"),
    Figure("revenue.daily", "major", "net_order_minor"),
    Figure("revenue.daily", "min", "net_cash_minor"),
    Figure("revenue.daily", "major", "gmv_minor", {"core": "group"}),
    Figure("engagement.broadcast_funnel", "nulls", "read"),
    Figure("engagement.broadcast_funnel", "sum", "clicked"),
    Figure("engagement.broadcast_funnel", "max", "read", {"broadcast_id": "b1"}),
    Figure("engagement.consult_service", "max", "p95_seconds"),
    Figure("engagement.consult_service", "min", "p50_seconds", {"responder": "ai"}),
    Figure("quality.freshness", "max", "last_occurred_at"),
    Figure("quality.reconciliation", "sum", "in"),
    Figure("engagement.live_board", "rows"),
    Figure("engagement.live_board", "max", "events"),
]
ANSWERS: list[Any] = [
    3,
    CHINESE,
    2,
    utc("2025-12-31 16:00"),
    1,
    2,
    70,
    date(2026, 2, 28),
    date(2026, 3, 29),
    BIG,
    1,
    "000",
    12_345 + 1 - 700,
    Decimal("116.46"),
    -700,
    Decimal("0.01"),
    1,
    2,
    None,
    0.1 + 0.2,
    4.0,
    utc("2026-03-29 15:59:59"),
    103,
    0,
    None,
]
ROWS: dict[str, list[dict[str, Any]]] = {
    "dim.groups": [
        {
            "source": "微信",
            "group_id": f"g{n}",
            "name": name,
            "kind": kind,
            "created_at": utc("2025-12-31 16:00"),
            "created_date": date(2026, 1, 1),
            "closed_date": closed,
            "observes_read": n == 2,
            "has_record": True,
        }
        for n, (name, kind, closed) in enumerate(
            [
                ("O'Brien", "fans", None),
                (CHINESE, "study", None),
                ("مجموعة", "fans", date(2026, 3, 1)),
            ]
        )
    ],
    "users.daily_active": [
        {"date": day, "core": core, "source": "*", "dau": dau, "is_complete": day <= AS_OF}
        for day, core, dau in [
            (date(2026, 2, 28), "all", 70),
            (date(2026, 3, 29), "all", 68),
            (date(2026, 3, 29), "group", 90),
            (date(2026, 3, 30), "all", 3),
        ]
    ],
    "users.rfm": [
        {"person_id": "a" * 32, "frequency": 2, "monetary_minor": BIG, "segment": "011"},
        {"person_id": "b" * 32, "frequency": 1, "monetary_minor": -5, "segment": "000"},
    ],
    "revenue.daily": [
        {
            "date": date(2026, 3, day),
            "core": core,
            "orders": 1,
            "gmv_minor": gmv,
            "net_order_minor": net,
            "net_cash_minor": cash,
        }
        for day, core, gmv, net, cash in [
            (1, "community", 12_345, 12_345, 12_345),
            (1, "group", 1, 1, 1),
            (2, "community", 0, -700, -700),
        ]
    ],
    "engagement.broadcast_funnel": [
        {"source": "w", "broadcast_id": "b1", "group_id": "g0", "read": None, "clicked": 2},
        {"source": "w", "broadcast_id": "b2", "group_id": "g1", "read": 0, "clicked": 0},
    ],
    "engagement.consult_service": [
        {"date": AS_OF, "responder": "ai", "p50_seconds": 4.0, "p95_seconds": 0.1 + 0.2},
        {"date": AS_OF, "responder": "human", "p50_seconds": None, "p95_seconds": None},
    ],
    "quality.freshness": [
        {"log": "community/events", "last_occurred_at": utc("2026-03-29 15:59:59")},
        {"log": "group/messages", "last_occurred_at": None},
    ],
    "quality.reconciliation": [
        {"stage_pair": "landing -> raw", "in": 100, "out": 90, "explained": 10, "unexplained": 0},
        {"stage_pair": "raw -> staging", "in": 3, "out": 3, "explained": 0, "unexplained": 0},
    ],
    "engagement.live_board": [],
    "users.tier_daily": [],
}


@lru_cache
def _contract(table: str) -> dict[str, Any]:
    """A mart's words, columns (name, type, words) and grain, of the dbt project."""
    path = MARTS / f"{table.replace('.', '/')}.yml"
    (model,) = yaml.safe_load(path.read_text(encoding="utf-8"))["models"]
    return {
        "words": " ".join(model["description"].split()),
        "columns": [
            (c["name"], c["data_type"], " ".join(c["description"].split()))
            for c in model["columns"]
        ],
        "grain": tuple(model["config"]["meta"]["grain"]),
    }


def mart_tables(names: Iterable[str] = tuple(ROWS)) -> list[MartTable]:
    """Marts with the words of their contracts."""
    return [
        MartTable(*name.split("."), found["words"], {c: words for c, _, words in found["columns"]})
        for name in names
        for found in [_contract(name)]
    ]


def column_types(table: str) -> dict[str, str]:
    """Column to type of a mart, as the contract declares them."""
    return {column: kind for column, kind, _ in _contract(table)["columns"]}


def grains() -> dict[str, tuple[str, ...]]:
    """Mart to its key."""
    return {name: _contract(name)["grain"] for name in ROWS}


def fill(settings: Settings, rows: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
    """Put the marts that `rows` names into a warehouse, with the types of their contracts."""
    with open_warehouse(settings) as connection:
        connection.begin()
        connection.execute("create schema if not exists control")
        connection.execute(
            f"create or replace table control.parameters as select date '{AS_OF}' as as_of_date"
        )
        for table, records in rows.items():
            schema, name = table.split(".")
            connection.execute(f"create schema if not exists {schema}")
            typed = ", ".join(f'"{c}" {kind}' for c, kind in column_types(table).items())
            connection.execute(f'create or replace table "{schema}"."{name}" ({typed})')
            if made := [dict(row) for row in records]:
                connection.register("made", pa.Table.from_pylist(made))
                connection.execute(f'insert into "{schema}"."{name}" by name from made')
                connection.unregister("made")
        connection.commit()


def publish_world(
    settings: Settings, run_id: str = "run", names: Iterable[str] = tuple(ROWS)
) -> PublishReport:
    """Publish what the warehouse holds, as a build does once every gate has passed."""
    return publish(
        settings, run_id, tables=mart_tables(names), rules="r", judge=lambda connection: None
    )


def versioned(version: int, rows: int = 2_000) -> dict[str, list[dict[str, Any]]]:
    """Rows of two marts that all say which version they belong to."""
    return {
        "users.daily_active": [{"core": str(n), "dau": version} for n in range(rows)],
        "revenue.daily": [{"core": str(n), "gmv_minor": version} for n in range(rows)],
    }


def assert_whole(sights: Iterable[Mapping[str, Any]], last: int, rows: int = 2_000) -> None:
    """Each sight of a reader's loop is of one version, and the last one was seen."""
    seen = list(sights)
    assert max(sight["version"] for sight in seen) == [last]
    for sight in seen:
        (version,) = sight["version"]
        whole = [version, version, rows]
        assert sight == {
            "version": [version],
            "active": whole,
            "money": whole,
            "again": [version],
        }


def plain(value: Any) -> Any:
    """An answer as JSON has it: the same text from every client, no digit lost."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, float):
        return repr(value)
    if (
        isinstance(value, Decimal)
        and value == value.to_integral_value()
        and value.as_tuple()[2] == 0
    ):
        return str(int(value))
    return str(value)


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "'" + value.replace("'", "''") + "'"
