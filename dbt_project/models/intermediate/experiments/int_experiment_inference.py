"""dbt's Python model of that name; the statistics are `orchestration.statistics.experiments`."""

from orchestration.statistics import experiments


def model(dbt, session):
    """A few sums per arm in, a row per experiment, metric and variant out: never events."""
    dbt.config(materialized="table")
    moments = dbt.ref("int_experiment_moments")
    parameters = dbt.source("control", "parameters").project("experiment_sequential_units")
    [(tightest_units,)] = parameters.fetchall()
    rows = [dict(zip(moments.columns, row, strict=True)) for row in moments.fetchall()]
    results = experiments.compare_arms(rows, tightest_units)
    return session.from_arrow(experiments.to_arrow(results))
