"""The difference of two arms and its error, from each arm's moments.

Every metric is a ratio y / x over an arm's units; a mean is the ratio whose x is 1 for every unit.
One formula then serves both: linearised, a ratio is the mean of (y − R·x) / x̄ (delta method). All
functions take arrays of any one shape, a value per comparison, and give NaN where nothing is
defined: fewer than two units, or a denominator of 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]

VARIABLES: Final = ("y", "x", "u", "w")
"""Numerator, denominator, and numerator and denominator of the covariate."""
PRODUCTS: Final = tuple(
    one + other for place, one in enumerate(VARIABLES) for other in VARIABLES[place:]
)
CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class Moments:
    """Moments of the four `VARIABLES` over the units of an arm.

    Shapes: `units` (…), `means` (…, 4), `covariances` (…, 4, 4) with n − 1 in the denominator.
    """

    units: Floats
    means: Floats
    covariances: Floats

    @classmethod
    def from_values(
        cls,
        y: ArrayLike,
        x: ArrayLike = 1.0,
        u: ArrayLike = 0.0,
        w: ArrayLike = 1.0,
    ) -> Moments:
        """Moments of values whose last axis runs over the units; the others are comparisons."""
        values = np.stack(np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (y, x, u, w))))
        units = values.shape[-1]
        means = values.mean(axis=-1)
        centred = values - means[..., np.newaxis]
        covariances = np.einsum("a...n,b...n->...ab", centred, centred) / max(units - 1, 1)
        if units < 2:
            covariances[:] = np.nan
        return cls(np.full(means.shape[1:], float(units)), np.moveaxis(means, 0, -1), covariances)


@dataclass(frozen=True)
class Arm:
    """An arm's metric: units, ratio or mean, variance of its linearised values.

    With the same of its covariate, and the covariance of the two. All of one shape.
    """

    units: Floats
    mean: Floats
    variance: Floats
    covariate_mean: Floats
    covariate_variance: Floats
    covariance: Floats


def linearise(moments: Moments) -> Arm:
    """An arm's ratio R = ȳ / x̄ and the moments of its linearised values z = (y − R·x) / x̄.

    R has the error of a mean of z: Var(R) ≈ Var(z) / n (Deng, Knoblich & Lu 2018, "Applying the
    Delta Method in Metric Analytics", KDD, §3.1). With x = 1, z is y − ȳ and nothing is
    approximate. A covariate whose denominator is 0 over the whole arm is taken as constant.
    """
    mean_y, mean_x, mean_u, mean_w = np.moveaxis(moments.means, -1, 0)
    ratio = _divided(mean_y, mean_x)
    covered = np.where(mean_w == 0, 0.0, 1.0)
    covariate = np.where(mean_w == 0, 0.0, _divided(mean_u, mean_w))
    zero = np.zeros_like(ratio)
    scale, covariate_scale = (
        _divided(1.0, mean_x),
        np.where(mean_w == 0, 0.0, _divided(1.0, mean_w)),
    )
    metric_weights = np.stack([scale, -ratio * scale, zero, zero], axis=-1)
    covariate_weights = np.stack(
        [zero, zero, covariate_scale, -covariate * covariate_scale], axis=-1
    )
    return Arm(
        units=moments.units,
        mean=ratio,
        variance=_form(metric_weights, moments.covariances, metric_weights).clip(min=0.0),
        covariate_mean=covariate * covered,
        covariate_variance=_form(covariate_weights, moments.covariances, covariate_weights).clip(
            min=0.0
        ),
        covariance=_form(metric_weights, moments.covariances, covariate_weights),
    )


def arm_of_sums(units: int, sums: Mapping[str, int]) -> Arm:
    """As `linearise` of one arm, from exact sums and in exact fractions, each figure rounded once.

    So what did not vary has variance 0 to the last digit, and gets no p-value from noise. `sums`
    has a whole number for each of `VARIABLES` (`y` is Σy) and of `PRODUCTS` (`yx` is Σy·x). Raises
    ZeroDivisionError when there are no units.
    """
    ratio, metric = _linear_form(units, sums["y"], sums["x"])
    covariate, before = _linear_form(units, sums["u"], sums["w"])
    if covariate is None:
        covariate, before = Fraction(0), (Fraction(0), Fraction(0))

    def form(left: str, right: str, over: _Weights | None, under: _Weights | None) -> float:
        if units < 2 or over is None or under is None:
            return math.nan
        found = sum(
            weight * other * _covariance(units, sums, one, another)
            for one, weight in zip(left, over, strict=True)
            for another, other in zip(right, under, strict=True)
        )
        return float(found)

    figures = (
        math.nan if ratio is None else float(ratio),
        form("yx", "yx", metric, metric),
        float(covariate),
        form("uw", "uw", before, before),
        form("yx", "uw", metric, before),
    )
    return Arm(*(np.asarray(figure, np.float64) for figure in (units, *figures)))


_Weights = tuple[Fraction, Fraction]


def _linear_form(units: int, above: int, below: int) -> tuple[Fraction | None, _Weights | None]:
    """A ratio of sums, and the weights of its two variables in (y − R·x) / x̄; None over 0."""
    if below == 0:
        return None, None
    ratio, scale = Fraction(above, below), Fraction(units, below)
    return ratio, (scale, -ratio * scale)


def _covariance(units: int, sums: Mapping[str, int], one: str, other: str) -> Fraction:
    product = sums[one + other] if one + other in sums else sums[other + one]
    return Fraction(units * product - sums[one] * sums[other], units * (units - 1))


def cluster_arm(totals: ArrayLike, sizes: ArrayLike) -> Arm:
    """The mean over the members of whole clusters, with an error that is right for clusters.

    `totals` and `sizes` are the sums of a cluster's members and their number; the last axis runs
    over the clusters, which are the arm's units. It is the ratio Σ totals / Σ sizes, whose
    linearised values are the clusters' summed residuals: the cluster-robust variance of Liang &
    Zeger (1986), with G / (G − 1) an arm (Cameron & Miller 2015, "A Practitioner's Guide to
    Cluster-Robust Inference", §II.B).
    """
    return linearise(Moments.from_values(totals, sizes))


@dataclass(frozen=True)
class Comparison:
    """Treatment less control, with a 95 % interval and a two-sided p-value; all of one shape.

    Interval and p-value are NaN where the error is 0: nothing varied, so nothing is estimated.
    """

    difference: Floats
    std_error: Floats
    degrees: Floats
    low: Floats
    high: Floats
    p_value: Floats


def compare_means(control: Arm, treatment: Arm) -> Comparison:
    """Welch's t: variances may differ, degrees of freedom after Welch–Satterthwaite.

    B. L. Welch (1947), "The generalization of 'Student's' problem when several different
    population variances are involved", Biometrika 34.
    """
    first, second = treatment.variance / treatment.units, control.variance / control.units
    degrees = _divided(
        (first + second) ** 2,
        _divided(first**2, treatment.units - 1) + _divided(second**2, control.units - 1),
    )
    return _compare(control, treatment, degrees)


def compare_ratios(control: Arm, treatment: Arm) -> Comparison:
    """The difference of two ratios: z on the linearised values."""
    degrees = np.full(np.shape(control.units + treatment.units), np.inf)
    return _compare(control, treatment, degrees)


def adjust(control: Arm, treatment: Arm) -> tuple[Floats, Floats]:
    """Difference and error after CUPED, of one shape.

    What the covariate foretold is taken off: Δ − θ·Δ_covariate with θ = cov / var pooled within
    the arms (Deng, Xu, Kohavi & Walker 2013, "Improving the Sensitivity of Online Controlled
    Experiments by Utilizing Pre-Experiment Data", WSDM, §3.2). The covariate is from before
    exposure, so it cannot bias the difference. Without variation in it, θ is 0.
    """
    first, second = treatment.units - 1, control.units - 1
    spread = first * treatment.covariate_variance + second * control.covariate_variance
    shared = first * treatment.covariance + second * control.covariance
    theta = np.where(spread == 0, 0.0, _divided(shared, spread))
    difference = (treatment.mean - control.mean) - theta * (
        treatment.covariate_mean - control.covariate_mean
    )
    variance = sum(
        (arm.variance - 2 * theta * arm.covariance + theta**2 * arm.covariate_variance).clip(min=0)
        / arm.units
        for arm in (treatment, control)
    )
    return difference, np.sqrt(variance)


def _compare(control: Arm, treatment: Arm, degrees: Floats) -> Comparison:
    difference = treatment.mean - control.mean
    std_error = np.sqrt(treatment.variance / treatment.units + control.variance / control.units)
    known = np.where(std_error > 0, std_error, np.nan)
    margin = stats.t.ppf((1 + CONFIDENCE) / 2, degrees) * known
    return Comparison(
        difference=difference,
        std_error=std_error,
        degrees=degrees,
        low=difference - margin,
        high=difference + margin,
        p_value=2 * stats.t.sf(np.abs(difference) / known, degrees),
    )


def _divided(numerator: Any, denominator: Any) -> Floats:
    """The quotient, NaN where the denominator is 0."""
    divisor = np.where(np.asarray(denominator) == 0, np.nan, denominator)
    quotient: Floats = np.asarray(numerator, np.float64) / divisor
    return quotient


def _form(left: Floats, matrix: Floats, right: Floats) -> Floats:
    """The bilinear form left' · matrix · right of the last axes."""
    form: Floats = np.einsum("...a,...ab,...b->...", left, matrix, right)
    return form
