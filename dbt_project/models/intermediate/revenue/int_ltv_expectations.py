"""dbt Python model: what BG/NBD expects."""

from orchestration.statistics.lifetime_value import expect_purchases


def model(dbt, session):  # noqa: ARG001
    """What the fitted BG/NBD expects of each distinct purchase history."""
    dbt.config(materialized="table")
    return expect_purchases(
        dbt.ref("int_purchase_histories"), dbt.ref("int_ltv_fits"), dbt.ref("int_ltv_cutoffs")
    )
