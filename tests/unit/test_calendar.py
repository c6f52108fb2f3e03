"""The seeds of calendar and currencies against the libraries they come from."""

from __future__ import annotations

import csv
from datetime import date, timedelta

import chinese_calendar
import pytest
from iso4217 import Currency

from orchestration.dbt_sources import SEEDS


def _rows(name: str) -> list[dict[str, str]]:
    with (SEEDS / name).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def _day_type(day: date, exceptions: dict[str, str]) -> str:
    plain = "weekend" if day.weekday() >= 5 else "workday"
    return exceptions.get(day.isoformat(), plain)


def test_calendar_agrees_with_the_library_on_every_known_date():
    exceptions = {row["date"]: row["day_type"] for row in _rows("cn_calendar.csv")}
    day = date(date.fromisoformat(min(exceptions)).year, 1, 1)
    last = date(date.fromisoformat(max(exceptions)).year, 12, 31)
    while day <= last:
        off, name = chinese_calendar.get_holiday_detail(day)
        wanted = "workday"
        if off:
            wanted = "holiday" if name else "weekend"
        elif day.weekday() >= 5:
            wanted = "makeup_workday"
        assert _day_type(day, exceptions) == wanted, day
        day += timedelta(days=1)


def test_calendar_knows_exactly_the_librarys_years():
    days = [row["date"] for row in _rows("cn_calendar.csv")]
    assert days == sorted(set(days))
    for year in (int(min(days)[:4]) - 1, int(max(days)[:4]) + 1):
        with pytest.raises(NotImplementedError):
            chinese_calendar.is_holiday(date(year, 6, 1))


@pytest.mark.parametrize(
    ("day", "day_type"),
    [
        (date(2025, 9, 28), "makeup_workday"),
        (date(2025, 10, 1), "holiday"),
        (date(2025, 10, 5), "holiday"),
        (date(2025, 10, 8), "holiday"),
        (date(2025, 10, 9), "workday"),
        (date(2025, 10, 11), "makeup_workday"),
        (date(2025, 10, 12), "weekend"),
    ],
)
def test_national_day_2025_as_announced(day: date, day_type: str):
    exceptions = {row["date"]: row["day_type"] for row in _rows("cn_calendar.csv")}
    assert _day_type(day, exceptions) == day_type


def test_currencies_agree_with_the_library():
    seed = {row["currency"]: int(row["exponent"]) for row in _rows("currencies.csv")}
    assert seed == {currency.code: currency.exponent or 0 for currency in Currency}
    assert (seed["CNY"], seed["JPY"], seed["KWD"]) == (2, 0, 3)
