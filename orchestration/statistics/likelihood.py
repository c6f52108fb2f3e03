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
    climbs = [
        minimize(
            descent, np.log(start), method="L-BFGS-B", jac=True, bounds=bounds, options=options
        )
        for start in starts
    ]
    best = min(climbs, key=lambda climb: float(climb.fun))
    logs = _polished(descent, np.asarray(best.x, dtype=np.float64))
    depth, slope = descent(logs)
    at_bound = np.abs(logs) > BOUND - 1e-3
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


def _polished(descent: Objective, logs: Floats) -> Floats:
    """Newton's steps, the Hessian from differences of the gradient, while the slope falls."""
    step = 1e-5
    slope = descent(logs)[1]
    for _ in range(8):
        hessian = np.array(
            [
                (descent(logs + shift)[1] - descent(logs - shift)[1]) / (2 * step)
                for shift in np.eye(len(logs)) * step
            ]
        )
        try:
            trial = logs - np.linalg.solve((hessian + hessian.T) / 2, slope)
        except np.linalg.LinAlgError:
            break
        if np.abs(trial).max() > BOUND or np.abs(trial - logs).max() > 1:
            break
        trial_slope = descent(trial)[1]
        if not np.abs(trial_slope).max() < np.abs(slope).max():
            break
        logs, slope = trial, trial_slope
    return logs
