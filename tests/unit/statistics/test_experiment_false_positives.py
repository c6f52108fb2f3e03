"""2,000 simulated A/A tests: 5 % find something, within the binomial band, and naive errors do not.

Everything runs through the functions that the marts use; each array's first axis is the test.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from orchestration.statistics.comparisons import (
    Arm,
    Floats,
    Moments,
    adjust,
    cluster_arm,
    compare_means,
    compare_ratios,
    linearise,
)
from orchestration.statistics.sequential import always_valid_margin

TESTS, UNITS = 2_000, 150
LOW, HIGH = (int(bound) for bound in stats.binom.interval(0.99, TESTS, 0.05))


def rng() -> np.random.Generator:
    return np.random.default_rng(20260105)


def found(p_values: Floats) -> int:
    """Tests that find a difference at 5 %; every one must have a p-value."""
    assert p_values.shape == (TESTS,)
    assert not np.isnan(p_values).any()
    return int((p_values < 0.05).sum())


def arms(*columns: Floats) -> list[Arm]:
    """Both arms of every test; an A/A test splits like units in two."""
    halves = [[column[:, part::2] for column in columns] for part in (0, 1)]
    return [linearise(Moments.from_values(*half)) for half in halves]


def test_means_of_counts_of_flags_and_of_money() -> None:
    draw = rng()
    units = (TESTS, 2 * UNITS)
    values = {
        "reads": draw.negative_binomial(0.7, 0.2, units),
        "retained_d7": draw.random(units) < 0.2,
        "revenue": (draw.random(units) < 0.3) * draw.gamma(2.0, 4_000.0, units),
    }
    for name, column in values.items():
        p_values = compare_means(*arms(column.astype(float))).p_value
        assert LOW <= found(p_values) <= HIGH, name


def test_ratios_of_correlated_counts_and_their_cuped() -> None:
    draw = rng()
    taste = draw.beta(2, 15, (TESTS, 2 * UNITS))
    shown_before, shown = 1 + draw.negative_binomial(2, 0.1, (2, *taste.shape))
    clicked_before, clicked = draw.binomial(shown_before, taste), draw.binomial(shown, taste)
    both = arms(
        *(column.astype(float) for column in (clicked, shown, clicked_before, shown_before))
    )
    plain = compare_ratios(*both)
    assert LOW <= found(plain.p_value) <= HIGH
    difference, error = adjust(*both)
    assert LOW <= found(2 * stats.norm.sf(np.abs(difference) / error)) <= HIGH
    assert error.mean() < 0.95 * plain.std_error.mean()
    # As if every impression were a unit of its own, though those of a person share one taste.
    halves = [(clicked[:, part::2].sum(axis=1), shown[:, part::2].sum(axis=1)) for part in (0, 1)]
    rates = [clicks / impressions for clicks, impressions in halves]
    naive = np.sqrt(
        sum(
            rate * (1 - rate) / impressions
            for rate, (_, impressions) in zip(rates, halves, strict=True)
        )
    )
    assert found(2 * stats.norm.sf(np.abs(rates[1] - rates[0]) / naive)) > 2 * HIGH


@pytest.mark.parametrize("persons", [None, 200], ids=["apart", "overlapping"])
def test_groups_that_share_their_members(persons: int | None) -> None:
    """Groups are assigned; a person sits in one, or in three on average, and spends in each.

    The group is the unit, so totals and figures per member keep their 5 %. Taking each membership
    for a unit finds differences everywhere.
    """
    draw = rng()
    groups = 40
    sizes = draw.integers(6, 25, groups)
    if persons is None:
        member = np.arange(sizes.sum())
    else:
        member = np.concatenate([draw.choice(persons, size, replace=False) for size in sizes])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    spends = draw.gamma(0.5, 2.0, (TESTS, member.max() + 1))[:, member]
    spends += np.repeat(draw.normal(0, 0.6, (TESTS, groups)), sizes, axis=1)
    totals = np.add.reduceat(spends, starts, axis=1)
    squares = np.add.reduceat(spends**2, starts, axis=1)
    order = draw.permuted(np.tile(np.arange(groups), (TESTS, 1)), axis=1)
    halves = order[:, : groups // 2], order[:, groups // 2 :]

    taken = [np.take_along_axis(totals, half, axis=1) for half in halves]
    by_total = compare_means(*(linearise(Moments.from_values(each)) for each in taken))
    assert LOW <= found(by_total.p_value) <= HIGH
    members = [sizes[half] for half in halves]
    clustered = [cluster_arm(each, size) for each, size in zip(taken, members, strict=True)]
    per_member = compare_means(*clustered)
    assert LOW <= found(per_member.p_value) <= HIGH

    naive = []
    for half, each, size in zip(halves, taken, members, strict=True):
        count, total = size.sum(axis=1).astype(float), each.sum(axis=1)
        square = np.take_along_axis(squares, half, axis=1).sum(axis=1)
        variance = (square - total**2 / count) / (count - 1)
        zero = np.zeros(TESTS)
        naive.append(Arm(count, total / count, variance, zero, zero, zero))
    assert found(compare_means(*naive).p_value) > 2 * HIGH


def test_looking_twenty_times_keeps_five_per_cent() -> None:
    """An always-valid interval misses 0 at any of 20 looks in at most 5 % of the tests."""
    draw = rng()
    looks, step = 20, 50
    values = draw.exponential(1.0, (TESTS, 2, looks, step))
    sums = np.cumsum(values.sum(axis=3), axis=2)
    squares = np.cumsum((values**2).sum(axis=3), axis=2)
    units = np.broadcast_to(step * np.arange(1.0, looks + 1), sums[:, 0].shape)
    zero = np.zeros_like(units)
    control, treatment = (
        Arm(
            units,
            sums[:, part] / units,
            (squares[:, part] - sums[:, part] ** 2 / units) / (units - 1),
            *(zero, zero, zero),
        )
        for part in (0, 1)
    )
    fixed = compare_means(control, treatment)
    margin = always_valid_margin(fixed.std_error, 2 * units, 500)
    missed = (np.abs(fixed.difference) > margin).any(axis=1)
    assert 0 < missed.sum() <= HIGH
    assert missed.mean() <= 0.05
    assert (fixed.p_value < 0.05).any(axis=1).mean() > 0.2


def test_a_known_effect_is_found_and_lies_within_its_interval() -> None:
    draw = rng()
    control = linearise(Moments.from_values(draw.normal(10.0, 3.0, (TESTS, UNITS))))
    treatment = linearise(Moments.from_values(draw.normal(11.0, 4.0, (TESTS, UNITS))))
    result = compare_means(control, treatment)
    covered = int(((result.low <= 1.0) & (result.high >= 1.0)).sum())
    assert TESTS - HIGH <= covered <= TESTS - LOW
    power = 1 - stats.norm.cdf(1.96 - 1 / np.sqrt((9 + 16) / UNITS))
    assert (result.p_value < 0.05).mean() == pytest.approx(power, abs=0.05)
