"""BG/NBD and Gamma-Gamma against integrals, closed forms, simulations and published figures."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import gammaln, hyp2f1

from orchestration.statistics import bgnbd, gamma_gamma
from orchestration.statistics.bgnbd import BgNbd, Histories
from orchestration.statistics.gamma_gamma import GammaGamma, Spending
from orchestration.statistics.likelihood import Floats

PUBLISHED = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)
SIMULATED = BgNbd(r=0.9, alpha=24.0, a=1.0, b=5.0)
CDNOW = "CDNOW_SUMMARY"
HISTORIES = [(0, 0.0, 10.0), (1, 3.0, 10.0), (2, 30.43, 38.86), (7, 9.0, 9.0), (12, 20.0, 90.0)]


def histories(*rows: tuple[float, float, float]) -> Histories:
    x, t_x, t = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    return Histories(x, t_x, t, np.ones(len(x)))


def spending(*rows: tuple[float, float]) -> Spending:
    x, total = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    return Spending(x, total, np.ones(len(x)))


def integrated(
    model: BgNbd, x: float, t_x: float, t: float, horizon: float
) -> tuple[float, float, float]:
    """Likelihood, P(alive) and expected purchases, summed over a grid of rates and dropouts.

    In ln λ and logit p the integrands are smooth and fall off on both sides, where the
    trapezoidal rule is as good as any.
    """
    log_rate = np.arange(-160, 9, 0.1)[:, None]
    logit = np.arange(-60, 60, 0.1)[None, :]
    rate, p, q = np.exp(log_rate), 1 / (1 + np.exp(-logit)), 1 / (1 + np.exp(logit))
    log_prior = (
        model.r * (np.log(model.alpha) + log_rate) - model.alpha * rate - gammaln(model.r)
    ) + (
        model.a * np.log(p)
        + model.b * np.log(q)
        + gammaln(model.a + model.b)
        - gammaln(model.a)
        - gammaln(model.b)
    )
    alive = np.exp(log_prior + x * (log_rate + np.log(q)) - rate * t)
    lost = np.zeros_like(alive)
    if x > 0:
        lost = np.exp(log_prior + x * log_rate + (x - 1) * np.log(q) + np.log(p) - rate * t_x)
    later = -np.expm1(-rate * p * horizon) / p
    total = (alive + lost).sum()
    return float(total * 0.01), float(alive.sum() / total), float((alive * later).sum() / total)


@pytest.mark.parametrize("history", HISTORIES, ids=str)
@pytest.mark.parametrize("model", [PUBLISHED, BgNbd(1.0, 20.0, 1.0, 1.0)], ids=str)
def test_formulas_equal_the_integrals_they_solve(
    model: BgNbd, history: tuple[float, float, float]
) -> None:
    likelihood, alive, later = integrated(model, *history, horizon=39)
    one = histories(history)
    assert np.exp(bgnbd.log_likelihood(model, one)) == pytest.approx(likelihood, rel=1e-9)
    assert bgnbd.p_alive(model, one) == pytest.approx(alive, rel=1e-9)
    assert bgnbd.expected_purchases(model, one, 39.0) == pytest.approx(later, rel=1e-9)


def test_the_published_expectation() -> None:
    """Fader, Hardie, Lee, "Implementing the BG/NBD model in Excel": 1.226 of customer 0001."""
    one = histories((2, 30.43, 38.86))
    assert bgnbd.expected_purchases(PUBLISHED, one, 39.0)[0] == pytest.approx(1.226, abs=5e-4)


@given(
    r=st.floats(0.05, 5),
    alpha=st.floats(0.5, 100),
    a=st.floats(0.05, 5).filter(lambda a: abs(a - 1) > 0.01),
    b=st.floats(0.05, 20),
    x=st.integers(0, 20),
    gap=st.integers(0, 300),
)
def test_expectation_equals_the_hypergeometric_form(
    r: float, alpha: float, a: float, b: float, x: int, gap: int
) -> None:
    # There the closed form is 0 × ∞.
    assume(abs(a + b + x - 1) > 0.01)
    model, t = BgNbd(r, alpha, a, b), float(x + gap)
    one = histories((x, float(x), t))
    z = 90 / (alpha + t + 90)
    # Equation (10) after Euler's transformation, which keeps its series short.
    rest = (1 - z) ** (a - 1) * hyp2f1(a + b - 1 - r, a - 1, a + b + x - 1, z)
    expected = (a + b + x - 1) / (a - 1) * (1 - rest) * bgnbd.p_alive(model, one)[0]
    found = bgnbd.expected_purchases(model, one, 90.0)[0]
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-12)


@given(
    logs=st.lists(st.floats(-10.9, 10.9), min_size=4, max_size=4),
    x=st.integers(0, 400),
    last=st.integers(0, 400),
    gap=st.integers(0, 2000),
)
def test_predictions_keep_their_bounds_whatever_the_parameters(
    logs: list[float], x: int, last: int, gap: int
) -> None:
    model = BgNbd(*(float(value) for value in np.exp(logs)))
    t_x = float(x + last) if x else 0.0
    one = histories((x, t_x, t_x + gap))
    alive = bgnbd.p_alive(model, one)[0]
    month, quarter = (bgnbd.expected_purchases(model, one, days)[0] for days in (30.0, 90.0))
    assert 0 <= alive <= 1
    assert 0 <= month <= quarter * (1 + 1e-9) < np.inf
    assert np.isfinite(bgnbd.log_likelihood(model, one)[0])


def simulated_buyers(n: int, days: int, later: int) -> tuple[Histories, Floats]:
    """Histories of `SIMULATED` buyers over `days`, and their purchases in the days after."""
    rng = np.random.default_rng(5)
    rate, dropout = rng.gamma(0.9, 1 / 24.0, n), rng.beta(1.0, 5.0, n)
    span = rng.integers(1, days + 1, n).astype(np.float64)
    x, t_x, after = np.zeros(n), np.zeros(n), np.zeros(n)
    now, alive = np.zeros(n), np.ones(n, dtype=bool)
    while alive.any():
        now = np.where(alive, now + rng.exponential(1 / rate), np.inf)
        inside = alive & (now <= span)
        x, t_x = x + inside, np.where(inside, now, t_x)
        after += alive & (now > span) & (now <= span + later)
        alive &= (now <= span + later) & (rng.random(n) > dropout)
    return Histories(x, t_x, span, np.ones(n)), after


def test_parameters_and_purchases_of_simulated_buyers_are_found_again() -> None:
    known, after = simulated_buyers(20_000, days=365, later=90)
    model, maximum = bgnbd.fit(known)
    assert maximum.has_converged
    assert not maximum.is_at_bound
    assert model.r == pytest.approx(SIMULATED.r, rel=0.05)
    assert model.alpha == pytest.approx(SIMULATED.alpha, rel=0.06)
    assert model.a / (model.a + model.b) == pytest.approx(1 / 6, rel=0.05)
    expected = bgnbd.expected_purchases(model, known, 90.0)
    order = np.argsort(expected, kind="stable")
    for tenth in np.array_split(order, 10)[3:]:
        assert expected[tenth].sum() == pytest.approx(after[tenth].sum(), rel=0.12)
    assert expected.sum() == pytest.approx(after.sum(), rel=0.03)


def test_grouped_histories_and_another_unit_of_time_give_the_same_fit() -> None:
    known, _ = simulated_buyers(1500, days=200, later=1)
    known = Histories(known.x, np.ceil(known.t_x), known.t, known.weight)
    rows, counts = np.unique(np.stack([known.x, known.t_x, known.t]), axis=1, return_counts=True)
    grouped, _ = bgnbd.fit(Histories(*rows, counts.astype(np.float64)))
    single, _ = bgnbd.fit(known)
    weekly, _ = bgnbd.fit(Histories(known.x, known.t_x / 7, known.t / 7, known.weight))
    for name in ("r", "a", "b"):
        assert getattr(grouped, name) == pytest.approx(getattr(single, name), rel=1e-6)
        assert getattr(weekly, name) == pytest.approx(getattr(single, name), rel=1e-6)
    assert weekly.alpha * 7 == pytest.approx(single.alpha, rel=1e-6)


def test_buyers_who_never_leave_are_fitted_at_the_bound_by_the_nbd() -> None:
    rng = np.random.default_rng(3)
    rate = rng.gamma(2.0, 1 / 20.0, 3000)
    x = rng.poisson(rate * 100).astype(np.float64)
    last = np.where(x > 0, 100 * rng.random(3000) ** (1 / np.maximum(x, 1)), 0.0)
    known = Histories(x, last, np.full(3000, 100.0), np.ones(3000))
    model, maximum = bgnbd.fit(known)
    assert maximum.has_converged
    assert maximum.is_at_bound
    mean = (model.r + x) / (model.alpha + 100) * 90
    assert bgnbd.expected_purchases(model, known, 90.0) == pytest.approx(mean, rel=0.02)


def test_nobody_cannot_be_fitted() -> None:
    nobody = np.zeros(0)
    with pytest.raises(ValueError, match="no buyer"):
        bgnbd.fit(Histories(nobody, nobody, nobody, nobody))
    with pytest.raises(ValueError, match="no buyer"):
        gamma_gamma.fit(Spending(nobody, nobody, nobody))


@pytest.mark.parametrize("x", [1.0, 4.0])
def test_the_density_of_mean_values_is_one(x: float) -> None:
    model = GammaGamma(6.25, 3.74, 15.44)
    log_mean = np.arange(-30, 30, 0.01)
    mean = np.exp(log_mean)
    many = Spending(np.full_like(mean, x), x * mean, np.ones_like(mean))
    density = np.exp(gamma_gamma.log_likelihood(model, many)) * mean * 0.01
    assert density.sum() == pytest.approx(1, rel=1e-9)
    assert (density * mean).sum() == pytest.approx(6.25 * 15.44 / 2.74, rel=1e-6)


def test_expected_values_by_hand() -> None:
    model = GammaGamma(2.0, 3.0, 100.0)
    found = gamma_gamma.expected_value(model, spending((0, 0), (2, 300), (1, 0)))
    assert found == pytest.approx([100.0, 2 * 400 / 6, 50.0])
    assert np.isnan(gamma_gamma.expected_value(GammaGamma(2.0, 1.0, 1.0), spending((1, 5)))).all()


def test_parameters_of_simulated_spending_are_found_again() -> None:
    rng = np.random.default_rng(8)
    x = rng.integers(1, 8, 20_000).astype(np.float64)
    total = rng.gamma(4.0 * x) / rng.gamma(3.5, 1 / 5600.0, 20_000)
    model, maximum = gamma_gamma.fit(Spending(x, total, np.ones(20_000)))
    assert maximum.has_converged
    assert not maximum.is_at_bound
    assert model.p == pytest.approx(4.0, rel=0.05)
    assert model.q == pytest.approx(3.5, rel=0.05)
    assert model.gamma == pytest.approx(5600, rel=0.08)


def test_equal_spending_is_at_the_bound_and_predicts_itself() -> None:
    same = Spending(np.array([1.0, 2.0]), np.array([900.0, 1800.0]), np.array([40.0, 30.0]))
    model, maximum = gamma_gamma.fit(same)
    assert maximum.is_at_bound
    assert gamma_gamma.expected_value(model, spending((0, 0), (3, 2700))) == pytest.approx(
        900, rel=1e-3
    )


def test_the_public_cdnow_sample_gives_the_published_parameters() -> None:
    path = os.environ.get(CDNOW)
    if not path:
        pytest.skip(
            f"{CDNOW} names no file: the sample is not ours to ship (docs/ltv.md says where it is)"
        )
    with Path(path).open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    x, t_x, t, mean = (
        np.array([float(row[name]) for row in rows]) for name in ("x", "t_x", "T", "zbar")
    )
    assert len(rows) == 2357
    model, maximum = bgnbd.fit(Histories(x, t_x, t, np.ones(len(x))))
    assert maximum.has_converged
    found = [round(value, 3) for value in (model.r, model.alpha, model.a, model.b)]
    assert found == [0.243, 4.414, 0.793, 2.426]
    assert maximum.mean_log_likelihood * len(x) == pytest.approx(-9582.4, abs=0.05)
    again = x > 0
    values, _ = gamma_gamma.fit(Spending(x[again], (x * mean)[again], np.ones(int(again.sum()))))
    # Published from unrounded means; the sample has them in whole cents.
    assert (values.p, values.q, values.gamma) == pytest.approx((6.25, 3.74, 15.44), abs=0.01)
