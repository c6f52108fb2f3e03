"""Faults for the marts of experiments; see `gates_mutations`."""

from __future__ import annotations

from tests.integration.gates_mutation import of, twice

EXPERIMENTS = [
    *of(
        "marts",
        "engagement.experiment_results",
        (
            "key_unique",
            twice("experiment_id = 'x1' and metric = 'reads' and variant = 'new'"),
        ),
        ("metric_known", "update {t} set metric = 'visits' where metric = 'reads'"),
        (
            "control_compares_nothing",
            "update {t} set std_error = 0 where experiment_id = 'x1' and variant = 'control'",
        ),
        (
            "difference_from_control",
            "update {t} set difference = 700 where metric = 'reads' and difference = 0",
            "interval_agrees",
        ),
        (
            "interval_agrees",
            "update {t} set ci_low = 1, ci_high = 2 where metric = 'reads' and difference = 0",
        ),
        (
            "p_values_in_order",
            "update {t} set p_holm = p_value / 2 where p_value < p_holm",
        ),
        (
            "units_recomputed",
            "update {t} set units = units + 1, mean = mean * units / (units + 1)"
            " where metric = 'revenue' and experiment_id = 'x2' and variant = 'control'",
        ),
        (
            "revenue_recomputed",
            "update {t} set mean = mean + 150, difference = difference + 150,"
            " ci_low = ci_low + 150, ci_high = ci_high + 150,"
            " sequential_low = sequential_low + 150, sequential_high = sequential_high + 150"
            " where metric = 'revenue' and experiment_id = 'x1' and variant = 'new'",
        ),
    ),
    *of(
        "marts",
        "engagement.experiment_health",
        ("key_unique", twice("experiment_id = 'x1'")),
        ("parts_within", "update {t} set undeclared_units = -1 where experiment_id = 'x1'"),
        ("valid_within_limits", "update {t} set is_valid = not is_valid"),
        (
            "units_recomputed",
            "update {t} set units = units + 1 where experiment_id = 'x1'",
        ),
        ("reached_through_groups", "update {t} set reached = 1 where experiment_id = 'x1'"),
        ("late_recomputed", "update {t} set late_exposures = 0 where experiment_id = 'x2'"),
    ),
]
