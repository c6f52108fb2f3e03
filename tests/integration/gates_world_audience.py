"""Two released packs and a blocked one in the gates' world, paid for by the real ledger."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import duckdb

from orchestration.audience import ledger
from orchestration.audience.policy import AudiencePolicy

_START = datetime.fromisoformat("2026-01-06 08:00")


def land_packs(connection: duckdb.DuckDBPyConnection) -> None:
    """Fill the ledger and the tables of packs: rows, counts, and a blocked version of the first."""
    _release(connection, "seeds", 1, "rows", "released", 0)
    _release(connection, "demand", 1, "noise", "released", 1)
    _release(connection, "seeds", 2, "rows", "blocked", 2)
    connection.execute(
        """
        insert into control.audience_rows
        select 'seeds', 1, cell, column_name, value, cell_rows
        from (values
            (1, 'region', 'east', 60), (1, 'topic', 'film', 60),
            (2, 'region', 'east', 50), (2, 'topic', 'travel', 50)
        ) as cells (cell, column_name, value, cell_rows)
        """
    )
    connection.execute(
        """
        insert into control.audience_counts
        select 'demand', 1, cell, measure, value
        from (values
            ('{"region":"east"}', 'persons', 91), ('{"region":"east"}', 'reads', 700),
            ('{"region":"west"}', 'persons', 0), ('{"region":"west"}', 'reads', 12)
        ) as cells (cell, measure, value)
        """
    )


def _release(
    connection: duckdb.DuckDBPyConnection,
    pack: str,
    version: int,
    mechanism: Literal["rows", "noise"],
    status: Literal["released", "blocked"],
    hour: int,
) -> None:
    now = _START + timedelta(hours=hour)
    is_rows = mechanism == "rows"
    request = ledger.Request(
        *("community", f"purpose_{pack}", pack, version, "a" * 64, "b" * 32),
        mechanism,
        '{"kind": "approx"}',
        1.0 if is_rows else 0.2,
        1e-8 if is_rows else 0.0,
    )
    entry = ledger.reserve(connection, AudiencePolicy(), request, now).seq
    steps: tuple[ledger.Status, ...] = ("charged", "candidate", status)
    for step in steps:
        ledger.advance(connection, entry, step, now)
    guarantee = "0.3, 50, 3, 0.5, 0.6" if is_rows else "null, null, null, null, null"
    connection.execute(
        f"""
        insert into control.audience_packs values (
            '{pack}', {version}, {entry}, '{"rows" if is_rows else "counts"}', 'purpose_{pack}',
            'community', timestamp '{now}', timestamp '{now + timedelta(days=90)}',
            {request.epsilon}, {request.delta}, {guarantee}, repeat('a', 64), repeat('b', 32),
            '{status}'
        )
        """
    )
    connection.execute(
        f"""
        insert into control.audience_attacks values
            ('{pack}', {version}, 'linkage', 0.02, 0.02, true),
            ('{pack}', {version}, 'inference', 0.004, 0.01, {status == "released"})
        """
    )
