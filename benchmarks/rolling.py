"""How rolling distinct counts grow: `python -m benchmarks.rolling [--events 1000000 …]`.

Makes person-days over 365 dates, four events each on average, and runs the compiled SQL of
`users.daily_active` (DAU, WAU, MAU28, MAU30) over them in one bare connection. The bar: seconds
grow in proportion to the events.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import duckdb

from orchestration.ingest.tables import create_tables
from orchestration.plan import make_plan, write_plan
from orchestration.settings import load_settings
from orchestration.transform import DbtSession
from orchestration.warehouse import open_warehouse

EVENTS_PER_DAY = 4


def main() -> None:
    """Time the model at each size and print seconds per million events."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 5_000_000, 20_000_000])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(home=Path(folder))
        with open_warehouse(settings) as connection:
            create_tables(connection)
            write_plan(connection, settings, make_plan(connection, settings))
        session = DbtSession(settings, target=Path(folder) / "dbt")
        session.parse()
        session.invoke(["compile", "--select", "daily_active"])
        query = next(Path(folder).rglob("compiled/**/daily_active.sql")).read_text("utf-8")
        with open_warehouse(settings) as connection:
            connection.execute("update control.parameters set as_of_date = date '2026-12-31'")
            for events in arguments.events:
                person_days(connection, events // EVENTS_PER_DAY)
                started = time.perf_counter()
                connection.execute(f"create or replace table result as {query}")
                seconds = time.perf_counter() - started
                per_million = seconds / events * 1e6
                print(f"{events:>12,} events {seconds:8.2f} s {per_million:8.3f} s a million")


def person_days(connection: duckdb.DuckDBPyConnection, rows: int) -> None:
    """Fill `intermediate.int_person_days`: persons active on about a tenth of 365 dates."""
    connection.execute("create schema if not exists intermediate")
    connection.execute(
        f"""
        create or replace table intermediate.int_person_days as
        select distinct
            date '2026-01-01' + cast(hash(i) % 365 as integer) as activity_date,
            case when i % 3 = 0 then 'group' else 'community' end as core,
            'source' || (i % 2) as source,
            md5(cast(hash(i + 7) % {max(rows // 36, 1)} as varchar)) as person_id,
            cast(1 as bigint) as active_events,
            cast(hash(i) % 2 as bigint) as contributions,
            cast(0 as bigint) as reactions
        from range({rows}) as numbers(i)
        """
    )


if __name__ == "__main__":
    main()
