"""p-values of several comparisons that are read together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

Method = Literal["holm", "fdr_bh"]


def adjust_p_values(p_values: Sequence[float | None], method: Method) -> list[float | None]:
    """Adjusted p-values in the order given; an unknown one stays unknown and is no comparison.

    `holm` (Holm 1979) bounds the chance of any false positive, `fdr_bh` (Benjamini & Hochberg 1995)
    the share of false ones among the positives.
    """
    known = [value for value in p_values if value is not None]
    if not known:
        return [None] * len(p_values)
    values = np.asarray(known, dtype=float)
    adjusted = iter(_holm(values) if method == "holm" else false_discovery_control(values))
    return [None if value is None else float(next(adjusted)) for value in p_values]


def _holm(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down: the i-th smallest of m, from 0, times m - i, never below one before it.

    statsmodels has it too, but its import costs every build two seconds.
    """
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted
