"""p-values of several comparisons that are read together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from statsmodels.stats.multitest import multipletests

Method = Literal["holm", "fdr_bh"]


def adjust_p_values(p_values: Sequence[float | None], method: Method) -> list[float | None]:
    """Adjusted p-values in the order given; an unknown one stays unknown and is no comparison.

    `holm` (Holm 1979) bounds the chance of any false positive, `fdr_bh` (Benjamini & Hochberg 1995)
    the share of false ones among the positives.
    """
    known = [value for value in p_values if value is not None]
    if not known:
        return [None] * len(p_values)
    adjusted = iter(multipletests(known, method=method)[1])
    return [None if value is None else float(next(adjusted)) for value in p_values]
