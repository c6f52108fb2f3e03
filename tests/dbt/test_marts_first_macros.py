"""The macros that carry exactness, held against plain Python on random input."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from functools import cache

import duckdb
import jinja2
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.contracts import contracts
from orchestration.plan import DBT_PROJECT, utc_offsets
from tests.reference.world import half_away

CONNECTION = duckdb.connect()
MINUTES = 60_000_000
Touch = tuple[int, str, bool]
"""(microseconds, id, is a click)."""


def _render(name: str, call: str) -> str:
    text = (DBT_PROJECT / "macros" / f"{name}.sql").read_text(encoding="utf-8")
    return (
        jinja2.Environment(autoescape=False, extensions=["jinja2.ext.do"])
        .from_string(f"{text}{{{{ {call} }}}}")
        .render()
    )


CREDITED = _render(
    "credited_impressions",
    "credited_impressions('touches', ['person', 'content'], ['event_id'])",
)
CONVERTED = _render("dispatch", "default__reporting_minor('amount', 'numerator', 'denominator')")


def credited(touches: list[Touch]) -> list[str]:
    """The contract's sentence: clicks in order, each takes the last unclicked impression near."""
    shown = [touch for touch in touches if not touch[2]]
    taken = []
    for at, _, _ in sorted(touch for touch in touches if touch[2]):
        near = [touch for touch in shown if touch[0] <= at <= touch[0] + 30 * MINUTES]
        if near:
            last = max(near)
            shown.remove(last)
            taken.append(last[1])
    return sorted(taken)


# Few distinct times, around the bound of 30 minutes, so that ties and expiries are common.
TIMES = st.integers(0, 12).map(lambda number: number * 10 * MINUTES) | st.integers(
    0, 90 * MINUTES
).map(lambda number: number - number % MINUTES)


@given(st.lists(st.tuples(TIMES, st.booleans()), max_size=14), st.randoms())
@settings(max_examples=150, deadline=None)
def test_clicks_take_the_last_unclicked_impression(
    drawn: list[tuple[int, bool]], shuffle: object
) -> None:
    names = [f"e{number:02d}" for number in range(len(drawn))]
    shuffle.shuffle(names)  # type: ignore[attr-defined]
    touches = [(at, name, clicked) for (at, clicked), name in zip(drawn, names, strict=True)]
    rows = CONNECTION.execute(
        "with touches as (select 'p' as person, 'c' as content, touch[2] as event_id,"
        " if(touch[3]::boolean, 'click', 'impression') as event_type,"
        " make_timestamp(touch[1]::bigint) as occurred_at"
        " from (select unnest(?::varchar[][]) as touch)),"
        f" {CREDITED} select event_id from credited_impressions",
        [[[str(at), name, str(clicked)] for at, name, clicked in touches]],
    ).fetchall()
    assert sorted(row[0] for row in rows) == credited(touches)


@given(
    st.integers(0, 10**15),
    st.decimals("0.000000000001", 10_000, places=12, allow_nan=False),
    st.integers(-4, 4),
)
@settings(max_examples=150, deadline=None)
def test_conversion_is_exact_and_rounds_half_away(amount: int, rate: object, shift: int) -> None:
    exact = Fraction(str(rate)) * Fraction(10) ** shift
    row = CONNECTION.execute(
        f"select {CONVERTED} from (select ?::bigint as amount,"
        " ?::decimal(38, 0) as numerator, ?::decimal(38, 0) as denominator)",
        [amount, str(exact.numerator), str(exact.denominator)],
    ).fetchone()
    expected = half_away(amount * exact)
    # Beyond 64 bits an amount is NULL, like one without a rate.
    assert row == (expected if expected < 2**63 else None,)


def test_conversion_without_a_rate_or_room_is_null() -> None:
    rows = CONNECTION.execute(
        f"select {CONVERTED} from (values (1::bigint, null::decimal(38, 0), 1),"
        " (9223372036854775807, 10::decimal(38, 0), 1),"
        " (9223372036854775807, 99999999999999999999999999999999::decimal(38, 0), 1),"
        " (5, 1::decimal(38, 0), 10), (0, 7::decimal(38, 0), 1))"
        " as amounts (amount, numerator, denominator)"
    ).fetchall()
    assert rows == [(None,), (None,), (None,), (1,), (0,)]


def test_union_logs_knows_every_log_as_its_contract_says() -> None:
    text = (DBT_PROJECT / "macros" / "union_logs.sql").read_text(encoding="utf-8")
    call = "{% call(log, table, key, time, is_entity) union_logs() %}"
    call += "{{ [log, table, key, time, is_entity] | join(' ') }}{% endcall %}"
    listed = (
        jinja2.Environment(autoescape=False, extensions=["jinja2.ext.do"])
        .from_string(text + call)
        .render()
    )
    assert [" ".join(line.split()) for line in listed.split(" union all")] == [
        f"{log} {contract.table} {contract.key} {contract.time} {contract.kind == 'entity'}"
        for log, contract in contracts().items()
    ]


# One offset, one hour of summer, half an hour of it, a day that never was, offsets of quarters.
ZONES = st.sampled_from(
    [
        *("UTC", "Asia/Shanghai", "Asia/Kathmandu", "America/New_York", "Europe/London"),
        *("Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "America/St_Johns"),
    ]
)
MOMENTS = st.datetimes(datetime(1986, 1, 1), datetime(2037, 1, 1)) | st.builds(  # noqa: DTZ001
    # Around midnight and the hours at which clocks are put forward and back.
    lambda day, minutes: datetime.fromtimestamp(day * 86_400 + minutes * 60, UTC).replace(
        tzinfo=None
    ),
    st.integers(10_957, 24_471),
    st.integers(-61, 61) | st.integers(9 * 60, 18 * 60),
)
ON_ZONE = "from (select ?::timestamp as ts) as moments, (select ? as timezone,"
ON_ZONE += " ?::bigint as utc_offset_least, ?::bigint as utc_offset_greatest) as zone"
LOCAL = ", ".join(
    _render("dispatch", f"{macro}('moments.ts', 'zone')")
    for macro in ("default__local_date", "default__local_hour")
)


@cache
def _offsets(name: str) -> tuple[int, int]:
    return utc_offsets(CONNECTION, name)


@given(MOMENTS, ZONES)
@settings(max_examples=1000, deadline=None)
def test_local_dates_and_hours_are_those_of_the_zone(moment: datetime, name: str) -> None:
    # By DuckDB's own calendar: Python's may be of another year's time zone rules.
    expected = CONNECTION.execute(
        "select cast(clock as date), extract(hour from clock)"
        " from (select timezone(?, timezone('UTC', ?::timestamp)) as clock)",
        [name, moment],
    ).fetchone()
    for bounds in (_offsets(name), (None, None)):
        found = CONNECTION.execute(f"select {LOCAL} {ON_ZONE}", [moment, name, *bounds]).fetchone()
        assert found == expected, bounds


def test_a_moment_that_is_not_known_has_no_date() -> None:
    found = CONNECTION.execute(f"select {LOCAL} {ON_ZONE}", [None, "UTC", 0, 0]).fetchone()
    assert found == (None, None)
