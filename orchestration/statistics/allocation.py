"""Whether units came to the arms in the ratio that was asked for."""

from __future__ import annotations

from collections.abc import Sequence

from scipy import stats


def sample_ratio_p(units: Sequence[int], weights: Sequence[float]) -> float | None:
    """p-value of Pearson's chi-square of `units` an arm against `weights`, both in one order.

    Arms of weight 0 are left out, of the counts and of the degrees of freedom. None when fewer than
    two arms or no units are left: there is nothing to test. Raises ValueError when the lengths
    differ.
    """
    pairs = zip(units, weights, strict=True)
    kept = [(count, weight) for count, weight in pairs if weight > 0]
    total, weight_sum = sum(count for count, _ in kept), sum(weight for _, weight in kept)
    if len(kept) < 2 or total == 0:
        return None
    expected = [total * weight / weight_sum for _, weight in kept]
    return float(stats.chisquare([count for count, _ in kept], expected).pvalue)
