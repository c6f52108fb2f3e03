"""The strategy `rebuild_dates`: an incremental run ends where a full one does, row for row."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from tests.dbt.scratch import Scratch, query
from tests.support import test_settings

# A date's row sums what happened from two dates before to one date after it.
WINDOWED = """
{{ config(
    materialized='incremental',
    incremental_strategy='rebuild_dates',
    meta={'window_before_days': 2, 'window_after_days': 1},
) }}
with facts as (
    select
        id,
        cast(occurred_at + interval 8 hour as date) as activity_date
    from {{ source('control', 'facts') }}
    where {{ on_dirty_dates('cast(occurred_at + interval 8 hour as date)', 'occurred_at') }}
),
offsets as (
    select unnest([-1, 0, 1, 2]) as days
)
select
    facts.activity_date + cast(offsets.days as integer) as activity_date,
    count(*) as events,
    min(facts.id) as first_id
from facts
cross join offsets
group by facts.activity_date + cast(offsets.days as integer)
"""
PLAIN = """
{{ config(
    materialized='incremental',
    incremental_strategy='rebuild_dates',
    meta={'date_column': 'day'},
) }}
select
    cast(occurred_at + interval 8 hour as date) as day,
    count(*) as events
from {{ source('control', 'facts') }}
where {{ on_dirty_dates('cast(occurred_at + interval 8 hour as date)') }}
group by cast(occurred_at + interval 8 hour as date)
"""
OF_TWO_LOGS = PLAIN.replace("'date_column': 'day'", "'date_column': 'day', 'logs': ['a/b', 'a/c']")
MODELS = {
    "sources.yml": """
version: 2
sources:
  - name: control
    schema: control
    tables: [{name: facts}, {name: parameters}, {name: touched}]
""",
    "int_dirty_dates.sql": "select distinct * from {{ source('control', 'touched') }}",
    "windowed.sql": WINDOWED,
    "plain.sql": PLAIN,
    "of_two_logs.sql": OF_TWO_LOGS,
}
START = datetime.fromisoformat("2026-01-30T12:00:00")


class Facts:
    """The table of facts and which dates a change touched."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        with open_warehouse(settings) as connection:
            connection.execute("create schema control")
            connection.execute("create table control.facts (id bigint, occurred_at timestamp)")
            connection.execute("create table control.parameters (full_refresh boolean)")
            connection.execute(
                "create table control.touched (activity_date date, log varchar default 'a/b')"
            )
            connection.execute("insert into control.parameters values (false)")

    def change(self, draw: random.Random) -> None:
        """Add, move and remove some rows; every date they leave or reach is touched."""
        with open_warehouse(self.settings) as connection:
            connection.execute("delete from control.touched")
            for _ in range(draw.randint(0, 6)):
                self._put(connection, draw.randrange(40), _moment(draw))
            for _ in range(draw.randint(0, 3)):
                self._put(connection, draw.randrange(40), None)

    @staticmethod
    def _put(connection: duckdb.DuckDBPyConnection, number: int, moment: datetime | None) -> None:
        connection.execute(
            "insert into control.touched (activity_date) "
            "select cast(occurred_at + interval 8 hour as date) from control.facts where id = ?",
            [number],
        )
        connection.execute("delete from control.facts where id = ?", [number])
        if moment is not None:
            connection.execute("insert into control.facts values (?, ?)", [number, moment])
            connection.execute(
                "insert into control.touched (activity_date) "
                "values (cast(? + interval 8 hour as date))",
                [moment],
            )

    def set_full_refresh(self, value: bool) -> None:
        with open_warehouse(self.settings) as connection:
            connection.execute("update control.parameters set full_refresh = ?", [value])


def _moment(draw: random.Random) -> datetime:
    return START + timedelta(days=draw.randrange(12), minutes=draw.randrange(1440))


def _expected(settings: Settings) -> tuple[dict[date, tuple[int, int]], dict[date, int]]:
    rows = query(settings, "select id, occurred_at from control.facts")
    days = {number: (moment + timedelta(hours=8)).date() for number, moment in rows}
    plain: dict[date, int] = {}
    windowed: dict[date, list[int]] = {}
    for number, day in days.items():
        plain[day] = plain.get(day, 0) + 1
        for offset in (-1, 0, 1, 2):
            windowed.setdefault(day + timedelta(days=offset), []).append(number)
    return {day: (len(ids), min(ids)) for day, ids in windowed.items()}, plain


def _found(settings: Settings) -> tuple[dict[date, tuple[int, int]], dict[date, int]]:
    windowed = query(settings, "select activity_date, events, first_id from scratch.windowed")
    plain = query(settings, "select day, events from scratch.plain")
    assert len(windowed) == len({row[0] for row in windowed})
    assert len(plain) == len({row[0] for row in plain})
    return {row[0]: (row[1], row[2]) for row in windowed}, dict(plain)


@pytest.fixture
def world(tmp_path: Path) -> tuple[Scratch, Facts]:
    settings = test_settings(tmp_path / "home")
    facts = Facts(settings)
    return Scratch(tmp_path / "project", settings, MODELS), facts


def _with_two_dates(world: tuple[Scratch, Facts]) -> tuple[Scratch, Facts]:
    """The world after a run with a fact on each of two dates."""
    scratch, facts = world
    with open_warehouse(facts.settings) as connection:
        connection.execute("insert into control.facts values (1, '2026-02-01'), (2, '2026-02-10')")
    scratch.run(["run"])
    return world


def test_incremental_runs_end_where_a_full_one_does(world: tuple[Scratch, Facts]):
    scratch, facts = world
    draw = random.Random(7)
    for _ in range(6):
        facts.change(draw)
        scratch.run(["run"])
        assert _found(facts.settings) == _expected(facts.settings)


def test_a_date_that_lost_all_its_rows_is_emptied(world: tuple[Scratch, Facts]):
    scratch, facts = _with_two_dates(world)
    with open_warehouse(facts.settings) as connection:
        connection.execute("delete from control.facts where id = 1")
        connection.execute("insert into control.touched (activity_date) values ('2026-02-01')")
    scratch.run(["run"])
    assert _found(facts.settings) == _expected(facts.settings)
    assert date(2026, 2, 1) not in _found(facts.settings)[1]


def test_only_dirty_dates_are_written(world: tuple[Scratch, Facts]):
    scratch, facts = _with_two_dates(world)
    with open_warehouse(facts.settings) as connection:
        connection.execute("update scratch.plain set events = 99")
        connection.execute("insert into control.touched (activity_date) values ('2026-02-10')")
    scratch.run(["run"])
    assert _found(facts.settings)[1] == {date(2026, 2, 1): 99, date(2026, 2, 10): 1}


def test_dates_that_other_logs_touch_are_left(world: tuple[Scratch, Facts]):
    scratch, facts = _with_two_dates(world)
    with open_warehouse(facts.settings) as connection:
        connection.execute("update scratch.of_two_logs set events = 99")
        connection.execute("update scratch.plain set events = 99")
        connection.execute(
            "insert into control.touched values ('2026-02-10', 'a/c'), ('2026-02-01', 'a/d')"
        )
    scratch.run(["run"])
    assert dict(query(facts.settings, "select day, events from scratch.of_two_logs")) == {
        date(2026, 2, 1): 99,
        date(2026, 2, 10): 1,
    }
    assert _found(facts.settings)[1] == {date(2026, 2, 1): 1, date(2026, 2, 10): 1}


@pytest.mark.parametrize("by", ["parameter", "flag"])
def test_a_full_refresh_rebuilds_what_is_not_dirty(world: tuple[Scratch, Facts], by: str):
    scratch, facts = _with_two_dates(world)
    with open_warehouse(facts.settings) as connection:
        connection.execute("update scratch.plain set events = 99")
        connection.execute("insert into scratch.plain values ('2020-01-01', 5)")
    facts.set_full_refresh(by == "parameter")
    scratch.run(["run"] if by == "parameter" else ["run", "--full-refresh"])
    assert _found(facts.settings) == _expected(facts.settings)
