"""Gamma-Gamma: what a buyer spends on a purchase, drawn towards what all buyers spend.

Fader, Hardie (2013), "The Gamma-Gamma model of monetary value". A buyer's purchases are
Gamma(p, ν) with ν ~ Gamma(q, γ), whatever their number. γ is in the unit of the values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, gammaln

from orchestration.statistics.likelihood import Floats, Maximum, maximise, thin


@dataclass(frozen=True)
class GammaGamma:
    """The model's parameters."""

    p: float
    q: float
    gamma: float

    @property
    def has_mean(self) -> bool:
        """Whether the expected value of a buyer's purchases is finite: q > 1."""
        return self.q > 1


@dataclass(frozen=True)
class Spending:
    """Buyers grouped by equal spending; all of shape (n,).

    `x` ≥ 1 purchases worth `total` > 0 together, `weight` buyers who spent so.
    """

    x: Floats
    total: Floats
    weight: Floats


def fit(spending: Spending) -> tuple[GammaGamma, Maximum]:
    """The parameters of the greatest likelihood. Raises ValueError without a buyer."""
    buyers = float(spending.weight.sum())
    if not buyers > 0:
        raise ValueError("no buyer to fit Gamma-Gamma to")
    scale = float(np.average(spending.total / spending.x, weights=spending.weight))
    scaled = Spending(spending.x, spending.total / scale, spending.weight)
    # In each start p·γ / (q − 1), the mean, is about 1.
    starts: list[Sequence[float]] = [
        (1.0, 2.0, 1.0),
        (6.0, 4.0, 0.5),
        (2.0, 8.0, 3.5),
        (20.0, 3.0, 0.1),
    ]
    if rows := thin(len(scaled.x)):
        some = Spending(scaled.x[rows], scaled.total[rows], scaled.weight[rows])
        starts = [maximise(_Likelihood(some), starts).parameters, starts[0]]
    found = maximise(_Likelihood(scaled), starts)
    p, q, gamma = found.parameters
    return GammaGamma(p, q, gamma * scale), found


def log_likelihood(model: GammaGamma, spending: Spending) -> Floats:
    """The log-density of one buyer's mean purchase, shape (n,); the note's equation (1a)."""
    likelihood = _Likelihood(spending)
    return likelihood.of_counts(model)[likelihood.place] + likelihood.of_values(model)


def expected_value(model: GammaGamma, spending: Spending) -> Floats:
    """Expected value of a purchase given the observed ones, shape (n,); the note's equation (5).

    Here x and total may be 0: the mean over all buyers. NaN where no mean exists (q ≤ 1).
    """
    if not model.has_mean:
        return np.full_like(spending.x, np.nan)
    return model.p * (model.gamma + spending.total) / (model.p * spending.x + model.q - 1)


class _Likelihood:
    """The mean log-likelihood and its gradient, with all that needs x alone worked out once a x."""

    def __init__(self, spending: Spending) -> None:
        self._spending = spending
        self._buyers = spending.weight.sum()
        self._counts, self.place = np.unique(spending.x, return_inverse=True)
        self._count_weight = np.bincount(self.place, weights=spending.weight)
        self._log_mean = np.log(spending.total / spending.x)

    def __call__(self, parameters: Floats) -> tuple[float, Floats]:
        model = GammaGamma(*(float(value) for value in parameters))
        x, total, weight = self._spending.x, self._spending.total, self._spending.weight
        counts, count_weight = self._counts, self._count_weight
        height = (count_weight * self.of_counts(model)).sum()
        height += (weight * self.of_values(model)).sum()
        joint = digamma(model.p * counts + model.q)
        by_p = (count_weight * counts * (joint - digamma(model.p * counts))).sum()
        by_q = (count_weight * (joint - digamma(model.q))).sum()
        slope = [
            by_p - (weight * x * np.log1p(model.gamma / total)).sum(),
            by_q - (weight * np.log1p(total / model.gamma)).sum(),
            (weight * (model.q - (model.p * x + model.q) / (1 + total / model.gamma))).sum()
            / model.gamma,
        ]
        return float(height / self._buyers), np.array(slope) / self._buyers

    def of_counts(self, model: GammaGamma) -> Floats:
        """The logarithm of Γ(px + q) / (Γ(px) Γ(q)) for each distinct x."""
        shape = model.p * self._counts
        return np.asarray(gammaln(shape + model.q) - gammaln(shape) - gammaln(model.q))

    def of_values(self, model: GammaGamma) -> Floats:
        """The rest of the log-density for each row, shape (n,)."""
        x, total = self._spending.x, self._spending.total
        return np.asarray(
            -model.q * np.log1p(total / model.gamma)
            - model.p * x * np.log1p(model.gamma / total)
            - self._log_mean
        )
