"""What a build has to do: as_of_date, the watermark, and whether everything is rebuilt.

Writes the single row of `control.parameters` that the dbt models read in place of `--vars`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from orchestration.ingest.tables import parameter_columns
from orchestration.settings import Settings

DBT_PROJECT = Path(__file__).resolve().parents[1] / "dbt_project"


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
    """SHA-256 over the dbt project's models, macros and seeds: what decides the marts' rows."""
    digest = hashlib.sha256()
    for folder in ("models", "macros", "seeds"):
        for path in sorted((DBT_PROJECT / folder).rglob("*")):
            if path.suffix in (".sql", ".csv"):
                digest.update(path.relative_to(DBT_PROJECT).as_posix().encode())
                digest.update(path.read_bytes())
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
            """
            select cast(timezone(?, timezone('UTC', max(occurred_at))) as date)
            from (
                select max(occurred_at) as occurred_at from raw.community__events
                union all
                select max(occurred_at) as occurred_at from raw.group__messages
            )
            """,
            [settings.timezone],
        )
    last = connection.execute(
        """
        select batch_id, as_of_date, settings_fingerprint, code_fingerprint
        from control.builds
        where state in ('transformed', 'published', 'blocked')
        order by finished_at desc, build_id desc
        limit 1
        """
    ).fetchone()
    settings_fingerprint, code = settings.fingerprint(), code_fingerprint()
    stale = last is None or last[2:] != (settings_fingerprint, code)
    return Plan(
        as_of_date=as_of_date,
        previous_as_of_date=last[1] if last else None,
        watermark_batch_id=last[0] if last else 0,
        batch_id=_fetch(connection, "select coalesce(max(batch_id), 0) from control.batches"),
        full_refresh=full_refresh or stale,
        settings_fingerprint=settings_fingerprint,
        code_fingerprint=code,
    )


def write_plan(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    plan: Plan,
    window_dates: Iterable[date] = (),
) -> None:
    """Replace `control.parameters` and `control.window_dates` in one transaction."""
    values = settings.mart_settings() | {
        "as_of_date": plan.as_of_date,
        "previous_as_of_date": plan.previous_as_of_date,
        "watermark_batch_id": plan.watermark_batch_id,
        "full_refresh": plan.full_refresh,
    }
    columns = list(parameter_columns())
    marks = ", ".join("?" for _ in columns)
    connection.begin()
    connection.execute("delete from control.parameters")
    connection.execute(
        f"insert into control.parameters ({', '.join(columns)}) values ({marks})",
        [values[name] for name in columns],
    )
    connection.execute("delete from control.window_dates")
    for day in sorted(set(window_dates)):
        connection.execute("insert into control.window_dates values (?)", [day])
    connection.commit()


def _fetch(
    connection: duckdb.DuckDBPyConnection, query: str, values: list[object] | None = None
) -> Any:
    row = connection.execute(query, values or []).fetchone()
    return row[0] if row else None
