"""Both engines over the same inputs, and whether they made the same marts."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from orchestration.engines.compare import Difference, compare_tables
from orchestration.engines.spark import (
    build_on_spark,
    default_target,
    require_spark,
    stop_session,
    tables_root,
)
from orchestration.errors import TandemError
from orchestration.land.store import landed_root
from orchestration.publish.allowlist import PUBLISHED_SCHEMAS
from orchestration.settings import Settings
from orchestration.transform import DbtSession
from orchestration.warehouse import literal, open_warehouse

_INPUTS = ("raw", "control", "quarantine")


@dataclass(frozen=True)
class Agreement:
    """What both engines made of one warehouse: a difference a mart, and how long each took."""

    marts: list[Difference]
    duckdb_seconds: float
    spark_seconds: float

    @property
    def is_equal(self) -> bool:
        """Whether every mart holds the same rows on both engines."""
        return bool(self.marts) and all(mart.is_equal for mart in self.marts)


def compare_engines(
    settings: Settings, *, keep: bool = False, on_node: Callable[[str], None] | None = None
) -> Agreement:
    """Build every mart on both engines from one copy of the warehouse, and compare all rows.

    A copy, because a build goes on writing ledgers and verdicts after the marts that read them.
    It stands under `<home>/engines`, private like the warehouse, and goes when this ends unless
    `keep`. Raises TandemError where Spark cannot run, and where a model fails on an engine.
    """
    require_spark(default_target())
    home = settings.home.absolute() / "engines"
    shutil.rmtree(home, ignore_errors=True)
    try:
        copy = _copy(settings, home)
        started = time.monotonic()
        without = ["--exclude-resource-type", "unit_test", "--exclude-resource-type", "test"]
        DbtSession(copy, settings.home / "dbt", on_node=on_node).invoke(
            ["build", "--full-refresh", *without]
        )
        between = time.monotonic()
        build_on_spark(copy, on_node=on_node)
        ended = time.monotonic()
        stop_session()
        return Agreement(compare_marts(copy), between - started, ended - between)
    finally:
        if not keep:
            shutil.rmtree(home, ignore_errors=True)


def compare_marts(settings: Settings) -> list[Difference]:
    """Compare the warehouse's marts with those that Spark made of it, a difference a mart."""
    schemas = ", ".join(literal(schema) for schema in PUBLISHED_SCHEMAS)
    with open_warehouse(settings) as connection:
        tables = connection.execute(
            f"""
            select schema_name || '.' || table_name
            from duckdb_tables()
            where schema_name in ({schemas})
            order by schema_name, table_name
            """
        ).fetchall()
        return compare_tables(connection, [name for (name,) in tables], tables_root(settings))


def _copy(settings: Settings, home: Path) -> Settings:
    """The same settings over a warehouse that holds what dbt starts from, and nothing else."""
    if not settings.warehouse_path.exists():
        raise TandemError(f"{settings.warehouse_path} does not exist yet: run `tandem build` first")
    home.mkdir(parents=True, mode=0o700)
    key = SecretStr(settings.secret_key().decode())
    # What was landed as Parquet is linked from where it lies.
    paths = {"home": home, "landed": landed_root(settings)}
    copy = settings.model_copy(update=paths | {"key": key})
    # DuckDB attaches nothing that could be written to a connection that only reads.
    with open_warehouse(settings) as connection:
        schemas = ", ".join(literal(schema) for schema in _INPUTS)
        tables = connection.execute(
            f"""
            select table_schema, table_name from information_schema.tables
            where table_schema in ({schemas}) and table_catalog = current_database()
            """
        ).fetchall()
        connection.execute(f"attach {literal(copy.warehouse_path)} as copied")
        for schema in _INPUTS:
            connection.execute(f"create schema copied.{schema}")
        for schema, name in tables:
            connection.execute(f"create table copied.{schema}.{name} as from {schema}.{name}")
        connection.execute("detach copied")
    copy.warehouse_path.chmod(0o600)
    return copy
