"""δ of rows packs, noise of counts packs, and the privacy-loss figures, against known values."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import binom

from orchestration.audience import counts
from orchestration.audience.interface import Guarantee, Measure, PackSpec
from orchestration.audience.ledger import Request, compose
from orchestration.audience.safepub import delta, max_beta

# ARX 3.9.2 returns one more (its loop ends after the step): `EDDifferentialPrivacy`.
LEAST_K = [
    (0.5, 1e-6, 63), (0.5, 1e-8, 87), (1.0, 1e-6, 74), (1.0, 1e-8, 104), (2.0, 1e-6, 131),
    (2.0, 1e-8, 182),
]  # fmt: skip
PRESETS = [
    (0.25, 0.05, 20, 6.8e-10), (0.5, 0.1, 20, 1.6e-9), (0.5, 0.2, 50, 5.0e-12),
    (1.0, 0.2, 20, 6.0e-9), (1.0, 0.3, 30, 5.7e-9), (1.0, 0.3, 50, 6.6e-14),
    (1.0, 0.5, 61, 7.1e-9), (2.0, 0.5, 50, 2.8e-12),
]  # fmt: skip
SPEC = PackSpec(
    "demand", "counts", "planning", ("a",), "community", 30, 30, (), (), (),
    Guarantee(0.2, 0.0), "", Path("demand.yml"), max_cells_per_person=4,
    measures=(Measure("reads", "reads", 0, 50),),
)  # fmt: skip


@pytest.mark.parametrize(("epsilon", "wanted", "k"), LEAST_K)
def test_least_k_agrees_with_arx(epsilon: float, wanted: float, k: int) -> None:
    beta = max_beta(epsilon)
    assert delta(k, epsilon, beta) <= wanted < delta(k - 1, epsilon, beta)


@pytest.mark.parametrize(("epsilon", "beta", "k", "reached"), PRESETS)
def test_delta_of_presets(epsilon: float, beta: float, k: int, reached: float) -> None:
    assert float(f"{delta(k, epsilon, beta):.1e}") == reached


def test_delta_is_the_greatest_tail_over_all_sizes() -> None:
    epsilon, beta, k = 1.0, 0.3, 20
    gamma = (math.e - 1 + beta) / math.e
    tails = [
        float(binom.sf(math.floor(gamma * n), n, beta))
        for n in range(math.ceil(k / gamma - 1), 20_000)
    ]
    assert delta(k, epsilon, beta) == max(tails)


@pytest.mark.parametrize("values", [(50, 1.0, 0.7), (50, 0.0, 0.3), (0, 1.0, 0.3), (50, 1.0, 0)])
def test_delta_refuses_what_the_theorem_does_not_cover(values: tuple[int, float, float]) -> None:
    with pytest.raises(ValueError, match="needs"):
        delta(*values)


def test_laplace_scales_follow_the_bound_on_a_person() -> None:
    plan = counts.plan_noise(SPEC)
    assert plan.scales == pytest.approx({"persons": 4 / 0.1, "reads": 4 * 50 / 0.1})
    assert plan.epsilon <= 0.2
    assert plan.delta == 0
    # P[|X| > a] of a discrete Laplace draw is below 0.05 at the accuracy, above it one before.
    scale, within = plan.scales["persons"], math.floor(plan.accuracy["persons"])
    tail = 2 * math.exp(-within / scale) / (1 + math.exp(-1 / scale))
    assert tail == pytest.approx(0.05, abs=0.002)


def test_a_threshold_spends_delta_alone() -> None:
    spec = replace(SPEC, keys="thresholded", guarantee=Guarantee(0.2, 1e-8))
    plan = counts.plan_noise(spec)
    assert plan.threshold is not None
    assert plan.delta <= 1e-8
    # Of m cells that one person alone is in, one passes with 4 · P[1 + X ≥ T].
    scale = plan.scales["persons"]
    tail = math.exp(-(plan.threshold - 1) / scale) / (1 + math.exp(-1 / scale))
    assert 4 * tail == pytest.approx(1e-8, rel=0.1)


def test_gaussian_noise_spends_no_more_than_it_says() -> None:
    spec = replace(SPEC, noise="gaussian", guarantee=Guarantee(0.2, 1e-8))
    plan = counts.plan_noise(spec)
    unit = plan.scales["persons"] / 2
    rho = 2 / (2 * unit**2)
    # The textbook conversion of zCDP is never below OpenDP's, which is tighter.
    assert rho + 2 * math.sqrt(rho * math.log(1e8)) >= 0.2
    assert plan.scales["reads"] == pytest.approx(unit * 50 * 2)


def noise(epsilon: float, params: str, many: int, delta: float = 0.0) -> list[Request]:
    one = Request("community", "p", "x", 1, "s", "i", "noise", params, epsilon, delta)
    return [one] * many


def test_weeks_of_noise_compose_as_losses() -> None:
    weekly = noise(0.1, '{"kind": "laplace", "scales": [10.0], "sensitivities": [1]}', 52)
    epsilon, spent = compose(weekly, 1e-6)
    assert epsilon == pytest.approx(3.19, abs=0.01)
    assert spent == 1e-6


def test_a_quarter_of_packs_fits_as_the_calendar_says() -> None:
    weekly = noise(0.1, '{"kind": "laplace", "scales": [10.0], "sensitivities": [1]}', 13)
    rows = replace(weekly[0], mechanism="rows", epsilon=1.0, delta=1e-8)
    assert compose([*weekly, rows], 1e-7)[0] == pytest.approx(2.3, abs=0.01)
    assert compose([rows] * 4, 1e-7) == pytest.approx((4.0, 4e-8))


def test_unknown_noise_is_never_cheaper_than_known() -> None:
    known = noise(0.1, '{"kind": "laplace", "scales": [10.0], "sensitivities": [1]}', 52)
    unknown = noise(0.1, '{"kind": "approx"}', 52)
    assert 3.19 < compose(unknown, 1e-6)[0] <= 5.2
    assert compose(known, 1e-6)[0] <= compose(unknown, 1e-6)[0]
