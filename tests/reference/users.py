"""Reference of `users.*`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from tests.reference.world import (
    CORES,
    DAY,
    Activity,
    Person,
    Row,
    World,
    days_between,
    monday,
    month_of,
    months_between,
    next_month,
)

RANK = {"dormant": 0, "lurker": 1, "active": 2, "core": 3}


def daily_active(world: World) -> list[Row]:
    """`users.daily_active`; after as_of_date up to the last active date, not complete."""
    if world.as_of is None or world.first_active_date is None:
        return []
    rows = []
    sources = sorted({event.source for event in world.activity})
    for core in CORES:
        for source in ("*", *sources):
            events = [
                event
                for event in world.activity
                if core in (event.core, "all") and source in (event.source, "*")
            ]
            if not events and source != "*":
                continue
            first = world.first_active_date
            if source != "*":
                first = min(event.day for event in events)
            last = max([world.as_of, *(event.day for event in events)])
            rows += [
                {"date": day, "core": core, "source": source, "is_complete": day <= world.as_of}
                | _activity_on(day, events)
                for day in days_between(first, last)
            ]
    return rows


def _activity_on(day: date, events: list[Activity]) -> Row:
    def active(trailing: int) -> set[Person]:
        return {e.person for e in events if day - timedelta(days=trailing) < e.day <= day}

    before = {event.person for event in events if event.day < day}
    contributing = {e.person for e in events if e.day == day and e.is_contribution}
    return {
        "dau": len(active(1)),
        "dau_contributing": len(contributing),
        "wau": len(active(7)),
        "mau28": len(active(28)),
        "mau30": len(active(30)),
        "new_persons": len(active(1) - before),
    }


def node_daily_active(world: World) -> list[Row]:
    """`users.node_daily_active`."""
    persons: dict[tuple[date, str, str], set[Person]] = {}
    for event in world.activity:
        if event.core != "community" or event.node_id is None:
            continue
        if world.as_of is None or event.day > world.as_of:
            continue
        for node_id in world.chain(event.source, event.node_id):
            persons.setdefault((event.day, event.source, node_id), set()).add(event.person)
    return [
        {"date": day, "source": source, "node_id": node_id, "dau": len(found)}
        for (day, source, node_id), found in persons.items()
    ]


def lifecycle_weekly(world: World) -> list[Row]:
    """`users.lifecycle_weekly`."""
    rows: list[Row] = []
    if world.as_of is None or world.first_active_date is None:
        return rows
    for core in CORES:
        active_days = world.active_days(core)

        def active_in(
            week: date, active_days: dict[Person, set[date]] = active_days
        ) -> set[Person]:
            return {p for p, days in active_days.items() if any(monday(d) == week for d in days)}

        week = monday(world.first_active_date)
        while week + timedelta(days=6) <= world.as_of:
            this, last = active_in(week), active_in(week - timedelta(days=7))
            new = {p for p in this if monday(min(active_days[p])) == week}
            rows.append(
                {
                    "week_start": week,
                    "core": core,
                    "new_persons": len(new),
                    "returning": len(this & last),
                    "resurrected": len(this - last - new),
                    "dormant": len(last - this),
                    "active": len(this),
                }
            )
            week += timedelta(days=7)
    return rows


def retention(world: World) -> list[Row]:
    """`users.retention`."""
    rows: list[Row] = []
    if world.as_of is None:
        return rows
    for core in CORES:
        active_days = world.active_days(core)
        cohorts: dict[date, list[Person]] = {}
        for person, days in active_days.items():
            cohorts.setdefault(min(days), []).append(person)
        for cohort_date, cohort in cohorts.items():
            for day_n in (1, 3, 7, 14, 28):
                target = cohort_date + timedelta(days=day_n)
                on = sum(target in active_days[p] for p in cohort)
                later = sum(any(d >= target for d in active_days[p]) for p in cohort)
                whole = target <= world.as_of
                rows += [
                    {
                        "cohort_date": cohort_date,
                        "core": core,
                        "mode": mode,
                        "day_n": day_n,
                        "cohort_size": len(cohort),
                        "eligible": len(cohort) if whole else 0,
                        "retained": retained if whole else None,
                    }
                    for mode, retained in (("on", on), ("on_or_after", later))
                ]
    return rows


def tiers(world: World) -> dict[Person, dict[date, str]]:
    """Person → tier of every date from the first active one to as_of_date."""
    found: dict[Person, dict[date, str]] = {}
    events: dict[Person, list[Activity]] = {}
    for event in world.activity:
        if world.as_of is not None and event.day <= world.as_of:
            events.setdefault(event.person, []).append(event)
    for person, own in events.items():
        tier: str | None = None
        found[person] = {}
        for day in days_between(min(event.day for event in own), world.as_of or date.min):
            raw = raw_tier(world, day, own)
            if day.day == 1 or tier is None or RANK[raw] > RANK[tier]:
                tier = raw
            found[person][day] = tier
    return found


def raw_tier(world: World, day: date, events: Iterable[Activity]) -> str:
    """A person's tier on a date from the trailing 28 days alone; they were active by then."""
    trailing = [event for event in events if day - timedelta(days=28) < event.day <= day]
    active_days = {event.day for event in trailing}
    contribution_days = {event.day for event in trailing if event.is_contribution}
    takes_part = any(event.is_contribution or event.is_reaction for event in trailing)
    if len(contribution_days) >= world.parameters.tier_core_contribution_days:
        return "core"
    if len(active_days) >= world.parameters.tier_active_days and takes_part:
        return "active"
    return "lurker" if trailing else "dormant"


def tier_daily(world: World) -> list[Row]:
    """`users.tier_daily`."""
    if world.as_of is None or world.first_active_date is None:
        return []
    of_person = tiers(world)
    return [
        {
            "date": day,
            "tier": tier,
            "persons": sum(days.get(day) == tier for days in of_person.values()),
        }
        for day in days_between(world.first_active_date, world.as_of)
        for tier in RANK
    ]


def tier_history(world: World) -> list[Row]:
    """`users.tier_history`: runs of one tier; erased persons are left out."""
    rows: list[Row] = []
    for person, days in tiers(world).items():
        if world.is_erased(person):
            continue
        last: Row | None = None
        for day in sorted(days):
            if last is not None and last["tier"] == days[day]:
                continue
            if last is not None:
                last["valid_to"] = day
            last = {"person_id": person, "tier": days[day], "valid_from": day, "valid_to": None}
            rows.append(last)
    return rows


def tier_transitions(world: World) -> list[Row]:
    """`users.tier_transitions`; in the month of as_of_date `to_tier` is that of as_of_date."""
    if world.as_of is None or world.first_active_date is None:
        return []
    persons: dict[tuple[date, str | None, str], int] = {}
    for days in tiers(world).values():
        for month in months_between(min(days), world.as_of):
            to_tier = days[min(next_month(month) - DAY, world.as_of)]
            key = (month, days.get(month - DAY), to_tier)
            persons[key] = persons.get(key, 0) + 1
    return [
        {"month": month, "from_tier": from_tier, "to_tier": to_tier, "persons": count}
        for (month, from_tier, to_tier), count in persons.items()
    ]


def rfm(world: World) -> list[Row]:
    """`users.rfm`; erased persons are left out."""
    if world.as_of is None:
        return []
    first = world.as_of - timedelta(days=364)
    rows = []
    for person in {order.person for order in world.orders}:
        own = [o for o in world.orders if o.person == person and first <= o.day <= world.as_of]
        if not own or world.is_erased(person):
            continue
        recency = (world.as_of - max(order.day for order in own)).days
        frequency = sum(order.raw_refunded < order.raw_amount for order in own)
        monetary = sum((order.amount or 0) - order.refunded for order in own)
        high = (
            recency <= world.parameters.rfm_recency_days,
            frequency >= world.parameters.rfm_frequency_orders,
            monetary >= world.parameters.rfm_monetary_minor,
        )
        row = {
            "person_id": person,
            "recency_days": recency,
            "frequency": frequency,
            "monetary_minor": monetary,
            "r_high": high[0],
            "f_high": high[1],
            "m_high": high[2],
            "segment": "".join("1" if letter else "0" for letter in high),
        }
        rows.append(row)
    return rows


def cross_core(world: World) -> list[Row]:
    """`users.cross_core`; joins after as_of_date do not count yet."""
    if world.as_of is None or world.first_active_date is None:
        return []
    community, group = world.active_days("community"), world.active_days("group")
    first_join = {}
    for record in world.log("group/memberships"):
        person = world.person_of(record)
        if record["action"] == "join" and world.counts(person):
            known = first_join.get(person, record["occurred_at"])
            first_join[person] = min(known, record["occurred_at"])

    def came_over(person: Person) -> bool:
        join = first_join[person]
        return any(
            event.at <= join < event.at + timedelta(days=30)
            for event in world.activity
            if event.person == person and event.core == "community"
        )

    rows = []
    for month in months_between(world.first_active_date, world.as_of):
        in_community = {p for p, days in community.items() if month in map(month_of, days)}
        in_group = {p for p, days in group.items() if month in map(month_of, days)}
        joined = {
            person
            for person, join in first_join.items()
            if month_of(world.day(join)) == month and world.day(join) <= world.as_of
        }
        month_began = world.start_of(month)
        rows.append(
            {
                "month": month,
                "community_only": len(in_community - in_group),
                "group_only": len(in_group - in_community),
                "both": len(in_community & in_group),
                "converted": sum(came_over(person) for person in joined),
                "eligible": sum(
                    person not in first_join or first_join[person] >= month_began
                    for person in in_community
                ),
            }
        )
    return rows
