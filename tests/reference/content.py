"""Reference of `content.*`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

from tests.reference.world import (
    Person,
    Row,
    World,
    in_order,
    monday,
    month_of,
)

_COUNTED = {
    "impression": "impressions",
    "click": "clicks",
    "read": "reads",
    "comment": "comments",
    "share": "shares",
    "collect": "collects",
}
CREDIT_WINDOW = timedelta(minutes=30)


def daily_performance(world: World) -> list[Row]:
    """`content.daily_performance`."""
    rows: dict[tuple[date, str, str], Row] = {}
    viewers: dict[tuple[date, str, str], set[Person]] = {}

    def row_of(event: dict[str, Any]) -> Row:
        key = (world.day(event["occurred_at"]), event["source"], event["content_id"])
        empty = dict.fromkeys([*_COUNTED.values(), "clicks_credited", "likes"], 0)
        names = dict(zip(("date", "source", "content_id"), key, strict=True))
        viewers.setdefault(key, set())
        return rows.setdefault(key, names | empty)

    for event in world.content_events:
        if event["event_type"] in _COUNTED:
            row_of(event)[_COUNTED[event["event_type"]]] += 1
        if event["event_type"] == "read":
            key = (world.day(event["occurred_at"]), event["source"], event["content_id"])
            viewers[key].add(world.person_of(event))
    for event, change in like_changes(world):
        row_of(event)["likes"] += change
    for impression in credited_impressions(world):
        row_of(impression)["clicks_credited"] += 1
    return [
        row | {"unique_viewers": len(viewers[key])}
        for key, row in rows.items()
        if world.as_of is not None and key[0] <= world.as_of
    ]


def like_changes(world: World) -> list[tuple[dict[str, Any], int]]:
    """Each like or unlike with its change of the person's likes of the content, never below 0."""
    standing: Counter[tuple[Person, str, str]] = Counter()
    changes = []
    for event in world.content_events:
        if event["event_type"] in ("like", "unlike"):
            key = (world.person_of(event), event["source"], event["content_id"])
            change = 1 if event["event_type"] == "like" else -min(1, standing[key])
            standing[key] += change
            changes.append((event, change))
    return changes


def credited_impressions(world: World) -> list[dict[str, Any]]:
    """Impressions that a click was credited to, once each."""
    return [impression for impression, _ in credited_clicks(world, world.content_events)]


def credited_clicks(
    world: World, events: list[dict[str, Any]]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each credited impression with its click, of events in order."""
    credited: list[tuple[dict[str, Any], dict[str, Any]]] = []
    unclicked: dict[tuple[Person, str, str], list[dict[str, Any]]] = {}
    for event in events:
        if event["event_type"] == "impression":
            key = (world.person_of(event), event["source"], event["content_id"])
            unclicked.setdefault(key, []).append(event)
    for click in events:
        if click["event_type"] != "click":
            continue
        shown = unclicked.get((world.person_of(click), click["source"], click["content_id"]), [])
        at = click["occurred_at"]
        near = [
            impression
            for impression in shown
            if impression["occurred_at"] <= at <= impression["occurred_at"] + CREDIT_WINDOW
        ]
        if near:
            last = in_order(near, "event_id")[-1]
            shown.remove(last)
            credited.append((last, click))
    return credited


def supply_mix(world: World) -> list[Row]:
    """`content.supply_mix`."""
    week = timedelta(days=7)
    groups: dict[tuple[date, str, str, str], list[tuple[dict[str, Any], Person]]] = {}
    for content, author, day in world.publications:
        for node_id in (content["node_id"], "*"):
            key = (monday(day), content["source"], node_id, world.origin(content))
            groups.setdefault(key, []).append((content, author))
    rows = []
    for (week_start, source, node_id, origin), published in groups.items():
        whole = [content for content, _ in published if content["published_at"] + week <= world.end]
        reads = sum(
            event["event_type"] == "read"
            and (event["source"], event["content_id"]) == (source, content["content_id"])
            and content["published_at"] <= event["occurred_at"] < content["published_at"] + week
            for content in whole
            for event in world.content_events
        )
        rows.append(
            {
                "week_start": week_start,
                "source": source,
                "node_id": node_id,
                "origin": origin,
                "published": len(published),
                "authors": len({author for _, author in published}),
                "eligible_7d": len(whole),
                "reads_7d": reads if whole else None,
            }
        )
    return rows


def response_times(world: World) -> list[Row]:
    """`content.response_times`."""
    groups: dict[tuple[date, str, str], list[tuple[datetime, datetime | None]]] = {}
    for question, asker, day in world.publications:
        if question["kind"] != "question":
            continue
        answers = [
            content["published_at"]
            for content, author, _ in world.publications
            if content["kind"] in ("answer", "comment")
            and content["source"] == question["source"]
            and content.get("parent_content_id") == question["content_id"]
            and content["published_at"] >= question["published_at"]
            and author != asker
        ]
        pair = (question["published_at"], min(answers, default=None))
        for node_id in (question["node_id"], "*"):
            groups.setdefault((monday(day), question["source"], node_id), []).append(pair)
    return [
        {
            "week_start": week_start,
            "source": source,
            "node_id": node_id,
            "questions": len(pairs),
            "answered": sum(answer is not None for _, answer in pairs),
        }
        | _answered_within(world, pairs)
        | _waiting_times(world, pairs)
        for (week_start, source, node_id), pairs in groups.items()
    ]


def _answered_within(world: World, pairs: list[tuple[datetime, datetime | None]]) -> Row:
    """Answers in time among eligible questions; 0 where none is eligible."""
    row: Row = {}
    for name, window in (
        ("1h", timedelta(hours=1)),
        ("24h", timedelta(hours=24)),
        ("7d", timedelta(days=7)),
    ):
        eligible = [(asked, answer) for asked, answer in pairs if asked + window <= world.end]
        in_time = sum(answer is not None and answer < asked + window for asked, answer in eligible)
        row[f"eligible_{name}"] = len(eligible)
        row[f"answered_{name}"] = in_time
    return row


def _waiting_times(world: World, pairs: list[tuple[datetime, datetime | None]]) -> Row:
    waits = [((answer or world.end) - asked, answer is not None) for asked, answer in pairs]
    return {
        "median_seconds_km": kaplan_meier(waits, Fraction(1, 2)),
        "p90_seconds_km": kaplan_meier(waits, Fraction(1, 10)),
    }


def kaplan_meier(waits: Iterable[tuple[timedelta, bool]], level: Fraction) -> float | None:
    """Seconds at which the survival curve first is at or below the level; None if never.

    `waits` pairs a duration with whether it ended (else it is censored there).
    """
    waits = list(waits)
    survival = Fraction(1)
    for duration in sorted({duration for duration, ended in waits if ended}):
        at_risk = sum(other >= duration for other, _ in waits)
        ended_here = sum(ended and other == duration for other, ended in waits)
        survival *= 1 - Fraction(ended_here, at_risk)
        if survival <= level:
            return duration.total_seconds()
    return None


def creators_28d(world: World) -> list[Row]:
    """`content.creators_28d`: persons, not erased, with a content published by as_of_date.

    Read as: engagements are the likes (net), comments, shares and collects of the person's
    contents; followers are persons whose last action towards them is `follow`; revenue is of
    orders that name their contents, net of refunds (open where one came after as_of_date).
    """
    if world.as_of is None:
        return []
    first = world.as_of - timedelta(days=27)
    followers = followers_of(world)
    performance = [row for row in daily_performance(world) if row["date"] >= first]
    rows = []
    for person in {author for _, author, _ in world.publications}:
        if world.is_erased(person):
            continue
        keys = {
            place
            for place, content in world.current("community/contents").items()
            if world.person(content["source"], "account", content["author_account_id"]) == person
        }
        own = [row for row in performance if (row["source"], row["content_id"]) in keys]
        orders = [
            order
            for order in world.orders
            if (order.source, order.content_id) in keys and first <= order.day <= world.as_of
        ]
        reads = sum(row["reads"] for row in own)
        head = reads >= world.parameters.creator_head_reads_28d
        mid = reads >= world.parameters.creator_mid_reads_28d
        revenue = sum((order.amount or 0) - order.refunded for order in orders)
        rows.append(
            {
                "person_id": person,
                "posts_28d": sum(
                    author == person and first <= day for _, author, day in world.publications
                ),
                "reads_28d": reads,
                "engagements_28d": sum(
                    row["likes"] + row["comments"] + row["shares"] + row["collects"] for row in own
                ),
                "followers": len(followers.get(person, set())),
                "tier": "head" if head else "mid" if mid else "ordinary",
                "revenue_28d_minor": revenue,
            }
        )
    return rows


def followers_of(world: World) -> dict[Person, set[Person]]:
    """Person → persons that count whose last action towards them by as_of_date is `follow`."""
    found: dict[Person, set[Person]] = {}
    for event in in_order(world.log("community/events"), "event_id"):
        if event["event_type"] not in ("follow", "unfollow") or event["occurred_at"] >= world.end:
            continue
        follower = world.person_of(event)
        if event.get("target_account_id") is None or not world.counts(follower):
            continue
        target = world.person(event["source"], "account", event["target_account_id"])
        if event["event_type"] == "follow":
            found.setdefault(target, set()).add(follower)
        else:
            found.setdefault(target, set()).discard(follower)
    return found


def concentration(world: World) -> list[Row]:
    """`content.concentration`."""
    groups: dict[tuple[date, str, str], Counter[Person]] = {}
    for content, author, day in world.publications:
        for node_id in (content["node_id"], "*"):
            key = (month_of(day), content["source"], node_id)
            groups.setdefault(key, Counter())[author] += 1
    rows = []
    for (month, source, node_id), contents in groups.items():
        counts = sorted(contents.values(), reverse=True)
        rows.append(
            {
                "month": month,
                "source": source,
                "node_id": node_id,
                "creators": len(counts),
                "contents": sum(counts),
                "top10_share_num": sum(counts[:10]),
                "top10_share_den": sum(counts),
                "gini": gini(counts),
                "bus_factor": bus_factor(counts),
            }
        )
    return rows


def gini(counts: list[int]) -> float:
    """Mean absolute difference over twice the mean: 0 for one creator."""
    differences = sum(abs(left - right) for left in counts for right in counts)
    return float(Fraction(differences * len(counts), 2 * len(counts) ** 2 * sum(counts)))


def bus_factor(counts: list[int]) -> int:
    """The fewest creators that hold at least 51 % together; counts fall."""
    held = 0
    for number, count in enumerate(counts, start=1):
        held += count
        if 100 * held >= 51 * sum(counts):
            return number
    return 0
