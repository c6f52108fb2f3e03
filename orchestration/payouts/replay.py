"""What creators would have earned under other share policies, with nothing written.

The dbt models compute it: their compiled SQL runs on a read-only warehouse, with temporary
tables in place of the policies and of what follows from them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
from pydantic import SecretStr

from orchestration.errors import TandemError
from orchestration.payouts.policies import Policy
from orchestration.settings import Settings
from orchestration.transform import DbtSession
from orchestration.warehouse import literal, open_warehouse

POLICIES = "stg_commerce__share_policies"
MONTHLY_INPUTS = ("int_orders_counted", "int_creator_reads")
"""Read for the one month alone."""
COMPUTED = ("int_share_policies_in_force", "int_pool_orders", "int_creator_payouts")
"""Computed again, in this order."""


@dataclass(frozen=True)
class ReplayRow:
    """One person's payout in minor units, as it is and as it would have been."""

    model: str
    person_id: str
    actual_minor: int
    replay_minor: int

    @property
    def difference_minor(self) -> int:
        """What the person would have earned more."""
        return self.replay_minor - self.actual_minor


@dataclass(frozen=True)
class Replay:
    """A month's payouts of every model and person, greatest replayed payout first."""

    month: date
    is_complete: bool
    rows: tuple[ReplayRow, ...]

    def total(self, model: str) -> tuple[int, int]:
        """The model's pools: as it is, and replayed."""
        rows = [row for row in self.rows if row.model == model]
        return sum(row.actual_minor for row in rows), sum(row.replay_minor for row in rows)


def replay(
    settings: Settings,
    policies: Sequence[Policy],
    month: date,
    *,
    model: str | None = None,
    add: bool = False,
) -> Replay:
    """A month's payouts under `policies`, which replace those in force.

    With `add` they come beside those in force, and replace one of the same source and policy_id.
    The warehouse is opened read-only. Raises TandemError for a month without orders that
    creators share in, LockedError while a build holds the warehouse.
    """
    queries, names = _compiled(settings)
    with open_warehouse(settings, read_only=True) as connection:
        _replace_policies(connection, names[POLICIES], policies, add=add)
        for name in MONTHLY_INPUTS:
            query = f"select * from {names[name]} where month = {literal(month)}"
            connection.execute(f"create temporary view {name} as {query}")
        for name in COMPUTED:
            query = _redirected(queries[name], names)
            connection.execute(f"create temporary table {name} as {query}")
        wanted = "" if model is None else f"and model = {literal(model)}"
        rows = connection.execute(
            f"""
            select
                coalesce(actual.model, replayed.model) as model,
                coalesce(actual.person_id, replayed.person_id) as person_id,
                coalesce(actual.payout_minor, 0) as actual_minor,
                coalesce(replayed.payout_minor, 0) as replay_minor,
                coalesce(actual.is_complete, replayed.is_complete) as is_complete
            from (
                select * from {names["int_creator_payouts"]}
                where month = {literal(month)} {wanted}
            ) as actual
            full outer join (
                select * from temp.main.int_creator_payouts where true {wanted}
            ) as replayed
                on actual.model = replayed.model and actual.person_id = replayed.person_id
            order by model, replay_minor desc, actual_minor desc, person_id
            """
        ).fetchall()
    if not rows:
        raise TandemError(f"{month:%Y-%m} has no orders that creators share in")
    return Replay(month, rows[0][4], tuple(ReplayRow(*row[:4]) for row in rows))


def _compiled(settings: Settings) -> tuple[dict[str, str], dict[str, str]]:
    """Model name to SQL, and model name to the relation as dbt writes it."""
    with tempfile.TemporaryDirectory(prefix="tandem-") as folder:
        session = DbtSession(settings, target=settings.home.absolute() / "dbt")
        session.parse()
        # dbt opens what it compiles for; the real warehouse stays closed to it.
        session.settings = settings.model_copy(
            update={
                "home": Path(folder),
                "key": SecretStr(settings.secret_key().decode()),
            }
        )
        queries = session.compile(COMPUTED)
    wanted = {POLICIES, *MONTHLY_INPUTS, *COMPUTED}
    names = {
        node.name: str(node.relation_name)
        for node in session.manifest.nodes.values()
        if node.name in wanted
    }
    return queries, names


def _redirected(query: str, names: Mapping[str, str]) -> str:
    """The query with the temporary tables in place of the warehouse's."""
    for name, relation in names.items():
        query = query.replace(relation, f"temp.main.{name}")
    return query


def _replace_policies(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    policies: Sequence[Policy],
    *,
    add: bool,
) -> None:
    connection.execute(f"create temporary table {POLICIES} as select * from {relation} where {add}")
    for policy in policies:
        connection.execute(
            f"delete from {POLICIES} where source = ? and policy_id = ?",
            [policy.source, policy.policy_id],
        )
        values = [literal(value) for value in (policy.source, policy.policy_id, policy.scope)]
        scope_id = "null" if policy.scope_id is None else literal(policy.scope_id)
        connection.execute(
            f"""
            insert into {POLICIES} (source, policy_id, scope, share_bps, valid_from, scope_id)
            values ({", ".join(values)}, {policy.share_bps}, {literal(policy.valid_from)},
                {scope_id})
            """
        )
