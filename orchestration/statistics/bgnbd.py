"""BG/NBD: how often buyers come back, and whether they still will.

Fader, Hardie, Lee (2005), "Counting your customers" the easy way, Marketing Science 24(2). While
alive, a buyer repeats at a rate λ ~ Gamma(r, α); after each repeat purchase he is lost with
probability p ~ Beta(a, b). Any unit of time will do; α, the t's and the horizon share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.special import digamma, expit, gammaln

from orchestration.statistics.likelihood import Floats, Maximum, maximise, thin

_NODES = 64


@dataclass(frozen=True)
class BgNbd:
    """The model's parameters; α is in the unit of time of the histories it was fitted to."""

    r: float
    alpha: float
    a: float
    b: float


@dataclass(frozen=True)
class Histories:
    """Buyers grouped by equal history; all of shape (n,).

    `x` repeat purchases, the last of them `t_x` after the first purchase of all, `t` from that to
    the end of observation, `weight` buyers with this history. 0 ≤ t_x ≤ t; t_x = 0 where x = 0.
    """

    x: Floats
    t_x: Floats
    t: Floats
    weight: Floats


def fit(histories: Histories) -> tuple[BgNbd, Maximum]:
    """The parameters of the greatest likelihood. Raises ValueError without a buyer."""
    buyers = float(histories.weight.sum())
    if not buyers > 0:
        raise ValueError("no buyer to fit BG/NBD to")
    length = max(float((histories.t * histories.weight).sum()) / buyers, 1e-3)
    starts: list[Sequence[float]] = [
        (1.0, length, 1.0, 1.0),
        (0.25, length / 8, 0.8, 2.5),
        (2.0, length, 0.1, 10.0),
        (0.5, length / 2, 3.0, 3.0),
    ]
    if rows := thin(len(histories.x)):
        some = Histories(
            histories.x[rows], histories.t_x[rows], histories.t[rows], histories.weight[rows]
        )
        starts = [maximise(_Likelihood(some), starts).parameters, starts[0]]
    found = maximise(_Likelihood(histories), starts)
    return BgNbd(*found.parameters), found


def log_likelihood(model: BgNbd, histories: Histories) -> Floats:
    """The log-likelihood of one buyer of each history, shape (n,); the paper's equation (6)."""
    likelihood = _Likelihood(histories)
    return likelihood.of_counts(model)[likelihood.place] + likelihood.of_times(model)[0]


def p_alive(model: BgNbd, histories: Histories) -> Floats:
    """Probability that a buyer is not lost at the end of observation, shape (n,).

    Fader, Hardie (2008), "Computing P(alive) using the BG/NBD model". It is 1 where x = 0, since
    the model lets nobody leave before the first repeat.
    """
    x = histories.x
    repeats = np.maximum(x, 1.0)
    odds = (
        np.log(model.a)
        - np.log(model.b + repeats - 1)
        + (model.r + x) * np.log((model.alpha + histories.t) / (model.alpha + histories.t_x))
    )
    return np.where(x > 0, expit(-odds), 1.0)


def expected_purchases(model: BgNbd, histories: Histories, horizon: float) -> Floats:
    """Expected repeat purchases in (t, t + horizon], shape (n,); the paper's equation (10).

    Of who is alive with p known it is (1 − (1 + p·horizon/(α + t))^−(r + x)) / p, and p is
    Beta(a, b + x). Gauss's quadrature for that weight takes the mean: the paper's hypergeometric
    form is the same number, but has a pole at a = 1 and overflows for frequent buyers.
    """
    ratio = horizon / (model.alpha + histories.t)
    expected = np.empty_like(histories.x)
    for x in np.unique(histories.x):
        same = histories.x == x
        chances, weights = _beta_nodes(model.a, model.b + x)
        grown = np.log1p(np.outer(ratio[same], chances))
        expected[same] = (-np.expm1(-(model.r + x) * grown) / chances * weights).sum(axis=1)
    return expected * p_alive(model, histories)


def _beta_nodes(a: float, b: float) -> tuple[Floats, Floats]:
    """Nodes in (0, 1) and weights, summing to 1, of Gauss's quadrature for Beta(a, b).

    Golub, Welsch (1969) on Jacobi's recurrence; SciPy's own overflows for large parameters.
    """
    upper, lower = b - 1, a - 1
    k = np.arange(1.0, _NODES)
    total = 2 * k + upper + lower
    diagonal = np.concatenate(
        [
            [(lower - upper) / (lower + upper + 2)],
            (lower - upper) * (lower + upper) / (total * (total + 2)),
        ]
    )
    squares = 4 * k * (k + upper) * (k + lower) * (k + upper + lower) / (total**2 * (total + 1))
    squares[1:] /= total[1:] - 1
    # In the first square the factor a + b − 1 stands above and below the line, and may be 0.
    squares[0] = 4 * a * b / ((a + b) ** 2 * (a + b + 1))
    values, vectors = eigh_tridiagonal(diagonal, np.sqrt(squares))
    return np.maximum((1 + values) / 2, 1e-300), vectors[0] ** 2


class _Likelihood:
    """The mean log-likelihood and its gradient, with all that needs x alone worked out once a x."""

    def __init__(self, histories: Histories) -> None:
        self._histories = histories
        self._buyers = histories.weight.sum()
        self._counts, self.place = np.unique(histories.x, return_inverse=True)
        self._count_weight = np.bincount(self.place, weights=histories.weight)
        self._repeats = histories.x > 0

    def __call__(self, parameters: Floats) -> tuple[float, Floats]:
        model = BgNbd(*(float(value) for value in parameters))
        x, weight = self._counts, self._count_weight
        times, by_model = self.of_times(model)
        total = (weight * self.of_counts(model)).sum() + (self._histories.weight * times).sum()
        joint = digamma(model.a + model.b) - digamma(model.a + model.b + x)
        by_count = [
            digamma(model.r + x) - digamma(model.r) + np.log(model.alpha),
            np.full_like(x, model.r / model.alpha),
            joint,
            joint + digamma(model.b + x) - digamma(model.b),
        ]
        slope = [
            (weight * of_count).sum() + (self._histories.weight * of_time).sum()
            for of_count, of_time in zip(by_count, by_model, strict=True)
        ]
        return float(total / self._buyers), np.array(slope) / self._buyers

    def of_counts(self, model: BgNbd) -> Floats:
        """The logarithm of A1 · A2 for each distinct x: Γ(r+x)α^r / Γ(r) · B(a, b+x) / B(a, b)."""
        x = self._counts
        both = model.a + model.b
        gammas = gammaln(model.r + x) - gammaln(model.r) + model.r * np.log(model.alpha)
        betas = gammaln(both) - gammaln(both + x) + gammaln(model.b + x) - gammaln(model.b)
        return np.asarray(gammas + betas)

    def of_times(self, model: BgNbd) -> tuple[Floats, tuple[Floats, Floats, Floats, Floats]]:
        """The logarithm of A3 + A4 for each history and its derivatives by r, α, a and b."""
        known, repeats = self._histories, self._repeats
        to_end, to_last = np.log(model.alpha + known.t), np.log(model.alpha + known.t_x)
        power = model.r + known.x
        after = np.where(repeats, model.b + known.x - 1, 1.0)
        alive = -power * to_end
        lost = np.where(repeats, np.log(model.a) - np.log(after) - power * to_last, -np.inf)
        value = np.logaddexp(alive, lost)
        share = np.exp(lost - value)
        by_model = (
            -(1 - share) * to_end - share * to_last,
            -power * ((1 - share) / (model.alpha + known.t) + share / (model.alpha + known.t_x)),
            share / model.a,
            -share / after,
        )
        return value, by_model
