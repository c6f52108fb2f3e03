"""Reference of `engagement.experiment_results` and `engagement.experiment_health`.

Raw values of every unit go into Welch's test of SciPy and into the textbook forms of the delta
method and of CUPED; variances are exact fractions, so that "nothing varied" is exactly 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cached_property
from math import log, sqrt
from statistics import variance
from typing import Any

from scipy import stats

from tests.reference.content import credited_clicks
from tests.reference.engagement import changes
from tests.reference.world import DAY, Person, Row, World, in_order

Unit = Person | tuple[str, str]
"""A person, or (source, group_id)."""
Measure = tuple[Fraction, Fraction]
"""What a unit adds to the numerator and to the denominator of a mean."""
ALPHA = 0.05


@dataclass(frozen=True)
class Exposed:
    """A unit with the variants it saw and the times at which it first saw each."""

    unit: Unit
    firsts: dict[str, datetime]

    @property
    def variant(self) -> str:
        return next(iter(self.firsts))

    @property
    def at(self) -> datetime:
        return self.firsts[self.variant]


class Experiment:
    """One experiment as its exposures by as_of_date show it."""

    def __init__(self, world: World, state: dict[str, Any]) -> None:
        self.world = world
        self.state = state
        self.source: str = state["source"]
        self.unit: str = state["unit"]
        self.weights = {name: Fraction(str(w)) for name, w in state["variants"].items()}
        self.control = next(iter(self.weights), None)
        ends_at = state.get("ends_at")
        self.until = world.end if ends_at is None else min(ends_at, world.end)

    @cached_property
    def exposures(self) -> list[dict[str, Any]]:
        """Exposures of units that count up to as_of_date, late ones included, in order."""
        own = [
            record
            for record in self.world.log("operations/exposures")
            if (record["source"], record["experiment_id"])
            == (self.source, self.state["experiment_id"])
            and record["occurred_at"] < self.world.end
            and (self.unit == "group" or self.world.counts(self.person(record)))
        ]
        return in_order(own, "event_id")

    def person(self, exposure: dict[str, Any]) -> Person:
        return self.world.person(self.source, self.unit, exposure["unit_id"])

    @cached_property
    def exposed(self) -> list[Exposed]:
        """Units exposed before the end."""
        found: dict[Unit, dict[str, datetime]] = {}
        for record in self.exposures:
            if record["occurred_at"] < self.until:
                unit: Unit = (self.source, record["unit_id"])
                if self.unit != "group":
                    unit = self.person(record)
                found.setdefault(unit, {}).setdefault(record["variant"], record["occurred_at"])
        return [Exposed(unit, firsts) for unit, firsts in found.items()]

    @cached_property
    def arms(self) -> dict[str, list[Exposed]]:
        """Variant → the units that saw it alone."""
        found: dict[str, list[Exposed]] = {}
        for unit in self.exposed:
            if len(unit.firsts) == 1:
                found.setdefault(unit.variant, []).append(unit)
        return found


def experiments(world: World) -> Iterator[Experiment]:
    """Experiments with a record."""
    for state in world.current("operations/experiments").values():
        yield Experiment(world, state)


class Measures:
    """What units did, by source; computed once for all experiments."""

    def __init__(self, world: World) -> None:
        self.world = world
        events = world.events_naming_content
        self.shown = [event for event in events if event["event_type"] == "impression"]
        self.reads = [event for event in events if event["event_type"] == "read"]
        self.credits = credited_clicks(world, events)

    def ctr(self, exp: Experiment, unit: Unit, first: datetime, until: datetime) -> Measure:
        def inside(event: dict[str, Any]) -> bool:
            return (
                event["source"] == exp.source
                and self.world.person_of(event) == unit
                and first <= event["occurred_at"] < until
            )

        clicks = sum(inside(impression) and inside(click) for impression, click in self.credits)
        return Fraction(clicks), Fraction(sum(map(inside, self.shown)))

    def read(self, exp: Experiment, unit: Unit, first: datetime, until: datetime) -> Measure:
        number = sum(
            event["source"] == exp.source
            and self.world.person_of(event) == unit
            and first <= event["occurred_at"] < until
            for event in self.reads
        )
        return Fraction(number), Fraction(1)

    def revenue(self, exp: Experiment, unit: Unit, first: datetime, until: datetime) -> Measure:
        return Fraction(
            sum(
                order.net
                for order in self.world.orders
                if order.source == exp.source
                and first <= order.at < until
                and unit
                == ((order.source, order.group_id) if exp.unit == "group" else order.person)
            )
        ), Fraction(1)

    def active_dates(
        self, exp: Experiment, unit: Unit, first: datetime, until: datetime
    ) -> Measure:
        """Whole dates before the one of exposure."""
        days = {
            event.day
            for event in self.world.activity
            if event.source == exp.source
            and event.person == unit
            and self.world.day(first) <= event.day < self.world.day(until)
        }
        return Fraction(len(days)), Fraction(1)

    def retained(self, exp: Experiment, unit: Exposed) -> Measure | None:
        """None where the whole seventh date does not lie in the window."""
        day = self.world.day(unit.at) + 7 * DAY
        if self.world.start_of(day + DAY) > exp.until:
            return None
        active = any(
            event.source == exp.source and event.person == unit.unit and event.day == day
            for event in self.world.activity
        )
        return Fraction(active), Fraction(1)


@dataclass(frozen=True)
class Arm:
    """Measures of an arm's units, and the same of the days before exposure."""

    values: list[Measure]
    before: list[Measure]

    @property
    def mean(self) -> Fraction | None:
        return ratio(self.values)

    def linear(self, measures: list[Measure]) -> list[Fraction] | None:
        """(y − R·x) / x̄ of every unit: what the delta method takes the variance of."""
        mean = ratio(measures)
        if mean is None:
            return None
        x_mean = sum(x for _, x in measures) / Fraction(len(measures))
        return [(y - mean * x) / x_mean for y, x in measures]

    @property
    def variance(self) -> Fraction | None:
        """With n − 1; of the linearised values for a ratio."""
        values = self.linear(self.values)
        return None if values is None or len(values) < 2 else variance(values)


def ratio(measures: list[Measure]) -> Fraction | None:
    """Σ numerators / Σ denominators; None over 0."""
    below = sum(x for _, x in measures)
    return sum(y for y, _ in measures) / Fraction(below) if below else None


def experiment_results(world: World) -> list[Row]:
    """`engagement.experiment_results`."""
    if world.as_of is None:
        return []
    measures = Measures(world)
    rows: list[Row] = []
    for exp in experiments(world):
        found: list[Row] = []
        names = ("revenue",) if exp.unit == "group" else ("ctr", "reads", "retained_d7", "revenue")
        for metric in names:
            arms = {
                variant: arm
                for variant, units in exp.arms.items()
                if (arm := _arm(measures, exp, metric, units)).values
            }
            for variant, arm in arms.items():
                control = None if variant == exp.control else arms.get(exp.control or "")
                found.append(
                    {
                        "source": exp.source,
                        "experiment_id": exp.state["experiment_id"],
                        "metric": metric,
                        "variant": variant,
                        "units": len(arm.values),
                        "mean": _float(arm.mean),
                        "variance": _float(arm.variance),
                    }
                    | _comparison(world, metric, arm, control)
                    | _per_member(world, exp, variant, measures)
                )
        rows += _adjusted(found)
    return rows


def _arm(measures: Measures, exp: Experiment, metric: str, units: list[Exposed]) -> Arm:
    pre = timedelta(days=measures.world.parameters.experiment_pre_days)
    of: dict[str, Callable[[Experiment, Unit, datetime, datetime], Measure]] = {
        "ctr": measures.ctr,
        "reads": measures.read,
        "retained_d7": measures.active_dates,
        "revenue": measures.revenue,
    }
    values, before = [], []
    for unit in units:
        if metric == "retained_d7":
            value = measures.retained(exp, unit)
            if value is None:
                continue
        else:
            value = of[metric](exp, unit.unit, unit.at, exp.until)
        values.append(value)
        before.append(of[metric](exp, unit.unit, unit.at - pre, unit.at))
    return Arm(values, before)


_COMPARED = (
    *("control_mean", "difference", "std_error", "ci_low", "ci_high", "p_value"),
    *("difference_cuped", "std_error_cuped", "sequential_low", "sequential_high"),
)


def _comparison(world: World, metric: str, arm: Arm, control: Arm | None) -> Row:
    row: Row = dict.fromkeys(_COMPARED)
    if control is None:
        return row
    row["control_mean"] = _float(control.mean)
    if arm.mean is None or control.mean is None:
        return row
    row["difference"] = float(arm.mean - control.mean)
    if arm.variance is None or control.variance is None:
        return row
    error = _error((arm.variance, len(arm.values)), (control.variance, len(control.values)))
    row["std_error"] = error
    if error > 0:
        row |= _interval(metric, arm, control, row["difference"], error)
        reach = error * _sequential_reach(world, len(arm.values) + len(control.values))
        row["sequential_low"] = row["difference"] - reach
        row["sequential_high"] = row["difference"] + reach
    return row | _cuped(arm, control, row["difference"], error)


def _interval(metric: str, arm: Arm, control: Arm, difference: float, error: float) -> Row:
    if metric == "ctr":
        reach = stats.norm.ppf(1 - ALPHA / 2) * error
        p_value = 2 * stats.norm.sf(abs(difference) / error)
        return {
            "ci_low": difference - reach,
            "ci_high": difference + reach,
            "p_value": float(p_value),
        }
    test = stats.ttest_ind(
        [float(y) for y, _ in arm.values],
        [float(y) for y, _ in control.values],
        equal_var=False,
    )
    low, high = test.confidence_interval(1 - ALPHA)
    return {"ci_low": float(low), "ci_high": float(high), "p_value": float(test.pvalue)}


def _cuped(arm: Arm, control: Arm, difference: float, error: float) -> Row:
    """Δ − θ·Δ of the covariate, θ pooled within the two arms."""
    plain = {"difference_cuped": difference, "std_error_cuped": error}
    pairs = []
    for one in (arm, control):
        after, before = one.linear(one.values), one.linear(one.before)
        if after is None or before is None:
            return plain
        pairs.append((_centred(after), _centred(before)))
    within = sum(x * x for _, before in pairs for x in before)
    if not within:
        return plain
    theta = sum(y * x for after, before in pairs for y, x in zip(after, before, strict=True))
    theta /= within
    left = [
        variance([y - theta * x for y, x in zip(after, before, strict=True)])
        for after, before in pairs
    ]
    before_difference = (ratio(arm.before) or 0) - (ratio(control.before) or 0)
    return {
        "difference_cuped": difference - float(theta * before_difference),
        "std_error_cuped": _error((left[0], len(arm.values)), (left[1], len(control.values))),
    }


def _centred(values: list[Fraction]) -> list[Fraction]:
    mean = sum(values) / Fraction(len(values))
    return [value - mean for value in values]


def _sequential_reach(world: World, units: int) -> float:
    """How many standard errors the always-valid interval reaches; ρ is best at the set units."""
    best = -2 * log(ALPHA) + log(1 - 2 * log(ALPHA))
    scaled = units * best / world.parameters.experiment_sequential_units
    return sqrt((scaled + 1) / scaled * log((scaled + 1) / ALPHA**2))


def _per_member(world: World, exp: Experiment, variant: str, measures: Measures) -> Row:
    """Difference of revenue per member at first exposure."""
    row: Row = {"difference_per_member": None, "std_error_per_member": None}
    if exp.unit != "group" or variant == exp.control or exp.control not in exp.arms:
        return row
    arms = []
    for name in (variant, exp.control):
        values = []
        for unit in exp.arms[name]:
            earned, _ = measures.revenue(exp, unit.unit, unit.at, exp.until)
            values.append((earned, Fraction(len(members_at(world, unit)))))
        arms.append(Arm(values, []))
    arm, control = arms
    if arm.mean is None or control.mean is None:
        return row
    row["difference_per_member"] = float(arm.mean - control.mean)
    if arm.variance is not None and control.variance is not None:
        row["std_error_per_member"] = _error(
            (arm.variance, len(arm.values)), (control.variance, len(control.values))
        )
    return row


def stays(world: World, key: tuple[str, str]) -> list[tuple[Person, datetime, datetime | None]]:
    """Each person's spans in a group: from, and to where it ended."""
    open_since: dict[Person, datetime] = {}
    found: list[tuple[Person, datetime, datetime | None]] = []
    for at, person, action in sorted(changes(world, key), key=lambda change: change[0]):
        if action == "leave":
            found.append((person, open_since.pop(person), at))
        else:
            open_since[person] = at
    return found + [(person, since, None) for person, since in open_since.items()]


def members_at(world: World, unit: Exposed) -> set[Person]:
    """Members of an exposed group at its first exposure."""
    assert isinstance(unit.unit, tuple)
    return {
        person
        for person, since, to in stays(world, unit.unit)
        if since <= unit.at and (to is None or unit.at < to)
    }


def _adjusted(rows: list[Row]) -> list[Row]:
    """Holm's and Benjamini and Hochberg's p-values over the rows of an experiment."""
    known = sorted((row for row in rows if row["p_value"] is not None), key=lambda r: r["p_value"])
    total, running = len(known), 0.0
    for row in rows:
        row["p_holm"] = row["p_bh"] = None
    for rank, row in enumerate(known):
        running = max(running, min(1.0, (total - rank) * row["p_value"]))
        row["p_holm"] = running
    running = 1.0
    for rank, row in reversed(list(enumerate(known, start=1))):
        running = min(running, row["p_value"] * total / rank)
        row["p_bh"] = running
    return rows


def experiment_health(world: World) -> list[Row]:
    """`engagement.experiment_health`."""
    if world.as_of is None:
        return []
    limits = world.parameters
    rows = []
    for exp in experiments(world):
        if not exp.exposures:
            continue
        reached = _reached(world, exp)
        units = len(exp.exposed)
        multi = sum(len(unit.firsts) > 1 for unit in exp.exposed)
        mixed = sum(len(variants) > 1 for variants in reached.values())
        srm_p = _srm_p(exp)
        rows.append(
            {
                "source": exp.source,
                "experiment_id": exp.state["experiment_id"],
                "srm_p": srm_p,
                "units": units,
                "multi_exposed": multi,
                "reached": len(reached),
                "contaminated": mixed,
                "late_exposures": sum(e["occurred_at"] >= exp.until for e in exp.exposures),
                "undeclared_units": sum(u.variant not in exp.weights for u in exp.exposed),
                "is_valid": srm_p is not None
                and srm_p >= limits.experiment_srm_min_p
                and multi * 10_000 <= limits.experiment_max_multi_exposed_bps * units
                and mixed * 10_000 <= limits.experiment_max_contaminated_bps * len(reached),
            }
        )
    return rows


def _srm_p(exp: Experiment) -> float | None:
    weights = {variant: weight for variant, weight in exp.weights.items() if weight > 0}
    seen = [len(exp.arms.get(variant, [])) for variant in weights]
    if len(weights) < 2 or not sum(seen):
        return None
    whole = sum(weights.values())
    wanted = [float(weight / whole * sum(seen)) for weight in weights.values()]
    return float(stats.chisquare(seen, wanted).pvalue)


def _reached(world: World, exp: Experiment) -> dict[Person, set[str]]:
    """Person → the variants that reached them in a group, after its exposure and before the end."""
    found: dict[Person, set[str]] = {}
    if exp.unit != "group":
        return found
    for unit in exp.exposed:
        assert isinstance(unit.unit, tuple)
        for person, since, to in stays(world, unit.unit):
            for variant, first in unit.firsts.items():
                if since < exp.until and (to is None or first < to):
                    found.setdefault(person, set()).add(variant)
    return found


def _error(*arms: tuple[Fraction, int]) -> float:
    return sqrt(sum(spread / size for spread, size in arms))


def _float(value: Fraction | None) -> float | None:
    return None if value is None else float(value)
