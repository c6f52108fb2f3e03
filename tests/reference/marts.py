"""The marts that have a reference: key, function, and what the contract leaves open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.reference import (
    content,
    dims,
    engagement,
    experiments,
    live,
    loops,
    ltv,
    packs,
    payouts,
    revenue,
    users,
)
from tests.reference.world import DAY, Row, World, next_month


def _no_faults(rows: list[Row]) -> list[str]:
    return []


def _never(world: World, row: Row) -> bool:
    return False


@dataclass(frozen=True)
class Mart:
    """One mart's reference. A row of which `is_open` holds may exist on one side only.

    `faults` judges the warehouse's rows in themselves, whatever the reference has.
    """

    key: tuple[str, ...]
    rows: Callable[[World], list[Row]]
    is_open: Callable[[World, Row], bool] = _never
    faults: Callable[[list[Row]], list[str]] = _no_faults


def _beyond_activity(world: World, row: Row) -> bool:
    first, last = world.first_active_date, world.as_of
    return first is None or last is None or not first <= row["date"] <= last


def _after_as_of(world: World, row: Row) -> bool:
    return world.as_of is None or row["date"] > world.as_of


def _month_not_over(world: World, row: Row) -> bool:
    return world.as_of is not None and next_month(row["month"]) - DAY > world.as_of


def _does_not_count(world: World, row: Row) -> bool:
    person = row["person_id"]
    first = world.first_days["all"].get(person)
    return not world.counts(person) or first is None or _after_as_of(world, {"date": first})


def _does_not_act(world: World, row: Row) -> bool:
    place = (row["source"], row["id_kind"], row["id"])
    named = place in world.mentioned_ids and place not in world.recorded_ids
    return named and place not in world.acting_ids


def _has_no_record(world: World, row: Row) -> bool:
    return (row["source"], row["node_id"]) not in world.current("community/nodes")


def _published_nothing_lately(world: World, row: Row) -> bool:
    return not (row["posts_28d"] or row["reads_28d"])


MARTS = {
    "intermediate.int_identities": Mart(
        ("source", "id_kind", "id"), dims.all_identities, _does_not_act
    ),
    "dim.dates": Mart(("date",), dims.dates, _beyond_activity),
    "dim.persons": Mart(("person_id",), dims.persons, _does_not_count),
    "dim.identities": Mart(("source", "id_kind", "id"), dims.identities, _does_not_act),
    "dim.nodes": Mart(("source", "node_id"), dims.nodes, _has_no_record),
    "dim.contents": Mart(("source", "content_id"), dims.contents),
    "users.daily_active": Mart(("date", "core", "source"), users.daily_active, _after_as_of),
    "users.node_daily_active": Mart(("date", "source", "node_id"), users.node_daily_active),
    "content.daily_performance": Mart(("date", "source", "content_id"), content.daily_performance),
    "engagement.group_daily": Mart(
        ("date", "source", "group_id"), engagement.group_daily, engagement.is_before_first_event
    ),
    "revenue.daily": Mart(("date", "core"), revenue.daily),
    "users.lifecycle_weekly": Mart(("week_start", "core"), users.lifecycle_weekly),
    "users.retention": Mart(("cohort_date", "core", "mode", "day_n"), users.retention),
    "users.tier_daily": Mart(("date", "tier"), users.tier_daily),
    "users.tier_history": Mart(("person_id", "valid_from"), users.tier_history),
    "users.tier_transitions": Mart(
        ("month", "from_tier", "to_tier"), users.tier_transitions, _month_not_over
    ),
    "users.rfm": Mart(("person_id",), users.rfm),
    "users.cross_core": Mart(("month",), users.cross_core),
    "content.supply_mix": Mart(("week_start", "source", "node_id", "origin"), content.supply_mix),
    "content.response_times": Mart(("week_start", "source", "node_id"), content.response_times),
    "content.creators_28d": Mart(("person_id",), content.creators_28d, _published_nothing_lately),
    "content.concentration": Mart(("month", "source", "node_id"), content.concentration),
    "engagement.experiment_results": Mart(
        ("source", "experiment_id", "metric", "variant"), experiments.experiment_results
    ),
    "engagement.experiment_health": Mart(
        ("source", "experiment_id"), experiments.experiment_health
    ),
    "engagement.live_board": Mart(("five_minute_start", "source", "core"), live.live_board),
    "engagement.funnels": Mart(("funnel", "entry_date", "step"), loops.funnels),
    "engagement.touchpoints": Mart(("source", "campaign_id", "n_scenes"), loops.touchpoints),
    "engagement.value_loop": Mart(("week_start", "source", "topic"), loops.value_loop),
    "revenue.creator_payouts": Mart(("month", "model", "person_id"), payouts.creator_payouts),
    "revenue.payout_ledger": Mart(
        ("month", "model", "person_id"), payouts.payout_ledger, faults=payouts.chain_faults
    ),
    "revenue.pack_uplift": Mart(("source", "pack_id", "arm"), packs.pack_uplift),
    "revenue.ltv_predictions": Mart(("person_id",), ltv.ltv_predictions),
    "revenue.ltv_calibration": Mart(("decile",), ltv.ltv_calibration),
}
