"""What a new member costs in groups with a pack and in those held out, with 95 % intervals.

A cost is a ratio of two sums over groups, so its variance is that of the ratio estimator by the
delta method (Cochran 1977, Sampling Techniques, 6.4): n / (n − 1) · Σ (yᵢ − R xᵢ)² / (Σ xᵢ)².
The quantile is Student's with n − 1 degrees of freedom, Welch and Satterthwaite's for the
difference of two arms, because a pack seldom goes to many groups.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import pyarrow as pa
from scipy.special import stdtrit

CONFIDENCE: Final = 0.95
_KEYS: Final = ("source", "pack_id", "arm")
_FIGURES: Final = (
    "cac",
    "ci_low",
    "ci_high",
    "cac_difference",
    "difference_ci_low",
    "difference_ci_high",
)


@dataclass(frozen=True)
class Cost:
    """An arm's cost of a new member in minor units, with the variance of that estimate.

    Both are exact. `variance` is None with fewer than two groups.
    """

    groups: int
    cac: Fraction
    variance: Fraction | None


def acquisition_costs(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each arm's cost and, beside the pack's, its difference from the hold-out's.

    A row in is one of `int_pack_arms`: source, pack_id, arm (`pack`, `holdout`), groups,
    pack_spend_minor (of the arm as a whole, borne by its groups in equal parts),
    group_spend_minor, new_members, and over the arm's groups the sums of squares
    `spend_squares`, `member_squares` and of products `spend_members`. A row out has the key and
    floats in minor units per person, None where nothing is defined: no cost without new
    members, no interval with fewer than two groups.
    """
    arms = {tuple(row[name] for name in _KEYS): _cost(row) for row in rows}
    results = []
    for source, pack_id, arm in sorted(arms):
        own = arms[source, pack_id, arm]
        other = arms.get((source, pack_id, "holdout")) if arm == "pack" else None
        results.append(
            {"source": source, "pack_id": pack_id, "arm": arm}
            | dict(zip(_FIGURES, (*_interval(own), *_difference(own, other)), strict=True))
        )
    return results


def to_arrow(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows as a table: texts for the key, doubles for the figures."""
    schema = pa.schema(
        [(name, pa.string()) for name in _KEYS] + [(name, pa.float64()) for name in _FIGURES]
    )
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


def _cost(row: Mapping[str, Any]) -> Cost | None:
    groups, members = int(row["groups"]), int(row["new_members"])
    if groups == 0 or members == 0:
        return None
    spend = int(row["group_spend_minor"])
    share = Fraction(int(row["pack_spend_minor"]), groups)
    cac = (spend + share * groups) / members
    # With zᵢ = yᵢ + share, Σ (zᵢ − R xᵢ)² out of the sums of squares and products.
    squares = int(row["spend_squares"]) + 2 * share * spend + share * share * groups
    products = int(row["spend_members"]) + share * members
    residuals = squares - 2 * cac * products + cac * cac * int(row["member_squares"])
    if groups < 2:
        return Cost(groups, cac, None)
    return Cost(groups, cac, Fraction(groups, groups - 1) * residuals / members**2)


def _interval(cost: Cost | None) -> tuple[float | None, float | None, float | None]:
    if cost is None:
        return None, None, None
    if cost.variance is None:
        return float(cost.cac), None, None
    return _bounds(cost.cac, cost.variance, cost.groups - 1)


def _difference(
    pack: Cost | None, holdout: Cost | None
) -> tuple[float | None, float | None, float | None]:
    if pack is None or holdout is None:
        return None, None, None
    difference = pack.cac - holdout.cac
    if pack.variance is None or holdout.variance is None:
        return float(difference), None, None
    variance = pack.variance + holdout.variance
    if variance == 0:
        return float(difference), float(difference), float(difference)
    degrees = variance**2 / (
        pack.variance**2 / (pack.groups - 1) + holdout.variance**2 / (holdout.groups - 1)
    )
    return _bounds(difference, variance, float(degrees))


def _bounds(value: Fraction, variance: Fraction, degrees: float) -> tuple[float, float, float]:
    margin = float(stdtrit(degrees, (1 + CONFIDENCE) / 2)) * math.sqrt(variance)
    return float(value), float(value) - margin, float(value) + margin
