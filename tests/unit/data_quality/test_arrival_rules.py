"""What the rules of arrival leave to chance, and what they do not: each on rows made for it."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from data_quality.catalogue import suite
from orchestration.ingest.tables import create_tables


@pytest.fixture
def raw() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        create_tables(connection)
        yield connection


def _fails(raw: duckdb.DuckDBPyConnection, table: str, rule_id: str) -> bool:
    rule = next(rule for rule in suite("raw", table).rules if rule.id == rule_id)
    found = raw.execute(f"select count(*) from ({rule.sql.format(batch=table)})").fetchone()
    assert found is not None
    return bool(found[0])


def _events(raw: duckdb.DuckDBPyConnection, rows: int, columns: str) -> None:
    raw.execute(
        f"""
        insert into raw.community__events by name
        select 's' as source, 'a' || n as account_id, 'read' as event_type,
            gen_random_uuid()::varchar as event_id, {columns}
        from range({rows}) as numbers (n)
        """
    )


@pytest.mark.parametrize(("again", "fails"), [(5, False), (40, True)])
def test_duplicates_of_a_small_file(
    raw: duckdb.DuckDBPyConnection, again: int, fails: bool
) -> None:
    raw.execute(
        f"""
        insert into control.files by name
        select n as file_id, 'community/events' as log, 'f' || n as path, 'loaded' as state,
            771 as lines_read, case when n = 7 then {again} else 0 end as duplicates,
            771 - duplicates as accepted, 0 as rejected
        from range(60) as numbers (n)
        """
    )
    assert _fails(raw, "control.files", "few_duplicates") == fails


@pytest.mark.parametrize(("late", "fails"), [(6, False), (60, True)])
def test_some_of_few_are_late_by_chance(
    raw: duckdb.DuckDBPyConnection, late: int, fails: bool
) -> None:
    at = "timestamp '2026-01-01' + to_seconds(n * 1000)"
    _events(raw, 1100, f"{at} as occurred_at, occurred_at + interval 2 second as received_at")
    at = "timestamp '2026-01-20' + to_seconds(n * 600)"
    _events(
        raw,
        680,
        f"{at} - case when n < {late} then interval 9 hour else interval 2 second end"
        f" as occurred_at, {at} as received_at",
    )
    assert _fails(raw, "raw.community__events", "collected_soon") == fails


@pytest.mark.parametrize(("factor", "fails"), [(1, False), (100, True)])
def test_two_great_amounts_of_a_wide_spread(
    raw: duckdb.DuckDBPyConnection, factor: int, fails: bool
) -> None:
    # Sizes from e^7 to e^10 evenly: the spread between quartiles is 1.5, one width 1.11.
    for first, rows, size in (
        ("2026-01-01", 34, "cast(exp(7 + 3 * n / 33.0) as bigint)"),
        ("2026-02-12", 11, f"case when n < 2 then {factor} * 90000 else 4900 end"),
    ):
        raw.execute(
            f"""
            insert into raw.operations__spend by name
            select 's' as source, 'channel' as target, 'CNY' as currency, {size} as amount_minor,
                cast(date '{first}' + cast(n as integer) as date) as spent_on
            from range({rows}) as numbers (n)
            """
        )
    assert _fails(raw, "raw.operations__spend", "amount_minor_as_usual") == fails


@pytest.mark.parametrize(("shift", "rows", "fails"), [(3, 500, False), (8, 6000, True)])
def test_hours_of_few_sessions_wander(
    raw: duckdb.DuckDBPyConnection, shift: int, rows: int, fails: bool
) -> None:
    for first, days, move in (("2026-01-01", 28, 0), ("2026-01-29", 7, shift)):
        at = f"(n % {days}) * 86400 + (n // {days}) % 12 * 3600 + {move} * 3600"
        _events(raw, rows, f"timestamp '{first}' + to_seconds({at}) as occurred_at")
    assert _fails(raw, "raw.community__events", "hours_as_usual") == fails


def test_another_source_has_other_fields(raw: duckdb.DuckDBPyConnection) -> None:
    for source, first, column in (
        ("s", "2026-01-01", "account_id"),
        ("s", "2026-02-20", "account_id"),
        ("t", "2026-02-20", "member_id"),
    ):
        raw.execute(
            f"""
            insert into raw.operations__campaign_events by name
            select '{source}' as source, gen_random_uuid()::varchar as event_id, 'k' as campaign_id,
                'accept' as action, 'i' || n as {column},
                timestamp '{first}' + to_seconds(n * 3600) as occurred_at
            from range(100) as numbers (n)
            """
        )
    table = "raw.operations__campaign_events"
    assert not _fails(raw, table, "fields_still_given")
    raw.execute(
        f"update {table} set account_id = null"
        " where source = 's' and occurred_at > timestamp '2026-02-21'"
    )
    assert _fails(raw, table, "fields_still_given")


def test_a_field_that_few_always_had_is_no_habit(raw: duckdb.DuckDBPyConnection) -> None:
    _events(raw, 25, "timestamp '2026-01-01' + to_seconds(n * 60) as occurred_at, 't' as topic")
    _events(
        raw,
        100,
        "timestamp '2026-02-20' + to_seconds(n * 60) as occurred_at,"
        " case when n < 80 then 't' end as topic",
    )
    assert not _fails(raw, "raw.community__events", "fields_still_given")
    raw.execute(
        "update raw.community__events set topic = null where occurred_at > timestamp '2026-02-01'"
    )
    assert _fails(raw, "raw.community__events", "fields_still_given")
