"""Hand-computed cases of the reference's ground: states, persons, time, money."""

from __future__ import annotations

from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

import pytest

from tests.reference.generator import make_world
from tests.reference.marts import MARTS
from tests.reference.world import Parameters, Records, World, half_away, normalised_phone


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def world_of(records: Records, **parameters: Any) -> World:
    return World(records, Parameters(**parameters))


def member(key: str, **more: Any) -> dict[str, Any]:
    return {"source": "s", "member_id": key, "updated_at": at("2025-01-01T00:00")} | more


def link(number: int, action: str, when: str, account: str = "a", to: str = "m") -> dict[str, Any]:
    return {
        "source": "s",
        "link_id": f"l{number}",
        "account_source": "s",
        "account_id": account,
        "member_source": "t",
        "member_id": to,
        "action": action,
        "occurred_at": at(when),
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+86 138-0000-0001", "13800000001"),
        ("0086 13800000001", "13800000001"),
        ("１３８００００００01", "13800000001"),
        ("00 44 20 7946 0000", "442079460000"),
        ("86123456789", "86123456789"),
        ("123456", None),
        ("none", None),
        (None, None),
    ],
)
def test_phones_are_normalised(text: str | None, expected: str | None) -> None:
    assert normalised_phone(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(Fraction(5, 2), 3), (Fraction(-5, 2), -3), (Fraction(12, 5), 2), (Fraction(0), 0)],
)
def test_halves_round_away_from_zero(value: Fraction, expected: int) -> None:
    assert half_away(value) == expected


def test_the_greatest_updated_at_and_then_the_greatest_digest_is_current() -> None:
    records = {
        "group/members": [
            member("m", is_kol=True, _state_sha256="b"),
            member("m", is_kol=False, _state_sha256="c"),
            member("m", is_kol=True, _state_sha256="d", updated_at=at("2024-12-31T23:59")),
        ]
    }
    assert world_of(records).current("group/members")[("s", "m")]["is_kol"] is False


def test_the_last_action_of_a_link_decides_and_ids_break_its_ties() -> None:
    linked = world_of(
        {
            "commerce/identity_links": [
                link(2, "link", "2025-01-02T00:00"),
                link(1, "unlink", "2025-01-02T00:00"),
            ]
        }
    )
    assert linked.person("s", "account", "a") == {("s", "account", "a"), ("t", "member", "m")}
    unlinked = world_of(
        {
            "commerce/identity_links": [
                link(1, "link", "2025-01-02T00:00"),
                link(2, "unlink", "2025-01-02T00:00"),
            ]
        }
    )
    assert unlinked.person("s", "account", "a") == {("s", "account", "a")}


def test_a_key_shared_by_too_many_ids_joins_nothing() -> None:
    records = {"group/members": [member(f"m{number}", union_id="u") for number in range(3)]}
    assert len(world_of(records, identity_max_ids=3).person("s", "member", "m0")) == 3
    assert len(world_of(records, identity_max_ids=2).person("s", "member", "m0")) == 1


def test_a_key_of_an_earlier_state_joins_nothing() -> None:
    records = {
        "group/members": [
            member("m1", union_id="u"),
            member("m1", updated_at=at("2025-01-02T00:00")),
            member("m2", union_id="u"),
        ]
    }
    assert len(world_of(records).person("s", "member", "m1")) == 1


def test_one_bot_takes_the_whole_person_out() -> None:
    records = {
        "group/members": [member("m1", union_id="u"), member("m2", union_id="u", is_bot=True)],
        "group/messages": [
            {
                "source": "s",
                "message_id": "1",
                "group_id": "g",
                "member_id": "m1",
                "kind": "text",
                "occurred_at": at("2025-01-01T15:59:59"),
            }
        ],
    }
    world = world_of(records)
    assert world.activity == []
    assert world.as_of == date(2025, 1, 1)


def test_business_dates_turn_at_sixteen_hours_utc() -> None:
    world = world_of({})
    assert world.day(at("2025-01-01T15:59:59.999999")) == date(2025, 1, 1)
    assert world.day(at("2025-01-01T16:00:00")) == date(2025, 1, 2)
    assert world.start_of(date(2025, 1, 2)) == at("2025-01-01T16:00:00")


def rate(number: int, day: int, text: str, currency: str = "KWD", source: str = "s") -> Any:
    return {
        "source": source,
        "rate_id": f"r{number}",
        "rate_date": date(2025, 1, day),
        "currency": currency,
        "rate": text,
    }


def test_money_is_converted_at_the_last_rate_with_iso_exponents() -> None:
    world = world_of(
        {
            "commerce/fx_rates": [
                rate(1, 2, "20"),
                rate(2, 2, "23.5"),
                rate(1, 1, "1", currency="JPY"),
                rate(9, 1, "7", currency="CNY"),
            ]
        }
    )
    # 1 fils is 0.001 KWD = 0.0235 CNY = 2.35 fen.
    assert world.converted(1, "KWD", date(2025, 1, 2)) == 2
    assert world.converted(10, "KWD", date(2025, 3, 1)) == 24
    assert world.converted(10, "KWD", date(2025, 1, 1)) is None
    assert world.converted(3, "JPY", date(2025, 1, 1)) == 300
    assert world.converted(3, "CNY", date(2025, 1, 1)) == 3
    assert world.converted(3, "EUR", date(2025, 1, 1)) is None


def test_a_node_chain_ends_at_a_missing_record_and_at_a_cycle() -> None:
    def node(key: str, parent: str) -> dict[str, Any]:
        moment = at("2025-01-01T00:00")
        return {"source": "s", "node_id": key, "updated_at": moment, "parent_node_id": parent}

    world = world_of(
        {"community/nodes": [node("a", "b"), node("b", "a"), node("c", "gone"), node("d", "d")]}
    )
    assert world.chain("s", "a") == ["a", "b"]
    assert world.chain("s", "c") == ["c", "gone"]
    assert world.chain("s", "d") == ["d"]
    assert world.chain("s", "gone") == ["gone"]


def test_nothing_accepted_gives_no_rows() -> None:
    world = world_of({})
    assert {name: mart.rows(world) for name, mart in MARTS.items()} == {name: [] for name in MARTS}


@pytest.mark.parametrize("seed", range(4))
def test_generated_worlds_are_small_and_repeatable(seed: int) -> None:
    logs = make_world(seed)
    assert logs == make_world(seed)
    assert sum(map(len, logs.values())) <= 700
    ids = {(r["source"], r["account_id"]) for r in logs["community/accounts"]}
    ids |= {(r["source"], r["member_id"], "m") for r in logs["group/members"]}
    assert len(ids) <= 60
