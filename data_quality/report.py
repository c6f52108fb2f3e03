"""One static page of the verdicts: no script, no asset from elsewhere, nothing but counts.

Great Expectations' own Data Docs load from content networks, so they are not used.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import duckdb
import jinja2

from data_quality.catalogue import STAGES
from data_quality.checks import CheckSpec, list_expectations
from data_quality.runner import Outcome
from data_quality.verdicts import load
from orchestration import durable
from orchestration.settings import Settings

RUNS_SHOWN = 20


@dataclass(frozen=True)
class RunSummary:
    """One run's figures: rules judged, passed, failed by severity, and when it ended (UTC)."""

    run_id: str
    checked_at: datetime
    judged: int
    passed: int
    blocking: int
    warnings: int


def report_path(settings: Settings) -> Path:
    """Where the page stands: `<home>/quality/index.html`."""
    return settings.home / "quality" / "index.html"


def write_report(
    settings: Settings, connection: duckdb.DuckDBPyConnection, run_id: str | None = None
) -> Path:
    """Write the page for a run, by default the latest, and return its path.

    `connection` reads the warehouse. A reader sees the old page or the new one, never half.
    """
    path = report_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(render(connection, run_id), encoding="utf-8")
    durable.replace(temporary, path)
    return path


def render(connection: duckdb.DuckDBPyConnection, run_id: str | None = None) -> str:
    """The page's HTML; a page that says so where no run has been judged."""
    runs = _runs(connection)
    shown = run_id or (runs[0].run_id if runs else None)
    outcomes = load(connection, shown) if shown is not None else []
    specs = {(spec.suite, spec.name): spec for stage in STAGES for spec in list_expectations(stage)}
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    text = (resources.files("data_quality") / "report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(text).render(
        run=next((run for run in runs if run.run_id == shown), None),
        runs=runs,
        stages=_by_stage(outcomes, specs),
        failed=[
            (outcome, specs.get((outcome.suite, outcome.expectation)))
            for outcome in outcomes
            if not outcome.success
        ],
        written_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
    )


def _runs(connection: duckdb.DuckDBPyConnection) -> list[RunSummary]:
    rows = connection.execute(
        """
        select
            run_id, max(checked_at), count(*), count(*) filter (where success),
            count(*) filter (where not success and severity = 'critical'),
            count(*) filter (where not success and severity <> 'critical')
        from control.validations
        group by run_id order by max(checked_at) desc, run_id desc limit ?
        """,
        [RUNS_SHOWN],
    ).fetchall()
    return [RunSummary(*row) for row in rows]


Shown = tuple[Outcome, CheckSpec | None]


def _by_stage(
    outcomes: list[Outcome], specs: dict[tuple[str, str], CheckSpec]
) -> list[tuple[str, list[tuple[str, list[Shown]]]]]:
    stages: dict[str, dict[str, list[Shown]]] = {}
    for outcome in outcomes:
        suites = stages.setdefault(outcome.stage, {})
        spec = specs.get((outcome.suite, outcome.expectation))
        suites.setdefault(outcome.table_name, []).append((outcome, spec))
    return [(stage, list(suites.items())) for stage, suites in stages.items()]
