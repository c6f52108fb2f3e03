"""Records that the later marts need, beside a small world: experiments, scenes, topics, packs.

Deterministic by seed, and drawn apart from the world, whose own records stay as they are.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

Logs = dict[str, list[dict[str, Any]]]
T = TypeVar("T")

HOUR, STEP = timedelta(hours=1), timedelta(microseconds=1)
DAYS = 45
UNITS = tuple(f"v{number}" for number in range(16))
GROUPS = tuple(f"w{number}" for number in range(8))
VARIANTS = {"a": 1, "b": 1, "c": 2, "off": 0}
# (experiment, unit, when it ends, what its units see, weights)
EXPERIMENTS: tuple[tuple[str, str, int | None, tuple[str, ...], dict[str, int]], ...] = (
    ("x-open", "account", None, ("a", "b", "b"), {"a": 1, "b": 1}),
    ("x-arms", "account", 30, ("a", "b", "c", "off", "stray"), VARIANTS),
    ("x-member", "member", 60, ("a", "b"), {"a": 1, "b": 3}),
    ("x-group", "group", 35, ("a", "b"), {"a": 1, "b": 1}),
    ("pk1", "group", None, ("pack", "holdout"), {"holdout": 1, "pack": 1}),
    ("pk3", "group", 28, ("big", "small", "holdout"), {"holdout": 1, "big": 1, "small": 1}),
    ("x-nobody", "account", None, (), {"a": 1, "b": 1}),
)
TOPICS = ("k1", "k2", "k3")
# What a small world needs for its settings to matter.
CASE_SETTINGS: dict[str, Any] = {
    "ltv_min_buyers": 10,
    "ltv_min_repeat_buyers": 3,
}
OTHER_SETTINGS: dict[str, Any] = {
    "experiment_pre_days": 5,
    "experiment_sequential_units": 12,
    "experiment_max_multi_exposed_bps": 3_000,
    "experiment_max_contaminated_bps": 10_000,
    "touch_landmark_hours": 20,
    "touch_conversion_days": 3,
    "touch_max_scenes": 2,
    "loop_supply_days": 4,
    "loop_reads_days": 2,
    "ltv_holdout_days": 15,
    "funnels": [
        {"name": "talk", "window_days": 3, "steps": ["click", "group_join", "message"]},
        {"name": "buy", "window_days": 20, "steps": ["search", "publish", "order", "attend"]},
        {"name": "first", "window_days": 9, "steps": ["read", "first_order:tip", "submit"]},
    ],
}


def add_cases(logs: Logs, seed: int, sources: tuple[str, str], start: datetime) -> None:
    """Adds the records to a world that begins at `start` and lasts 45 days."""
    _Cases(logs, seed, sources, start).add()


class _Cases:
    def __init__(self, logs: Logs, seed: int, sources: tuple[str, str], start: datetime) -> None:
        self.logs = logs
        self.random = random.Random(f"cases {seed}")
        self.here, self.there = sources
        self.start = start
        self.number = 0

    def add(self) -> None:
        self.experiments()
        self.units()
        self.packs()
        self.scenes()
        self.topics()
        self.creators()
        self.buyers()
        self.consults()
        self.funnels()

    def pick(self, values: Sequence[T]) -> T:
        return self.random.choice(values)

    def put(self, log: str, **values: Any) -> dict[str, Any]:
        """One record; an event log's key is its own."""
        self.number += 1
        key = {
            "group/messages": "message_id",
            "commerce/orders": "order_id",
            "commerce/refunds": "refund_id",
            "commerce/share_policies": "policy_id",
            "operations/spend": "spend_id",
        }.get(log, "event_id")
        record = {"source": self.here} | values
        if not any(name in record for name in (key, "updated_at")):
            record[key] = f"z{self.number}"
        self.logs.setdefault(log, []).append(record)
        return record

    def moment(self, first: int = 0, last: int = DAYS - 1) -> datetime:
        """Full hours, local midnights of Shanghai among them, so that equal times are common."""
        hours = self.random.randint(0, 23)
        return self.start + timedelta(days=self.random.randint(first, last), hours=hours)

    def near(self, *bounds: datetime) -> datetime:
        """At a bound, or a microsecond to either side; inside the world."""
        last = self.start + timedelta(days=DAYS) - STEP
        return min(max(self.pick(bounds) + self.pick((-STEP, 0 * STEP, STEP)), self.start), last)

    def experiments(self) -> None:
        for name, unit, ends, seen, weights in EXPERIMENTS:
            ends_at = None if ends is None else self.start + timedelta(days=ends)
            self.put(
                "operations/experiments",
                experiment_id=name,
                updated_at=self.start,
                unit=unit,
                starts_at=self.start,
                ends_at=ends_at,
                variants=weights,
            )
            for unit_id in GROUPS if unit == "group" else UNITS:
                for _ in range(self.pick((1, 1, 2)) if seen else 0):
                    self.expose(name, unit_id, self.pick(seen[:2] if unit_id == "v0" else seen))
            if seen and ends_at is not None:
                self.expose(name, "w0" if unit == "group" else "v1", "b", ends_at)
                self.expose(name, "w1" if unit == "group" else "v2", "b", ends_at - STEP)
        for unit_id in UNITS[:3]:
            self.expose("x-unrecorded", unit_id, "a")

    def expose(self, name: str, unit: str, variant: str, at: datetime | None = None) -> None:
        seen = [
            e["variant"]
            for e in self.logs.get("operations/exposures", [])
            if (e["source"], e["experiment_id"], e["unit_id"]) == (self.here, name, unit)
        ]
        # Most units that come again see what they saw.
        if seen and self.random.random() < 0.8:
            variant = seen[0]
        self.put(
            "operations/exposures",
            experiment_id=name,
            unit_id=unit,
            variant=variant,
            occurred_at=at or self.moment(8, 25),
        )

    def exposures(self, kind: str) -> list[tuple[str, datetime]]:
        units = {name: unit for name, unit, *_ in EXPERIMENTS}
        return [
            (e["unit_id"], e["occurred_at"])
            for e in self.logs["operations/exposures"]
            if e["source"] == self.here and units.get(e["experiment_id"]) == kind
        ]

    def units(self) -> None:
        """Impressions, clicks, reads and orders about the exposures and their windows' bounds."""
        for unit, at in self.exposures("account"):
            bounds = (at, at - timedelta(days=28), at + timedelta(days=7), self.moment(10))
            for _ in range(2):
                shown_at = self.near(*bounds)
                content_id = self.pick(("c1", "c2", "c3", "c4"))
                self.event("impression", unit, shown_at, content_id=content_id)
                if self.random.random() < 0.6:
                    gap = timedelta(minutes=self.pick((0, 10, 30, 31)))
                    self.event("click", unit, self.near(shown_at + gap), content_id=content_id)
            named = self.pick(("c1", "c5", None))
            self.event("read", unit, self.near(*bounds), content_id=named)
            if self.random.random() < 0.5:
                self.order(self.near(*bounds), account_id=unit)
        for unit, at in self.exposures("member"):
            self.put(
                "group/messages",
                group_id=self.pick(GROUPS),
                member_id=unit,
                occurred_at=self.near(at + timedelta(days=7), self.moment()),
                kind=self.pick(("text", "reaction")),
            )
            self.order(self.near(at, self.moment()), member_id=unit)
        for group, at in self.exposures("group"):
            for _ in range(2):
                paid_at = self.near(at, self.start + timedelta(days=35), self.moment(10))
                self.order(paid_at, member_id=self.pick(UNITS), group_id=group)

    def event(self, kind: str, account: str, at: datetime, **more: Any) -> None:
        at = min(at, self.start + timedelta(days=DAYS) - STEP)
        self.put("community/events", event_type=kind, account_id=account, occurred_at=at, **more)

    def order(self, at: datetime, **more: Any) -> dict[str, Any]:
        order = self.put(
            "commerce/orders",
            **{
                "kind": self.pick(("course", "goods", "tip")),
                "amount_minor": self.pick((100, 250, 999, 5_000)),
                "currency": self.pick(("CNY", "CNY", "USD", "EUR")),
                "paid_at": at,
            }
            | more,
        )
        if self.random.random() < 0.25:
            self.put(
                "commerce/refunds",
                source=order["source"],
                order_id=order["order_id"],
                amount_minor=self.pick((1, order["amount_minor"] // 3, order["amount_minor"])),
                refunded_at=at + timedelta(days=self.pick((0, 3, 20, 40))),
            )
        return order

    def packs(self) -> None:
        """Groups with members who join about their exposure, spend on them and on packs."""
        exposures = self.exposures("group")
        for number, group in enumerate(GROUPS):
            self.put(
                "group/groups",
                group_id=group,
                updated_at=self.start,
                created_at=self.start + timedelta(days=number % 3),
                kind="reading",
                seed_pack_id=self.pick(("pk1", "pk2", None)),
                owner_member_id=f"owner{number}",
            )
            times = [at for name, at in exposures if name == group] or [self.moment()]
            for position in range(7):
                member = f"j{number}-{position}" if position < 5 else self.pick(UNITS)
                joined_at = self.near(*times, self.moment(3, 20))
                self.put(
                    "group/memberships",
                    group_id=group,
                    member_id=member,
                    action="join",
                    occurred_at=joined_at,
                    pack_id=self.pick(("pk1", "pk2", None)),
                )
                if self.random.random() < 0.3:
                    self.put(
                        "group/memberships",
                        group_id=group,
                        member_id=member,
                        action="leave",
                        occurred_at=self.near(*times, joined_at + timedelta(days=2)),
                    )
            days = [at.date() for at in times]
            for _ in range(3):
                day = self.pick(days) + timedelta(days=self.pick((-1, 0, 0, 1, 5)))
                self.spend("group", group, day)
        for pack in ("pk1", "pk2", "pk3", "pk4"):
            self.spend("pack", pack, self.start.date() + timedelta(days=self.random.randint(0, 50)))
        self.put(
            "group/memberships",
            group_id="w0",
            member_id="j-named",
            action="join",
            occurred_at=self.moment(),
            pack_id="pk5",
        )

    def spend(self, target: str, target_id: str, day: Any) -> None:
        self.put(
            "operations/spend",
            spent_on=day,
            target=target,
            target_id=target_id,
            amount_minor=self.pick((1_000, 2_500, 333)),
            currency=self.pick(("CNY", "CNY", "USD", "EUR")),
        )

    def scenes(self) -> None:
        """Visits at the bounds of two days and seven after a first touch, and orders there."""
        for number in range(7):
            for source in (self.here, self.there):
                self.put(
                    "group/scenes",
                    source=source,
                    scene_id=f"hall{number}",
                    updated_at=self.start,
                    group_id=self.pick(GROUPS),
                    kind=self.pick(("live_class", "homework", "other")),
                    starts_at=self.moment(),
                    kol_member_id=self.pick((None, "kol1", "kol2", UNITS[0])),
                    campaign_id=self.pick((None, "camp1", "camp2")),
                )
        visitors = (*UNITS[:10], "kol1", "1", "2", "3", "4", "5")
        for visitor in visitors:
            source, touch = self.pick((self.here, self.there)), self.moment(0, 38)
            gaps = (0, 0, 1, 20, 30, 48, 48, 60, 72, 168)
            for _ in range(self.random.randint(2, 7)):
                self.put(
                    "group/attendance",
                    source=source,
                    scene_id=f"hall{self.random.randint(0, 8)}",
                    member_id=visitor,
                    action=self.pick(("enter", "enter", "submit", "leave")),
                    occurred_at=self.near(touch + self.pick(gaps) * HOUR),
                )
            for _ in range(self.pick((0, 1, 1))):
                paid_at = self.near(touch + self.pick((0, 20, 48, 72, 100, 168)) * HOUR)
                buyer = {"source": source, "member_id": visitor}
                self.order(paid_at, **buyer)

    def topics(self) -> None:
        """Needs and contents 14 days apart, and reads seven days around the contents."""
        for number in range(14):
            source, topic = self.pick((self.here, self.here, self.there)), self.pick(TOPICS)
            published_at = self.moment(2, 40)
            content = self.put(
                "community/contents",
                source=source,
                content_id=f"topical{number}",
                updated_at=self.start,
                author_account_id=self.pick((*UNITS, "1", "2", "3", "4")),
                node_id=self.pick(("ch1", "x1", "lost")),
                kind=self.pick(("article", "answer", "question", "post")),
                published_at=published_at,
                topic=topic,
                deleted_at=self.pick((None, None, published_at + timedelta(days=3))),
            )
            for _ in range(5):
                gap = timedelta(days=self.pick((-7, -3, -1, 0, 2, 3, 7)))
                reader = self.pick((*UNITS, "1", "2"))
                self.event(
                    "read",
                    reader,
                    self.near(published_at + gap),
                    source=source,
                    content_id=content["content_id"],
                )
            for _ in range(3):
                gap = timedelta(days=self.pick((0, 1, 4, 5, 14, 14)))
                at = self.near(published_at - gap)
                asker, asked = self.pick((*UNITS, "1", "2", "3")), self.pick((topic, topic, None))
                if self.random.random() < 0.6:
                    self.event("search", asker, at, source=source, topic=asked)
                else:
                    self.put(
                        "group/consults",
                        source=self.pick((self.here, self.there)),
                        session_id=f"topic{number}",
                        member_id=asker,
                        action="question",
                        occurred_at=at,
                        topic=asked,
                    )

    def creators(self) -> None:
        """Paid contents of few creators, policies of nodes and platform, readers who pay."""
        first = self.start.date()
        nodes = ("ch1", "x1", "p", None)
        for number in range(9):
            scope_id = self.pick(nodes)
            self.put(
                "commerce/share_policies",
                source=self.pick((self.here, self.here, self.there)),
                policy_id=f"policy{number}",
                scope="platform" if scope_id is None else "node",
                scope_id=scope_id,
                share_bps=self.pick((0, 3_333, 5_000, 7_001)),
                valid_from=self.pick(
                    (first - timedelta(days=90), first.replace(day=1), first, first)
                ),
            )
        paid = []
        for number in range(6):
            paid.append(
                self.put(
                    "community/contents",
                    content_id=f"paid{number}",
                    updated_at=self.start,
                    author_account_id=self.pick((*UNITS[:4], "1", "2")),
                    node_id=self.pick(("ch1", "x1", "x3", "ch2", "lost")),
                    kind="article",
                    published_at=self.moment(0, 9),
                    is_paid=True,
                    deleted_at=self.pick((None, None, None, self.moment(20))),
                )
            )
        for _ in range(40):
            self.event(
                "read",
                self.pick((*UNITS[:9], "1", "2", "3")),
                self.moment(),
                content_id=self.pick(paid)["content_id"],
            )
        for _ in range(24):
            self.order(
                self.pick((self.moment(), self.moment(), self.moment(-40, -1))),
                account_id=self.pick((*UNITS[:12], "3")),
                kind=self.pick(("column", "tip", "goods")),
                content_id=self.pick((None, self.pick(paid)["content_id"], "c1")),
            )

    def buyers(self) -> None:
        """Buyers who come again, some on one date twice, over half a year."""
        for number in range(14):
            at = self.moment(-150, 20)
            while at < self.start + timedelta(days=DAYS) and self.random.random() < 0.8:
                self.order(at, member_id=f"buyer{number}")
                at += timedelta(days=self.pick((0, 1, 7, 12, 30)), hours=self.pick((0, 9)))

    def consults(self) -> None:
        """Sessions of the last days, closed, reopened, closed before they were asked."""
        for number in range(6):
            at = self.moment(DAYS - 4, DAYS - 1)
            for _ in range(self.random.randint(2, 6)):
                at = self.near(at + self.pick((0, 1, 5, 10, 300)) * timedelta(minutes=1))
                self.put(
                    "group/consults",
                    session_id=f"board{number}",
                    member_id=self.pick((*UNITS[:6], "1", "2")),
                    action=self.pick(("question", "question", "close", "close", "reopen", "rate")),
                    occurred_at=at,
                    received_at=self.pick((None, at - HOUR, at + HOUR)),
                )

    def funnels(self) -> None:
        """Persons who see, click, join and buy, at equal times and at the end of seven days."""
        for number in range(10):
            key, at = f"funnel{number}", self.moment(0, 36)
            first = at
            gaps = (timedelta(0), STEP, timedelta(days=1), timedelta(days=7), timedelta(days=3))
            self.event("impression", key, at, content_id="c1")
            at = self.pick((at + self.pick(gaps), first + timedelta(days=7) - STEP))
            self.event("click", key, at, content_id=self.pick((None, "c1")))
            at = self.pick((at + self.pick(gaps[:4]), first + timedelta(days=7) - STEP))
            self.put(
                "group/memberships",
                source=self.there,
                group_id="g9",
                member_id=key,
                action="join",
                occurred_at=at,
            )
            self.put(
                "commerce/identity_links",
                link_id=f"funnel link {number}",
                account_source=self.here,
                account_id=key,
                member_source=self.there,
                member_id=key,
                action="link",
                method="login",
                occurred_at=self.start,
            )
            self.put(
                "group/messages",
                source=self.there,
                group_id="g9",
                member_id=key,
                occurred_at=self.near(at, at + timedelta(days=1)),
                kind="text",
            )
            at = self.pick((at + self.pick(gaps[:3]), first + timedelta(days=7) - STEP))
            self.order(at, account_id=key)
