"""Maximum likelihood for models with a few positive parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats: TypeAlias = NDArray[np.float64]
Objective: TypeAlias = Callable[[Floats], tuple[float, Floats]]

BOUND = 11.0
SAMPLE = 4096
"""Rows that tell the starts apart; with more, one climb over all of them follows."""
_GRADIENT = 1e-6


@dataclass(frozen=True)
class Maximum:
    """Where a likelihood is greatest.

    `is_at_bound` tells of a parameter that left for 0 or infinity: the likelihood has no maximum
    inside, as for buyers who never drop out, though its predictions still have a limit.
    """

    parameters: tuple[float, ...]
    mean_log_likelihood: float
    has_converged: bool
    is_at_bound: bool


def maximise(objective: Objective, starts: Sequence[Sequence[float]]) -> Maximum:
    """The greatest mean log-likelihood over positive parameters within e^±11.

    `objective` takes the k parameters and gives the mean log-likelihood of an observation and its
    gradient, shape (k,). Every start is climbed by L-BFGS-B on the parameters' logarithms; Newton's
    steps then take the best one to where arithmetic ends, so that the result does not depend on
    where the climb stopped. Deterministic.
    """

    def descent(logs: Floats) -> tuple[float, Floats]:
        values = np.exp(logs)
        height, slope = objective(values)
        if not (np.isfinite(height) and np.isfinite(slope).all()):
            return 1e300, np.zeros_like(logs)
        return -height, -slope * values

    bounds = [(-BOUND, BOUND)] * len(starts[0])
    options = {"ftol": 1e-13, "gtol": 1e-8, "maxiter": 500}
    # Other methods of SciPy's stop in the middle of flat ridges.
    climbs = [
        minimize(
            descent, np.log(start), method="L-BFGS-B", jac=True, bounds=bounds, options=options
        )
        for start in starts
    ]
    best = min(climbs, key=lambda climb: float(climb.fun))
    # Towards a bound the likelihood hardly changes: what came near it is put on it.
    at_bound = np.abs(best.x) > BOUND - 0.1
    logs = np.where(at_bound, np.copysign(BOUND, best.x), best.x)
    logs = _polished(descent, logs, np.flatnonzero(~at_bound))
    depth, slope = descent(logs)
    # A slope that leads out of the bounds is as good as none.
    inner = np.where(at_bound & (slope * logs < 0), 0.0, slope)
    return Maximum(
        parameters=tuple(float(value) for value in np.exp(logs)),
        mean_log_likelihood=-depth,
        has_converged=depth < 1e299 and bool(np.abs(inner).max() < _GRADIENT),
        is_at_bound=bool(at_bound.any()),
    )


def thin(count: int) -> slice | None:
    """The rows of `count` sorted ones to try all starts on; None when they are few already."""
    return slice(None, None, -(-count // SAMPLE)) if count > SAMPLE else None


def _polished(descent: Objective, logs: Floats, free: NDArray[np.intp]) -> Floats:
    """Newton's steps of the free ones, the Hessian from differences, while the slope falls."""
    step = 1e-5
    slope = descent(logs)[1][free]
    for _ in range(8 if len(free) else 0):
        shifts = np.eye(len(logs))[free] * step
        hessian = np.array(
            [
                (descent(logs + shift)[1] - descent(logs - shift)[1])[free] / (2 * step)
                for shift in shifts
            ]
        )
        try:
            change = np.linalg.solve((hessian + hessian.T) / 2, slope)
        except np.linalg.LinAlgError:
            break
        trial = logs.copy()
        trial[free] -= change
        trial_slope = descent(trial)[1][free]
        inside = np.abs(trial).max() <= BOUND and np.abs(change).max() <= 1
        if not (inside and np.abs(trial_slope).max() < np.abs(slope).max()):
            break
        logs, slope = trial, trial_slope
    return logs
