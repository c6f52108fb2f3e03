"""Intervals that hold at every look at a running experiment, however often one looks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def always_valid_margin(
    std_error: ArrayLike, units: ArrayLike, tightest_units: int, confidence: float = 0.95
) -> Floats:
    """Half the width of an interval that is valid at all numbers of units at once.

    The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024),
    "Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics
    52(6), eq. (1): Robbins' normal mixture, which the always-valid p-values of Johari, Koomen,
    Pekelis & Walsh (2022, Operations Research 70(3)) are the dual of:

        sqrt( (t·ρ² + 1) / (t·ρ²) · ln((t·ρ² + 1) / α²) ) · std_error

    `units` is t, those of both arms together. The interval is about the tightest, relative to a
    fixed one, at `tightest_units`, which must be chosen before the data are seen. Shapes broadcast;
    NaN where no error is known. Raises ValueError when `tightest_units` is less than 1 or
    `confidence` not within (0, 1).
    """
    if tightest_units < 1 or not 0 < confidence < 1:
        raise ValueError("tightest_units is at least 1, and confidence lies within (0, 1)")
    alpha = 1 - confidence
    boundary = -2 * math.log(alpha)
    information = np.asarray(units) * (boundary + math.log(boundary + 1)) / tightest_units
    factor = np.sqrt((information + 1) / information * np.log((information + 1) / alpha**2))
    margin: Floats = factor * np.where(np.asarray(std_error) > 0, std_error, np.nan)
    return margin
