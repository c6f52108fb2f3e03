"""Identity resolution in SQL against a naive one in Python, over many small worlds in one build."""

from __future__ import annotations

import hashlib
import hmac
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from orchestration.settings import Settings
from tests.dbt.scratch import query
from tests.support import KEY, build_marts, test_settings

Id = tuple[str, str, str]
Record = dict[str, Any]
MAX_IDS = 4


def _time(minute: int) -> str:
    return f"2026-01-{1 + minute // 1440:02d}T{minute // 60 % 24:02d}:{minute % 60:02d}:00+08:00"


@dataclass
class World:
    """Logs of one world; its sources carry its name, so worlds never meet."""

    name: str
    logs: dict[str, list[Record]] = field(default_factory=lambda: defaultdict(list))

    def record(self, kind: str, source: str, number: str, minute: int = 0, **values: Any) -> None:
        """A state of an account or member."""
        log = "community/accounts" if kind == "account" else "group/members"
        state = {"source": self.name + source, f"{kind}_id": number, "updated_at": _time(minute)}
        if kind == "account":
            state["registered_at"] = _time(0)
        for key in ("union_id", "phone"):
            if values.get(key):
                values[key] = values[key].replace("#", str(int(self.name[1:]) + 1000))
        self.logs[log].append(state | values)

    def link(
        self, account: str, member: str, minute: int, action: str = "link", **more: Any
    ) -> None:
        """A link between the world's account and member of those numbers."""
        links = self.logs["commerce/identity_links"]
        base = {
            "source": self.name + more.pop("link_source", "a"),
            "link_id": more.pop("link_id", f"l{len(links):05d}"),
            "account_source": self.name + "a",
            "account_id": account,
            "member_source": self.name + "m",
            "member_id": member,
            "action": action,
            "method": "login",
            "occurred_at": _time(minute),
        }
        links.append(base | more)


def _hand_made() -> Iterator[World]:
    chain = World("w0")
    for step in range(100):
        chain.link(f"a{step}", f"m{step}", step)
        chain.link(f"a{step + 1}", f"m{step}", step)
    yield chain

    ties = World("w1")
    ties.link("1", "1", 5, "unlink", link_id="x")
    ties.link("1", "1", 5, "link", link_id="y")
    ties.link("2", "2", 5, "unlink", link_id="x", link_source="b")
    ties.link("2", "2", 5, "link", link_id="y", link_source="a")
    ties.link("3", "3", 9, "unlink")
    ties.link("3", "3", 8, "link")
    yield ties

    unlinked_but_shared = World("w2")
    unlinked_but_shared.record("account", "a", "1", phone="139#0001")
    unlinked_but_shared.record("member", "m", "1", phone="+86 139 #0001")
    unlinked_but_shared.link("1", "1", 1)
    unlinked_but_shared.link("1", "1", 2, "unlink")
    yield unlinked_but_shared

    full = World("w3")
    for number in range(MAX_IDS):
        full.record("account", "a", str(number), union_id="u#", is_bot=number == 3)
    yield full

    overshared = World("w4")
    for number in range(MAX_IDS + 1):
        overshared.record("account", "a", str(number), union_id="u#")
    overshared.record("account", "a", "0", 1, union_id="u#", phone="1380000#")
    overshared.record("member", "m", "0", phone="0086 1380000#")
    yield overshared

    moved_away = World("w5")
    moved_away.record("account", "a", "1", 0, phone="1370000#")
    moved_away.record("account", "a", "1", 1)
    moved_away.record("account", "b", "1", 0, phone="1370000#", is_staff=True)
    moved_away.record("account", "b", "1", 1, phone="1370000#", is_staff=False)
    moved_away.record("member", "m", "1", 0, phone="1370000#", erased_at=_time(3))
    yield moved_away

    only_seen = World("w6")
    only_seen.logs["community/events"].append(
        {
            "source": "w6a",
            "event_id": "e",
            "account_id": "1",
            "event_type": "impression",
            "target_account_id": "only named",
            "occurred_at": _time(1),
        }
    )
    for unit in ("account", "member", "group"):
        only_seen.logs["operations/experiments"].append(
            {
                "source": "w6a",
                "experiment_id": unit,
                "updated_at": _time(0),
                "unit": unit,
                "starts_at": _time(0),
                "variants": {"a": 1},
            }
        )
        only_seen.logs["operations/exposures"].append(
            {
                "source": "w6a",
                "event_id": unit,
                "experiment_id": unit,
                "variant": "a",
                "unit_id": f"exposed {unit}",
                "occurred_at": _time(1),
            }
        )
    yield only_seen


def _drawn(name: str, draw: random.Random) -> World:
    world = World(name)
    for kind, sources in (("account", "ab"), ("member", "m")):
        for source in sources:
            for number in range(draw.randint(1, 6)):
                for minute in draw.sample(range(100), draw.randint(1, 2)):
                    phone = draw.choice([None, None, "86139#000", "139#000", "１３９#001", "12"])
                    world.record(
                        kind,
                        source,
                        str(number),
                        minute,
                        phone=phone,
                        union_id=draw.choice([None, None, None, "u#1", "u#2"]),
                        is_bot=draw.random() < 0.05,
                        is_staff=draw.random() < 0.05,
                        is_test=draw.choice([None, None, False, draw.random() < 0.1]),
                        erased_at=_time(50) if draw.random() < 0.05 else None,
                    )
    for _ in range(draw.randint(0, 8)):
        world.link(
            str(draw.randrange(7)),
            str(draw.randrange(7)),
            draw.randrange(4),
            draw.choice(["link", "link", "unlink"]),
        )
    return world


def _phone(text: str | None) -> str | None:
    if text is None:
        return None
    folded = text.translate(str.maketrans("０１２３４５６７８９", "0123456789"))
    digits = re.sub("[^0-9]", "", folded).removeprefix("00")
    if len(digits) == 13 and digits.startswith("86"):
        digits = digits[2:]
    return digits if len(digits) >= 7 else None


def _current(world: World) -> dict[Id, Record]:
    current: dict[Id, Record] = {}
    for log, kind in (("community/accounts", "account"), ("group/members", "member")):
        for state in world.logs[log]:
            key = (kind, state["source"], state[f"{kind}_id"])
            # fill_raw numbers the states, so the later of two of one time has the greater hash.
            if key not in current or current[key]["updated_at"] <= state["updated_at"]:
                current[key] = state
    return current


def _resolve(world: World) -> tuple[set[frozenset[Id]], dict[Id, Record], set[tuple[str, int]]]:
    """The persons as sets of ids, the current states, and the over-shared keys (kind, ids)."""
    current = _current(world)
    persons: dict[Id, set[Id]] = {key: {key} for key in current}

    def join(a: Id, b: Id) -> None:
        if persons[a] is not persons[b]:
            merged = persons[a] | persons[b]
            for key in merged:
                persons[key] = merged

    def seen(key: Id) -> None:
        persons.setdefault(key, {key})

    last: dict[tuple[Id, Id], tuple[Any, ...]] = {}
    for link in world.logs["commerce/identity_links"]:
        account = ("account", link["account_source"], link["account_id"])
        member = ("member", link["member_source"], link["member_id"])
        seen(account)
        seen(member)
        rank = (link["occurred_at"], link["source"], link["link_id"], link["action"])
        last[account, member] = max(last.get((account, member), rank), rank)
    for event in world.logs["community/events"]:
        seen(("account", event["source"], event["account_id"]))
    units = {e["experiment_id"]: e["unit"] for e in world.logs["operations/experiments"]}
    for exposure in world.logs["operations/exposures"]:
        if units[exposure["experiment_id"]] != "group":
            seen((units[exposure["experiment_id"]], exposure["source"], exposure["unit_id"]))
    for (account, member), rank in last.items():
        if rank[-1] == "link":
            join(account, member)
    holders: dict[tuple[str, str], list[Id]] = defaultdict(list)
    for key, state in current.items():
        for kind, value in (
            ("union_id", state.get("union_id")),
            ("phone", _phone(state.get("phone"))),
        ):
            if value is not None:
                holders[kind, value].append(key)
    overshared = set()
    for (kind, _), ids in holders.items():
        if len(ids) > MAX_IDS:
            overshared.add((kind, len(ids)))
        else:
            for other in ids[1:]:
                join(ids[0], other)
    return {frozenset(ids) for ids in persons.values()}, current, overshared


def _token(text: str) -> str:
    return hmac.new(KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


def _person_id(ids: frozenset[Id]) -> str:
    return _token("\n".join(sorted(f"{k}:{len(s)}:{s}:{i}" for k, s, i in ids)))[:32]


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    made = list(_hand_made())
    draw = random.Random(42)
    return made + [_drawn(f"w{len(made) + number}", draw) for number in range(40)]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, worlds: list[World]) -> Settings:
    settings = test_settings(tmp_path_factory.mktemp("persons"), identity_max_ids=MAX_IDS)
    logs: dict[str, list[Record]] = defaultdict(list)
    for world in worlds:
        for log, records in world.logs.items():
            logs[log] += records
    build_marts(settings, logs, "+int_persons +int_identity_overshared_keys +identities +persons")
    return settings


def test_persons_are_those_of_the_naive_resolution(settings: Settings, worlds: list[World]):
    wanted = {
        (key, _person_id(person))
        for world in worlds
        for person in _resolve(world)[0]
        for key in person
    }
    found = query(
        settings,
        "select id_kind, source, id, person_id from intermediate.int_identities "
        "where not is_mentioned_only",
    )
    assert {((kind, source, number), person) for kind, source, number, person in found} == wanted
    assert len(found) == len(wanted)


def test_flags_are_those_of_any_current_state_of_the_person(
    settings: Settings, worlds: list[World]
):
    wanted = {}
    for world in worlds:
        persons, current, _ = _resolve(world)
        for person in persons:
            states = [current.get(key, {}) for key in person]
            wanted[_person_id(person)] = (
                any(state.get("is_bot") or state.get("is_test") for state in states),
                any(bool(state.get("is_staff")) for state in states),
                any(state.get("erased_at") is not None for state in states),
            )
    found = query(
        settings,
        "select person_id, is_excluded, is_staff, is_erased, counts "
        "from intermediate.int_persons where not is_mentioned_only",
    )
    assert {row[0]: row[1:4] for row in found} == wanted
    assert all(counts == (not excluded and not staff) for _, excluded, staff, _, counts in found)


def test_overshared_keys_are_reported(settings: Settings, worlds: list[World]):
    wanted = sorted(key for world in worlds for key in _resolve(world)[2])
    found = query(settings, "select key_kind, ids from intermediate.int_identity_overshared_keys")
    assert ("union_id", MAX_IDS + 1) in wanted
    assert sorted(found) == wanted


def test_the_chain_is_one_person_and_long_links_are_followed(settings: Settings):
    found = query(
        settings,
        "select count(*), count(distinct person_id) from intermediate.int_identities "
        "where source in ('w0a', 'w0m')",
    )
    assert found == [(201, 1)]


def test_an_id_that_is_only_named_has_a_person_but_is_in_no_dimension(settings: Settings):
    named = "where source = 'w6a' and id = 'only named'"
    inside = query(settings, f"select is_mentioned_only from intermediate.int_identities {named}")
    assert inside == [(True,)]
    assert query(settings, f"select * from dim.identities {named}") == []
    assert query(settings, "select count(*) from dim.identities where source = 'w6a'") == [(3,)]


def test_dimensions_drop_the_erased_and_only_identities_keeps_the_excluded(settings: Settings):
    outside = query(
        settings,
        "select person_id, is_excluded, is_staff from intermediate.int_persons "
        "where not is_erased and not is_mentioned_only",
    )
    assert {row[0] for row in query(settings, "select person_id from dim.identities")} == {
        row[0] for row in outside
    }
    assert set(query(settings, "select person_id, is_staff from dim.persons")) == {
        (person, staff) for person, excluded, staff in outside if not excluded
    }
    assert any(excluded for _, excluded, _ in outside)


def test_ids_that_only_look_alike_are_kept_apart():
    odd = [("account", "a", "1:b"), ("account", "a:1", "b"), ("account", "a", ":1:b")]
    assert len({_person_id(frozenset([key])) for key in odd}) == len(odd)
