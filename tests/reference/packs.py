"""Reference of `revenue.pack_uplift`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from math import sqrt
from statistics import variance

from scipy import stats

from tests.reference.experiments import Experiment
from tests.reference.world import Person, Row, World, in_order

GroupKey = tuple[str, str]
ARMS = ("pack", "holdout")
_EVER = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Cost:
    """What an arm's new members cost, and how sure that is."""

    per_member: Fraction
    error: float | None
    degrees: int


def pack_uplift(world: World) -> list[Row]:
    """`revenue.pack_uplift`."""
    if world.as_of is None:
        return []
    rows = []
    for source, pack_id in sorted(packs(world)):
        arms = arms_of(world, source, pack_id)
        found = {arm: _row(world, source, pack_id, arm, arms) for arm in ARMS}
        pack, holdout = found["pack"], found["holdout"]
        pack[0].update(_effect(pack[1], holdout[1]))
        rows += [row for row, _ in found.values()]
    return rows


def packs(world: World) -> set[tuple[str, str]]:
    """(source, pack_id) that a group, a membership or a spend names by as_of_date."""
    found = {(g["source"], g.get("seed_pack_id")) for g in world.current("group/groups").values()}
    for record in world.log("group/memberships"):
        if record["occurred_at"] < world.end:
            found.add((record["source"], record.get("pack_id")))
    for record in world.log("operations/spend"):
        if record["target"] == "pack" and world.start_of(record["spent_on"]) < world.end:
            found.add((record["source"], record["target_id"]))
    return {(source, pack_id) for source, pack_id in found if pack_id is not None}


Spans = dict[GroupKey, tuple[datetime, datetime]]


def experiment_of(world: World, source: str, pack_id: str) -> Experiment | None:
    """The experiment over groups that has the pack's id."""
    state = world.current("operations/experiments").get((source, pack_id))
    return None if state is None or state["unit"] != "group" else Experiment(world, state)


def arms_of(world: World, source: str, pack_id: str) -> dict[str, Spans] | None:
    """Arm → its groups and when they are measured; None without an experiment."""
    experiment = experiment_of(world, source, pack_id)
    if experiment is None:
        return None
    found: dict[str, Spans] = {arm: {} for arm in ARMS}
    for unit in experiment.exposed:
        arms = {"holdout" if variant == "holdout" else "pack" for variant in unit.firsts}
        if len(arms) == 1:
            assert isinstance(unit.unit, tuple)
            found[arms.pop()][unit.unit] = (unit.at, experiment.until)
    return found


def _seeded(world: World, source: str, pack_id: str) -> Spans:
    return {
        key: (group["created_at"], world.end)
        for key, group in world.current("group/groups").items()
        if key[0] == source and group.get("seed_pack_id") == pack_id
    }


def _row(
    world: World, source: str, pack_id: str, arm: str, arms: dict[str, Spans] | None
) -> tuple[Row, Cost | None]:
    row: Row = {
        "source": source,
        "pack_id": pack_id,
        "arm": arm,
        "is_randomised": arms is not None,
        "cac_difference": None,
        "difference_ci_low": None,
        "difference_ci_high": None,
    }
    if arms is None and arm == "holdout":
        unknown = ("spend_minor", "new_members", "members_naming_pack", "cac", "ci_low", "ci_high")
        return row | {"groups": 0} | dict.fromkeys(unknown), None
    groups = _seeded(world, source, pack_id) if arms is None else arms[arm]
    spend = {key: _spend(world, "group", key, span) for key, span in groups.items()}
    experiment = experiment_of(world, source, pack_id)
    whole = (_EVER, world.end if experiment is None else experiment.until)
    own = _spend(world, "pack", (source, pack_id), whole) if arm == "pack" else 0
    joined = {key: _new_members(world, key, span) for key, span in groups.items()}
    members = sum(len(joins) for joins in joined.values())
    total = sum(spend.values()) + own
    cost = _cost(
        [(Fraction(spend[key]) + Fraction(own, len(groups)), len(joined[key])) for key in groups]
    )
    row |= {
        "groups": len(groups),
        "spend_minor": total,
        "new_members": members if groups else None,
        "members_naming_pack": sum(pack_id == named for own in joined.values() for named in own)
        if groups
        else None,
        "cac": total / members if members else None,
        "ci_low": None,
        "ci_high": None,
    }
    if cost is not None and cost.error is not None:
        reach = stats.t.ppf(0.975, cost.degrees) * cost.error
        row |= {
            "ci_low": float(cost.per_member) - reach,
            "ci_high": float(cost.per_member) + reach,
        }
    return row, cost


def _cost(pairs: list[tuple[Fraction, int]]) -> Cost | None:
    """Spend over new members; the error by the delta method over groups."""
    members = sum(number for _, number in pairs)
    if not members:
        return None
    per_member = sum(spent for spent, _ in pairs) / Fraction(members)
    if len(pairs) < 2:
        return Cost(per_member, None, 0)
    mean = Fraction(members, len(pairs))
    spread = variance([(spent - per_member * number) / mean for spent, number in pairs])
    return Cost(per_member, sqrt(spread / len(pairs)), len(pairs) - 1)


def _effect(pack: Cost | None, holdout: Cost | None) -> Row:
    if pack is None or holdout is None:
        return {}
    difference = float(pack.per_member - holdout.per_member)
    found: Row = {"cac_difference": difference}
    if pack.error is not None and holdout.error is not None:
        squares = [(cost.error or 0) ** 2 for cost in (pack, holdout)]
        below = sum(
            square**2 / cost.degrees for square, cost in zip(squares, (pack, holdout), strict=True)
        )
        if below:
            reach = stats.t.ppf(0.975, sum(squares) ** 2 / below) * sqrt(sum(squares))
            found |= {
                "difference_ci_low": difference - reach,
                "difference_ci_high": difference + reach,
            }
    return found


def _spend(world: World, target: str, key: tuple[str, str], span: tuple[datetime, datetime]) -> int:
    """Spend on a target in the reporting currency, on the local dates of a span."""
    found = 0
    for record in world.log("operations/spend"):
        if (record["target"], record["source"], record["target_id"]) != (target, *key):
            continue
        day = record["spent_on"]
        if world.as_of is None or day > world.as_of:
            continue
        if world.day(span[0]) <= day and world.start_of(day) < span[1]:
            found += world.converted(record["amount_minor"], record["currency"], day) or 0
    return found


def _new_members(world: World, key: GroupKey, span: tuple[datetime, datetime]) -> list[str | None]:
    """What pack each person's first join ever names, where it is of this group in the span."""
    return [
        join.get("pack_id")
        for join in first_joins(world).values()
        if (join["source"], join["group_id"]) == key and span[0] <= join["occurred_at"] < span[1]
    ]


def first_joins(world: World) -> dict[Person, Row]:
    """Person that counts → the first `join` record ever, of any group."""
    found: dict[Person, Row] = {}
    for record in in_order(world.log("group/memberships"), "event_id"):
        person = world.person_of(record)
        if record["action"] == "join" and world.counts(person):
            found.setdefault(person, record)
    return found
