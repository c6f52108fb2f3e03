"""The first marts do not depend on how records came: in one batch, or in many and any order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestration.plan import Plan, make_plan, write_plan
from orchestration.settings import Settings
from orchestration.transform import DbtSession
from orchestration.warehouse import open_warehouse
from tests.reference.compare import as_text, report
from tests.reference.generator import SETTINGS, make_worlds
from tests.support import Logs, fill_raw, test_settings

MARTS = (
    "daily_active",
    "node_daily_active",
    "daily_performance",
    "group_daily",
    "daily",
    "groups",
    "contents",
)
TABLES = (
    "users.daily_active",
    "users.node_daily_active",
    "content.daily_performance",
    "engagement.group_daily",
    "revenue.daily",
    "dim.groups",
    "dim.contents",
    "intermediate.int_content_days",
    "intermediate.int_node_days",
    "intermediate.int_like_events",
    "intermediate.int_group_days",
    "intermediate.int_membership_changes",
    "intermediate.int_orders",
)


def test_batches_in_any_order_equal_one_full_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.plan.code_fingerprint", lambda: "unchanged")
    settings = test_settings(tmp_path, **SETTINGS)
    session = DbtSession(settings)
    session.parse()
    session.invoke(["seed"])
    logs = _numbered(make_worlds((4, 11, 24)))
    for number, batch in enumerate(_shuffled_batches(logs, 2), start=1):
        with open_warehouse(settings) as connection:
            fill_raw(connection, batch, batch_id=number)
        _record(settings, _build(session, full_refresh=number == 1), number)
    incremental = _tables(settings)
    with open_warehouse(settings, read_only=True) as connection:
        differences = report(connection)
    assert not differences, as_text(differences)

    _build(session, full_refresh=True)
    assert _tables(settings) == incremental


def _build(session: DbtSession, *, full_refresh: bool) -> Plan:
    with open_warehouse(session.settings) as connection:
        plan = make_plan(connection, session.settings, full_refresh=full_refresh)
        write_plan(connection, session.settings, plan)
    assert plan.full_refresh == full_refresh
    flags = ["--full-refresh"] if full_refresh else []
    session.invoke(["run", *flags, "--select", *(f"+{name}" for name in MARTS)])
    return plan


def _record(settings: Settings, plan: Plan, number: int) -> None:
    values = {
        "build_id": str(number),
        "batch_id": plan.batch_id,
        "as_of_date": plan.as_of_date,
        "settings_fingerprint": plan.settings_fingerprint,
        "code_fingerprint": plan.code_fingerprint,
        "state": "transformed",
    }
    with open_warehouse(settings) as connection:
        connection.execute(
            f"insert into control.builds (started_at, finished_at, {', '.join(values)})"
            f" values (now(), now(), {', '.join('?' for _ in values)})",
            list(values.values()),
        )


def _shuffled_batches(logs: Logs, count: int) -> Iterator[Logs]:
    """Every record in one batch, drawn by lot: late events, links and entity states among them."""
    chance = random.Random(0)
    batches: list[dict[str, list[Any]]] = [{} for _ in range(count)]
    for log, records in logs.items():
        for record in records:
            chance.choice(batches).setdefault(log, []).append(record)
    yield from batches


def _numbered(logs: Logs) -> Logs:
    """Each state with the digest that one batch would give it, since ties go by the digest."""
    return {
        log: [
            {**record, "_state_sha256": f"{number:064x}"} for number, record in enumerate(records)
        ]
        for log, records in logs.items()
    }


def _tables(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    with open_warehouse(settings, read_only=True) as connection:
        return {
            table: connection.execute(f"select * from {table} order by all").fetchall()
            for table in TABLES
        }
