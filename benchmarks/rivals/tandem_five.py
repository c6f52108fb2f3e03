"""Tandem's own load and models for the five marts alone: no gates, no tests, no publishing."""

from __future__ import annotations

import time
from pathlib import Path

from orchestration.ingest import ingest
from orchestration.ingest.tables import create_tables
from orchestration.plan import make_plan, write_plan
from orchestration.settings import load_settings
from orchestration.transform import DbtSession
from orchestration.warehouse import open_warehouse

MODELS = {
    "daily_active": "daily_active",
    "retention": "retention",
    "daily_performance": "daily_performance",
    "group_daily": "group_daily",
    "revenue_daily": "fqn:tandem.marts.revenue.daily",
}
"""dbt's selector of each mart."""


def run(landing: Path, home: Path) -> dict[str, float]:
    """Ingest everything and build the five marts with all they read; seconds of both."""
    settings = load_settings(home=home, landing=landing)
    started = time.perf_counter()
    ingest(settings)
    loaded = time.perf_counter()
    with open_warehouse(settings) as connection:
        create_tables(connection)
        write_plan(connection, settings, make_plan(connection, settings))
    session = DbtSession(settings)
    session.parse()
    selected = [f"+{selector}" for selector in MODELS.values()]
    kinds = ["--resource-type", "model", "--resource-type", "seed"]
    session.invoke(["build", *kinds, "--full-refresh", "--select", *selected])
    return {"load": loaded - started, "models": time.perf_counter() - loaded}
