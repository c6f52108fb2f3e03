"""Reference of `revenue.ltv_predictions` and `revenue.ltv_calibration`.

The parameters are those that the warehouse fitted; histories, closed forms and tenths are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

from scipy import integrate, special

from tests.reference.world import DAY, Person, Row, World, days_between, half_away

HORIZON_DAYS = 90


@dataclass(frozen=True)
class History:
    """Purchases of a person: date → net value, None where unknown."""

    values: dict[date, int | None]
    cutoff: date

    @property
    def frequency(self) -> int:
        return len(self.values) - 1

    @property
    def recency(self) -> int:
        return (max(self.values) - min(self.values)).days

    @property
    def age(self) -> int:
        return (self.cutoff - min(self.values)).days

    @property
    def repeat_values(self) -> list[int]:
        """Known values of the purchases after the first."""
        first = min(self.values)
        return [v for day, v in self.values.items() if day > first and v is not None]


def purchases(world: World, cutoff: date, known: date) -> dict[Person, History]:
    """Histories up to a date, with the refunds known on another."""
    found: dict[Person, dict[date, list[int | None]]] = {}
    raw: dict[tuple[str, str], list[Row]] = {}
    for refund in world.log("commerce/refunds"):
        raw.setdefault((refund["source"], refund["order_id"]), []).append(refund)
    for record in world.log("commerce/orders"):
        person, day = world.person_of(record), world.day(record["paid_at"])
        if not world.counts(person) or day > cutoff:
            continue
        own = [
            refund
            for refund in raw.get((record["source"], record["order_id"]), [])
            if world.day(refund["refunded_at"]) <= known
        ]
        if record["amount_minor"] <= sum(refund["amount_minor"] for refund in own):
            continue
        parts = [
            world.converted(amount, record["currency"], day)
            for amount in [record["amount_minor"], *(refund["amount_minor"] for refund in own)]
        ]
        net = None if parts[0] is None else parts[0] - sum(part or 0 for part in parts[1:])
        found.setdefault(person, {}).setdefault(day, []).append(net)
    return {
        person: History({day: _sum(values) for day, values in dates.items()}, cutoff)
        for person, dates in found.items()
    }


def _sum(values: list[int | None]) -> int | None:
    """Of a date's orders; unknown where one of them is."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def p_alive(fit: Row, history: History) -> float:
    """Fader & Hardie (2008)."""
    x, recency, age = history.frequency, history.recency, history.age
    if x == 0:
        return 1.0
    grown = ((fit["alpha_days"] + age) / (fit["alpha_days"] + recency)) ** (fit["r"] + x)
    return float(1 / (1 + fit["a"] / (fit["b"] + x - 1) * grown))


def expected_purchases(fit: Row, history: History, days: int) -> float:
    """P(alive) times the mean over p ~ Beta(a, b + x) of (1 − (1 + p·t/(α+T))^−(r+x)) / p."""
    x = history.frequency
    power, ratio = fit["r"] + x, days / (fit["alpha_days"] + history.age)

    a, b = fit["a"], fit["b"] + x

    def bought(p: float) -> float:
        return -math.expm1(-power * math.log1p(p * ratio)) / p if p else power * ratio

    if a + b < 100:
        # The weight p^(a−1) (1−p)^(b−1) has poles at its ends, which QUADPACK's `alg` takes out.
        less, _ = integrate.quad(
            lambda p: bought(p) - bought(0), 0, 1, weight="alg", wvar=(a - 1, b - 1), epsrel=1e-12
        )
        mean = bought(0) + less / special.beta(a, b)
    else:
        mean, _ = integrate.quad(
            lambda share: bought(special.betaincinv(a, b, share)), 0, 1, epsrel=1e-11, limit=400
        )
    return p_alive(fit, history) * float(mean)


def value_of(fit: Row, history: History, orders: float) -> int | None:
    """So many purchases times p(γ + Σ values) / (p·n + q − 1): Fader & Hardie (2013)."""
    if fit["gamma_p"] is None:
        return None
    values = [value for value in history.repeat_values if value > 0]
    above = fit["gamma_p"] * (fit["gamma_minor"] + sum(values))
    value = above / (fit["gamma_p"] * len(values) + fit["gamma_q"] - 1)
    return half_away(Fraction(orders * value))


def ltv_predictions(world: World) -> list[Row]:
    """`revenue.ltv_predictions`."""
    if world.as_of is None:
        return []
    fit = world.fits.get("forecast")
    rows = []
    for person, history in purchases(world, world.as_of, world.as_of).items():
        if world.is_erased(person):
            continue
        row: Row = {
            "person_id": person,
            "frequency": history.frequency,
            "recency_days": history.recency,
            "t_days": history.age,
            "p_alive": None,
            "expected_orders_90d": None,
            "expected_value_90d_minor": None,
        }
        if fit is not None and fit["r"] is not None:
            orders = expected_purchases(fit, history, HORIZON_DAYS)
            row |= {
                "p_alive": p_alive(fit, history),
                "expected_orders_90d": orders,
                "expected_value_90d_minor": value_of(fit, history, orders),
            }
        rows.append(row)
    return rows


def ltv_calibration(world: World) -> list[Row]:
    """`revenue.ltv_calibration`."""
    fit = world.fits.get("holdout")
    if world.as_of is None or fit is None or fit["r"] is None:
        return []
    first = min(
        world.day(record["paid_at"])
        for record in world.log("commerce/orders")
        if record["amount_minor"] > 0 and world.counts(world.person_of(record))
    )
    third = ((world.as_of - first).days + 1) // 3
    days = min(world.parameters.ltv_holdout_days, third)
    cutoff = world.as_of - timedelta(days=days)
    known = purchases(world, cutoff, cutoff)
    later = purchases(world, world.as_of, world.as_of)
    scored = sorted(
        (expected_purchases(fit, history, days), world.person_ids[person], person)
        for person, history in known.items()
    )
    window = set(days_between(cutoff + DAY, world.as_of))
    rows = []
    for decile in range(1, 11):
        own = scored[_tenth(decile - 1, len(scored)) : _tenth(decile, len(scored))]
        bought = {
            (person, day): value
            for _, _, person in own
            if person in later
            for day, value in later[person].values.items()
            if day in window
        }
        if own:
            rows.append(
                {
                    "decile": decile,
                    "holdout_days": days,
                    "persons": len(own),
                    # Nine decimals a person, so that the sum is the same in any order.
                    "predicted": sum(round(expected, 9) for expected, _, _ in own),
                    "observed": len(bought),
                    "predicted_value_minor": None
                    if fit["gamma_p"] is None
                    else sum(value_of(fit, known[person], e) or 0 for e, _, person in own),
                    "observed_value_minor": sum(value or 0 for value in bought.values()),
                }
            )
    return rows


def _tenth(number: int, persons: int) -> int:
    """How many persons are in the first tenths, the earlier ones the larger."""
    return number * (persons // 10) + min(number, persons % 10)
