"""Small adversarial worlds: raw records in which the contracts' hard cases are common.

Deterministic by seed; at most 60 recorded ids and about 600 records over 45 days.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

from tests.reference.cases import add_cases

Logs = dict[str, list[dict[str, Any]]]
T = TypeVar("T")

# Around a spring festival, a national day, a year's end, May, and a change to summer time.
STARTS = (
    date(2025, 1, 13),
    date(2025, 9, 15),
    date(2024, 12, 9),
    date(2025, 4, 7),
    date(2025, 2, 17),
)
DAYS = 45
BIG_ID = "90071992547409931"
ACCOUNTS = ("1", "2", "3", "4", "5", "6", "7", "8", "9", BIG_ID)
MEMBERS = ACCOUNTS
UNRECORDED = ("u1", "u2")
CONTENTS = tuple(f"c{number}" for number in range(1, 13))
NODES = ("p", "ch1", "ch2", "x1", "x2", "x3", "loop1", "loop2", "lost")
GROUPS = ("g1", "g2", "g3", "g4")
PHONES = (
    "+86 138 00{0:02d} 0001",
    "0086-13800{0:02d}0001",
    "１３８００{0:02d}000１",
    "13800{0:02d}0002",
    "1234{0:02d}",
)
ORIGINS = ("pgc", "ugc", "agc", "ai_assisted", None, None)
# What a small world needs for its settings to matter.
SETTINGS = {
    "identity_max_ids": 4,
    "rfm_recency_days": 7,
    "rfm_monetary_minor": 1_000,
    "tier_core_contribution_days": 3,
    "creator_head_reads_28d": 4,
    "creator_mid_reads_28d": 2,
}


def make_world(
    seed: int, *, beyond: bool = False, sources: tuple[str, str] = ("alpha", "beta")
) -> Logs:
    """Raw records of one small world; times are aware datetimes.

    With `beyond`, logs that do not decide as_of_date also hold records of later dates.
    """
    return _Generator(seed, beyond, sources).logs()


def make_worlds(seeds: Sequence[int], *, beyond: bool = False, cases: bool = False) -> Logs:
    """Several worlds side by side: no id is shared, only currencies' rates and as_of_date are.

    One build then compares many cases; a seed is at most 99. With `cases`, each world also has
    the experiments, scenes, topics, packs and buyers of `cases.py`.
    """
    merged: Logs = {}
    for seed in seeds:
        sources = (f"alpha{seed}", f"beta{seed}")
        logs = make_world(seed, beyond=beyond, sources=sources)
        if cases:
            start = datetime.combine(start_of(seed), datetime.min.time(), tzinfo=UTC)
            add_cases(logs, seed, sources, start)
        for log, records in logs.items():
            merged.setdefault(log, []).extend(records)
    return merged


def start_of(seed: int) -> date:
    """The first date of a seed's world."""
    return STARTS[seed % len(STARTS)]


class _Generator:
    def __init__(self, seed: int, beyond: bool, sources: tuple[str, str]) -> None:
        self.seed = seed
        self.sources = sources
        self.random = random.Random(seed)
        self.start = datetime.combine(start_of(seed), datetime.min.time(), tzinfo=UTC)
        self.days = DAYS
        self.beyond = beyond
        self.number = 0

    def logs(self) -> Logs:
        contents = self.contents()
        logs = {
            "community/accounts": self.people("account_id", ACCOUNTS),
            "group/members": self.people("member_id", MEMBERS),
            "community/nodes": self.nodes(),
            "community/contents": contents + (self.crowd() if self.seed % 4 == 0 else []),
            "community/events": [
                *self.scattered_events(),
                *self.clicks(),
                *self.spaced_clicks(),
                *self.likes(),
                *self.reads_at_bounds(contents),
            ],
            "group/groups": self.groups(),
            "group/memberships": self.memberships(),
            "group/messages": self.messages(),
            "group/deliveries": self.deliveries(),
            "group/consults": self.consults(),
            "group/attendance": self.attendance(),
            "commerce/orders": self.orders(),
            "commerce/refunds": self.refunds(),
            "commerce/fx_rates": self.rates(),
            "commerce/identity_links": self.links(),
        }
        self.cross_over(logs)
        return logs

    # Pieces

    def pick(self, values: Sequence[T]) -> T:
        return self.random.choice(values)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def key(self, prefix: str) -> str:
        """A new id; some differ between the sources in the source alone."""
        self.number += 1
        return f"{prefix}{self.number}"

    def moment(self, first: int = 0, last: int | None = None) -> datetime:
        """A time on days first..last: local midnights of Shanghai, their neighbours, few minutes.

        Few distinct times, so that equal ones are common.
        """
        day = self.random.randint(first, self.days - 1 if last is None else last)
        moments = (
            timedelta(hours=16),
            timedelta(hours=16) - timedelta(microseconds=1),
            timedelta(hours=16, microseconds=1),
            timedelta(hours=self.random.randint(0, 23)),
            timedelta(hours=self.random.randint(0, 23), minutes=30),
            timedelta(seconds=self.random.randint(0, 86_399)),
        )
        return self.start + timedelta(days=day) + self.pick(moments)

    def late(self) -> datetime:
        """A time that, with `beyond`, may lie after every event that decides as_of_date."""
        return self.moment(last=self.days + 9 if self.beyond else self.days - 5)

    def account(self) -> str:
        return self.pick(ACCOUNTS if self.chance(0.93) else UNRECORDED)

    def member(self) -> str:
        return self.pick(MEMBERS if self.chance(0.93) else UNRECORDED)

    # Persons

    def people(self, name: str, keys: Sequence[str]) -> list[dict[str, Any]]:
        records = []
        for source in self.sources:
            for position, key in enumerate(keys):
                if self.chance(0.1):
                    continue
                for _ in range(self.random.choice((1, 1, 2, 3))):
                    state = self.state_of_id(source, name, key, position)
                    if records and records[-1]["source"] == source and self.chance(0.3):
                        state["updated_at"] = records[-1]["updated_at"]
                    records.append(state)
        return records

    def state_of_id(self, source: str, name: str, key: str, position: int) -> dict[str, Any]:
        record: dict[str, Any] = {
            "source": source,
            name: key,
            "updated_at": self.moment(),
            "display_name": "somebody",
            "is_bot": self.chance(0.05) or None,
            "is_test": self.chance(0.04),
            "is_staff": self.chance(0.05),
            "erased_at": self.moment() if self.chance(0.06) else None,
        }
        if self.chance(0.25):
            record["phone"] = self.pick(PHONES).format(self.seed)
        if self.chance(0.15):
            record["union_id"] = f"union{self.seed}-{self.pick((1, 2, 3))}"
        # One key that more ids hold than may be joined.
        if position in (1, 2) and self.chance(0.9):
            record["union_id"] = f"overshared{self.seed}"
        if name == "member_id":
            return record | {"is_kol": self.chance(0.3)}
        return record | {
            "registered_at": self.moment(),
            "region": self.pick(("CN-11", "CN-31", None)),
            "acquisition_channel": self.pick(("ads", "friend", None)),
        }

    def links(self) -> list[dict[str, Any]]:
        pairs = [
            (self.pick(self.sources), self.account(), self.pick(self.sources), self.member())
            for _ in range(7)
        ]
        records = []
        for _ in range(14):
            account_source, account, member_source, member = self.pick(pairs)
            records.append(
                {
                    "source": self.pick(self.sources),
                    "link_id": self.key("l"),
                    "account_source": account_source,
                    "account_id": account,
                    "member_source": member_source,
                    "member_id": member,
                    "action": self.pick(("link", "link", "unlink")),
                    "method": "manual",
                    "occurred_at": self.pick((self.moment(), self.start)),
                }
            )
        return records

    # Community

    def nodes(self) -> list[dict[str, Any]]:
        usual = {
            "p": ("platform", None),
            "ch1": ("channel", "p"),
            "ch2": ("channel", "p"),
            "x1": ("circle", "ch1"),
            "x2": ("circle", "ch2"),
            "x3": ("circle", "x1"),
            "loop1": ("circle", "loop2"),
            "loop2": ("channel", "loop1"),
            "lost": ("circle", "nowhere"),
        }
        records = []
        for source in self.sources:
            for node_id, (level, parent) in usual.items():
                if self.chance(0.1):
                    continue
                states = 2 if self.chance(0.3) else 1
                for _ in range(states):
                    moved = parent is not None and self.chance(0.2)
                    records.append(
                        {
                            "source": source,
                            "node_id": node_id,
                            "updated_at": self.moment(),
                            "level": level,
                            "parent_node_id": self.pick(NODES) if moved else parent,
                            "name": f"node {node_id}",
                        }
                    )
        return records

    def contents(self) -> list[dict[str, Any]]:
        records = []
        for source in self.sources:
            for content_id in CONTENTS:
                if self.chance(0.1):
                    continue
                published_at = self.moment()
                first = {
                    "source": source,
                    "content_id": content_id,
                    "author_account_id": self.account(),
                    "kind": self.pick(("article", "question", "question", "answer", "comment")),
                    "published_at": published_at,
                    "parent_content_id": None,
                    "topic": self.pick(("t1", "t2", None)),
                    "is_paid": self.chance(0.2),
                }
                if first["kind"] in ("answer", "comment"):
                    first["parent_content_id"] = self.pick(CONTENTS)
                for _ in range(self.random.choice((1, 1, 2))):
                    deleted = self.chance(0.2)
                    records.append(
                        first
                        | {
                            "updated_at": self.moment(),
                            "node_id": self.pick((*NODES, "unrecorded")),
                            "origin_declared": self.pick(ORIGINS),
                            "origin_label": self.pick(ORIGINS),
                            "deleted_at": self.moment(DAYS // 2) if deleted else None,
                        }
                    )
            records += self.answers(source, records)
        return records

    def answers(self, source: str, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answers at the bounds of the response windows: at once, before, after 1 h, 24 h, 7 d."""
        questions = [r for r in records if r["source"] == source and r["kind"] == "question"]
        gaps = (
            timedelta(0),
            timedelta(microseconds=-1),
            timedelta(hours=1),
            timedelta(hours=1, microseconds=-1),
            timedelta(hours=24),
            timedelta(days=7),
            timedelta(days=7, microseconds=-1),
            timedelta(minutes=7),
        )
        return [
            {
                "source": source,
                "content_id": self.key("a"),
                "updated_at": question["published_at"],
                "author_account_id": self.pick((self.account(), question["author_account_id"])),
                "node_id": self.pick(NODES),
                "kind": self.pick(("answer", "comment", "post")),
                "published_at": question["published_at"] + self.pick(gaps),
                "parent_content_id": question["content_id"],
            }
            for question in self.random.sample(questions, min(4, len(questions)))
        ]

    def crowd(self) -> list[dict[str, Any]]:
        """A node of two authors with 26 and 25 contents, another of twelve authors with 1 or 2.

        26 of 51 is more than a half and less than 51 %; twelve authors are more than ten.
        """
        authors = [("n51", "crowd1")] * 26 + [("n51", "crowd2")] * 25
        authors += [("n12", f"crowd{number}") for number in (*range(12), 0, 1)]
        published_at = self.start + timedelta(days=3)
        return [
            {
                "source": self.sources[0],
                "content_id": self.key("w"),
                "updated_at": published_at,
                "author_account_id": author,
                "node_id": node_id,
                "kind": "post",
                "published_at": published_at,
            }
            for node_id, author in authors
        ]

    def reads_at_bounds(self, contents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Reads at, just before and just after publishing, a week later, and the deletion."""
        last = self.start + timedelta(days=self.days - 1)
        moments = []
        for content in contents:
            bounds = [content["published_at"], content["published_at"] + timedelta(days=7)]
            if content.get("deleted_at") is not None:
                bounds.append(content["deleted_at"])
            moments += [(content, bound) for bound in bounds if bound < last]
        step = timedelta(microseconds=1)
        return [
            self.event(
                content["source"],
                self.account(),
                self.pick(("read", "read", "impression")),
                bound + self.pick((-step, timedelta(0), timedelta(0), step)),
                content_id=content["content_id"],
            )
            for content, bound in self.random.sample(moments, min(24, len(moments)))
        ]

    def event(self, source: str, account: str, kind: str, at: datetime, **more: Any) -> Any:
        return {
            "source": source,
            "event_id": self.key("e"),
            "account_id": account,
            "event_type": kind,
            "occurred_at": at,
        } | more

    def scattered_events(self) -> list[dict[str, Any]]:
        kinds = (
            *("read", "read", "impression", "comment", "share", "collect", "checkin", "vote"),
            *("follow", "unfollow", "search", "space_enter", "space_exit"),
        )
        events = []
        for _ in range(80):
            kind = self.pick(kinds)
            more: dict[str, Any] = {}
            if kind in ("follow", "unfollow"):
                more["target_account_id"] = self.pick(ACCOUNTS[:4])
            elif self.chance(0.8):
                more["content_id"] = self.pick((*CONTENTS[:8], "unrecorded"))
            if self.chance(0.4):
                more["node_id"] = self.pick((*NODES, "unrecorded"))
            # A few accounts are busy, so that tiers and streaks come about.
            account = self.pick(ACCOUNTS[:3]) if self.chance(0.4) else self.account()
            events.append(self.event(self.pick(self.sources), account, kind, self.moment(), **more))
        return events

    def clicks(self) -> list[dict[str, Any]]:
        """Bursts of impressions and clicks around the half-hour, by few persons on few contents."""
        gaps = (0, 0, 1, 600, 900, 1200, 1799, 1800, 1801)
        events = []
        for _ in range(10):
            source, at = self.pick(self.sources), self.moment()
            accounts, content_id = self.random.sample(ACCOUNTS, 2), self.pick(CONTENTS[:5])
            for _ in range(8):
                at += timedelta(seconds=self.pick(gaps), microseconds=self.pick((0, 0, 1)))
                kind = self.pick(("impression", "impression", "click"))
                account = self.pick((accounts[0], accounts[0], accounts[1]))
                events.append(self.event(source, account, kind, at, content_id=content_id))
        return events

    def spaced_clicks(self) -> list[dict[str, Any]]:
        """A click takes the later of two impressions, so that the next click finds none near."""
        at, account = self.moment(), self.pick(ACCOUNTS[:4])
        steps = (("impression", 0), ("impression", 20), ("click", 25), ("click", 45))
        return [
            self.event(
                source, account, kind, at + timedelta(minutes=minutes), content_id="unrecorded"
            )
            for source in self.sources
            for kind, minutes in steps
        ]

    def cross_over(self, logs: Logs) -> None:
        """Persons whose first join is at a month's first moment, and their events 30 days around.

        Gaps of 0 and of 30 days less a microsecond convert, the others do not.
        """
        next_month = (self.start.date().replace(day=1) + timedelta(days=31)).replace(day=1)
        turn = datetime.combine(next_month, datetime.min.time(), tzinfo=UTC) - timedelta(hours=8)
        step = timedelta(microseconds=1)
        gaps = (timedelta(0), -step, timedelta(days=30), timedelta(days=30) - step)
        for number, gap in enumerate(gaps):
            source, key = self.sources[0], f"cross{number}"
            for join_at in (turn, turn + timedelta(days=2)):
                logs["group/memberships"].append(
                    {
                        "source": source,
                        "event_id": self.key("m"),
                        "group_id": self.pick(GROUPS),
                        "member_id": key,
                        "action": "join",
                        "occurred_at": join_at,
                    }
                )
            logs["community/events"].append(self.event(source, key, "read", turn - gap))
            logs["commerce/identity_links"].append(
                {
                    "source": source,
                    "link_id": self.key("l"),
                    "account_source": source,
                    "account_id": key,
                    "member_source": source,
                    "member_id": key,
                    "action": "link",
                    "method": "login",
                    "occurred_at": turn,
                }
            )

    def likes(self) -> list[dict[str, Any]]:
        events = []
        for _ in range(40):
            kind = self.pick(("like", "like", "unlike"))
            content_id = self.pick(CONTENTS[:3])
            account = self.pick(ACCOUNTS[:4])
            at = self.pick((self.moment(), self.start + timedelta(days=3, hours=16)))
            events.append(self.event(self.sources[0], account, kind, at, content_id=content_id))
        return events

    # Groups

    def groups(self) -> list[dict[str, Any]]:
        records = []
        for source in self.sources:
            for group_id in GROUPS[:3]:
                created_at = self.moment(0, 12)
                closed = self.chance(0.3)
                for _ in range(self.random.choice((1, 2))):
                    records.append(
                        {
                            "source": source,
                            "group_id": group_id,
                            "updated_at": self.moment(),
                            "created_at": created_at,
                            "kind": self.pick(("reading", "guild", "dao")),
                            "owner_member_id": self.pick((None, self.member())),
                            "closed_at": self.moment(30) if closed else None,
                            "observes": self.pick(
                                (None, ["leave", "read"], ["delivered", "read"], [])
                            ),
                        }
                    )
        return records

    def memberships(self) -> list[dict[str, Any]]:
        records = []
        for _ in range(60):
            action = self.pick(("join", "join", "leave", "leave", "role"))
            role = self.pick(("owner", "admin", "kol", "member", None))
            records.append(
                {
                    "source": self.pick(self.sources),
                    "event_id": self.key("m"),
                    "group_id": self.pick(GROUPS),
                    "member_id": self.pick((self.member(), self.pick(MEMBERS[:3]))),
                    "action": action,
                    "occurred_at": self.moment(4),
                    "role": role if action == "role" or self.chance(0.2) else None,
                }
            )
        return records

    def messages(self) -> list[dict[str, Any]]:
        kinds = ("text", "text", "text", "image", "reaction", "reaction", "system")
        return [
            {
                "source": self.pick(self.sources),
                "message_id": self.key("t"),
                "group_id": self.pick(GROUPS),
                "member_id": self.pick((self.member(), self.pick(MEMBERS[:3]))),
                "occurred_at": self.moment(),
                "kind": self.pick(kinds),
                "origin_declared": self.pick(ORIGINS),
                "text_length": 12,
            }
            for _ in range(55)
        ]

    def deliveries(self) -> list[dict[str, Any]]:
        return [
            {
                "source": self.pick(self.sources),
                "event_id": self.key("d"),
                "broadcast_id": "b1",
                "group_id": self.pick(GROUPS),
                "member_id": self.member(),
                "status": self.pick(("targeted", "sent", "delivered", "read", "click", "failed")),
                "occurred_at": self.late(),
            }
            for _ in range(14)
        ]

    def consults(self) -> list[dict[str, Any]]:
        return [
            {
                "source": self.pick(self.sources),
                "event_id": self.key("q"),
                "session_id": self.pick(("s1", "s2", "s3")),
                "member_id": self.member(),
                "action": self.pick(("question", "ai_answer", "handoff", "close")),
                "occurred_at": self.late(),
                "group_id": self.pick((None, *GROUPS)),
            }
            for _ in range(10)
        ]

    def attendance(self) -> list[dict[str, Any]]:
        return [
            {
                "source": self.pick(self.sources),
                "event_id": self.key("n"),
                "scene_id": "scene1",
                "member_id": self.member(),
                "action": self.pick(("enter", "leave", "submit", "submit")),
                "occurred_at": self.late(),
            }
            for _ in range(12)
        ]

    # Commerce

    def orders(self) -> list[dict[str, Any]]:
        records = []
        for number in range(34):
            by_account, by_member = self.pick(((True, False), (False, True), (True, True)))
            records.append(
                {
                    "source": self.sources[number % 2],
                    "order_id": f"o{number // 2}",
                    "kind": self.pick(("tip", "course", "goods")),
                    "amount_minor": self.pick((0, 1, 5, 99, 1_000, 12_345)),
                    "currency": self.pick(("CNY", "CNY", "USD", "JPY", "KWD", "EUR")),
                    "paid_at": self.late(),
                    "account_id": self.account() if by_account else None,
                    "member_id": self.member() if by_member else None,
                    "group_id": self.pick((None, "g1", "g9")),
                    "content_id": self.pick((None, *CONTENTS)),
                }
            )
        twins = [{"order_id": f"{order['order_id']}-again"} for order in records[:4]]
        return records + [order | twin for order, twin in zip(records, twins, strict=False)]

    def refunds(self) -> list[dict[str, Any]]:
        return [
            {
                "source": self.pick(self.sources),
                "refund_id": self.key("r"),
                "order_id": self.pick(("unknown", *(f"o{n}" for n in range(17)))),
                "amount_minor": self.pick((0, 1, 3, 99, 500, 12_345, 20_000)),
                "refunded_at": self.late(),
            }
            for _ in range(20)
        ]

    def rates(self) -> list[dict[str, Any]]:
        """Rates that begin late, are given twice for a date, or round at a half; none for EUR."""
        records = [
            {
                "source": self.pick(self.sources),
                "rate_id": self.key("f"),
                "rate_date": self.start.date() + timedelta(days=self.random.randint(-3, 25)),
                "currency": currency,
                "rate": rate,
            }
            for currency, choices in (
                ("USD", ("7.5", "7.25", "6.499999999999")),
                ("JPY", ("0.045", "0.05", "0.0505")),
                ("KWD", ("23.5", "23.25", "20.05")),
                ("CNY", ("3",)),
            )
            for rate in choices
        ]
        first = records[0]
        twin = {"source": self.pick(self.sources), "rate_id": self.key("f"), "rate": "8.125"}
        return [*records, first | twin]
