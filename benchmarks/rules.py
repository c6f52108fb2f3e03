"""What the queries of the gates' rules take by themselves, without Great Expectations."""

from __future__ import annotations

import time

from data_quality.catalogue import STAGES, suites
from data_quality.runner import reading
from orchestration.settings import Settings


def judge(settings: Settings) -> dict[str, float]:
    """Seconds of the SQL rules of each stage but the export, on a warehouse that is built.

    One after the other on one connection a stage. Raises ValueError for a critical rule that
    rows break: then they are not the queries of a build that passed.
    """
    seconds: dict[str, float] = {}
    for stage in STAGES:
        if stage == "export":
            continue
        rules = [(suite.table, rule) for suite in suites(stage) for rule in suite.rules if rule.sql]
        started = time.perf_counter()
        with reading(settings, stage, settings.warehouse_path) as connection:
            for table, rule in rules:
                query = rule.sql.format(batch=table)
                row = connection.execute(f"select count(*) from ({query})").fetchone()
                if row and row[0] and rule.severity == "critical":
                    raise ValueError(f"{table}: {rule.id} is broken by {row[0]} rows")
        seconds[stage] = time.perf_counter() - started
    return seconds
