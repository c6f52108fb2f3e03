"""The revenue marts against a second reading of their contract, over random worlds.

Exact fractions, brute force over permutations and a solved linear system stand where the models
use integers, one division and an elimination.
"""

from __future__ import annotations

import importlib
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from functools import cached_property
from itertools import pairwise, permutations
from math import floor
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orchestration.payouts import Policy, replay
from orchestration.settings import Settings
from orchestration.transform import DbtSession
from orchestration.warehouse import open_warehouse
from tests.support import build_marts, test_settings

ZONE = ZoneInfo("Asia/Shanghai")
START = date(2025, 1, 1)
DAYS = 150
AS_OF = date(2025, 5, 20)
DAY = timedelta(days=1)
EXPONENT = {"CNY": 2, "USD": 2, "JPY": 0, "KWD": 3, "EUR": 2}
KINDS = ("fission", "theme", "daily", "(unknown)")
MARTS = (
    "daily",
    "group_arpu_monthly",
    "mrr_movements",
    "renewals",
    "ltv",
    "repurchase",
    "acquisition",
    "attribution",
    "creator_payouts",
    "payout_ledger",
    "pack_uplift",
    "exceptions",
)
MODELS = ("first", "last", "linear", "position", "time_decay", "markov", "shapley")
Row = dict[str, Any]
Logs = dict[str, list[Row]]
Rows = dict[tuple[Any, ...], tuple[Any, ...]]


def _half_up(value: Fraction) -> int:
    """Half away from zero."""
    return floor(abs(value) + Fraction(1, 2)) * (1 if value >= 0 else -1)


def _shares(amount: int, weights: list[Fraction]) -> list[int]:
    """Floor and largest remainder; ties to the earlier place."""
    total = sum(weights)
    quotas = [amount * weight / total if total else Fraction(0) for weight in weights]
    paid = [floor(quota) for quota in quotas]
    order = sorted(range(len(paid)), key=lambda place: (paid[place] - quotas[place], place))
    for place in order[: amount - sum(paid)] if total else []:
        paid[place] += 1
    return paid


def _month(day: date) -> date:
    return day.replace(day=1)


def _next(month: date) -> date:
    return _month(month + 31 * DAY)


# The world


class _Maker:
    """Raw records of a small commerce; many at the bounds of windows."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.numbers: Counter[str] = Counter()

    def id(self, kind: str) -> str:
        self.numbers[kind] += 1
        return f"{kind}{self.numbers[kind]:03d}"

    def moment(self, last: int = DAYS) -> datetime:
        """Often on a grid of half days, so that instants and windows meet exactly."""
        base = datetime.combine(START, time(), tzinfo=UTC)
        if self.random.random() < 0.6:
            return base + self.random.randrange(2 * last) * timedelta(hours=12)
        return base + timedelta(microseconds=self.random.randrange(last * 86400 * 10**6))

    def logs(self) -> Logs:
        pick, odds = self.random.choice, self.random.random
        sources = ("s", "t")
        updated = "2024-12-31T00:00:00Z"
        logs: Logs = defaultdict(list)
        for source in sources:
            for number in range(8):
                logs["community/accounts"].append(
                    {
                        "source": source,
                        "account_id": f"a{number}",
                        "updated_at": updated,
                        "registered_at": self.moment(60),
                        "acquisition_channel": pick(["ads", "friends", None]),
                        "is_bot": number == 6,
                        "is_staff": number == 7,
                        "erased_at": updated if number == 5 else None,
                    }
                )
                logs["group/members"].append(
                    {"source": source, "member_id": f"m{number}", "updated_at": updated}
                )
                if number % 2 == 0:
                    logs["commerce/identity_links"].append(
                        {
                            "source": source,
                            "link_id": self.id("link"),
                            "account_source": source,
                            "account_id": f"a{number}",
                            "member_source": pick(sources) if number == 2 else source,
                            "member_id": f"m{number}",
                            "action": "link",
                            "method": "login",
                            "occurred_at": self.moment(),
                        }
                    )
            for node, parent in (("top", None), ("mid", "top"), ("leaf", "mid"), ("x", "y")):
                logs["community/nodes"].append(
                    {
                        "source": source,
                        "node_id": node,
                        "updated_at": updated,
                        "level": "circle" if parent else "platform",
                        "parent_node_id": parent,
                    }
                )
            for number in range(8):
                logs["community/contents"].append(
                    {
                        "source": source,
                        "content_id": f"c{number}",
                        "updated_at": updated,
                        "author_account_id": f"a{number}",
                        "node_id": pick(["top", "mid", "leaf", "x"]),
                        "kind": "article",
                        "published_at": self.moment(20),
                        "is_paid": number != 1,
                        "deleted_at": self.moment() if number == 3 else None,
                    }
                )
            for number in range(3):
                logs["operations/campaigns"].append(
                    {
                        "source": source,
                        "campaign_id": f"k{number}",
                        "updated_at": updated,
                        "kind": KINDS[number],
                        "starts_at": self.moment(),
                    }
                )
                logs["group/broadcasts"].append(
                    {
                        "source": source,
                        "broadcast_id": f"b{number}",
                        "updated_at": updated,
                        "sent_at": self.moment(),
                        "campaign_id": pick([f"k{number}", None]),
                    }
                )
                logs["group/groups"].append(
                    {
                        "source": source,
                        "group_id": f"g{number}",
                        "updated_at": updated,
                        "created_at": self.moment(40),
                        "kind": "guild",
                        "closed_at": self.moment() if number == 2 else None,
                    }
                )
            for scope, scope_id in (("platform", None), ("node", "mid"), ("node", "x")):
                for _ in range(3):
                    logs["commerce/share_policies"].append(
                        {
                            "source": source,
                            "policy_id": self.id("policy"),
                            "scope": scope,
                            "scope_id": scope_id,
                            "share_bps": self.random.randrange(10001),
                            "valid_from": START + self.random.randrange(-10, 5) * 15 * DAY,
                        }
                    )
        for _ in range(25):
            logs["commerce/fx_rates"].append(
                {
                    "source": pick(sources),
                    "rate_id": self.id("rate"),
                    "rate_date": START + self.random.randrange(20, DAYS) * DAY,
                    "currency": pick(["USD", "JPY", "KWD"]),
                    "rate": f"{self.random.randrange(1, 9999)}.{self.random.randrange(10**4):04d}",
                }
            )
        for _ in range(500):
            logs["community/events"].append(
                {
                    "source": pick(sources),
                    "event_id": self.id("event"),
                    "account_id": f"a{self.random.randrange(9)}",
                    "event_type": pick(["read", "read", "click", "impression", "share"]),
                    "occurred_at": self.moment(),
                    "content_id": f"c{self.random.randrange(9)}",
                    "campaign_id": pick(["k0", "k1", "k2", "gone", None]),
                }
            )
        for _ in range(120):
            logs["group/messages"].append(
                {
                    "source": pick(sources),
                    "message_id": self.id("message"),
                    "group_id": f"g{self.random.randrange(3)}",
                    "member_id": f"m{self.random.randrange(8)}",
                    "occurred_at": self.moment(),
                    "kind": pick(["text", "text", "reaction", "system"]),
                }
            )
            logs["group/memberships"].append(
                {
                    "source": pick(sources),
                    "event_id": self.id("membership"),
                    "group_id": f"g{self.random.randrange(3)}",
                    "member_id": f"m{self.random.randrange(8)}",
                    "action": pick(["join", "join", "leave", "role"]),
                    "occurred_at": self.moment(),
                    "campaign_id": pick(["k0", None]),
                    "pack_id": pick(["pack", None]),
                }
            )
            logs["group/deliveries"].append(
                {
                    "source": pick(sources),
                    "event_id": self.id("delivery"),
                    "broadcast_id": f"b{self.random.randrange(4)}",
                    "group_id": f"g{self.random.randrange(3)}",
                    "member_id": f"m{self.random.randrange(8)}",
                    "status": pick(["click", "read", "sent"]),
                    "occurred_at": self.moment(),
                }
            )
        for _ in range(60):
            who = {pick(["account_id", "member_id"]): ""}
            who = {key: f"{key[0]}{self.random.randrange(8)}" for key in who}
            logs["operations/campaign_events"].append(
                {
                    "source": pick(sources),
                    "event_id": self.id("campaign_event"),
                    "campaign_id": f"k{self.random.randrange(3)}",
                    "action": pick(["participate", "participate", "target"]),
                    "occurred_at": self.moment(),
                    **who,
                }
            )
            logs["operations/spend"].append(
                {
                    "source": pick(sources),
                    "spend_id": self.id("spend"),
                    "spent_on": START + self.random.randrange(DAYS) * DAY,
                    "target": pick(["channel", "campaign", "pack", "group", "content"]),
                    "target_id": pick(["ads", "k0", "pack", "g1", "c2"]),
                    "amount_minor": self.random.randrange(10**4),
                    "currency": pick(list(EXPONENT)),
                }
            )
        for number in range(260):
            key = pick(["account_id", "member_id"])
            order: Row = {
                "source": pick(sources),
                "order_id": self.id("order"),
                "kind": pick(["goods", "column", "tip", "course"]),
                "amount_minor": pick([0, 1, 7, 100, self.random.randrange(10**5)]),
                "currency": pick(["CNY", "CNY", *EXPONENT]),
                "paid_at": self.moment(),
                key: f"{key[0]}{self.random.randrange(8)}",
                "group_id": pick(["g0", "g1", "gone", None, None, None]),
                "content_id": pick([f"c{self.random.randrange(9)}", None]),
            }
            if number % 9 == 0:
                order |= {"account_id": "a1", "member_id": "m3"}
            logs["commerce/orders"].append(order)
            for _ in range(pick([0, 0, 1, 2]) if odds() < 0.7 else 0):
                logs["commerce/refunds"].append(
                    {
                        "source": order["source"],
                        "refund_id": self.id("refund"),
                        "order_id": pick([order["order_id"]] * 9 + ["gone"]),
                        "amount_minor": self.random.randrange(order["amount_minor"] + 2),
                        "refunded_at": order["paid_at"] + self.random.randrange(-2, 40) * DAY,
                    }
                )
        for _ in range(160):
            begin = START + self.random.randrange(DAYS - 10) * DAY
            key = pick(["account_id", "member_id"])
            logs["commerce/subscriptions"].append(
                {
                    "source": pick(sources),
                    "event_id": self.id("subscription"),
                    "subscription_id": f"sub{self.random.randrange(30)}",
                    "plan_id": pick(["gold", "silver"]),
                    "action": pick(["start", "renew", "renew", "change", "cancel"]),
                    "occurred_at": self.moment(),
                    "period_start": begin,
                    "period_end": begin + pick([0, 7, 30, 31, 90]) * DAY,
                    "amount_minor": pick([0, self.random.randrange(10**4)]),
                    "currency": pick(["CNY", "CNY", *EXPONENT]),
                    key: f"{key[0]}{self.random.randrange(8)}",
                }
            )
        return logs


# The second reading


@dataclass(frozen=True)
class Touch:
    person: str
    at: datetime
    source: str
    id: str
    log: str
    kind: str

    @property
    def name(self) -> str:
        return f"{self.log}/{self.source}/{self.id}"

    @property
    def place(self) -> tuple[datetime, str, str, str]:
        return (self.at, self.source, self.id, self.log)


@dataclass
class Order:
    source: str
    id: str
    kind: str
    person: str
    at: datetime
    group: str | None
    content: str | None
    amount: int | None
    net: int
    touches: list[Touch] = field(default_factory=list)

    @property
    def month(self) -> date:
        return _month(_day(self.at))


def _day(moment: datetime) -> date:
    return moment.astimezone(ZONE).date()


END = datetime.combine(AS_OF + DAY, time(), tzinfo=ZONE)


class World:
    """The records under the contract; persons by their warehouse ids."""

    def __init__(self, logs: Logs, persons: dict[tuple[str, str, str], Row]) -> None:
        self.logs = logs
        self.persons = persons
        self.by_person = {row["person_id"]: row for row in persons.values()}

    def counts(self, person: str) -> bool:
        row = self.by_person[person]
        return not row["is_excluded"] and not row["is_staff"]

    def who(self, row: Row) -> str:
        """The person of a record; the account names it where both are given."""
        kind = "account" if row.get("account_id") else "member"
        return str(self.persons[(row["source"], kind, row[f"{kind}_id"])]["person_id"])

    def converted(self, amount: int, currency: str, day: date) -> int | None:
        if currency == "CNY":
            return amount
        rates = [
            rate
            for rate in self.logs["commerce/fx_rates"]
            if rate["currency"] == currency and rate["rate_date"] <= day
        ]
        if not rates:
            return None
        best = max(rates, key=lambda rate: (rate["rate_date"], rate["source"], rate["rate_id"]))
        shift = Fraction(10) ** (EXPONENT["CNY"] - EXPONENT[currency])
        return _half_up(amount * Fraction(best["rate"]) * shift)

    @cached_property
    def orders(self) -> list[Order]:
        found = []
        for row in self.logs["commerce/orders"]:
            person, day = self.who(row), _day(row["paid_at"])
            if not self.counts(person) or day > AS_OF:
                continue
            amount = self.converted(row["amount_minor"], row["currency"], day)
            refunds = [
                self.converted(refund["amount_minor"], row["currency"], day)
                for refund in self.logs["commerce/refunds"]
                if (refund["source"], refund["order_id"]) == (row["source"], row["order_id"])
                and _day(refund["refunded_at"]) <= AS_OF
            ]
            net = 0 if amount is None else amount - sum(part or 0 for part in refunds)
            found.append(
                Order(
                    row["source"],
                    row["order_id"],
                    row["kind"],
                    person,
                    row["paid_at"],
                    row.get("group_id"),
                    row.get("content_id"),
                    amount,
                    net,
                )
            )
        for order in found:
            order.touches = [
                touch
                for touch in sorted(self.touches, key=lambda touch: touch.place)
                if touch.person == order.person
                and touch.at <= order.at < touch.at + timedelta(days=30)
            ]
        return sorted(found, key=lambda order: (order.at, order.source, order.id))

    @cached_property
    def touches(self) -> list[Touch]:
        kinds = {
            (row["source"], row["campaign_id"]): row["kind"]
            for row in self.logs["operations/campaigns"]
        }
        broadcasts = {
            (row["source"], row["broadcast_id"]): row["campaign_id"]
            for row in self.logs["group/broadcasts"]
        }
        rows = [
            ("community/events", row, row["campaign_id"])
            for row in self.logs["community/events"]
            if row["event_type"] == "click" and row["campaign_id"]
        ]
        rows += [
            ("group/deliveries", row, broadcasts.get((row["source"], row["broadcast_id"])))
            for row in self.logs["group/deliveries"]
            if row["status"] == "click"
        ]
        rows += [
            ("operations/campaign_events", row, row["campaign_id"])
            for row in self.logs["operations/campaign_events"]
            if row["action"] == "participate"
        ]
        return [
            Touch(
                self.who(row),
                row["occurred_at"],
                row["source"],
                row["event_id"],
                log,
                kinds.get((row["source"], campaign), "(unknown)"),
            )
            for log, row, campaign in rows
            if self.counts(self.who(row)) and _day(row["occurred_at"]) <= AS_OF
        ]

    @cached_property
    def activity(self) -> list[tuple[str, str, datetime, str, str, str | None]]:
        """(person, core, at, source, id, group) of persons that count."""
        rows: list[tuple[Row, str, str, str, str | None]] = []
        for row in self.logs["community/events"]:
            if row["event_type"] != "impression":
                rows.append((row, "community", "occurred_at", row["event_id"], None))
        for row in self.logs["community/contents"]:
            author = row | {"account_id": row["author_account_id"]}
            rows.append((author, "community", "published_at", row["content_id"], None))
        for row in self.logs["group/messages"]:
            if row["kind"] != "system":
                rows.append((row, "group", "occurred_at", row["message_id"], row["group_id"]))
        for row in self.logs["group/deliveries"]:
            if row["status"] in ("read", "click"):
                rows.append((row, "group", "occurred_at", row["event_id"], row["group_id"]))
        return [
            (self.who(row), core, row[when], row["source"], key, group)
            for row, core, when, key, group in rows
            if self.counts(self.who(row)) and _day(row[when]) <= AS_OF
        ]


def groups(world: World) -> Rows:
    """(month, source, group) → (net revenue, payers), of orders alone."""
    net: Counter[tuple[date, str, str]] = Counter()
    payers = defaultdict(set)
    for order in world.orders:
        place = (order.source, order.group or "(none)")
        if order.group is None:
            events = [
                (at, source, key, group)
                for person, core, at, source, key, group in world.activity
                if person == order.person and core == "group" and group and at <= order.at
            ]
            last = max(events, default=None)
            if last and order.at < last[0] + timedelta(days=30):
                place = (last[1], str(last[3]))
        net[(order.month, *place)] += order.net
        payers[(order.month, *place)].add(order.person)
    return {place: (net[place], len(people)) for place, people in payers.items()}


def _periods(world: World) -> list[Row]:
    return [
        row | {"person": world.who(row)}
        for row in world.logs["commerce/subscriptions"]
        if row["action"] != "cancel"
        and row["period_start"] < row["period_end"]
        and world.counts(world.who(row))
        and _day(row["occurred_at"]) <= AS_OF
    ]


def mrr(world: World) -> Rows:
    """(month, source, plan) → opening … closing, in the mart's order."""
    found: Rows = {}
    for source in ("s", "t"):
        periods = [row for row in _periods(world) if row["source"] == source]
        month, months = _month(min(row["period_start"] for row in periods)), []
        while _next(month) - DAY <= AS_OF:
            months.append(month)
            month = _next(month)
        for plan in ("*", "gold", "silver"):
            levels: list[Counter[str]] = []
            for month in months:
                last = _next(month) - DAY
                level: Counter[str] = Counter()
                for subscription in {row["subscription_id"] for row in periods}:
                    holding = [
                        row
                        for row in periods
                        if row["subscription_id"] == subscription
                        and row["period_start"] <= last < row["period_end"]
                    ]
                    if not holding:
                        continue
                    row = max(holding, key=lambda row: (row["occurred_at"], row["event_id"]))
                    amount = world.converted(
                        row["amount_minor"], row["currency"], _day(row["occurred_at"])
                    )
                    days = (row["period_end"] - row["period_start"]).days
                    if plan in ("*", row["plan_id"]):
                        level[row["person"]] += _half_up(Fraction((amount or 0) * 30, days))
                levels.append(+level)
            seen: set[str] = set()
            before: Counter[str] = Counter()
            for month, level in zip(months, levels, strict=True):
                moves = Counter[str]()
                for person in before | level:
                    change = level[person] - before[person]
                    if before[person] and level[person]:
                        moves["expansion" if change > 0 else "contraction"] += change
                    elif before[person]:
                        moves["churn"] += change
                    else:
                        moves["reactivation" if person in seen else "new"] += change
                names = ("new", "expansion", "contraction", "churn", "reactivation")
                found[(month, source, plan)] = (
                    sum(before.values()),
                    *(moves[name] for name in names),
                    sum(level.values()),
                )
                seen |= set(level)
                before = level
    return found


def repurchase(world: World) -> Rows:
    buyers: dict[str, list[Order]] = defaultdict(list)
    for order in world.orders:
        buyers[order.person].append(order)
    found: dict[tuple[date, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for orders in buyers.values():
        for days in (30, 90):
            window = timedelta(days=days)
            counts = found[(orders[0].month, days)]
            counts[0] += 1
            if orders[0].at + window <= END:
                counts[1] += 1
                counts[2] += len(orders) > 1 and orders[1].at < orders[0].at + window
    return {
        key: (count, eligible, repeated if eligible else None)
        for key, (count, eligible, repeated) in found.items()
    }


def ltv(world: World) -> Rows:
    firsts: dict[str, datetime] = {}
    cores = defaultdict(set)
    for person, core, at, *_ in world.activity:
        firsts[person] = min(at, firsts.get(person, at))
        cores[person].add(core)
    found: dict[tuple[date, str, int], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for person, first in firsts.items():
        mix = "both" if len(cores[person]) == 2 else f"{min(cores[person])}_only"
        for days in (30, 90, 180, 365):
            window = timedelta(days=days)
            counts = found[(_month(_day(first)), mix, days)]
            counts[0] += 1
            if first + window > END:
                continue
            counts[1] += 1
            orders = [
                order
                for order in world.orders
                if order.person == person and first <= order.at < first + window
            ]
            counts[2] += bool(orders)
            counts[3] += sum(order.net for order in orders)
    return {
        key: (count, eligible, *((payers, net) if eligible else (None, None)))
        for key, (count, eligible, payers, net) in found.items()
    }


def acquisition(world: World) -> Rows:
    """(month, source, kind, target) → spend, members, payers, eligible, net in 90 days."""
    acquired: dict[tuple[str, str], tuple[datetime, str, str]] = {}
    for row in sorted(
        world.logs["community/accounts"],
        key=lambda row: (row["registered_at"], row["source"], row["account_id"]),
    ):
        if row["acquisition_channel"]:
            place = (row["registered_at"], row["source"], row["acquisition_channel"])
            acquired.setdefault(("channel", world.who(row)), place)
    joined = set()
    for row in sorted(
        world.logs["group/memberships"],
        key=lambda row: (row["occurred_at"], row["source"], row["event_id"]),
    ):
        person = world.who(row)
        if row["action"] != "join" or person in joined:
            continue
        joined.add(person)
        for kind in ("group", "campaign", "pack"):
            if row.get(f"{kind}_id"):
                place = (row["occurred_at"], row["source"], row[f"{kind}_id"])
                acquired[(kind, person)] = place
    firsts: dict[str, Order] = {}
    for order in world.orders:
        if firsts.setdefault(order.person, order) is order and order.content:
            acquired[("content", order.person)] = (order.at, order.source, order.content)
    found: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    for row in world.logs["operations/spend"]:
        if row["spent_on"] <= AS_OF:
            key = (_month(row["spent_on"]), row["source"], row["target"], row["target_id"])
            amount = world.converted(row["amount_minor"], row["currency"], row["spent_on"])
            found[key][0] += amount or 0
    for (kind, person), (at, source, target) in acquired.items():
        if not world.counts(person) or _day(at) > AS_OF:
            continue
        counts = found[(_month(_day(at)), source, kind, target)]
        counts[1] += 1
        if at + timedelta(days=90) <= END:
            counts[3] += 1
            counts[4] += sum(
                order.net
                for order in world.orders
                if order.person == person and at <= order.at < at + timedelta(days=90)
            )
        if person in firsts and firsts[person].at >= at:
            found[(firsts[person].month, source, kind, target)][2] += 1
    return {
        key: (
            spend,
            None if key[2] == "content" else members,
            payers,
            eligible,
            net if eligible else None,
        )
        for key, (spend, members, payers, eligible, net) in found.items()
    }


def _paths(world: World) -> list[tuple[list[str], str]]:
    """Every observed path of kinds, with where it ended."""
    paths = [
        ([touch.kind for touch in order.touches], "(order)")
        for order in world.orders
        if order.amount is not None and order.touches
    ]
    used = {
        touch.name for order in world.orders if order.amount is not None for touch in order.touches
    }
    lost = defaultdict(list)
    for touch in sorted(world.touches, key=lambda touch: touch.place):
        if touch.name not in used:
            lost[touch.person].append(touch)
    for touches in lost.values():
        path = [touches[0]]
        runs = [path]
        for before, touch in pairwise(touches):
            if touch.at >= before.at + timedelta(days=30):
                path = []
                runs.append(path)
            path.append(touch)
        paths += [
            ([touch.kind for touch in run], "(lost)")
            for run in runs
            if run[-1].at + timedelta(days=30) <= END
        ]
    return paths


def removal_effects(paths: list[tuple[list[str], str]]) -> dict[str, Fraction]:
    """1 − P(order without the kind) / P(order), by solving the chain's linear system exactly."""
    moves: Counter[tuple[str, str]] = Counter()
    for kinds, end in paths:
        moves.update(pairwise(["(start)", *kinds, end]))
    leaving: Counter[str] = Counter()
    for (origin, _), count in moves.items():
        leaving[origin] += count

    def probability(removed: str | None) -> Fraction:
        states = ["(start)", *(kind for kind in KINDS if leaving[kind] and kind != removed)]
        rows = [
            [Fraction(int(a == b)) - Fraction(moves[(a, b)], leaving[a]) for b in states]
            + [Fraction(moves[(a, "(order)")], leaving[a])]
            for a in states
        ]
        for place in range(len(rows)):
            pivot = next(row for row in range(place, len(rows)) if rows[row][place])
            rows[place], rows[pivot] = rows[pivot], rows[place]
            rows[place] = [value / rows[place][place] for value in rows[place]]
            for other in range(len(rows)):
                if other != place:
                    factor = rows[other][place]
                    rows[other] = [
                        a - factor * b for a, b in zip(rows[other], rows[place], strict=True)
                    ]
        return rows[0][-1]

    everything = probability(None)
    return {kind: 1 - probability(kind) / everything for kind in KINDS}


def shapley_of_kinds(orders: list[Order]) -> dict[str, Fraction]:
    """Brute force: over all orders of arrival, what a kind adds; a set of kinds is worth the
    orders whose kinds it holds."""

    def worth(kinds: set[str]) -> int:
        return sum(
            order.net for order in orders if {touch.kind for touch in order.touches} <= kinds
        )

    total: dict[str, Fraction] = dict.fromkeys(KINDS, Fraction(0))
    arrivals = list(permutations(KINDS))
    for arrival in arrivals:
        for place, kind in enumerate(arrival):
            before = set(arrival[:place])
            total[kind] += Fraction(worth(before | {kind}) - worth(before), len(arrivals))
    return total


def _weight(model: str, order: Order, place: int, effects: dict[str, Fraction]) -> Fraction:
    """What a touch of the order weighs in a model."""
    touch, last = order.touches[place], len(order.touches) - 1
    same_kind = sum(other.kind == touch.kind for other in order.touches)
    if model == "first":
        return Fraction(int(place == 0))
    if model == "last":
        return Fraction(int(place == last))
    if model == "position" and last > 1:
        return Fraction(2, 5) if place in (0, last) else Fraction(1, 5 * (last - 1))
    if model == "time_decay":
        return Fraction(round(2.0**52 * 2.0 ** (-((order.at - touch.at) / timedelta(days=7)))))
    if model == "markov":
        return effects[touch.kind] / same_kind
    if model == "shapley":
        return Fraction(1, same_kind)
    return Fraction(1)


def attribution(world: World) -> Rows:
    """(source, order, touch, model) → credit."""
    effects = removal_effects(_paths(world))
    found: Rows = {}
    for order in world.orders:
        if order.amount is None:
            continue
        for model in MODELS:
            places = range(len(order.touches))
            shares = _shares(order.net, [_weight(model, order, i, effects) for i in places])
            for touch, credit in zip(order.touches, shares, strict=True):
                found[(order.source, order.id, touch.name, model)] = (credit,)
            if not order.touches:
                found[(order.source, order.id, "(none)", model)] = (order.net,)
    return found


def payouts(world: World) -> Rows:
    """(month, model, person) → (pool, payout)."""
    parents = {
        (row["source"], row["node_id"]): row["parent_node_id"]
        for row in world.logs["community/nodes"]
    }
    contents = {(row["source"], row["content_id"]): row for row in world.logs["community/contents"]}

    def in_force(source: str, scope: str, node: str | None, month: date) -> int | None:
        policies = [
            (row["valid_from"], row["policy_id"], row["share_bps"])
            for row in world.logs["commerce/share_policies"]
            if (row["source"], row["scope"], row["scope_id"]) == (source, scope, node)
            and row["valid_from"] <= month
        ]
        return max(policies)[2] if policies else None

    def share(order: Order, node: str | None) -> int:
        while node is not None:
            bps = in_force(order.source, "node", node, order.month)
            if bps is not None:
                return bps
            node = parents.get((order.source, node))
        return in_force(order.source, "platform", None, order.month) or 0

    own: dict[date, Counter[str]] = defaultdict(Counter)
    for order in world.orders:
        content = contents.get((order.source, order.content or ""))
        if order.kind in ("column", "tip") or (content and content["is_paid"]):
            bps = share(order, content["node_id"] if content else None)
            own[order.month][order.person] += order.net * bps
    reads: dict[date, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for row in world.logs["community/events"]:
        content = contents.get((row["source"], row["content_id"]))
        if row["event_type"] != "read" or not content or not content["is_paid"]:
            continue
        if content["deleted_at"] and row["occurred_at"] >= content["deleted_at"]:
            continue
        creator = world.who(content | {"account_id": content["author_account_id"]})
        reader, day = world.who(row), _day(row["occurred_at"])
        if day <= AS_OF and world.counts(creator) and world.counts(reader):
            reads[_month(day)][reader][creator] += 1
    ids = defaultdict(list)
    for (source, _, key), row in world.persons.items():
        ids[row["person_id"]].append((source, key))
    found: dict[tuple[Any, ...], list[int]] = {}
    for month, payers in own.items():
        pool = _half_up(Fraction(sum(payers.values()), 10000))
        everyone: Counter[str] = Counter()
        for counts in reads[month].values():
            everyone += counts
        creators = sorted(everyone, key=lambda person: min(ids[person]))
        weights = {
            "pro_rata": [Fraction(everyone[creator]) for creator in creators],
            "user_centric": [
                sum(
                    (
                        money
                        * Fraction(
                            (reads[month].get(payer) or everyone)[creator],
                            sum((reads[month].get(payer) or everyone).values()),
                        )
                        for payer, money in payers.items()
                    ),
                    Fraction(0),
                )
                for creator in creators
            ],
        }
        for model in weights:
            paid = _shares(pool, weights[model]) if creators else []
            if not creators:
                found[(month, model, "(none)")] = [pool, pool]
            for creator, amount in zip(creators, paid, strict=True):
                name = "(erased)" if world.by_person[creator]["is_erased"] else creator
                found.setdefault((month, model, name), [pool, 0])[1] += amount
    return {key: tuple(values) for key, values in found.items()}


# The comparison


@dataclass(frozen=True)
class Built:
    """A world and the warehouse that dbt made of it."""

    world: World
    settings: Settings

    def query(self, text: str) -> list[tuple[Any, ...]]:
        with open_warehouse(self.settings, read_only=True) as connection:
            return connection.execute(text).fetchall()

    def rows(self, table: str, key: list[str], values: list[str]) -> Rows:
        found = self.query(f"select {', '.join([*key, *values])} from {table}")
        rows = {row[: len(key)]: row[len(key) :] for row in found}
        assert len(rows) == len(found)
        return rows


@pytest.fixture(scope="module", params=[1, 2])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    logs = _Maker(request.param).logs()
    settings = test_settings(tmp_path_factory.mktemp("revenue"), as_of_date=AS_OF)
    build_marts(settings, logs, " ".join(f"+{mart}" for mart in MARTS))
    with open_warehouse(settings, read_only=True) as connection:
        cursor = connection.execute("select * from intermediate.int_identities")
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    persons = {(row["source"], row["id_kind"], row["id"]): row for row in rows}
    return Built(World(logs, persons), settings)


def _differences(expected: Rows, found: Rows) -> list[tuple[Any, ...]]:
    keys = sorted(set(expected) | set(found), key=str)
    return [
        (key, expected.get(key), found.get(key))
        for key in keys
        if expected.get(key) != found.get(key)
    ][:10]


def test_groups_and_none_earn_what_was_paid(built: Built) -> None:
    found = built.rows(
        "revenue.group_arpu_monthly",
        ["month", "source", "group_id"],
        ["net_revenue_minor", "payers"],
    )
    with_orders = {key: row for key, row in found.items() if row != (0, 0)}
    assert not _differences(groups(built.world), with_orders)
    total = built.query("select sum(net_order_minor) from revenue.daily")
    assert [(sum(row[0] for row in found.values()),)] == total


def test_members_of_groups_are_those_of_group_daily(built: Built) -> None:
    found = built.query(
        """
        select count(*)
        from (
            select date_trunc('month', date) as month, source, group_id,
                sum(members_close) as member_days, count(*) as days
            from engagement.group_daily group by all
        ) as daily
        full join revenue.group_arpu_monthly as monthly using (month, source, group_id)
        where daily.member_days is distinct from monthly.member_days
            or daily.days is distinct from monthly.days
        """
    )
    assert found == [(0,)]


def test_mrr(built: Built) -> None:
    names = ["opening", "new", "expansion", "contraction", "churn", "reactivation", "closing"]
    found = built.rows(
        "revenue.mrr_movements",
        ["month", "source", "plan_id"],
        [f"{name}_minor" for name in names],
    )
    assert not _differences(mrr(built.world), found)
    assert any(row[5] for row in found.values())


def test_ltv(built: Built) -> None:
    found = built.rows(
        "revenue.ltv",
        ["cohort_month", "core_mix", "day_n"],
        ["persons", "eligible", "payers", "net_revenue_minor"],
    )
    assert not _differences(ltv(built.world), found)


def test_repurchase(built: Built) -> None:
    found = built.rows(
        "revenue.repurchase", ["cohort_month", "day_n"], ["buyers", "eligible", "repeat_buyers"]
    )
    assert not _differences(repurchase(built.world), found)


def test_acquisition(built: Built) -> None:
    found = built.rows(
        "revenue.acquisition",
        ["month", "source", "channel_kind", "target_id"],
        ["spend_minor", "new_members", "new_payers", "eligible_90d", "net_revenue_90d_minor"],
    )
    assert not _differences(acquisition(built.world), found)


def test_attribution(built: Built) -> None:
    found = built.rows(
        "revenue.attribution", ["source", "order_id", "touch", "model"], ["credit_minor"]
    )
    assert not _differences(attribution(built.world), found)


def test_removal_effects_solve_the_chain(built: Built) -> None:
    expected = removal_effects(_paths(built.world))
    found = built.rows(
        "intermediate.int_kind_removal_effects", ["campaign_kind"], ["removal_effect"]
    )
    assert {key[0]: row[0] for key, row in found.items()} == pytest.approx(
        {kind: float(effect) for kind, effect in expected.items()}, abs=1e-12
    )
    assert max(expected.values()) > Fraction(1, 10)


def test_shapley_equals_brute_force(built: Built) -> None:
    """Kind by kind, the credits are the game's Shapley values, but for the rounding of orders."""
    orders = [order for order in built.world.orders if order.amount is not None and order.touches]
    expected = shapley_of_kinds(orders)
    kinds = {touch.name: touch.kind for touch in built.world.touches}
    found: Counter[str] = Counter()
    for (_, _, touch, model), (credit,) in built.rows(
        "revenue.attribution", ["source", "order_id", "touch", "model"], ["credit_minor"]
    ).items():
        if model == "shapley" and touch != "(none)":
            found[kinds[touch]] += credit
    assert sum(expected.values()) == sum(order.net for order in orders)
    for kind in KINDS:
        assert abs(found[kind] - expected[kind]) <= len(orders)


def test_creator_payouts(built: Built) -> None:
    found = built.rows(
        "revenue.creator_payouts", ["month", "model", "person_id"], ["pool_minor", "payout_minor"]
    )
    assert not _differences(payouts(built.world), found)
    assert any(key[2] == "(erased)" for key in found)


def test_the_ledger_sums_to_payouts(built: Built) -> None:
    posted = """
        select month, model, person_id, cast(sum(amount_minor) as bigint)
        from revenue.payout_ledger group by all order by all
    """
    paid = """
        select month, model, person_id, payout_minor from revenue.creator_payouts
        where is_complete and payout_minor <> 0 order by all
    """
    assert built.query(posted) == built.query(paid) != []


@pytest.mark.parametrize("built", [1], indirect=True)
def test_a_replay_of_the_policies_in_force_changes_nothing(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = "source, policy_id, scope, share_bps, valid_from, scope_id"
    in_force = [
        Policy(*row) for row in built.query(f"select {fields} from raw.commerce__share_policies")
    ]
    busiest = built.query(
        "select month from revenue.creator_payouts group by month order by count(*) desc, month"
    )[0][0]
    before = built.settings.warehouse_path.read_bytes()
    # dbt compiles once for all three.
    module = importlib.import_module("orchestration.payouts.replay")
    compiled = module._compiled(built.settings)
    monkeypatch.setattr(module, "_compiled", lambda _: compiled)
    found = replay(built.settings, in_force, busiest)
    assert {row.difference_minor for row in found.rows} == {0}
    assert {(row.model, row.person_id): row.actual_minor for row in found.rows} == {
        (model, person): paid
        for model, person, paid in built.query(
            "select model, person_id, payout_minor from revenue.creator_payouts"
            f" where month = date '{busiest}'"
        )
    }
    assert {row.replay_minor for row in replay(built.settings, [], busiest).rows} == {0}
    none = replay(built.settings, [], busiest, add=True, model="pro_rata")
    assert {(row.model, row.difference_minor) for row in none.rows} == {("pro_rata", 0)}
    assert built.settings.warehouse_path.read_bytes() == before


def test_bad_records_are_reported(built: Built) -> None:
    found = {row[0] for row in built.query("select exception from revenue.exceptions")}
    assert found >= {
        "order_without_rate",
        "order_of_amount_zero",
        "order_refunded_beyond_amount",
        "refund_of_unknown_order",
        "refund_before_order",
        "subscription_without_rate",
        "subscription_period_empty",
        "subscription_period_overlap",
        "subscription_gap",
        "spend_without_rate",
    }


def test_renewals_are_of_ends_that_nothing_carries_on(built: Built) -> None:
    expected: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
    periods = _periods(built.world)
    for subscription in {(row["source"], row["subscription_id"]) for row in periods}:
        own = [row for row in periods if (row["source"], row["subscription_id"]) == subscription]
        for end in {row["period_end"] for row in own if row["period_end"] <= AS_OF}:
            period = max(
                (row for row in own if row["period_end"] == end),
                key=lambda row: (row["occurred_at"], row["event_id"]),
            )
            later = [row for row in own if row["period_end"] > end]
            if any(
                row["period_start"] < end
                and (row["action"] != "renew" or row["period_start"] <= period["period_start"])
                for row in later
            ):
                continue
            counts = expected[(_month(end), subscription[0], period["plan_id"])]
            counts[0] += 1
            if end + 7 * DAY <= AS_OF:
                counts[2] += 1
                counts[1] += any(
                    row["action"] == "renew" and row["period_start"] <= end + 7 * DAY
                    for row in later
                )
    found = built.rows(
        "revenue.renewals", ["month", "source", "plan_id"], ["expiring", "renewed", "eligible"]
    )
    rows = {
        key: (expiring, renewed if eligible else None, eligible)
        for key, (expiring, renewed, eligible) in expected.items()
    }
    assert not _differences(rows, found)


@pytest.mark.parametrize("built", [1], indirect=True)
def test_hand_computed_unit_tests_pass(built: Built) -> None:
    session = DbtSession(built.settings)
    outcomes = session.invoke(
        [
            "test",
            "--select",
            *(f"{mart},test_type:unit" for mart in MARTS),
            *(f"+{mart},path:models/intermediate/revenue,test_type:unit" for mart in MARTS),
        ]
    )
    assert {item.status for item in outcomes} == {"pass"}
    assert len(outcomes) >= 20
