"""The steps of a build and what each tells: all that a run in Dagster shows comes from here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from orchestration.build import (
    Build,
    plan_build,
    raise_if_failed,
    run_gate,
    run_ingest,
    run_layer,
    run_publish,
    run_report,
    set_window,
)
from orchestration.contracts import contracts
from orchestration.engines.tables import read_from_spark
from orchestration.errors import TandemError
from orchestration.ingest.load import LogTotals
from orchestration.ingest.tables import INGEST_LEDGERS
from orchestration.plan import LAYERS, Plan
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse

if TYPE_CHECKING:
    from dashboard import SiteReport
    from data_quality.runner import Outcome
    from orchestration.publish import PublishReport
    from orchestration.publish.postgres import PushReport
    from orchestration.transform import NodeResult

_T = TypeVar("_T")


@dataclass(frozen=True)
class Ingested:
    """What an ingest took. `rows` has each log's rows and newest time, `ledgers` a table's rows."""

    summary: str
    totals: Mapping[str, LogTotals]
    rows: Mapping[str, tuple[int, object]]
    ledgers: Mapping[str, int]


@dataclass(frozen=True)
class Judged:
    """A gate's verdicts; a critical one that failed stops what follows."""

    summary: str
    outcomes: Sequence[Outcome]


@dataclass(frozen=True)
class Made:
    """A layer's nodes, the rows of its tables by (schema, name), and what failed if anything."""

    summary: str
    nodes: Sequence[NodeResult]
    rows: Mapping[tuple[str, str], int]
    error: str | None


@dataclass(frozen=True)
class Published:
    """The export's verdicts, and the report, or why there is none."""

    outcomes: Sequence[Outcome]
    report: PublishReport | None
    error: str | None


@dataclass(frozen=True)
class Reported:
    """The page of verdicts, and numbers of the build: rules by how they ended, stages' seconds."""

    path: Path
    counts: Mapping[str, int | float]


class Steps:
    """Does the steps of one open build, each once and in order.

    A step raises TandemError where nothing can be told; a rule, model or test that failed is
    told, and `build.error` names it.
    """

    def __init__(self, build: Build) -> None:
        self.build = build

    def ingest(self, logs: Sequence[str] | None = None) -> Ingested:
        """Landing files to `raw`, of all logs or those named."""
        return self._take("ingest", lambda: _ingest(self.build, logs))

    def window(self, days: Sequence[date]) -> None:
        """Business dates that a backfill rebuilds beyond those that are dirty."""
        self._take("window", lambda: set_window(self.build, days))

    def gate(self, stage: str, tables: Sequence[str] | None = None) -> Judged:
        """The rules of a stage, on all its tables or those named."""

        def work() -> Judged:
            outcomes = run_gate(self.build, stage, tables)
            return Judged(self._summary(), outcomes)

        return self._take(f"gate {stage}", work)

    def plan(self) -> Plan:
        """What is rebuilt."""
        return self._take("plan", lambda: plan_build(self.build))

    def layer(self, layer: str, models: Sequence[str] | None = None) -> Made:
        """A layer's models and their data tests, or those of the models named."""

        def work() -> Made:
            nodes = run_layer(self.build, layer, models)
            error = str(self.build.error) if self.build.error is not None else None
            return Made(self._summary(), nodes, _row_counts(self.build.work), error)

        return self._take(layer, work)

    def publish(self) -> Published:
        """What readers see, written, judged and swapped in."""
        return self._take("publish", lambda: _publish(self.build))

    def quality_report(self) -> Reported:
        """The page that shows this build's verdicts."""
        return self._take(
            "quality report",
            lambda: Reported(run_report(self.build), _counts(self.build)),
        )

    def dashboard(self) -> SiteReport | str:
        """The site of what is published, or why it was not written: that stops nothing."""
        return self._take("dashboard", lambda: _dashboard(self.build.settings))

    def postgres(self) -> PushReport | str:
        """The copy in PostgreSQL, or why it keeps what it had: that stops nothing."""
        return self._take("postgres", lambda: _postgres(self.build.settings))

    def run(self) -> None:
        """All steps of an ordinary build. Raises what stopped it."""
        self.ingest()
        self.gate("raw")
        raise_if_failed(self.build)
        self.plan()
        for layer in LAYERS:
            self.layer(layer)
            raise_if_failed(self.build)
            self.gate(layer)
            raise_if_failed(self.build)
        self.publish()
        raise_if_failed(self.build)
        self.quality_report()
        self.dashboard()
        if self.build.settings.postgres is not None:
            self.postgres()

    def _take(self, name: str, work: Callable[[], _T]) -> _T:  # noqa: ARG002
        return work()

    def _summary(self) -> str:
        return self.build.stages[-1].summary


def _ingest(build: Build, logs: Sequence[str] | None) -> Ingested:
    report = run_ingest(build, logs)
    with open_warehouse(build.work, read_only=True) as connection:
        rows = {
            contract.log: connection.execute(
                f"select count(*), max({contract.time}) from raw.{contract.table}"
            ).fetchone()
            or (0, None)
            for contract in contracts().values()
            if logs is None or contract.log in logs
        }
        ledgers = {
            name: (connection.execute(f"select count(*) from {name}").fetchone() or (0,))[0]
            for name in INGEST_LEDGERS
        }
    return Ingested(build.stages[-1].summary, report.totals, rows, ledgers)


def _publish(build: Build) -> Published:
    report, error = None, None
    try:
        report = run_publish(build)
    except TandemError as failure:
        error = str(failure)
    outcomes = [outcome for outcome in build.outcomes if outcome.stage == "export"]
    return Published(outcomes, report, error)


def _dashboard(settings: Settings) -> SiteReport | str:
    from dashboard import write_site

    try:
        return write_site(settings)
    except (TandemError, OSError) as error:
        return str(error)


def _postgres(settings: Settings) -> PushReport | str:
    from orchestration.publish.postgres import push, read_grains
    from orchestration.transform import read_manifest

    try:
        return push(settings, grains=read_grains(read_manifest(settings)))
    except TandemError as error:
        return str(error)


def _row_counts(settings: Settings) -> dict[tuple[str, str], int]:
    """Rows of dbt's tables, here or of Spark's; not of views, which would have to be computed."""
    with open_warehouse(settings, read_only=True) as connection:
        found = connection.execute(
            """
            select schema_name, table_name from duckdb_tables()
            where not internal and schema_name not in ('raw', 'quarantine', 'control')
            """
        ).fetchall()
        counts = {}
        for schema, name in {*found, *read_from_spark(connection)}:
            row = connection.execute(f'select count(*) from "{schema}"."{name}"').fetchone()
            counts[schema, name] = row[0] if row else 0
    return counts


def _counts(build: Build) -> dict[str, int | float]:
    failed = [outcome for outcome in build.outcomes if not outcome.success]
    counts = {
        "rules": len(build.outcomes),
        "rules_passed": len(build.outcomes) - len(failed),
        "rules_warned": sum(outcome.severity != "critical" for outcome in failed),
        "rules_critical_failed": sum(outcome.severity == "critical" for outcome in failed),
    }
    seconds = {f"seconds {stage.stage}": round(stage.seconds, 3) for stage in build.stages}
    return counts | seconds
