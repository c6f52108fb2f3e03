"""dbt Python model: BG/NBD and Gamma-Gamma."""

from orchestration.statistics.lifetime_value import fit_models


def model(dbt, session):  # noqa: ARG001
    """BG/NBD and Gamma-Gamma, fitted to each cutoff's purchase histories."""
    dbt.config(materialized="table")
    return fit_models(dbt.ref("int_purchase_histories"), dbt.source("control", "parameters"))
