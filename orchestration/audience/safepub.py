"""δ of sampling with k-suppression: Li, Qardaji, Su (2012); SafePub (Bild et al., PoPETs 2018)."""

from __future__ import annotations

import math


def max_beta(epsilon: float) -> float:
    """The greatest sampling rate for which the theorem holds: 1 − e^−ε."""
    return -math.expm1(-epsilon)


def delta(k: int, epsilon: float, beta: float) -> float:
    """δ such that Poisson sampling at rate β, fixed recoding and k-suppression are (ε, δ)-DP.

    With γ = (e^ε − 1 + β) / e^ε it is the greatest P[Bin(n, β) > γ n] over n ≥ ⌈k/γ − 1⌉
    (SafePub, theorem 5; the unit is one person added or removed). The tail falls below
    e^(−n·KL(γ‖β)), so the search ends where that bound is under the greatest found.
    Raises ValueError for β above `max_beta` or outside (0, 1), ε ≤ 0 or k < 1.
    """
    import numpy as np
    from scipy.stats import binom

    if epsilon <= 0 or k < 1 or not 0 < beta < 1 or beta > max_beta(epsilon):
        raise ValueError("needs ε > 0, k ≥ 1 and 0 < β ≤ 1 − e^−ε")
    gamma = (math.expm1(epsilon) + beta) / math.exp(epsilon)
    divergence = gamma * math.log(gamma / beta)
    if gamma < 1:
        divergence += (1 - gamma) * math.log((1 - gamma) / (1 - beta))
    start = max(math.ceil(k / gamma - 1), 0)
    greatest, block = 0.0, 4096
    while True:
        counts = np.arange(start, start + block)
        tails = binom.sf(np.floor(gamma * counts), counts, beta)
        greatest = max(greatest, float(tails.max()))
        start += block
        if greatest >= math.exp(-start * divergence) or -start * divergence < -700:
            return greatest
