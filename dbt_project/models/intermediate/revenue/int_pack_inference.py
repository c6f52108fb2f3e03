"""dbt's Python model of that name; the statistics are `orchestration.statistics.packs`."""

from orchestration.statistics import packs


def model(dbt, session):
    """A few sums per arm in, a row per pack and arm out."""
    dbt.config(materialized="table")
    arms = dbt.ref("int_pack_arms")
    rows = [dict(zip(arms.columns, row, strict=True)) for row in arms.fetchall()]
    return session.from_arrow(packs.to_arrow(packs.acquisition_costs(rows)))
