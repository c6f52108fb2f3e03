"""dbt's Python model of that name; the statistics are `orchestration.statistics.experiments`."""

from orchestration.statistics import experiments


def model(dbt, session):
    """Units and weights of the arms in, a row per experiment out."""
    dbt.config(materialized="table")
    allocations = dbt.ref("int_experiment_allocations")
    rows = [dict(zip(allocations.columns, row, strict=True)) for row in allocations.fetchall()]
    return session.from_arrow(experiments.sample_ratios_to_arrow(experiments.sample_ratios(rows)))
