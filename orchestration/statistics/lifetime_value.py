"""The two models of buying over the warehouse's purchase histories: Arrow tables for dbt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from orchestration.statistics import bgnbd, gamma_gamma
from orchestration.statistics.likelihood import Floats

VERSION = "1"
_FIT_COLUMNS = {
    "fit": pa.string(),
    "model": pa.string(),
    "buyers": pa.int64(),
    "repeat_buyers": pa.int64(),
    "valued_buyers": pa.int64(),
    **dict.fromkeys(
        ("r", "alpha_days", "a", "b", "gamma_p", "gamma_q", "gamma_minor"), pa.float64()
    ),
    **dict.fromkeys(("mean_log_likelihood", "value_correlation"), pa.float64()),
}
_EXPECTATION_COLUMNS = {
    "fit": pa.string(),
    **dict.fromkeys(("frequency", "recency_days", "t_days"), pa.int64()),
    **dict.fromkeys(("p_alive", "expected_orders"), pa.float64()),
}


@dataclass(frozen=True)
class Sample:
    """How many buyers a fit needs, with repeats and with repeats of known value."""

    buyers: int
    repeat_buyers: int


def fit_models(histories: duckdb.DuckDBPyRelation, parameters: duckdb.DuckDBPyRelation) -> pa.Table:
    """Both models' parameters, one row a fit: the table `int_ltv_fits`.

    `histories` is `int_purchase_histories` (fit × person), `parameters` the row of
    `control.parameters`. A fit without buyers has no row.
    """
    needed = parameters.project("ltv_min_buyers, ltv_min_repeat_buyers").fetchall()
    sample = Sample(*needed[0]) if needed else Sample(2, 2)
    rows = [_fitted(histories, fit, sample) for fit in _fits(histories)]
    return _table(rows, _FIT_COLUMNS)


def expect_purchases(
    histories: duckdb.DuckDBPyRelation,
    fits: duckdb.DuckDBPyRelation,
    cutoffs: duckdb.DuckDBPyRelation,
) -> pa.Table:
    """What is expected of each distinct history: the table `int_ltv_expectations`.

    One row a fit that has parameters and (frequency, recency_days, t_days); `expected_orders`
    within the fit's `horizon_days` of `int_ltv_cutoffs`.
    """
    horizons = dict(cutoffs.project("fit, horizon_days").fetchall())
    fitted = fits.filter("r is not null").project("fit, r, alpha_days, a, b").order("fit")
    tables = [_table([], _EXPECTATION_COLUMNS)]
    for fit, *values in fitted.fetchall():
        model, known = bgnbd.BgNbd(*values), _histories(histories, fit)
        columns = {
            "fit": [fit] * len(known.x),
            "frequency": known.x.astype(np.int64),
            "recency_days": known.t_x.astype(np.int64),
            "t_days": known.t.astype(np.int64),
            "p_alive": bgnbd.p_alive(model, known),
            "expected_orders": bgnbd.expected_purchases(model, known, float(horizons[fit])),
        }
        tables.append(pa.table(columns, schema=pa.schema(_EXPECTATION_COLUMNS)))
    return pa.concat_tables(tables)


def _fitted(histories: duckdb.DuckDBPyRelation, fit: str, sample: Sample) -> dict[str, Any]:
    known, spending = _histories(histories, fit), _spending(histories, fit)
    repeat_buyers = int(known.weight[known.x > 0].sum())
    row: dict[str, Any] = {
        "fit": fit,
        "buyers": int(known.weight.sum()),
        "repeat_buyers": repeat_buyers,
        "valued_buyers": int(spending.weight.sum()),
        "value_correlation": _correlation(spending),
    }
    if row["buyers"] < sample.buyers:
        return row | {"model": "none:few_buyers"}
    if repeat_buyers < sample.repeat_buyers:
        return row | {"model": "none:few_repeat_buyers"}
    buying, maximum = bgnbd.fit(known)
    if not maximum.has_converged:
        return row | {"model": "none:not_converged"}
    row |= dict(zip(("r", "alpha_days", "a", "b"), astuple(buying), strict=True))
    row["mean_log_likelihood"] = maximum.mean_log_likelihood
    remarks = ["at_bound"] if maximum.is_at_bound else []
    values, remark = _fitted_values(spending, sample)
    if values is not None:
        row |= dict(zip(("gamma_p", "gamma_q", "gamma_minor"), astuple(values), strict=True))
    name = "bg_nbd" if values is None else "bg_nbd+gamma_gamma"
    return row | {"model": _named(name, [*remarks, *([remark] if remark else [])])}


def _fitted_values(
    spending: gamma_gamma.Spending, sample: Sample
) -> tuple[gamma_gamma.GammaGamma | None, str | None]:
    if spending.weight.sum() < sample.repeat_buyers:
        return None, "few_values"
    model, maximum = gamma_gamma.fit(spending)
    if not maximum.has_converged:
        return None, "values_not_converged"
    if not model.has_mean:
        return None, "values_without_mean"
    return model, "values_at_bound" if maximum.is_at_bound else None


def _named(name: str, remarks: Iterable[str]) -> str:
    return ":".join([f"{name}/{VERSION}", *(text for text in [",".join(remarks)] if text)])


def _correlation(spending: gamma_gamma.Spending) -> float | None:
    """Pearson's, of purchases and mean value over buyers; None where one of them is constant."""
    weight, mean = spending.weight, spending.total / spending.x
    if weight.sum() < 2 or np.ptp(spending.x) == 0 or np.ptp(mean) == 0:
        return None
    (of_x, both), (_, of_mean) = np.cov(spending.x, mean, fweights=weight.astype(np.int64))
    return float(both / np.sqrt(of_x * of_mean))


def _fits(histories: duckdb.DuckDBPyRelation) -> Iterator[str]:
    for (fit,) in histories.project("fit").distinct().order("fit").fetchall():
        yield fit


def _histories(histories: duckdb.DuckDBPyRelation, fit: str) -> bgnbd.Histories:
    """The fit's distinct histories in days, in one order, whatever that of the rows."""
    key = "frequency, recency_days, t_days"
    return bgnbd.Histories(*_grouped(histories.filter(_of(fit)), key))


def _spending(histories: duckdb.DuckDBPyRelation, fit: str) -> gamma_gamma.Spending:
    valued = histories.filter(_of(fit)).filter("valued_days > 0 and value_minor > 0")
    return gamma_gamma.Spending(*_grouped(valued, "valued_days, value_minor"))


def _of(fit: str) -> duckdb.Expression:
    return duckdb.ColumnExpression("fit") == duckdb.ConstantExpression(fit)


def _grouped(rows: duckdb.DuckDBPyRelation, key: str) -> list[Floats]:
    """The key's columns and the number of rows of each key, in the key's order."""
    counted = rows.aggregate(f"{key}, count(*) as buyers", key).order(key)
    return [column.astype(np.float64) for column in counted.fetchnumpy().values()]


def _table(rows: list[dict[str, Any]], columns: dict[str, pa.DataType]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=pa.schema(columns))
