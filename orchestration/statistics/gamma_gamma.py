"""Gamma-Gamma: what a buyer spends on a purchase, drawn towards what all buyers spend.

Fader, Hardie (2013), "The Gamma-Gamma model of monetary value". A buyer's purchases are
Gamma(p, ν) with ν ~ Gamma(q, γ), whatever their number. γ is in the unit of the values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, gammaln

from orchestration.statistics.likelihood import Floats, Maximum, maximise


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

    def mean(parameters: Floats) -> tuple[float, Floats]:
        model = GammaGamma(*(float(value) for value in parameters))
        slope = [(spending.weight * part).sum() for part in _gradient(model, scaled)]
        height = (spending.weight * log_likelihood(model, scaled)).sum()
        return float(height / buyers), np.array(slope) / buyers

    # In each start p·γ / (q − 1), the mean, is about 1.
    found = maximise(mean, [(1.0, 2.0, 1.0), (6.0, 4.0, 0.5), (2.0, 8.0, 3.5), (20.0, 3.0, 0.1)])
    p, q, gamma = found.parameters
    return GammaGamma(p, q, gamma * scale), found


def log_likelihood(model: GammaGamma, spending: Spending) -> Floats:
    """The log-density of one buyer's mean purchase, shape (n,); the note's equation (1a)."""
    x, total = spending.x, spending.total
    shape = model.p * x
    return np.asarray(
        gammaln(shape + model.q)
        - gammaln(shape)
        - gammaln(model.q)
        - model.q * np.log1p(total / model.gamma)
        - shape * np.log1p(model.gamma / total)
        - np.log(total / x)
    )


def expected_value(model: GammaGamma, spending: Spending) -> Floats:
    """Expected value of a purchase given the observed ones, shape (n,); the note's equation (5).

    Here x and total may be 0: the mean over all buyers. NaN where no mean exists (q ≤ 1).
    """
    if not model.has_mean:
        return np.full_like(spending.x, np.nan)
    return model.p * (model.gamma + spending.total) / (model.p * spending.x + model.q - 1)


def _gradient(model: GammaGamma, spending: Spending) -> tuple[Floats, Floats, Floats]:
    x, total = spending.x, spending.total
    shape = model.p * x
    joint = digamma(shape + model.q)
    return (
        x * (joint - digamma(shape) - np.log1p(model.gamma / total)),
        joint - digamma(model.q) - np.log1p(total / model.gamma),
        model.q / model.gamma - (shape + model.q) / (model.gamma + total),
    )
