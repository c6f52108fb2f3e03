"""Days and hours: the calendar's day types, and when in a day people act."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import chinese_calendar
import numpy as np

from simulator.columns import Floats, Ints

ZONE: Final = ZoneInfo("Asia/Shanghai")
SECOND: Final = 1_000_000
HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR
DAY_TYPES: Final = ("workday", "weekend", "holiday", "makeup_workday")

COMMUNITY_RHYTHM: Final = np.array([1.0, 1.22, 1.30, 0.95])
WORK_RHYTHM: Final = np.array([1.0, 0.50, 0.30, 0.90])
LEISURE_RHYTHM: Final = np.array([1.0, 1.45, 1.60, 0.95])
"""Multipliers of the chance to be active by day type, in the order of DAY_TYPES."""

_WORKDAY_HOURS = [6, 3, 2, 1, 1, 3, 9, 22, 34, 30, 28, 34, 52, 40, 26, 25, 26, 30, 40, 52, 66, 76]
_OFF_HOURS = [9, 5, 3, 2, 1, 2, 5, 10, 20, 34, 44, 46, 48, 44, 42, 44, 44, 42, 42, 52, 62, 66]
_HOUR_CDF = np.cumsum(
    np.array([[*_WORKDAY_HOURS, 62, 28], [*_OFF_HOURS, 54, 26]], dtype=np.float64), axis=1
)
_HOUR_CDF /= _HOUR_CDF[:, -1:]


class Calendar:
    """The simulated days 0 … days − 1; times are microseconds since 1970 in UTC."""

    def __init__(self, start: date, days: int) -> None:
        self.first = start
        self.days = days
        self.dates = [start + timedelta(days=day) for day in range(days)]
        self.day_types = np.array([_day_type(day) for day in self.dates])
        midnight = datetime(start.year, start.month, start.day, tzinfo=ZONE)
        self.start = int(midnight.timestamp()) * SECOND
        self.end = self.start + days * DAY
        months = [(day.year, day.month) for day in self.dates]
        self.months = sorted(set(months))
        self.month_of_day = np.array([self.months.index(month) for month in months])

    def midnight(self, day: int) -> int:
        """The local midnight that begins a day; days before 0 and after the last are allowed."""
        return self.start + day * DAY

    def hours(self, rng: np.random.Generator, day: int, count: int) -> Ints:
        """`count` moments of a day, spread as people's hours are."""
        cdf = _HOUR_CDF[0 if self.day_types[day] in (0, 3) else 1]
        hour = np.searchsorted(cdf, rng.random(count), side="right")
        return self.midnight(day) + hour * HOUR + rng.integers(0, HOUR // 1000, count) * 1000

    def factors(self, rhythm: Floats) -> Floats:
        """A rhythm's multiplier for each day."""
        factors: Floats = rhythm[self.day_types]
        return factors


def grown(before: float, weights: Floats, growth: float) -> tuple[float, Floats]:
    """A share there before the first step and each step's arrivals, growing `growth` times as much.

    After step i of n, what is there is `growth ** (i / n - 1)` of what it was; all of it is there
    after the last one.
    """
    if growth == 1:
        return before, weights
    there = before + (1 - before) * np.cumsum(weights) / weights.sum()
    there = there * growth ** (np.arange(1, len(weights) + 1) / len(weights) - 1)
    return before / growth, np.diff(there, prepend=before / growth)


def _day_type(day: date) -> int:
    try:
        off, name = chinese_calendar.get_holiday_detail(day)
    except NotImplementedError:
        off, name = day.weekday() >= 5, None
    if off:
        return DAY_TYPES.index("holiday" if name else "weekend")
    return DAY_TYPES.index("makeup_workday" if name else "workday")
