"""A tiny published file: every mart as its contract types it, with rows made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import yaml

ROOT = Path(__file__).resolve().parents[3]
MARTS = ROOT / "dbt_project" / "models" / "marts"
AS_OF = date(2026, 3, 29)
"""A Sunday."""
HOSTILE = (
    "<img src=x onerror=\"document.body.dataset.pwned='1'\">",
    "</script><script>document.body.dataset.pwned='1'</script>",
    "{{7*7}} ${7*7} {a|b}",
    "مجموعة القراءة \u202eevil\u202c",
    "群 👩‍👩‍👧‍👦 🎉",
    "__proto__",
    "x" * 300,
)
Rows = Mapping[str, Iterable[Mapping[str, Any]]]


@lru_cache
def contract_tables() -> dict[str, list[tuple[str, str]]]:
    """`schema.table` to the names and types of its columns."""
    found = {}
    for path in sorted(MARTS.glob("*/*.yml")):
        for model in yaml.safe_load(path.read_text(encoding="utf-8")).get("models", []):
            name = model.get("config", {}).get("alias", model["name"])
            found[f"{path.parent.name}.{name}"] = [
                (column["name"], column["data_type"]) for column in model["columns"]
            ]
    return found


def make_published(
    path: Path,
    rows: Rows,
    *,
    without: Iterable[str] = (),
    version: int = 1,
    as_of: date | None = AS_OF,
    currency: tuple[str, int] | None = ("CNY", 2),
) -> Path:
    """Write `path` as a publish would, but for the marts in `without`.

    Without a `currency` and its decimals, as files did that named none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        for table, columns in contract_tables().items():
            if table in without:
                continue
            schema, name = table.split(".")
            connection.execute(f'create schema if not exists "{schema}"')
            typed = ", ".join(f'"{column}" {kind}' for column, kind in columns)
            connection.execute(f'create table "{schema}"."{name}" ({typed})')
        if "quality.metrics" not in without:
            connection.execute(
                "insert into quality.metrics by name "
                'select * exclude (time_window), time_window as "window" from read_csv(?)',
                [str(ROOT / "dbt_project" / "seeds" / "metric_catalogue.csv")],
            )
        for table, records in rows.items():
            if table in without:
                continue
            connection.register("made", pa.Table.from_pylist([dict(record) for record in records]))
            connection.execute(f"insert into {table} by name from made")
            connection.unregister("made")
        connection.execute(
            """
            create table _publish as
            select ? as version, timestamp '2026-03-30 01:00:00' as published_at,
                'b1' as build_id, cast(? as date) as as_of_date, 'r' as rules, 'full' as kind,
                cast(null as varchar) as live_build_id, cast(null as timestamp) as live_as_of
            """,
            [version, as_of],
        )
        if currency is not None:
            connection.execute(
                "create or replace table _publish as select *, ? as reporting_currency, "
                "cast(? as bigint) as currency_exponent, 'Asia/Shanghai' as timezone from _publish",
                list(currency),
            )
        connection.execute(
            "create table _publish_tables (table_name varchar, row_count bigint, fingerprint "
            "varchar)"
        )
    return path


def moment(text: str) -> datetime:
    """A UTC time, without a zone, as the marts have it."""
    return datetime.fromisoformat(text)


def days(count: int) -> list[date]:
    """The `count` dates that end on AS_OF, oldest first."""
    return [AS_OF - timedelta(days=count - 1 - n) for n in range(count)]


def small_world() -> dict[str, list[dict[str, Any]]]:
    """Something on each page, with numbers that are easy to follow."""
    groups = [
        {
            "source": "w",
            "group_id": f"g{n}",
            "name": name,
            "kind": "brand",
            "has_record": True,
            "observes_leave": n != 1,
        }
        for n, name in enumerate(HOSTILE)
    ]
    daily = [
        {
            "date": day,
            "source": "w",
            "group_id": group["group_id"],
            "members_open": 10,
            "joins": 1 if day == AS_OF else 0,
            "inferred_joins": 0,
            "leaves": None if group["group_id"] == "g1" else 0,
            "members_close": 11 if day == AS_OF else 10,
            "speakers": 1,
            "messages": 2,
            "reactions": 1,
            "interactions": 3,
            "kol_messages": 0,
            "ugc_messages": 2,
            "unknown_origin_messages": 0,
            "speakers_7d": 2,
            "is_silent": group["group_id"] == "g0",
        }
        for day in days(3)
        for group in groups
    ]
    active = [
        {
            "date": day,
            "core": core,
            "source": "*",
            "dau": base + n,
            "dau_contributing": 1,
            "wau": 2 * base,
            "mau28": 4 * base,
            "mau30": 4 * base,
            "new_persons": 1,
            "is_complete": True,
        }
        for core, base in (("all", 30), ("community", 20), ("group", 15))
        for n, day in enumerate(days(60))
    ]
    retention = [
        {
            "cohort_date": day,
            "core": "all",
            "mode": mode,
            "day_n": n,
            "cohort_size": 10,
            "eligible": 10 if day + timedelta(days=n) <= AS_OF else 0,
            "retained": 4 if day + timedelta(days=n) <= AS_OF else None,
        }
        for day in days(21)
        for mode in ("on", "on_or_after")
        for n in (1, 3, 7, 14, 28)
    ]
    return {
        "users.daily_active": active,
        "users.lifecycle_weekly": [
            {
                "week_start": date(2026, 3, 23),
                "core": "all",
                "new_persons": 3,
                "returning": 5,
                "resurrected": 2,
                "dormant": 4,
                "active": 10,
            }
        ],
        "users.retention": retention,
        "users.cross_core": [
            {
                "month": date(2026, month, 1),
                "community_only": 10,
                "group_only": 5,
                "both": 3,
                "converted": 2,
                "eligible": 8,
            }
            for month in (2, 3)
        ],
        "users.tier_daily": [
            {"date": AS_OF, "tier": tier, "persons": persons}
            for tier, persons in (("core", 5), ("active", 10), ("lurker", 15), ("dormant", 20))
        ],
        "users.tier_transitions": [
            {
                "month": date(2026, 2, 1),
                "from_tier": None,
                "to_tier": "core",
                "persons": 5,
                "is_complete": True,
            }
        ],
        "users.rfm": [
            {
                "person_id": "p1",
                "recency_days": 3,
                "frequency": 2,
                "monetary_minor": 12_345,
                "r_high": True,
                "f_high": True,
                "m_high": True,
                "segment": "111",
            }
        ],
        "dim.groups": groups,
        "dim.campaigns": [
            {
                "source": "w",
                "campaign_id": f"k{n}",
                "name": name,
                "kind": "fission",
                "start_date": date(2026, 3, 1),
                "end_date": date(2026, 3, 20),
            }
            for n, name in enumerate(HOSTILE)
        ],
        "engagement.campaigns": [
            {
                "source": "w",
                "campaign_id": f"k{n}",
                "targeted": 100,
                "participants": 20,
                "inviters": 5,
                "invites": 40,
                "accepted": 10,
                "valid_new_d7": 4,
                "eligible_d7": 8,
                "orders": 2,
                "net_revenue_minor": 5_000,
                "spend_minor": 2_000,
            }
            for n in range(len(HOSTILE))
        ],
        "engagement.referral_generations": [
            {"source": "w", "campaign_id": f"k{n}", "generation": generation, "persons": 3}
            for n in range(len(HOSTILE))
            for generation in (0, 1)
        ],
        "engagement.group_daily": daily,
        "engagement.group_overlap": [
            {
                "group_a": "w/g0",
                "group_b": f"w/g{n}",
                "members_a": 11,
                "members_b": 10,
                "both": 5,
            }
            for n in range(1, len(HOSTILE))
        ],
        "engagement.overlap_summary": [
            {"persons_in_1plus": 40, "persons_in_2plus": 10, "memberships": 77}
        ],
        "engagement.broadcast_funnel": [
            {
                "source": "w",
                "broadcast_id": "b1",
                "group_id": "g0",
                "targeted": 10,
                "sent": 8,
                "delivered": None,
                "read": None,
                "clicked": 2,
                "converted": 0,
                "leaves_24h": 1,
            },
            {
                "source": "w",
                "broadcast_id": "b2",
                "group_id": "g2",
                "targeted": 20,
                "sent": 20,
                "delivered": 15,
                "read": None,
                "clicked": 1,
                "converted": 1,
                "leaves_24h": 0,
            },
        ],
        "engagement.consult_service": [
            {
                "date": AS_OF - timedelta(days=n),
                "responder": "ai",
                "sessions": 10,
                "answered": 9,
                "within_15s": 8,
                "p50_seconds": 4.0,
                "p90_seconds": 20.5,
                "p95_seconds": 90.0,
                "unanswered": 1,
                "handoffs": 2,
                "eligible_72h": 10 if n > 2 else 0,
                "contained": 6,
                "csat_sum": 9,
                "csat_n": 2,
            }
            for n in range(14)
        ],
        "engagement.scenarios": [
            {
                "day_type": day_type,
                "hour_band": band,
                "group_kind": "*",
                "interactions": 12,
                "group_days": 6,
                "speakers": 4,
            }
            for day_type in ("workday", "weekend")
            for band in ("night", "morning", "afternoon", "evening")
        ],
        "engagement.funnels": [
            {
                "funnel": "default",
                "entry_date": date(2026, 3, 16),
                "step": step,
                "step_kind": kind,
                "persons": persons,
            }
            for step, kind, persons in (
                (1, "impression", 100),
                (2, "click", 50),
                (3, "group_join", 10),
                (4, "first_order", 4),
            )
        ],
        "engagement.experiment_health": [
            {
                "source": "w",
                "experiment_id": "x1",
                "srm_p": 0.5,
                "units": 200,
                "multi_exposed": 1,
                "reached": 0,
                "contaminated": 0,
                "late_exposures": 0,
                "undeclared_units": 0,
                "is_valid": True,
            }
        ],
        "engagement.experiment_results": [
            {
                "source": "w",
                "experiment_id": "x1",
                "metric": "ctr",
                "variant": "treatment",
                "units": 100,
                "mean": 0.12,
                "control_mean": 0.1,
                "difference": 0.02,
                "std_error": 0.005,
                "ci_low": 0.01,
                "ci_high": 0.03,
                "p_value": 0.001,
            }
        ],
        "engagement.value_loop": [
            {
                "week_start": date(2026, 3, 2),
                "source": "w",
                "topic": "film",
                "needs": 10,
                "eligible_14d": 8,
                "supplied": 6,
                "reads_before_7d": 10,
                "reads_after_7d": 15,
            }
        ],
        "content.supply_mix": [
            {
                "week_start": week,
                "source": "p",
                "node_id": "*",
                "origin": "ugc",
                "published": 10,
                "reads_7d": 40,
                "authors": 4,
                "eligible_7d": 10 if week < date(2026, 3, 16) else 5,
            }
            for week in (date(2026, 3, 9), date(2026, 3, 16), date(2026, 3, 23))
        ],
        "revenue.daily": [
            {
                "date": day,
                "core": core,
                "orders": 2,
                "payers": 2,
                "gmv_minor": 1_000,
                "refunds_cash_minor": 100,
                "refunds_order_minor": 100,
                "net_cash_minor": 900,
                "net_order_minor": 900 + n,
            }
            for n, day in enumerate(days(60))
            for core in ("community", "group")
        ],
        "revenue.mrr_movements": [
            {
                "month": date(2026, 2, 1),
                "source": source,
                "plan_id": "*",
                "opening_minor": 100,
                "new_minor": 50,
                "expansion_minor": 5,
                "contraction_minor": -3,
                "churn_minor": -20,
                "reactivation_minor": 8,
                "closing_minor": 140,
            }
            for source in ("p", "w")
        ],
        "revenue.ltv": [
            {
                "cohort_month": date(2026, 2, 1),
                "core_mix": "both",
                "day_n": day_n,
                "persons": 10,
                "eligible": 10 if day_n == 30 else 0,
                "payers": 4 if day_n == 30 else None,
                "net_revenue_minor": 2_500 if day_n == 30 else None,
            }
            for day_n in (30, 90)
        ],
        "audience.packs": [
            {
                "pack": HOSTILE[0],
                "version": 1,
                "kind": "rows",
                "purpose": "growth",
                "population": "community",
                "created_at": moment("2026-03-20"),
                "expires_at": moment("2026-05-20"),
                "epsilon": 1.0,
                "delta": 6.6e-14,
                "beta": 0.3,
                "k": 50,
                "status": "released",
            }
        ],
        "audience.attacks": [
            {
                "pack": HOSTILE[0],
                "version": 1,
                "attack": "linkage",
                "value": 0.01,
                "gate": 0.02,
                "passed": True,
            }
        ],
        "audience.release_ledger": [
            {
                "seq": seq,
                "recorded_at": moment("2026-03-20"),
                "entry": 1,
                "status": status,
                "population": "community",
                "purpose": "growth",
                "pack": HOSTILE[0],
                "version": 1,
                "epsilon": 1.0,
                "delta": 6.6e-14,
            }
            for seq, status in ((1, "reserved"), (2, "charged"))
        ],
        "quality.validations": [
            {
                "run": run,
                "stage": "marts",
                "suite": "users.daily_active",
                "expectation": f"rule {n}",
                "success": n > 0,
                "observed": "1 row",
                "severity": "warning",
                "table_name": "users.daily_active",
                "checked_at": moment("2026-03-30"),
            }
            for run in ("b0", "b1")
            for n in range(4)
        ],
        "quality.ingestion": [
            {
                "file": "community/events/1.jsonl",
                "log": "community/events",
                "lines_read": 100,
                "accepted": 90,
                "rejected": 6,
                "duplicates": 4,
                "loaded_at": moment("2026-03-30"),
                "state": "loaded",
            }
        ],
        "quality.rejected": [
            {
                "file": "community/events/1.jsonl",
                "line": line,
                "log": "community/events",
                "reason": "missing_field",
                "field": "event_id",
            }
            for line in range(6)
        ],
        "quality.freshness": [
            {
                "log": "community/events",
                "last_occurred_at": moment("2026-03-29 12:00"),
                "last_loaded_at": moment("2026-03-30"),
                "lag_seconds": 43_200,
            }
        ],
        "quality.reconciliation": [
            {
                "stage_pair": "landing -> raw",
                "in": 100,
                "out": 90,
                "explained": 10,
                "unexplained": 0,
                "explained_by": "lines rejected or duplicate",
            }
        ],
    }
