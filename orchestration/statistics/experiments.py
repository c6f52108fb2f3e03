"""From sums per arm to the rows of the experiment marts: a few numbers in, a few out."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from orchestration.statistics.allocation import sample_ratio_p
from orchestration.statistics.comparisons import (
    PRODUCTS,
    VARIABLES,
    Arm,
    adjust,
    arm_of_sums,
    compare_means,
    compare_ratios,
)
from orchestration.statistics.multiplicity import adjust_p_values
from orchestration.statistics.sequential import always_valid_margin

Row = dict[str, Any]

RATIOS: Final = frozenset({"ctr"})
PER_MEMBER: Final = "revenue_per_member"
"""Not a row of its own: revenue over members, of groups, stands beside their `revenue`."""
_KEYS: Final = ("source", "experiment_id", "metric", "variant")
_FIGURES: Final = (
    "mean",
    "variance",
    "control_mean",
    "difference",
    "std_error",
    "ci_low",
    "ci_high",
    "p_value",
    "p_holm",
    "p_bh",
    "difference_cuped",
    "std_error_cuped",
    "sequential_low",
    "sequential_high",
    "difference_per_member",
    "std_error_per_member",
)


def compare_arms(rows: Iterable[Mapping[str, Any]], tightest_units: int) -> list[Row]:
    """Every arm's figures and, beside the control's, its difference from the control.

    A row in has source, experiment_id, metric, variant, is_control, units and the sums `sum_y` …
    `sum_ww` (None where too great to be known). A row out has the same key, units, and a float or
    None for each figure: None on the control's row for whatever compares, and wherever nothing is
    defined. `tightest_units` is that of `always_valid_margin`.
    """
    tests: dict[tuple[str, str], dict[str, dict[str, Arm]]] = defaultdict(lambda: defaultdict(dict))
    controls: dict[tuple[str, str], str] = {}
    for row in rows:
        test = row["source"], row["experiment_id"]
        tests[test][row["metric"]][row["variant"]] = _arm(row)
        if row["is_control"]:
            controls[test] = row["variant"]
    results: list[Row] = []
    for test in sorted(tests):
        results += _compare_test(test, tests[test], controls.get(test), tightest_units)
    return results


def sample_ratios(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """A row per experiment: source, experiment_id, srm_p (None where there is nothing to test).

    A row in is a declared arm: source, experiment_id, variant, weight, units.
    """
    arms: dict[tuple[str, str], list[tuple[str, int, float]]] = defaultdict(list)
    for row in rows:
        arm = row["variant"], row["units"], row["weight"]
        arms[row["source"], row["experiment_id"]].append(arm)
    results = []
    for (source, experiment_id), found in sorted(arms.items()):
        # One order, so that the last digit does not depend on the engine's.
        _, units, weights = zip(*sorted(found), strict=True)
        srm_p = sample_ratio_p(units, weights)
        results.append({"source": source, "experiment_id": experiment_id, "srm_p": srm_p})
    return results


def to_arrow(results: Sequence[Row]) -> pa.Table:
    """What `compare_arms` gave, as a table with fixed types."""
    fields = [(name, pa.string()) for name in _KEYS]
    fields += [("units", pa.int64()), *((name, pa.float64()) for name in _FIGURES)]
    return pa.Table.from_pylist(list(results), schema=pa.schema(fields))


def sample_ratios_to_arrow(results: Sequence[Row]) -> pa.Table:
    """What `sample_ratios` gave, as a table with fixed types."""
    fields = [("source", pa.string()), ("experiment_id", pa.string()), ("srm_p", pa.float64())]
    return pa.Table.from_pylist(list(results), schema=pa.schema(fields))


def _arm(row: Mapping[str, Any]) -> Arm:
    names = (*VARIABLES, *PRODUCTS)
    if any(row[f"sum_{name}"] is None for name in names):
        unknown = math.nan
        return Arm(row["units"], unknown, unknown, unknown, unknown, unknown)  # type: ignore[arg-type]
    sums = {name: int(row[f"sum_{name}"]) for name in names}
    return arm_of_sums(row["units"], sums)


def _compare_test(
    test: tuple[str, str],
    metrics: Mapping[str, Mapping[str, Arm]],
    control: str | None,
    tightest_units: int,
) -> list[Row]:
    """The rows of one experiment, p-values adjusted over all of them."""
    results = []
    per_member = metrics.get(PER_MEMBER, {})
    for metric in sorted(set(metrics) - {PER_MEMBER}):
        arms = metrics[metric]
        for variant in sorted(arms):
            row: Row = dict(zip(_KEYS, (*test, metric, variant), strict=True))
            row["units"] = int(arms[variant].units)
            row |= dict.fromkeys(_FIGURES)
            row |= {"mean": _known(arms[variant].mean), "variance": _known(arms[variant].variance)}
            if control is not None and control in arms and variant != control:
                row |= _compare_arm(metric, arms[control], arms[variant], tightest_units)
                if metric == "revenue" and control in per_member:
                    found = compare_means(per_member[control], per_member[variant])
                    row["difference_per_member"] = _known(found.difference)
                    row["std_error_per_member"] = _known(found.std_error)
            results.append(row)
    p_values = [row["p_value"] for row in results]
    holm, bh = adjust_p_values(p_values, "holm"), adjust_p_values(p_values, "fdr_bh")
    for row, p_holm, p_bh in zip(results, holm, bh, strict=True):
        # Holm's is never the smaller one but by the last digit of a float.
        least = None if p_bh is None or p_holm is None else min(p_bh, p_holm)
        row |= {"p_holm": p_holm, "p_bh": least}
    return results


def _compare_arm(metric: str, control: Arm, treatment: Arm, tightest_units: int) -> Row:
    compare = compare_ratios if metric in RATIOS else compare_means
    found = compare(control, treatment)
    difference_cuped, std_error_cuped = adjust(control, treatment)
    margin = always_valid_margin(found.std_error, control.units + treatment.units, tightest_units)
    figures = {
        "control_mean": control.mean,
        "difference": found.difference,
        "std_error": found.std_error,
        "ci_low": found.low,
        "ci_high": found.high,
        "p_value": found.p_value,
        "difference_cuped": difference_cuped,
        "std_error_cuped": std_error_cuped,
        "sequential_low": found.difference - margin,
        "sequential_high": found.difference + margin,
    }
    return {name: _known(value) for name, value in figures.items()}


def _known(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
