"""Asks MetricFlow for metrics of the published file, without dbt's lock on the warehouse.

MetricFlow writes the SQL; here it runs in a session that can read `serving/marts.duckdb` and
nothing else. Needs the extra `semantic`. docs/semantic-layer.md shows how to ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import duckdb

from orchestration.errors import TandemError
from orchestration.settings import Settings
from orchestration.transform import ensure_manifest
from orchestration.warehouse import literal

if TYPE_CHECKING:
    from metricflow.engine.metricflow_engine import MetricFlowEngine


class _Renderer:
    """What MetricFlow needs of a client to write SQL; what it writes, runs elsewhere."""

    def __init__(self, engine_type: object, plan_renderer: object) -> None:
        self.sql_engine_type = engine_type
        self.sql_plan_renderer = plan_renderer


@dataclass(frozen=True)
class Answer:
    """Column names, rows in the order asked for, and the SQL that gave them."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    sql: str


class Metrics:
    """Metrics of one published file; from `open_metrics`."""

    def __init__(self, engine: MetricFlowEngine, connection: duckdb.DuckDBPyConnection) -> None:
        self._engine = engine
        self._connection = connection

    def sql(
        self,
        metrics: Sequence[str],
        by: Sequence[str] = (),
        *,
        where: Sequence[str] = (),
        order: Sequence[str] = (),
        limit: int | None = None,
    ) -> str:
        """The SQL of a question: DuckDB's, over the published tables, for any tool to run.

        `by` are dimensions as `metric_time__month` or `users_daily_active__core`; `where` are
        conditions such as `{{ Dimension('users_daily_active__core') }} = 'all'`; `order` are
        metrics and dimensions, with `-` before one for its reverse. Raises TandemError for a
        name that is none, or a dimension that the metric does not have.
        """
        from metricflow.engine.metricflow_engine import MetricFlowQueryRequest
        from metricflow_semantics.errors.error_classes import InformativeUserError

        try:
            request = MetricFlowQueryRequest.create(
                metric_names=list(metrics),
                group_by_names=list(by) or None,
                where_constraints=list(where) or None,
                order_by_names=list(order) or None,
                limit=limit,
            )
            explained = self._engine.explain(mf_request=request)
        except InformativeUserError as error:
            raise TandemError(f"no such question: {_brief(str(error))}") from error
        return str(explained.sql_statement.without_descriptions.sql)

    def ask(
        self,
        metrics: Sequence[str],
        by: Sequence[str] = (),
        *,
        where: Sequence[str] = (),
        order: Sequence[str] = (),
        limit: int | None = None,
    ) -> Answer:
        """The rows of a question; arguments and errors are those of `sql`."""
        text = self.sql(metrics, by, where=where, order=order, limit=limit)
        cursor = self._connection.execute(text)
        columns = tuple(column[0] for column in cursor.description or [])
        return Answer(columns, cursor.fetchall(), text)


@contextmanager
def open_metrics(settings: Settings, serving_file: Path | None = None) -> Iterator[Metrics]:
    """Metrics of what is published, or of another published file.

    Reads the semantic manifest that the last build parsed. Raises TandemError when nothing is
    published, or the extra is not installed.
    """
    try:
        from metricflow.engine.metricflow_engine import MetricFlowEngine
        from metricflow.protocols.sql_client import SqlEngine
        from metricflow.sql.render.duckdb_renderer import DuckDbSqlPlanRenderer
        from metricflow_semantics.model.dbt_manifest_parser import (
            parse_manifest_from_dbt_generated_manifest,
        )
        from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup
    except ImportError as error:
        raise TandemError(
            "MetricFlow is not installed: pip install 'tandem-warehouse[semantic]'"
        ) from error

    path = serving_file or settings.serving_path
    if not path.exists():
        raise TandemError(f"{path} does not exist yet: run `tandem build` first")
    manifest = ensure_manifest(settings).with_name("semantic_manifest.json")
    lookup = SemanticManifestLookup(
        parse_manifest_from_dbt_generated_manifest(manifest.read_text(encoding="utf-8"))
    )
    with duckdb.connect() as connection:
        # The manifest's tables are those of the warehouse; published, they have the same names.
        name = settings.warehouse_path.stem
        connection.execute(f"attach {literal(path)} as {name} (read_only)")
        connection.execute(f"use {name}")
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        client = cast("Any", _Renderer(SqlEngine.DUCKDB, DuckDbSqlPlanRenderer()))
        yield Metrics(MetricFlowEngine(lookup, client), connection)


def _brief(message: str) -> str:
    """MetricFlow's reason, on one line."""
    return " ".join(message.split())[:500]
