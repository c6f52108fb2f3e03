"""What a build has to do: as_of_date, the watermark, and whether everything is rebuilt.

Writes the single row of `control.parameters` that the dbt models read in place of `--vars`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from orchestration.engines.tables import read_from_spark
from orchestration.funnels import step_rows
from orchestration.ingest.tables import CONTROL_TABLES, parameter_columns
from orchestration.settings import Settings
from orchestration.warehouse import literal

DBT_PROJECT = Path(__file__).resolve().parents[1] / "dbt_project"
STATISTICS = Path(__file__).resolve().parent / "statistics"
LAYERS = ("staging", "intermediate", "marts")


@dataclass(frozen=True)
class Plan:
    """One build's parameters.

    `batch_id` is the last ingested batch, the watermark once the build has transformed.
    """

    as_of_date: date | None
    previous_as_of_date: date | None
    watermark_batch_id: int
    batch_id: int
    full_refresh: bool
    settings_fingerprint: str
    code_fingerprint: str


def code_fingerprint() -> str:
    """SHA-256 over what decides the marts' rows: the dbt project's models, macros and seeds.

    Their YAML counts too, since a model's configuration may stand there, and so does the Python
    that models call.
    """
    digest = hashlib.sha256()
    files = [DBT_PROJECT / "dbt_project.yml"]
    for folder in (*(DBT_PROJECT / name for name in ("models", "macros", "seeds")), STATISTICS):
        files += sorted(folder.rglob("*"))
    for path in files:
        if path.suffix in (".sql", ".csv", ".yml", ".py"):
            root = DBT_PROJECT if path.is_relative_to(DBT_PROJECT) else STATISTICS
            digest.update(path.relative_to(root).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def make_plan(
    connection: duckdb.DuckDBPyConnection, settings: Settings, *, full_refresh: bool = False
) -> Plan:
    """The plan for what `raw` holds now.

    as_of_date is the setting, else the greatest local date of `community/events` and
    `group/messages`, else None (nothing accepted yet).
    """
    as_of_date = settings.as_of_date
    if as_of_date is None:
        as_of_date = _fetch(
            connection,
            f"""
            select cast(
                timezone({literal(settings.timezone)}, timezone('UTC', max(occurred_at))) as date
            )
            from (
                select max(occurred_at) as occurred_at from raw.community__events
                union all
                select max(occurred_at) as occurred_at from raw.group__messages
            )
            """,
        )
    settings_fingerprint = _with_erasures(connection, settings.fingerprint())
    code = code_fingerprint()
    history = _since_last_good(connection)
    dates = {build.as_of_date for build in history if build.as_of_date is not None}
    stale = (
        not history
        or any(build.fingerprints != (settings_fingerprint, code) for build in history)
        or (as_of_date is None and bool(dates))
        or (as_of_date is not None and bool(dates) and min(dates) < as_of_date < max(dates))
        or bool(read_from_spark(connection)) != (settings.engine != "duckdb")
    )
    return Plan(
        as_of_date=as_of_date,
        previous_as_of_date=_farthest(as_of_date, dates),
        watermark_batch_id=history[0].batch_id if history else 0,
        batch_id=_fetch(connection, "select coalesce(max(batch_id), 0) from control.batches"),
        full_refresh=full_refresh or stale,
        settings_fingerprint=settings_fingerprint,
        code_fingerprint=code,
    )


@dataclass(frozen=True)
class _PastBuild:
    batch_id: int
    as_of_date: date | None
    fingerprints: tuple[str, str]


def _since_last_good(connection: duckdb.DuckDBPyConnection) -> list[_PastBuild]:
    """The last build that transformed everything, then every attempt after it; [] if none did.

    An attempt that failed or was killed may have left models built with its own settings, code
    and as_of_date, so the next plan looks at those too.
    """
    rows = connection.execute(
        """
        select batch_id, as_of_date, settings_fingerprint, code_fingerprint
        from control.builds
        where settings_fingerprint is not null
            and (started_at, build_id) >= (
                select max((started_at, build_id))
                from control.builds
                where state in ('transformed', 'published')
            )
        order by started_at, build_id
        """
    ).fetchall()
    return [_PastBuild(row[0], row[1], (row[2], row[3])) for row in rows]


def _with_erasures(connection: duckdb.DuckDBPyConnection, fingerprint: str) -> str:
    """The fingerprint, and how many erasures changed raw rows: no batch tells of one.

    A count, not a time: clocks are set back, and two things happen in one second.
    """
    try:
        erasures = _fetch(connection, "select count(*) from control.erasures")
    except duckdb.CatalogException:
        # A warehouse of an earlier version.
        return fingerprint
    if not erasures:
        return fingerprint
    marts, _, key = fingerprint.partition("-")
    return f"{hashlib.sha256(f'{marts}|{erasures}'.encode()).hexdigest()}-{key}"


def _farthest(as_of_date: date | None, dates: set[date]) -> date | None:
    """The earlier as_of_date that lies farthest from this one: all between is rebuilt."""
    if as_of_date is None or not dates:
        return max(dates, default=None)
    return max(dates, key=lambda day: (abs((day - as_of_date).days), day))


def write_plan(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    plan: Plan,
    window_dates: Iterable[date] = (),
) -> None:
    """Replace what models read of the settings and this build, in one transaction.

    That is `control.parameters`, a table for each setting that is a list, and
    `control.window_dates`.
    """
    least, greatest = utc_offsets(connection, settings.timezone)
    values = settings.mart_settings() | {
        "utc_offset_least": least,
        "utc_offset_greatest": greatest,
        "as_of_date": plan.as_of_date,
        "previous_as_of_date": plan.previous_as_of_date,
        "watermark_batch_id": plan.watermark_batch_id,
        "batch_id": plan.batch_id,
        "full_refresh": plan.full_refresh,
    }
    columns = parameter_columns()
    ddl = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    marks = ", ".join("?" for _ in columns)
    connection.begin()
    # Made anew: a version of Tandem with other settings may have left the table.
    connection.execute(f"create or replace table control.parameters ({ddl})")
    connection.execute(
        f"insert into control.parameters ({', '.join(columns)}) values ({marks})",
        [values[name] for name in columns],
    )
    _replace_list(connection, "control.funnel_steps", step_rows(settings.funnels))
    _replace_list(
        connection, "control.scene_kinds", [(kind,) for kind in settings.touch_scene_kinds]
    )
    connection.execute("delete from control.window_dates")
    for day in sorted(set(window_dates)):
        connection.execute("insert into control.window_dates values (?)", [day])
    connection.commit()


def utc_offsets(connection: duckdb.DuckDBPyConnection, timezone: str) -> tuple[int, int]:
    """The least and greatest of a zone's offsets from UTC, in seconds, of 2000 to 2100.

    As DuckDB knows the zone. No offset was in force for less than a day.
    """
    row = connection.execute(
        f"""
        select min(local - utc) // 1000000, max(local - utc) // 1000000
        from (
            select utc, epoch_us(timezone({literal(timezone)}, make_timestamptz(utc))) as local
            from range(
                epoch_us(timestamp '2000-01-01'), epoch_us(timestamp '2100-01-01'), 86400000000
            ) as days (utc)
        )
        """
    ).fetchone()
    if row is None:
        raise AssertionError("an aggregate gave no row")
    return row[0], row[1]


def _replace_list(
    connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    connection.execute(f"create or replace table {table} ({CONTROL_TABLES[table]})")
    marks = ", ".join("?" for _ in rows[0])
    connection.executemany(f"insert into {table} values ({marks})", rows)


def _fetch(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    return row[0] if row else None
