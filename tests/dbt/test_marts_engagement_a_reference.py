"""Reach, service, campaigns and scenes against a second reading of their contract.

Random worlds with the cases that go wrong, built in two batches of any order; plain dicts and
loops stand where the models use windows, spans and recursion.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest

from orchestration.contracts import contracts
from orchestration.plan import make_plan, write_plan
from orchestration.transform import DbtSession
from orchestration.warehouse import open_warehouse
from tests.reference.compare import read_persons, read_world
from tests.reference.dims import day_type
from tests.reference.engagement import changes, group_keys, observes
from tests.reference.generator import DAYS, GROUPS, SETTINGS, make_worlds, start_of
from tests.reference.world import Person, World, in_order
from tests.support import fill_raw, test_settings

SEEDS = (1, 2, 3, 6, 8)
MODELS = (
    "group_overlap",
    "overlap_summary",
    "broadcast_funnel",
    "consult_service",
    "engagement_campaigns",
    "referral_generations",
    "checkin_streaks",
    "scenarios",
    "assistant_daily",
    "governance_daily",
)
INTERMEDIATE = (
    "int_group_members",
    "int_delivery_days",
    "int_group_band_days",
    "int_campaign_actions",
    "int_referrals",
)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STEP = timedelta(microseconds=1)
PEOPLE = tuple(str(number) for number in range(1, 10))
Row = dict[str, Any]
Logs = dict[str, list[Row]]
Table = dict[tuple[Any, ...], tuple[Any, ...]]


class _Extras:
    """What the common worlds have too little of, for one source."""

    def __init__(self, seed: int, source: str) -> None:
        self.random = random.Random(f"{seed}/{source}")
        self.source = source
        self.start = datetime.fromisoformat(f"{start_of(seed)}T00:00:00+00:00")
        self.number = 0
        self.found: Logs = defaultdict(list)

    def add(self, log: str, **fields: Any) -> None:
        contract = contracts()[log]
        if contract.key not in fields:
            self.number += 1
            fields[contract.key] = f"x{self.number}"
        self.found[log].append({"source": self.source} | fields)

    def pick(self, values: Any) -> Any:
        return self.random.choice(values)

    def moment(self, first: int = 0, last: int = DAYS + 4) -> datetime:
        """Some lie after as_of_date."""
        hours = self.pick((16, 16, self.random.randint(0, 23)))
        at = self.start + timedelta(days=self.random.randint(first, last), hours=hours)
        return at + self.pick((-STEP, timedelta(0), timedelta(minutes=self.random.randint(0, 59))))

    def near(self, at: datetime, gaps: Iterable[timedelta]) -> datetime:
        return at + self.pick(tuple(gaps)) + self.pick((-STEP, timedelta(0), timedelta(0), STEP))

    def logs(self) -> Logs:
        self.broadcasts()
        self.consults()
        self.campaigns()
        self.community()
        self.assistant()
        return self.found

    def broadcasts(self) -> None:
        for broadcast_id in ("k1", "k2", "lost"):
            sent_at = self.moment(5, DAYS - 3)
            if broadcast_id != "lost":
                self.add(
                    "group/broadcasts",
                    broadcast_id=broadcast_id,
                    updated_at=sent_at,
                    sent_at=sent_at,
                )
            for _ in range(30):
                member, group_id = self.pick(PEOPLE), self.pick((*GROUPS, "nowhere"))
                at = self.near(sent_at, (timedelta(0), HOUR, DAY, 4 * DAY))
                self.add(
                    "group/deliveries",
                    broadcast_id=broadcast_id,
                    group_id=group_id,
                    member_id=member,
                    status=self.pick(
                        ("targeted", "sent", "delivered", "read", "click", "click", "failed")
                    ),
                    occurred_at=at,
                )
                if self.random.random() < 0.4:
                    self.order(member, self.near(at, (timedelta(0), HOUR, 72 * HOUR)))
                if self.random.random() < 0.4:
                    self.joined(group_id, member, sent_at - 2 * DAY)
                    self.left(group_id, member, self.near(sent_at, (timedelta(0), HOUR, DAY)))

    def order(self, member: str, at: datetime, **more: Any) -> None:
        self.add(
            "commerce/orders",
            kind="goods",
            amount_minor=self.pick((0, 5, 99, 1_000)),
            currency=self.pick(("CNY", "USD", "EUR")),
            paid_at=at,
            member_id=member,
            **more,
        )

    def joined(self, group_id: str, member: str, at: datetime, **more: Any) -> None:
        self.add(
            "group/memberships",
            group_id=group_id,
            member_id=member,
            action="join",
            occurred_at=at,
            **more,
        )

    def left(self, group_id: str, member: str, at: datetime) -> None:
        self.add(
            "group/memberships",
            group_id=group_id,
            member_id=member,
            action="leave",
            occurred_at=at,
        )

    def consults(self) -> None:
        gaps = (timedelta(0), timedelta(seconds=15), HOUR, 72 * HOUR, 73 * HOUR)
        actions = (
            *("question", "question", "ai_answer", "human_answer", "handoff"),
            *("close", "close", "reopen", "rate"),
        )
        for session in range(14):
            began = self.moment(5, DAYS)
            for _ in range(self.random.randint(1, 7)):
                action = self.pick(actions)
                self.add(
                    "group/consults",
                    session_id=f"session{session}",
                    member_id=self.pick(PEOPLE[session % 5 :]),
                    action=action,
                    occurred_at=self.near(began, gaps),
                    score=self.random.randint(1, 5) if action == "rate" else None,
                )

    def campaigns(self) -> None:
        for campaign_id in ("c1", "c2", "c3"):
            for _ in range(28):
                kind = self.pick(("account", "member", "both"))
                more: Row = {}
                if self.random.random() < 0.7:
                    more[f"inviter_{self.pick(('account', 'member'))}_id"] = self.pick(PEOPLE)
                self.add(
                    "operations/campaign_events",
                    campaign_id=campaign_id,
                    action=self.pick(
                        ("target", "participate", "invite", "accept", "accept", "accept", "checkin")
                    ),
                    occurred_at=self.moment(10),
                    account_id=None if kind == "member" else self.pick(PEOPLE),
                    member_id=None if kind == "account" else self.pick(PEOPLE),
                    **more,
                )
            for _ in range(12):
                group_id, member = self.pick(GROUPS), self.pick(PEOPLE)
                at = self.moment(5, DAYS - 6)
                self.joined(
                    group_id,
                    member,
                    at,
                    campaign_id=self.pick((campaign_id, campaign_id, None)),
                    via=self.pick(("invite", "campaign", None)),
                    inviter_member_id=self.pick((*PEOPLE[:2], None)),
                )
                if self.random.random() < 0.6:
                    self.left(group_id, member, self.near(at, (HOUR, 7 * DAY)))
            for _ in range(3):
                self.order(self.pick(PEOPLE), self.moment(), campaign_id=campaign_id)
                self.add(
                    "commerce/refunds",
                    order_id=f"x{self.number}",
                    amount_minor=self.pick((1, 5, 99)),
                    refunded_at=self.moment(),
                )
            for _ in range(4):
                self.add(
                    "operations/spend",
                    spent_on=self.moment().date(),
                    target=self.pick(("campaign", "campaign", "channel")),
                    target_id=self.pick((campaign_id, "unrecorded")),
                    amount_minor=self.pick((1, 5, 1_001)),
                    currency=self.pick(("CNY", "USD", "JPY", "EUR")),
                )

    def community(self) -> None:
        for _ in range(90):
            # Few accounts and dates, so that streaks come about and some reach as_of_date.
            at = self.moment(DAYS - 9, DAYS)
            self.event("checkin", self.pick(PEOPLE[:4]), at)
        for _ in range(60):
            at = self.moment()
            self.event("space_enter", self.pick(PEOPLE), at)
            later = self.near(at, (timedelta(0), HOUR, 12 * HOUR))
            self.event(self.pick(("space_exit", "space_exit", "vote")), self.pick(PEOPLE), later)

    def event(self, kind: str, account: str, at: datetime) -> None:
        self.add("community/events", event_type=kind, account_id=account, occurred_at=at)

    def assistant(self) -> None:
        for _ in range(60):
            named = self.pick(({"account_id": self.pick(PEOPLE)}, {"member_id": "3"}, {}))
            self.add(
                "operations/assistant_requests",
                surface=self.pick(("community", "group")),
                occurred_at=self.moment(20, 28),
                latency_ms=self.pick((None, self.random.randint(1, 9_000))),
                outcome=self.pick(("answered", "answered", "handoff", "failed", None)),
                **named,
            )


def _make_logs() -> Logs:
    logs = make_worlds(SEEDS, beyond=True)
    for seed in SEEDS:
        for source in (f"alpha{seed}", f"beta{seed}"):
            for log, records in _Extras(seed, source).logs().items():
                logs.setdefault(log, []).extend(records)
    # The worlds end on different dates: only one of them ends as_of_date, the rest lie before.
    last = max(SEEDS, key=start_of)
    limit = datetime.fromisoformat(f"{start_of(last)}T00:00:00+00:00") + timedelta(days=DAYS)
    for log in ("community/events", "group/messages"):
        logs[log] = [record for record in logs[log] if record["occurred_at"] < limit]
    return logs


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterable[duckdb.DuckDBPyConnection]:
    """Built from half of the events, then incrementally from the rest."""
    settings = test_settings(tmp_path_factory.mktemp("engagement_a"), **SETTINGS)
    session = DbtSession(settings)
    chance = random.Random(0)
    first: Logs = defaultdict(list)
    second: Logs = defaultdict(list)
    for log, records in _make_logs().items():
        for record in records:
            late = contracts()[log].kind == "event" and chance.random() < 0.5
            (second if late else first)[log].append(record)
    models = [f"+{name}" for name in (*MODELS, "group_daily")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestration.plan.code_fingerprint", lambda: "unchanged")
        session.parse()
        session.invoke(["seed"])
        for number, batch in enumerate((first, second), start=1):
            with open_warehouse(settings) as connection:
                fill_raw(connection, batch, batch_id=number)
                plan = make_plan(connection, settings)
                write_plan(connection, settings, plan)
                connection.execute(
                    "insert into control.builds values"
                    " (?, now(), now(), ?, ?, ?, 'unchanged', 'transformed')",
                    [str(number), number, plan.as_of_date, plan.settings_fingerprint],
                )
            assert plan.full_refresh == (number == 1)
            session.invoke(["run", "--select", *models])
        session.invoke(
            ["test", "--exclude-resource-type", "unit_test", "--select", *MODELS, *INTERMEDIATE]
        )
    with open_warehouse(settings, read_only=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def world(warehouse: duckdb.DuckDBPyConnection) -> World:
    return read_world(warehouse)


@pytest.fixture(scope="module")
def group_days(warehouse: duckdb.DuckDBPyConnection) -> set[tuple[date, str, str]]:
    return set(
        warehouse.execute("select date, source, group_id from engagement.group_daily").fetchall()
    )


def _table(connection: duckdb.DuckDBPyConnection, name: str, keys: int) -> Table:
    """A mart as key → values, persons as their ids."""
    persons = read_persons(connection) if name == "checkin_streaks" else {}
    found = connection.execute(f"select * from engagement.{name}").fetchall()
    rows = [tuple(persons.get(value, value) for value in row) for row in found]
    table = {row[:keys]: row[keys:] for row in rows}
    assert len(table) == len(rows)
    return table


def _assert_equal(actual: Table, expected: Table) -> None:
    assert len(expected) > 1
    assert set(actual) == set(expected)
    for key, values in expected.items():
        for one, other in zip(actual[key], values, strict=True):
            if isinstance(other, float) and one is not None:
                assert math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9), (key, actual[key])
            else:
                assert one == other, (key, actual[key], values)


def _percentile(values: list[float], share: float) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _in_time(world: World, log: str, key: str = "event_id") -> list[Row]:
    """Records up to as_of_date, in order."""
    records = [record for record in world.log(log) if record["occurred_at"] < world.end]
    return in_order(records, key)


def _members(
    world: World, group_days: set[tuple[date, str, str]]
) -> dict[tuple[str, str], set[Person]]:
    found = {}
    for key in group_keys(world):
        if (world.as_of, *key) in group_days:
            inside: set[Person] = set()
            for at, person, action in changes(world, key):
                if at < world.end:
                    (inside.discard if action == "leave" else inside.add)(person)
            found[key] = inside
    return found


def test_overlap(
    warehouse: duckdb.DuckDBPyConnection,
    world: World,
    group_days: set[tuple[date, str, str]],
) -> None:
    members = _members(world, group_days)
    expected: Table = {}
    for one, inside in members.items():
        for other, also in members.items():
            names = ("/".join(one), "/".join(other))
            if names[0] < names[1] and inside & also:
                expected[names] = (len(inside), len(also), len(inside & also))
    _assert_equal(_table(warehouse, "group_overlap", 2), expected)

    everybody = [person for inside in members.values() for person in inside]
    several = {person for person in everybody if everybody.count(person) > 1}
    assert list(_table(warehouse, "overlap_summary", 3)) == [
        (len(set(everybody)), len(several), len(everybody))
    ]
    closes = warehouse.execute(
        "select sum(members_close) from engagement.group_daily where date = ?", [world.as_of]
    ).fetchone()
    assert closes == (len(everybody),)


def test_broadcast_funnel(warehouse: duckdb.DuckDBPyConnection, world: World) -> None:
    ladder = ("targeted", "sent", "delivered", "read", "click")
    rungs: dict[tuple[str, str, str], dict[Person, int]] = defaultdict(lambda: defaultdict(int))
    clicks: dict[tuple[tuple[str, str, str], Person], datetime] = {}
    for record in _in_time(world, "group/deliveries"):
        person = world.person_of(record)
        if world.counts(person):
            key = (record["source"], record["broadcast_id"], record["group_id"])
            status = record["status"]
            rung = 0 if status == "failed" else ladder.index(status)
            rungs[key][person] = max(rung, rungs[key][person])
            if status == "click":
                clicks.setdefault((key, person), record["occurred_at"])
    expected: Table = {}
    for key, persons in rungs.items():
        group = (key[0], key[2])
        counts: list[int | None] = [
            sum(rung >= place for rung in persons.values()) for place in range(len(ladder))
        ]
        converted = {
            person
            for person in persons
            for order in world.orders
            if (key, person) in clicks
            and order.person == person
            and clicks[key, person] <= order.at < clicks[key, person] + 72 * HOUR
            and order.at < world.end
        }
        record = world.current("group/broadcasts").get((key[0], key[1]))
        leavers = {
            person
            for at, person, action in changes(world, group)
            if action == "leave"
            and person in persons
            and record is not None
            and record["sent_at"] <= at < record["sent_at"] + DAY
            and at < world.end
        }
        for place, rung in ((2, "delivered"), (3, "read"), (4, "click")):
            if not observes(world, group, rung):
                counts[place] = None
        sees_leaves = record is not None and observes(world, group, "leave")
        expected[key] = (
            *counts,
            None if counts[4] is None else len(converted),
            len(leavers) if sees_leaves else None,
        )
    assert any(values[-1] for values in expected.values())
    assert any(values[-2] for values in expected.values())
    _assert_equal(_table(warehouse, "broadcast_funnel", 3), expected)


def test_consult_service(warehouse: duckdb.DuckDBPyConnection, world: World) -> None:
    sessions: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for record in _in_time(world, "group/consults"):
        sessions[record["source"], record["session_id"]].append(record)
    found: dict[tuple[date, str], list[Row]] = defaultdict(list)
    for records in sessions.values():

        def times(*actions: str, since: datetime | None = None) -> list[datetime]:
            return [
                record["occurred_at"]
                for record in records  # noqa: B023
                if record["action"] in actions and (since is None or record["occurred_at"] >= since)
            ]

        asked = next((record for record in records if record["action"] == "question"), None)
        if asked is None or not world.counts(world.person_of(asked)):
            continue
        began, handoffs, closes = asked["occurred_at"], times("handoff"), times("close")
        scores = [r["score"] for r in records if r["action"] == "rate" and r["score"] is not None]
        eligible = bool(closes) and closes[0] + 72 * HOUR <= world.end
        reopened = closes and any(
            at < closes[0] + 72 * HOUR for at in times("reopen", since=closes[0])
        )
        session = {
            "wait": next(
                (at - began for at in times("ai_answer", "human_answer", since=began)), None
            ),
            "handed": bool(handoffs),
            "eligible": eligible,
            "contained": eligible and not handoffs and not reopened,
            "scores": scores,
        }
        found[world.day(began), "ai"].append(session)
        if handoffs:
            answers = times("human_answer", since=handoffs[0])
            found[world.day(began), "human"].append(
                session
                | {
                    "wait": answers[0] - handoffs[0] if answers else None,
                    "eligible": False,
                    "contained": False,
                }
            )
    expected: Table = {}
    for key, group in found.items():
        waits = [
            session["wait"] / timedelta(seconds=1)
            for session in group
            if session["wait"] is not None
        ]
        expected[key] = (
            len(group),
            len(waits),
            sum(wait < 15 for wait in waits),
            *(_percentile(waits, share) for share in (0.5, 0.9, 0.95)),
            len(group) - len(waits),
            sum(session["handed"] for session in group),
            sum(session["eligible"] for session in group),
            sum(session["contained"] for session in group),
            sum(sum(session["scores"]) for session in group),
            sum(len(session["scores"]) for session in group),
        )
    assert sum(values[-3] for values in expected.values()) > 0
    _assert_equal(_table(warehouse, "consult_service", 2), expected)


def _inviter(world: World, record: Row) -> Person | None:
    for kind in ("account", "member"):
        if record.get(f"inviter_{kind}_id") is not None:
            person = world.person(record["source"], kind, record[f"inviter_{kind}_id"])
            return person if world.counts(person) else None
    return None


def _campaign_events(world: World) -> list[Row]:
    return [
        record
        for record in _in_time(world, "operations/campaign_events")
        if world.counts(world.person_of(record))
    ]


def test_campaigns(warehouse: duckdb.DuckDBPyConnection, world: World) -> None:
    persons: dict[tuple[str, str], dict[str, list[Person]]] = defaultdict(lambda: defaultdict(list))
    for record in _campaign_events(world):
        if record["action"] not in ("checkin", "complete"):
            key = (record["source"], record["campaign_id"])
            persons[key][record["action"]].append(world.person_of(record))
    steps: dict[tuple[tuple[str, str], Person], list[Row]] = defaultdict(list)
    for record in _in_time(world, "group/memberships"):
        group = (record["source"], record["group_id"])
        # A person with a join record is never inferred to have joined.
        if record["action"] != "role" and observes(world, group, "leave"):
            steps[group, world.person_of(record)].append(record)
    joins = []
    for (_, person), records in steps.items():
        for place, record in enumerate(records):
            was_inside = place > 0 and records[place - 1]["action"] == "join"
            if record["action"] == "join" and not was_inside and world.counts(person):
                until = record["occurred_at"] + 7 * DAY
                last = [other for other in records[place:] if other["occurred_at"] < until][-1]
                joins.append((record, person, until, last["action"] == "join"))
    joiners: dict[tuple[str, str], dict[Person, bool]] = defaultdict(dict)
    for record, person, until, stayed in sorted(
        joins, key=lambda join: (join[0]["occurred_at"], join[0]["event_id"])
    ):
        invited = record.get("inviter_member_id") is not None or record.get("via") == "invite"
        if record.get("campaign_id") is not None and invited and until <= world.end:
            joiners[record["source"], record["campaign_id"]].setdefault(person, stayed)
    orders: dict[tuple[str, str], list[int | None]] = defaultdict(list)
    net = {(order.source, order.order_id): order for order in world.orders}
    for record in world.log("commerce/orders"):
        order = net.get((record["source"], record["order_id"]))
        if record.get("campaign_id") is not None and order is not None and order.at < world.end:
            refunded = sum(amount or 0 for _, amount in order.refunds)
            orders[record["source"], record["campaign_id"]].append(
                None if order.amount is None else order.amount - refunded
            )
    spend: dict[tuple[str, str], list[int]] = defaultdict(list)
    for record in world.log("operations/spend"):
        assert world.as_of is not None
        if record["target"] == "campaign" and record["spent_on"] <= world.as_of:
            amount = world.converted(record["amount_minor"], record["currency"], record["spent_on"])
            spend[record["source"], record["target_id"]].append(amount or 0)
    expected: Table = {}
    for key in {*persons, *joiners, *orders, *spend}:
        by_action, eligible = persons[key], joiners[key]
        expected[key] = (
            len(set(by_action["target"])),
            len(set(by_action["participate"])),
            len(set(by_action["invite"])),
            len(by_action["invite"]),
            len(set(by_action["accept"])),
            sum(eligible.values()) if eligible else None,
            len(eligible),
            len(orders[key]),
            sum(amount or 0 for amount in orders[key]),
            sum(spend[key]),
        )
    assert any(values[6] for values in expected.values())
    _assert_equal(_table(warehouse, "campaigns", 2), expected)


def test_referral_generations(warehouse: duckdb.DuckDBPyConnection, world: World) -> None:
    persons: dict[tuple[str, str], set[Person]] = defaultdict(set)
    inviters: dict[tuple[str, str], dict[Person, tuple[int, Person]]] = defaultdict(dict)
    for place, record in enumerate(_campaign_events(world)):
        key, inviter = (record["source"], record["campaign_id"]), _inviter(world, record)
        if record["action"] != "target":
            persons[key] |= {world.person_of(record)} | ({inviter} if inviter else set())
        if record["action"] == "accept" and inviter:
            inviters[key].setdefault(world.person_of(record), (place, inviter))
    expected: dict[tuple[Any, ...], tuple[int]] = {}
    cycles = 0
    for key, everybody in persons.items():
        edges = inviters[key]
        cut = set()
        for person in edges:
            ring, here = [person], edges[person][1]
            while here in edges and here not in ring:
                ring.append(here)
                here = edges[here][1]
            if here == person:
                cut.add(min(ring, key=lambda member: edges[member][0]))
        cycles += len(cut)
        for person in everybody:
            generation = 0
            while person in edges and person not in cut:
                person = edges[person][1]
                generation += 1
            place = (*key, generation)
            expected[place] = (expected.get(place, (0,))[0] + 1,)
    assert cycles > 3
    _assert_equal(_table(warehouse, "referral_generations", 3), expected)


def test_checkin_streaks(warehouse: duckdb.DuckDBPyConnection, world: World) -> None:
    days: dict[tuple[Person, str, str], set[date]] = defaultdict(set)
    for record in _in_time(world, "community/events"):
        if record["event_type"] == "checkin":
            days[world.person_of(record), record["source"], "*"].add(
                world.day(record["occurred_at"])
            )
    for record in _in_time(world, "operations/campaign_events"):
        if record["action"] == "checkin":
            days[world.person_of(record), record["source"], record["campaign_id"]].add(
                world.day(record["occurred_at"])
            )

    def run_to(last: date, dates: set[date]) -> int:
        length = 0
        while last - length * DAY in dates:
            length += 1
        return length

    assert world.as_of is not None
    as_of = world.as_of
    expected: Table = {
        key: (run_to(as_of, dates), max(run_to(day, dates) for day in dates), len(dates))
        for key, dates in days.items()
        if world.counts(key[0]) and not world.is_erased(key[0])
    }
    assert max(values[0] for values in expected.values()) > 1
    _assert_equal(_table(warehouse, "checkin_streaks", 3), expected)


def test_scenarios(
    warehouse: duckdb.DuckDBPyConnection,
    world: World,
    group_days: set[tuple[date, str, str]],
) -> None:
    bands = ("night", "morning", "afternoon", "evening")

    def kind_of(source: str, group_id: str) -> str:
        group = world.current("group/groups").get((source, group_id))
        return "unknown" if group is None else str(group["kind"])

    exposure: dict[tuple[str, str], int] = defaultdict(int)
    for day, source, group_id in group_days:
        for kind in (kind_of(source, group_id), "*"):
            exposure[day_type(day), kind] += 1
    said: dict[tuple[str, str, str], list[tuple[Person, str]]] = defaultdict(list)
    for record in world.log("group/messages"):
        person, day = world.person_of(record), world.day(record["occurred_at"])
        place = (day, record["source"], record["group_id"])
        if world.counts(person) and record["kind"] != "system" and place in group_days:
            band = bands[record["occurred_at"].astimezone(world.zone).hour // 6]
            for kind in (kind_of(*place[1:]), "*"):
                said[day_type(day), band, kind].append((person, record["kind"]))
    expected: Table = {}
    for (kind_of_day, kind), count in exposure.items():
        for band in bands:
            talk = said[kind_of_day, band, kind]
            speakers = {person for person, what in talk if what != "reaction"}
            expected[kind_of_day, band, kind] = (len(talk), count, len(speakers))
    _assert_equal(_table(warehouse, "scenarios", 3), expected)


def test_assistant_daily(warehouse: duckdb.DuckDBPyConnection, world: World) -> None:
    found: dict[tuple[date, str], list[Row]] = defaultdict(list)
    for record in _in_time(world, "operations/assistant_requests", "request_id"):
        named = record.get("account_id") or record.get("member_id")
        if named is None or world.counts(world.person_of(record)):
            found[world.day(record["occurred_at"]), record["surface"]].append(record)
    expected: Table = {}
    for key, records in found.items():
        outcomes = [record["outcome"] for record in records]
        waits = [
            float(record["latency_ms"])
            for record in records
            if record["outcome"] == "answered" and record["latency_ms"] is not None
        ]
        expected[key] = (
            len(records),
            *(outcomes.count(outcome) for outcome in ("answered", "handoff", "failed")),
            _percentile(waits, 0.5),
            _percentile(waits, 0.95),
        )
    _assert_equal(_table(warehouse, "assistant_daily", 2), expected)


def test_governance_daily(warehouse: duckdb.DuckDBPyConnection, world: World) -> None:
    events: dict[tuple[str, Person], list[Row]] = defaultdict(list)
    for record in _in_time(world, "community/events"):
        person = world.person_of(record)
        if world.counts(person):
            events[record["source"], person].append(record)
    dao_days: dict[Person, set[date]] = defaultdict(set)
    scenes = world.current("group/scenes")
    assert not scenes, "attendance would be activity of a scene's group"
    for activity in world.activity:
        group = world.current("group/groups").get((activity.source, activity.group_id or ""))
        if activity.core == "group" and group is not None and group["kind"] == "dao":
            dao_days[activity.person].add(activity.day)
    voters: dict[tuple[date, str], list[Person]] = defaultdict(list)
    visitors: dict[tuple[date, str], set[Person]] = defaultdict(set)
    lengths: dict[tuple[date, str], timedelta] = defaultdict(timedelta)
    for (source, person), own in events.items():
        for place, record in enumerate(own):
            at = record["occurred_at"]
            key = (world.day(at), source)
            if record["event_type"] == "vote":
                voters[key].append(person)
            elif record["event_type"] == "space_enter":
                visitors[key].add(person)
                left = next(
                    (e["occurred_at"] for e in own[place + 1 :] if e["event_type"] == "space_exit"),
                    None,
                )
                if left is not None and left < at + 12 * HOUR:
                    lengths[key] += left - at
    expected: Table = {}
    for key in {*voters, *visitors}:
        dual = {
            person
            for person in visitors[key]
            if any(key[0] - 28 * DAY < day <= key[0] for day in dao_days[person])
        }
        expected[key] = (
            len(set(voters[key])),
            len(voters[key]),
            len(visitors[key]),
            lengths[key] / timedelta(seconds=1),
            len(dual),
        )
    assert any(values[-1] for values in expected.values())
    _assert_equal(_table(warehouse, "governance_daily", 2), expected)
