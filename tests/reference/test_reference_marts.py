"""Hand-computed cases of single reference marts."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from tests.reference import content, dims, engagement, ltv, payouts, revenue, users
from tests.reference.generator import make_world
from tests.reference.world import DAY, Parameters, World

NOON = datetime(2025, 3, 3, 4, 0, tzinfo=UTC)
MONDAY = date(2025, 3, 3)


def event(number: int, kind: str, seconds: float = 0, account: str = "a", **more: Any) -> Any:
    return {
        "source": "s",
        "event_id": f"{number:03d}",
        "account_id": account,
        "event_type": kind,
        "occurred_at": NOON + timedelta(seconds=seconds),
        "content_id": "c",
    } | more


def community(*events: dict[str, Any], **logs: Any) -> World:
    return World({"community/events": list(events)} | logs, Parameters())


def days(number: float) -> float:
    return number * 86_400


def test_clicks_take_the_last_unclicked_impression_within_the_half_hour() -> None:
    (row,) = content.daily_performance(
        community(
            event(1, "impression", 0),
            event(2, "impression", 60),
            event(3, "click", 1_800),
            event(4, "click", 1_800),
            event(5, "click", 1_801),
            event(6, "click", 2_000, account="b"),
        )
    )
    assert (row["impressions"], row["clicks"], row["clicks_credited"]) == (2, 4, 2)


def test_a_click_after_midnight_is_credited_on_the_date_of_its_impression() -> None:
    before_midnight = 12 * 3_600 - 60
    rows = content.daily_performance(
        community(event(1, "impression", before_midnight), event(2, "click", before_midnight + 90))
    )
    assert [(r["date"].day, r["clicks"], r["clicks_credited"]) for r in rows] == [
        (3, 0, 1),
        (4, 1, 0),
    ]


def test_likes_never_fall_below_zero_per_person() -> None:
    rows = content.daily_performance(
        community(
            event(1, "unlike", 0),
            event(2, "like", 1),
            event(3, "unlike", days(1)),
            event(4, "unlike", days(1)),
            event(5, "unlike", days(1), account="b"),
        )
    )
    assert [(row["date"].day, row["likes"]) for row in rows] == [(3, 1), (4, -1)]


def published(key: str, author: str, seconds: float, **more: Any) -> dict[str, Any]:
    return {
        "source": "s",
        "content_id": key,
        "updated_at": NOON,
        "author_account_id": author,
        "node_id": "n",
        "kind": "article",
        "published_at": NOON + timedelta(seconds=seconds),
    } | more


def test_events_from_the_deletion_on_leave_content_marts_but_not_persons() -> None:
    world = community(
        event(1, "read", 9),
        event(2, "read", 10),
        **{"community/contents": [published("c", "b", 0, deleted_at=NOON + timedelta(seconds=10))]},
    )
    (row,) = content.daily_performance(world)
    assert (row["reads"], row["unique_viewers"]) == (1, 1)
    assert sum(activity.action == "read" for activity in world.activity) == 2


@pytest.mark.parametrize(
    ("waits", "median"),
    [
        # 1 of 2 ends at 5: the curve is exactly one half there.
        ([(5, True), (9, False)], 5.0),
        # 2/3 × 3/4 is one half exactly, which floating point need not see.
        ([(1, True), (1, True), (3, True)] + [(9, False)] * 3, 3.0),
        # Censored at the very time of an answer: still at risk there.
        ([(5, True), (5, False), (5, False)], None),
        ([(5, False)], None),
    ],
)
def test_kaplan_meier(waits: list[tuple[int, bool]], median: float | None) -> None:
    durations = [(timedelta(seconds=seconds), ended) for seconds, ended in waits]
    assert content.kaplan_meier(durations, Fraction(1, 2)) == median


def test_answers_of_the_asker_and_earlier_ones_answer_nothing() -> None:
    (own, all_nodes) = content.response_times(
        community(
            event(1, "read", days(1)),
            **{
                "community/contents": [
                    published("q", "a", 0, kind="question"),
                    published("x", "a", 1, kind="answer", parent_content_id="q"),
                    published("y", "b", -1, kind="answer", parent_content_id="q"),
                    published("z", "b", 3_600, kind="comment", parent_content_id="q"),
                ]
            },
        )
    )
    assert own["node_id"] == "n"
    assert all_nodes["node_id"] == "*"
    assert own["questions"] == own["answered"] == own["eligible_24h"] == own["answered_24h"] == 1
    assert (own["eligible_1h"], own["answered_1h"]) == (1, 0)
    assert (own["eligible_7d"], own["answered_7d"]) == (0, 0)
    assert own["median_seconds_km"] == own["p90_seconds_km"] == 3_600.0


def test_gini_and_bus_factor() -> None:
    assert content.gini([4]) == 0.0
    # Differences 2 × 2 over 2 × 4 × 2.
    assert content.gini([3, 1]) == 0.25
    assert content.bus_factor([51, 49]) == 1
    assert content.bus_factor([50, 50]) == 2


def test_weeks_new_returning_resurrected_dormant() -> None:
    world = community(
        *(event(1, "read", 0), event(2, "read", days(7)), event(3, "read", days(21))),
        event(4, "read", days(7), account="b"),
        event(5, "read", days(27), account="c"),
    )
    rows = [row for row in users.lifecycle_weekly(world) if row["core"] == "all"]
    counts = ("new_persons", "returning", "resurrected", "dormant", "active")
    assert [tuple(row[name] for name in counts) for row in rows] == [
        (1, 0, 0, 0, 1),
        (1, 1, 0, 0, 2),
        (0, 0, 0, 2, 0),
        (1, 0, 1, 0, 2),
    ]


def test_retention_on_and_on_or_after() -> None:
    world = community(event(1, "read"), event(2, "read", days(3)), event(3, "read", days(7)))
    rows = {
        (row["mode"], row["day_n"]): (row["eligible"], row["retained"])
        for row in users.retention(world)
        if row["core"] == "community"
    }
    assert rows[("on", 1)] == (1, 0)
    assert rows[("on_or_after", 1)] == (1, 1)
    assert rows[("on", 3)] == rows[("on", 7)] == (1, 1)
    assert rows[("on", 14)] == (0, None)


def test_tiers_rise_at_once_and_fall_on_the_first_of_a_month() -> None:
    contributions = [event(n, "comment", days(n)) for n in range(7)]
    world = community(*contributions, event(99, "read", days(60), account="b"))
    person = world.person("s", "account", "a")
    tiers = users.tiers(world)[person]
    assert tiers[date(2025, 3, 3)] == "lurker"
    assert tiers[date(2025, 3, 4)] == "active"
    assert tiers[date(2025, 3, 9)] == tiers[date(2025, 3, 31)] == "core"
    # The trailing 28 days of 1 April begin on 5 March: five contribution days are left.
    assert tiers[date(2025, 4, 1)] == tiers[date(2025, 4, 30)] == "active"
    assert tiers[date(2025, 5, 1)] == "dormant"
    history = [row for row in users.tier_history(world) if row["person_id"] == person]
    assert [(row["tier"], row["valid_from"].isoformat()) for row in history] == [
        ("lurker", "2025-03-03"),
        ("active", "2025-03-04"),
        ("core", "2025-03-09"),
        ("active", "2025-04-01"),
        ("dormant", "2025-05-01"),
    ]
    assert history[-1]["valid_to"] is None


def step(number: int, action: str, day: float, member: str = "m", **more: Any) -> dict[str, Any]:
    return {
        "source": "s",
        "event_id": f"{number:03d}",
        "group_id": "g",
        "member_id": member,
        "action": action,
        "occurred_at": NOON + timedelta(days=day),
    } | more


def said(number: int, day: float, member: str = "m", kind: str = "text") -> dict[str, Any]:
    return {
        "source": "s",
        "message_id": f"{number:03d}",
        "group_id": "g",
        "member_id": member,
        "kind": kind,
        "occurred_at": NOON + timedelta(days=day),
    }


def members(rows: list[dict[str, Any]]) -> list[tuple[int, int, int | None, int]]:
    names = ("joins", "inferred_joins", "leaves", "members_close")
    return [tuple(row[name] for name in names) for row in rows]  # type: ignore[misc]


def test_members_of_a_group() -> None:
    world = World(
        {
            "group/memberships": [
                *(step(1, "leave", 0), step(2, "join", 1), step(3, "join", 1)),
                *(step(4, "leave", 2), step(5, "leave", 2), step(6, "join", 3)),
                step(7, "role", 2, member="o", role="owner"),
                step(8, "leave", 4, member="p"),
            ],
            "group/messages": [
                *(said(1, 0), said(2, 3, member="p"), said(3, 4, member="p")),
                said(4, 4, kind="system"),
            ],
        },
        Parameters(),
    )
    assert members(engagement.group_daily(world)) == [
        (0, 0, 0, 0),
        (1, 0, 0, 1),
        (0, 1, 1, 1),
        (1, 1, 0, 3),
        (0, 0, 1, 2),
    ]


def test_leaves_that_are_not_observed_are_null_and_change_nothing() -> None:
    world = World(
        {
            "group/groups": [
                {
                    "source": "s",
                    "group_id": "g",
                    "updated_at": NOON,
                    "created_at": NOON,
                    "kind": "dao",
                    "owner_member_id": "o",
                    "observes": ["read"],
                    "closed_at": NOON + timedelta(days=2),
                }
            ],
            "group/memberships": [step(1, "join", 0), step(2, "leave", 1)],
            "group/messages": [said(1, 5)],
        },
        Parameters(),
    )
    rows = engagement.group_daily(world)
    assert members(rows) == [(1, 1, None, 2), (0, 0, None, 2), (0, 0, None, 2)]
    assert rows[0]["is_silent"] is True


def test_revenue_by_payment_and_by_refund_date() -> None:
    def order(key: str, amount: int, currency: str = "CNY", **more: Any) -> dict[str, Any]:
        names = {"order_id": key, "amount_minor": amount, "currency": currency}
        return {"source": "s", "kind": "goods", "paid_at": NOON, "account_id": "a"} | names | more

    def refund(key: str, order_id: str, amount: int, day: int) -> dict[str, Any]:
        at = NOON + timedelta(days=day)
        names = {"refund_id": key, "order_id": order_id, "amount_minor": amount}
        return {"source": "s", "refunded_at": at} | names

    world = community(
        event(1, "read", days(3)),
        **{
            "commerce/orders": [order("1", 100), order("2", 7, "EUR"), order("3", 9, group_id="g")],
            "commerce/refunds": [
                *(refund("1", "1", 30, 1), refund("2", "2", 7, 1), refund("3", "none", 5, 2)),
            ],
        },
    )
    names = ("orders", "payers", "gmv_minor", "refunds_cash_minor", "refunds_order_minor")
    rows = {(row["date"].day, row["core"]): row for row in revenue.daily(world)}
    assert {key: tuple(row[name] for name in names) for key, row in rows.items()} == {
        (3, "community"): (2, 1, 100, 0, 30),
        (3, "group"): (1, 1, 9, 0, 0),
        (4, "community"): (0, 0, 0, 30, 0),
    }
    assert rows[(3, "community")]["net_order_minor"] == 70
    assert rows[(4, "community")]["net_cash_minor"] == -30


def test_day_types() -> None:
    kinds = {day: dims.day_type(date(2025, 1, day)) for day in (26, 27, 28, 18)}
    assert kinds == {26: "makeup_workday", 27: "workday", 28: "holiday", 18: "weekend"}


@pytest.mark.parametrize("seed", range(6))
def test_the_stated_identities_hold_on_generated_worlds(seed: int) -> None:
    world = World(make_world(seed, beyond=True), Parameters(identity_max_ids=4))
    for row in users.daily_active(world):
        assert row["dau"] <= row["wau"] <= row["mau28"] <= row["mau30"]
        assert row["dau_contributing"] <= row["dau"]
    previous = dict.fromkeys(("community", "group", "all"), 0)
    for row in sorted(users.lifecycle_weekly(world), key=lambda row: row["week_start"]):
        assert row["active"] == row["new_persons"] + row["returning"] + row["resurrected"]
        assert row["returning"] + row["dormant"] == previous[row["core"]]
        previous[row["core"]] = row["active"]
    for row in engagement.group_daily(world):
        entered = row["joins"] + row["inferred_joins"] - (row["leaves"] or 0)
        assert row["members_close"] == row["members_open"] + entered >= 0
    for row in content.daily_performance(world):
        assert row["clicks_credited"] <= row["impressions"]
    credited = sum(row["clicks_credited"] for row in content.daily_performance(world))
    assert 0 < credited <= sum(row["clicks"] for row in content.daily_performance(world))


def test_shares_of_a_pool_go_to_the_largest_remainders_and_then_to_the_smallest_id() -> None:
    a, b, c = (frozenset({("s", "account", key)}) for key in "abc")
    thirds = dict.fromkeys((c, b, a), Fraction(10, 3))
    assert payouts.apportion(10, thirds) == {a: 4, b: 3, c: 3}
    assert payouts.apportion(3, {a: Fraction(1, 4), b: Fraction(11, 4)}) == {a: 0, b: 3}


def test_a_ledger_is_held_to_its_documented_text() -> None:
    entry = {
        "seq": 1,
        "posted_on": MONDAY,
        "month": date(2025, 2, 1),
        "model": "pro_rata",
        "entry_kind": "payout",
        "amount_minor": 35,
        "payee_commitment": "c0",
        "prev_hash": "0" * 64,
    }
    text = "0" * 64 + "1|2025-03-03|2025-02-01|pro_rata|payout|35|c0"
    row = entry | {"row_hash": hashlib.sha256(text.encode()).hexdigest()}
    assert payouts.chain_faults([row]) == []
    assert len(payouts.chain_faults([row | {"amount_minor": 36}])) == 1
    assert len(payouts.chain_faults([row, row | {"seq": 2}])) == 1


def test_expected_purchases_are_those_of_the_paper() -> None:
    """Fader, Hardie, Lee (2005), p. 281: x 2, t_x 30.43, T 38.86; 1.226 purchases in 39 weeks."""
    fit = {"r": 0.243, "alpha_days": 4.414, "a": 0.793, "b": 2.426}
    first = date(2025, 1, 1)
    values = dict.fromkeys((first, first + 15 * DAY, first + 30 * DAY), 100)
    whole = ltv.History(values, first + 39 * DAY)
    odds = 0.793 / 3.426 * ((4.414 + 39) / (4.414 + 30)) ** 2.243
    assert ltv.p_alive(fit, whole) == pytest.approx(1 / (1 + odds))
    assert ltv.expected_purchases(fit, whole, 39) == pytest.approx(1.226, abs=0.02)
