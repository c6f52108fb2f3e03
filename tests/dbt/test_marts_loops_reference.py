"""Funnels, KOL touches and the value loop against a second reading of their contract.

One random world of few persons and few distinct times, so that equal instants and exact bounds are
common; loops over records stand where the models use joins and windows. Half of the events arrive
late, so the incremental fact is held too.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

import duckdb
import pytest

from orchestration.contracts import contracts
from orchestration.funnels import Funnel
from orchestration.plan import make_plan, write_plan
from orchestration.transform import DbtSession
from orchestration.warehouse import open_warehouse
from tests.reference.compare import read_world
from tests.reference.world import Person, World
from tests.support import fill_raw, test_settings

START = datetime(2025, 3, 2, 16, tzinfo=UTC)
DAYS = 24
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STEP = timedelta(microseconds=1)
PEOPLE = tuple(str(number) for number in range(1, 25))
SOURCES = ("s", "g")
TOPICS = ("tea", "tea", "jazz", "jazz", None)
LONG = ("read", "click", "read", "click", "like", "read", "message", "group_join")
FUNNELS = (
    Funnel(
        name="default",
        window_days=7,
        steps=("impression", "click", "group_join", "first_order"),
    ),
    Funnel(name="long", window_days=18, steps=LONG),
    Funnel(name="course", window_days=12, steps=("group_join", "attend", "order:course")),
    Funnel(name="again", window_days=5, steps=("order", "order")),
    Funnel(name="nobody", window_days=1, steps=("vote", "click")),
)
SETTINGS: dict[str, Any] = {
    "as_of_date": date(2025, 3, 24),
    "funnels": [funnel.model_dump() for funnel in FUNNELS],
    "touch_landmark_hours": 48,
    "touch_conversion_days": 4,
    "touch_max_scenes": 3,
    "touch_scene_kinds": ["live_class", "homework", "other"],
    "loop_supply_days": 4,
    "loop_reads_days": 6,
}
MODELS = ("funnels", "touchpoints", "value_loop")
Row = dict[str, Any]
Logs = dict[str, list[Row]]


class _Maker:
    """Raw records, deterministic by seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.logs: Logs = defaultdict(list)
        self.number = 0

    def add(self, log: str, source: str, **fields: Any) -> None:
        key = contracts()[log].key
        if key not in fields:
            self.number += 1
            fields[key] = f"x{self.number}"
        self.logs[log].append({"source": source} | fields)

    def pick(self, values: Any) -> Any:
        return self.random.choice(values)

    def moment(self) -> datetime:
        """Whole quarters of days from local midnight, some a step beside; a few after the end."""
        at = START + timedelta(hours=6 * self.random.randrange(4 * (DAYS + 2)))
        return at + self.pick((timedelta(0), timedelta(0), STEP, -STEP))

    def make(self) -> Logs:
        self.people()
        for _ in range(1_300):
            kinds = ("impression", "click", "click", "read", "read", "read", "like", "search")
            self.add(
                "community/events",
                self.pick(SOURCES),
                account_id=self.pick(PEOPLE),
                event_type=self.pick((*kinds, "search")),
                occurred_at=self.moment(),
                content_id=f"c{self.random.randint(1, 60)}",
                topic=self.pick(TOPICS),
            )
        for number in range(1, 61):
            for source in SOURCES[: self.pick((1, 2))]:
                published_at = self.moment()
                self.add(
                    "community/contents",
                    source,
                    content_id=f"c{number}",
                    updated_at=published_at,
                    author_account_id=self.pick(PEOPLE),
                    node_id="n",
                    kind=self.pick(("question", "answer", "post", "comment")),
                    published_at=published_at,
                    topic=self.pick(TOPICS),
                    deleted_at=published_at + 5 * DAY if self.random.random() < 0.2 else None,
                )
        for _ in range(240):
            self.add(
                "group/memberships",
                self.pick(SOURCES),
                member_id=self.pick(PEOPLE),
                group_id=self.pick("xyz"),
                action=self.pick(("join", "join", "join", "leave")),
                occurred_at=self.moment(),
            )
            self.add(
                "group/messages",
                self.pick(SOURCES),
                member_id=self.pick(PEOPLE),
                group_id=self.pick("xyz"),
                kind=self.pick(("text", "reaction", "system")),
                occurred_at=self.moment(),
            )
            self.add(
                "group/consults",
                self.pick(SOURCES),
                member_id=self.pick(PEOPLE),
                session_id="q",
                action=self.pick(("question", "rate")),
                topic=self.pick(TOPICS),
                occurred_at=self.moment(),
            )
        for _ in range(60):
            self.add(
                "commerce/orders",
                self.pick(SOURCES),
                **{self.pick(("account_id", "member_id")): self.pick(PEOPLE)},
                kind=self.pick(("course", "tip")),
                amount_minor=100,
                currency="CNY",
                paid_at=self.moment(),
            )
        self.scenes()
        return self.logs

    def people(self) -> None:
        for source in SOURCES:
            for number in PEOPLE[2:]:
                flags = {"is_bot": number == "3", "is_staff": number == "4"}
                state = {"updated_at": START, "union_id": f"u{number}" if number > "2" else None}
                self.add(
                    "community/accounts",
                    source,
                    account_id=number,
                    registered_at=START,
                    **state | flags,
                )
                self.add("group/members", source, member_id=number, **state)

    def scenes(self) -> None:
        kinds = ("live_class", "homework", "festival")
        for number in range(12):
            for source in SOURCES:
                self.add(
                    "group/scenes",
                    source,
                    scene_id=f"z{number}",
                    updated_at=START,
                    group_id="x",
                    kind=self.pick(kinds),
                    starts_at=START,
                    kol_member_id=self.pick((None, "5", "6", "3")),
                    campaign_id=self.pick((None, "k1", "k2")),
                )
        for _ in range(640):
            self.add(
                "group/attendance",
                self.pick(SOURCES),
                scene_id=f"z{self.random.randint(0, 13)}",
                member_id=self.pick(PEOPLE),
                action=self.pick(("enter", "enter", "submit", "leave")),
                occurred_at=self.moment(),
            )


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterable[duckdb.DuckDBPyConnection]:
    """Built from half of the events, then incrementally from the rest."""
    settings = test_settings(tmp_path_factory.mktemp("loops"), **SETTINGS)
    session = DbtSession(settings)
    chance = random.Random(0)
    batches: tuple[Logs, Logs] = (defaultdict(list), defaultdict(list))
    for log, records in _Maker(7).make().items():
        for record in records:
            batches[contracts()[log].kind == "event" and chance.random() < 0.5][log].append(record)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestration.plan.code_fingerprint", lambda: "unchanged")
        session.parse()
        for number, batch in enumerate(batches, start=1):
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
            # Nothing but this fact remembers the batch before.
            wanted = ("int_funnel_events",) if number == 1 else MODELS
            session.invoke(
                ["build", "--exclude-resource-types", "test", "unit_test", "--select"]
                + [f"+{name}" for name in wanted]
            )
    with open_warehouse(settings, read_only=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def world(warehouse: duckdb.DuckDBPyConnection) -> World:
    return read_world(warehouse)


def _rows(connection: duckdb.DuckDBPyConnection, mart: str) -> set[tuple[Any, ...]]:
    found = connection.execute(f"select * from engagement.{mart}").fetchall()
    assert len(set(found)) == len(found)
    return set(found)


def _events(world: World, kind: str) -> dict[Person, list[datetime]]:
    """The times of a step's events by person, sorted."""
    log, wanted = {
        "group_join": ("group/memberships", {"action": "join"}),
        "attend": ("group/attendance", {"action": "enter"}),
        "message": ("group/messages", {}),
        "order": ("commerce/orders", {}),
        "order:course": ("commerce/orders", {"kind": "course"}),
    }.get(kind, ("community/events", {"event_type": kind}))
    found: dict[Person, list[datetime]] = defaultdict(list)
    for record in world.log(log):
        person = world.person_of(record)
        is_talk = kind != "message" or record["kind"] not in ("system", "reaction")
        if is_talk and all(record[name] == value for name, value in wanted.items()):
            at = record[contracts()[log].time]
            if world.counts(person) and at < world.end:
                found[person].append(at)
    return {person: sorted(times) for person, times in found.items()}


def _steps_reached(world: World, funnel: Funnel) -> Iterable[tuple[date, int]]:
    events = [_events(world, step.removeprefix("first_")) for step in funnel.steps]
    for person, times in events[0].items():
        entered = at = times[0]
        if world.day(entered) + funnel.window_days * DAY > SETTINGS["as_of_date"]:
            continue
        reached = 1
        for step, found in zip(funnel.steps[1:], events[1:], strict=True):
            later = found.get(person, [])
            later = later[:1] if step.startswith("first_") else later
            later = [time for time in later if at < time < entered + funnel.window_days * DAY]
            if not later:
                break
            at, reached = later[0], reached + 1
        yield world.day(entered), reached


def test_funnels(warehouse: duckdb.DuckDBPyConnection, world: World) -> None:
    expected = set()
    for funnel in FUNNELS:
        reached: dict[date, list[int]] = defaultdict(list)
        for day, steps in _steps_reached(world, funnel):
            reached[day].append(steps)
        for day, found in reached.items():
            for number, kind in enumerate(funnel.steps, start=1):
                persons = sum(steps >= number for steps in found)
                expected.add((funnel.name, day, number, kind, persons))
    actual = _rows(warehouse, "funnels")
    assert actual == expected
    through = {(name, step) for name, _, step, _, persons in actual if persons}
    assert through >= {("default", 4), ("long", 8), ("course", 3), ("again", 2)}
    assert "nobody" not in {name for name, _ in through}


def test_funnels_only_narrow(warehouse: duckdb.DuckDBPyConnection) -> None:
    steps = {
        (name, day, step): persons for name, day, step, _, persons in _rows(warehouse, "funnels")
    }
    for (name, day, step), persons in steps.items():
        assert persons <= steps.get((name, day, step - 1), persons)


def test_touchpoints(warehouse: duckdb.DuckDBPyConnection, world: World) -> None:
    scenes = world.current("group/scenes")
    visits: dict[tuple[str, str, Person], list[tuple[datetime, str, bool]]] = defaultdict(list)
    for record in world.log("group/attendance"):
        person, source = world.person_of(record), record["source"]
        scene = scenes.get((source, record["scene_id"]), {})
        is_kind = scene.get("kind", "other") in SETTINGS["touch_scene_kinds"]
        if record["action"] == "leave" or not is_kind or not world.counts(person):
            continue
        host = scene.get("kol_member_id")
        meets = host is not None and world.person(source, "member", host) != person
        if record["occurred_at"] < world.end:
            for campaign in {"*", scene.get("campaign_id")} - {None}:
                visits[source, campaign, person].append(
                    (record["occurred_at"], record["scene_id"], meets)
                )
    orders = _events(world, "order")
    landmark, days = (
        SETTINGS["touch_landmark_hours"] * HOUR,
        SETTINGS["touch_conversion_days"] * DAY,
    )
    counted: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for (source, campaign, person), own in visits.items():
        touches = [at for at, _, meets in own if meets]
        if not touches or min(touches) + days > world.end:
            continue
        touch = min(touches)
        attended = {scene for at, scene, _ in own if touch <= at < touch + landmark}
        row = counted[source, campaign, min(len(attended), SETTINGS["touch_max_scenes"])]
        paid = [at - touch for at in orders.get(person, [])]
        if any(timedelta(0) <= wait < landmark for wait in paid):
            row[2] += 1
        else:
            row[0] += 1
            row[1] += any(landmark <= wait < days for wait in paid)
    actual = _rows(warehouse, "touchpoints")
    assert actual == {(*key, *row) for key, row in counted.items()}
    assert {row[2] for row in actual} == {1, 2, 3}
    assert all(sum(row[place] for row in actual) for place in (3, 4, 5))


def _needs(world: World) -> Iterable[tuple[Row, datetime, bool]]:
    """Records of needs, their time, and whether any source may supply them."""
    for record in world.log("community/events"):
        if record["event_type"] == "search":
            yield record, record["occurred_at"], False
    for content in world.current("community/contents").values():
        if content["kind"] == "question":
            yield (
                content | {"account_id": content["author_account_id"]},
                content["published_at"],
                False,
            )
    for record in world.log("group/consults"):
        if record["action"] == "question":
            yield record, record["occurred_at"], True


def test_value_loop(warehouse: duckdb.DuckDBPyConnection, world: World) -> None:
    supply_days, reads_days = SETTINGS["loop_supply_days"] * DAY, SETTINGS["loop_reads_days"] * DAY
    contents = world.current("community/contents")
    supplies = [
        content
        for content in contents.values()
        if content["kind"] != "question"
        and content["published_at"] < world.end
        and world.counts(world.person(content["source"], "account", content["author_account_id"]))
    ]
    rows: dict[tuple[date, str, str], list[tuple[datetime, Row | None]]] = defaultdict(list)
    for record, at, is_any in _needs(world):
        if record["topic"] is None or at >= world.end or not world.counts(world.person_of(record)):
            continue
        found = [
            content
            for content in supplies
            if content["topic"] == record["topic"]
            and (is_any or content["source"] == record["source"])
            and at <= content["published_at"] < at + supply_days
        ]
        day = world.day(at)
        key = (day - day.weekday() * DAY, record["source"], record["topic"])
        first = min(found, key=lambda one: (one["published_at"], one["source"]), default=None)
        rows[key].append((at, first))
    reads = [
        (record, contents[record["source"], record["content_id"]])
        for record in world.log("community/events")
        if record["event_type"] == "read"
        and (record["source"], record["content_id"]) in contents
        and world.counts(world.person_of(record))
    ]
    expected = set()
    for key, needs in rows.items():
        eligible = [(at, first) for at, first in needs if at + supply_days <= world.end]
        supplied = [(at, first) for at, first in eligible if first is not None]
        lags = [(first["published_at"] - at) / HOUR for at, first in supplied]
        opening = min(
            (first for _, first in supplied),
            key=lambda one: (one["published_at"], one["source"]),
            default=None,
        )
        before = after = moment = None
        if opening is not None:
            moment = opening["published_at"]
            if moment + reads_days <= world.end:
                waits = [
                    record["occurred_at"] - moment
                    for record, content in reads
                    if record["source"] == opening["source"]
                    and content["topic"] == key[2]
                    and (
                        content["deleted_at"] is None
                        or record["occurred_at"] < content["deleted_at"]
                    )
                ]
                before = sum(-reads_days <= wait < timedelta(0) for wait in waits)
                after = sum(timedelta(0) <= wait < reads_days for wait in waits)
        expected.add(
            (
                *key,
                len(needs),
                len(eligible),
                len(supplied) if eligible else None,
                round(median(lags), 6) if lags else None,
                moment.replace(tzinfo=None) if moment else None,
                before,
                after,
            )
        )
    actual = {
        (*row[:6], None if row[6] is None else round(row[6], 6), *row[7:])
        for row in _rows(warehouse, "value_loop")
    }
    assert actual == expected
    assert {None, 0} < {row[5] for row in actual}
    assert any(row[8] for row in actual)
    assert any(row[9] for row in actual)
    assert any(row[7] is not None and row[9] is None for row in actual)
