"""Reference of `engagement.funnels`, `engagement.touchpoints` and `engagement.value_loop`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any

from tests.reference.world import DAY, Person, Row, World, in_order, monday

Sight = tuple[str, Person, datetime]
"""(event kind, person, time)."""


def sights(world: World) -> Iterator[Sight]:
    """Everything that a funnel's step may ask for, of persons that count."""
    for log, name in (
        ("community/events", lambda record: record["event_type"]),
        ("group/memberships", lambda record: "group_join" if record["action"] == "join" else None),
        (
            "group/messages",
            lambda record: {"reaction": "reaction", "system": None}.get(record["kind"], "message"),
        ),
        ("group/attendance", lambda record: {"enter": "attend"}.get(record["action"], "submit")),
        ("group/deliveries", lambda record: f"broadcast_{record['status']}"),
        (
            "group/consults",
            lambda record: "consult_question" if record["action"] == "question" else None,
        ),
    ):
        for record in world.log(log):
            kind = name(record)
            is_leaving = log == "group/attendance" and record["action"] == "leave"
            person = world.person_of(record)
            if kind is not None and not is_leaving and world.counts(person):
                yield kind, person, record["occurred_at"]
    for content, author, _ in world.publications:
        yield "publish", author, content["published_at"]
    for order in world.orders:
        yield "order", order.person, order.at
        yield f"order:{order.kind}", order.person, order.at


def funnels(world: World) -> list[Row]:
    """`engagement.funnels`; the funnels themselves are the ones the warehouse was built with."""
    if world.as_of is None:
        return []
    times: dict[tuple[str, Person], list[datetime]] = {}
    for kind, person, at in sights(world):
        times.setdefault((kind, person), []).append(at)
    rows = []
    for funnel, (window_days, steps) in world.funnels.items():
        reached: dict[date, list[int]] = {}
        for (kind, person), own in times.items():
            if kind != steps[0].removeprefix("first_"):
                continue
            entry = min(own)
            entry_date = world.day(entry)
            if entry_date + window_days * DAY <= world.as_of:
                limit = entry + timedelta(days=window_days)
                counts = reached.setdefault(entry_date, [0] * len(steps))
                for number in range(_depth(times, person, entry, limit, steps)):
                    counts[number] += 1
        rows += [
            {
                "funnel": funnel,
                "entry_date": entry_date,
                "step": number,
                "step_kind": steps[number - 1],
                "persons": persons,
            }
            for entry_date, counts in reached.items()
            for number, persons in enumerate(counts, start=1)
        ]
    return rows


def _depth(
    times: dict[tuple[str, Person], list[datetime]],
    person: Person,
    entry: datetime,
    limit: datetime,
    steps: list[str],
) -> int:
    at = entry
    for number, step in enumerate(steps[1:], start=1):
        own = times.get((step.removeprefix("first_"), person), [])
        if step.startswith("first_") and own:
            own = [min(own)]
        later = [moment for moment in own if at < moment < limit]
        if not later:
            return number
        at = min(later)
    return len(steps)


def touchpoints(world: World) -> list[Row]:
    """`engagement.touchpoints`."""
    if world.as_of is None:
        return []
    scenes = world.current("group/scenes")
    visits: dict[tuple[str, str, Person], list[dict[str, Any]]] = {}
    for record in in_order(world.log("group/attendance"), "event_id"):
        person = world.person_of(record)
        if record["action"] == "leave" or not world.counts(person):
            continue
        scene = scenes.get((record["source"], record["scene_id"]), {})
        for campaign_id in {"*", scene.get("campaign_id")} - {None}:
            visits.setdefault((record["source"], campaign_id, person), []).append(record)

    settings = world.parameters
    rows: dict[tuple[str, str, int], Row] = {}
    for (source, campaign_id, person), records in visits.items():
        touches = [r["occurred_at"] for r in records if _is_touch(world, r, person)]
        if not touches:
            continue
        touch = min(touches)
        landmark = touch + timedelta(hours=settings.touch_landmark_hours)
        over = touch + timedelta(days=settings.touch_conversion_days)
        if over > world.end:
            continue
        attended = {r["scene_id"] for r in records if touch <= r["occurred_at"] < landmark}
        n_scenes = min(len(attended), settings.touch_max_scenes)
        row = rows.setdefault(
            (source, campaign_id, n_scenes), {"persons": 0, "converted_7d": 0, "early_buyers": 0}
        )
        bought = [order.at for order in world.orders if order.person == person]
        if any(touch <= at < landmark for at in bought):
            row["early_buyers"] += 1
        else:
            row["persons"] += 1
            row["converted_7d"] += any(landmark <= at < over for at in bought)
    return [
        {"source": source, "campaign_id": campaign_id, "n_scenes": n_scenes} | row
        for (source, campaign_id, n_scenes), row in rows.items()
    ]


def _is_touch(world: World, record: dict[str, Any], person: Person) -> bool:
    scene = world.current("group/scenes").get((record["source"], record["scene_id"]), {})
    host = scene.get("kol_member_id")
    return host is not None and world.person(record["source"], "member", host) != person


Need = tuple[str, str, datetime, bool]
"""(source, topic, time, met by contents of any source)."""


def needs(world: World) -> Iterator[Need]:
    """Searches, questions and consult questions with a topic, by persons that count."""
    for log, kind, is_any in (
        ("community/events", ("event_type", "search"), False),
        ("group/consults", ("action", "question"), True),
    ):
        for record in world.log(log):
            if (
                record[kind[0]] == kind[1]
                and record.get("topic") is not None
                and record["occurred_at"] < world.end
                and world.counts(world.person_of(record))
            ):
                yield record["source"], record["topic"], record["occurred_at"], is_any
    for content, _, _ in world.publications:
        if content["kind"] == "question" and content.get("topic") is not None:
            yield content["source"], content["topic"], content["published_at"], False


def value_loop(world: World) -> list[Row]:
    """`engagement.value_loop`."""
    if world.as_of is None:
        return []
    days = timedelta(days=world.parameters.loop_supply_days)
    supplies = sorted(
        (content["published_at"], content["source"], content["content_id"], content["topic"])
        for content, _, _ in world.publications
        if content["kind"] != "question" and content.get("topic") is not None
    )
    groups: dict[tuple[date, str, str], list[Need]] = {}
    for need in needs(world):
        groups.setdefault((monday(world.day(need[2])), need[0], need[1]), []).append(need)
    rows = []
    for (week_start, source, topic), asked in groups.items():
        met = []
        eligible = [need for need in asked if need[2] + days <= world.end]
        for _, _, at, is_any in eligible:
            near = [
                supply
                for supply in supplies
                if supply[3] == topic
                and (is_any or supply[1] == source)
                and at <= supply[0] < at + days
            ]
            if near:
                met.append((min(near), (min(near)[0] - at) / timedelta(hours=1)))
        first = min((supply for supply, _ in met), default=None)
        rows.append(
            {
                "week_start": week_start,
                "source": source,
                "topic": topic,
                "needs": len(asked),
                "eligible_14d": len(eligible),
                "supplied": len(met) if eligible else None,
                "median_lag_hours": median(lag for _, lag in met) if met else None,
                "first_supplied_at": first[0].replace(tzinfo=None) if first else None,
            }
            | _reads_around(world, topic, first)
        )
    return rows


def _reads_around(world: World, topic: str, first: tuple[datetime, str, str, str] | None) -> Row:
    days = timedelta(days=world.parameters.loop_reads_days)
    if first is None or first[0] + days > world.end:
        return {"reads_before_7d": None, "reads_after_7d": None}
    reads = [
        event["occurred_at"]
        for event in world.content_events
        if event["event_type"] == "read"
        and event["source"] == first[1]
        and world.current("community/contents")
        .get((event["source"], event["content_id"]), {})
        .get("topic")
        == topic
    ]
    return {
        "reads_before_7d": sum(first[0] - days <= at < first[0] for at in reads),
        "reads_after_7d": sum(first[0] <= at < first[0] + days for at in reads),
    }
