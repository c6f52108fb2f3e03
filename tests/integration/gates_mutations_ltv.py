"""Faults for the marts of predicted lifetime value; see `gates_mutations`."""

from __future__ import annotations

from tests.integration.gates_mutation import of, twice

# The gates' world has too few buyers for a model; this is what one would have said of them.
_FITTED = (
    "update {t} set p_alive = 1.0, expected_orders_90d = 0.5, expected_value_90d_minor = 100,"
    " model = 'bg_nbd+gamma_gamma/1'; "
)
_CALIBRATED = (
    "update intermediate.int_ltv_fits set r = 1.0, model = 'bg_nbd+gamma_gamma/1'"
    " where fit = 'holdout'; "
    "update intermediate.int_ltv_scores set expected_orders = 0.2, expected_value_minor = 20"
    " where fit = 'holdout'; "
    "insert into {t} select decile, 12, 1, 0.2, 0, 20, 0, 'bg_nbd+gamma_gamma/1'"
    " from range(1, 4) as deciles (decile); "
)

LTV = [
    *of(
        "marts",
        "revenue.ltv_predictions",
        ("key_unique", twice("frequency = 2")),
        (
            "history_in_order",
            "update {t} set recency_days = 37 where frequency = 2",
            "buyers_recomputed",
        ),
        (
            "probability_in_bounds",
            _FITTED + "update {t} set p_alive = 0.5 where frequency = 0",
        ),
        (
            "not_negative",
            _FITTED + "update {t} set expected_value_90d_minor = -1 where frequency = 2",
        ),
        (
            "null_where_not_fitted",
            "update {t} set p_alive = 1.0, expected_orders_90d = 0.0 where frequency = 0",
        ),
        ("one_model", _FITTED + "update {t} set model = 'bg_nbd+gamma_gamma/0' where t_days = 4"),
        ("buyers_recomputed", "delete from {t} where frequency = 2"),
        (
            "at_most_one_a_day",
            _FITTED + "update {t} set expected_orders_90d = 91 where frequency = 2",
        ),
    ),
    *of(
        "marts",
        "revenue.ltv_calibration",
        (
            "key_unique",
            _CALIBRATED + twice("decile = 3"),
            "buyers_recomputed",
            "predicted_conserved",
        ),
        ("deciles_complete", _CALIBRATED + "update {t} set decile = 4 where decile = 3"),
        (
            "equal_persons",
            _CALIBRATED + "update {t} set persons = 2 - decile where decile <= 2",
            "buyers_recomputed",
        ),
        (
            "not_negative",
            _CALIBRATED + "update {t} set predicted = 0.2 - 0.3 * (2 - decile)",
        ),
        (
            "deciles_ascend",
            _CALIBRATED + "update {t} set predicted = 0.2 + 0.1 * (2 - decile)",
        ),
        ("holdout_as_fitted", _CALIBRATED + "update {t} set model = 'bg_nbd+gamma_gamma/0'"),
        (
            "rows_where_fitted",
            "update intermediate.int_ltv_fits set r = 1.0 where fit = 'holdout'",
        ),
        (
            "buyers_recomputed",
            _CALIBRATED + "update {t} set observed = 1 where decile = 3",
        ),
        (
            "value_recomputed",
            _CALIBRATED + "update {t} set observed_value_minor = 1 where decile = 3",
        ),
        (
            "predicted_conserved",
            _CALIBRATED + "update {t} set predicted_value_minor = 21 where decile = 3",
        ),
        (
            "within_band",
            _CALIBRATED + "update {t} set predicted = 30 where decile = 3;"
            " update intermediate.int_ltv_scores set expected_orders = 30.4 / 3"
            " where fit = 'holdout'",
        ),
    ),
]
