"""The truths are visible in the logs, by figures computed here in plain Python."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

from simulator.operations import CLICK_LIFT, RECRUITS_PER_GROUP
from simulator.population import IDENTITY_LIMIT
from simulator.rhythm import DAY_TYPES, Calendar
from tests.unit.simulator.conftest import Simulated
from tests.unit.simulator.landing_reader import Record, distinct_records, moment

ZONE = ZoneInfo("Asia/Shanghai")


def _table(simulated: Simulated, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(simulated.truth / f"{name}.parquet").to_pylist()
    return rows


@pytest.fixture(scope="module")
def events(clean: Simulated) -> list[Record]:
    return list(distinct_records(clean.landing, "community/events").values())


@pytest.fixture(scope="module")
def person_of(clean: Simulated) -> dict[tuple[str, str, str], int]:
    rows = _table(clean, "identities")
    return {(row["source"], row["id_kind"], row["id"]): row["person"] for row in rows}


def test_click_rates_are_what_origins_say(clean: Simulated) -> None:
    for row in _table(clean, "click_rates"):
        spread = 5 * math.sqrt(row["expected_clicks"] + 1)
        assert abs(row["clicks"] - row["expected_clicks"]) < spread
    facts = json.loads((clean.truth / "facts.json").read_text(encoding="utf-8"))
    rates = facts["click_rate_at_first_position"]
    assert rates["pgc"] > rates["ugc"] > rates["agc"]


def test_clicks_in_the_logs_are_those_of_the_truth(
    clean: Simulated, events: list[Record], person_of: dict[tuple[str, str, str], int]
) -> None:
    left_out = {
        row["person"]
        for row in _table(clean, "persons")
        if row["is_bot"] or row["is_test"] or row["is_staff"]
    }
    found: Counter[str] = Counter()
    for event in events:
        if person_of[event["source"], "account", event["account_id"]] in left_out:
            continue
        if event["event_type"] == "impression":
            found["impressions"] += 1
        elif event["event_type"] == "click" and "impression_id" in event:
            found["clicks"] += 1
    told = _table(clean, "click_rates")
    for name in ("impressions", "clicks"):
        total = sum(row[name] for row in told)
        # A session that crosses the last midnight is cut off there.
        assert 0 <= total - found[name] <= 0.005 * total + 5


def test_clicks_follow_their_impression(events: list[Record]) -> None:
    shown = {e["source"] + e["event_id"]: e for e in events if e["event_type"] == "impression"}
    for event in events:
        if "impression_id" in event:
            impression = shown[event["source"] + event["impression_id"]]
            assert impression["content_id"] == event["content_id"]
            assert impression["account_id"] == event["account_id"]
            wait = moment(event["occurred_at"]) - moment(impression["occurred_at"])
            assert timedelta(0) < wait < timedelta(minutes=30)


def test_contents_are_shown_after_they_were_published(
    clean: Simulated, events: list[Record]
) -> None:
    contents = distinct_records(clean.landing, "community/contents").values()
    published = {(c["source"], c["content_id"]): moment(c["published_at"]) for c in contents}
    for event in events:
        if "content_id" in event:
            key = (event["source"], event["content_id"])
            assert published[key] < moment(event["occurred_at"])


def test_experiments_lift_what_they_should(clean: Simulated) -> None:
    arms = {
        row["arm"]: row["expected_clicks"] / row["impressions"]
        for row in _table(clean, "click_rates_by_arm")
        if row["experiment_id"] == "x-ranker"
    }
    assert arms[1] / arms[0] - 1 == pytest.approx(CLICK_LIFT, abs=0.1)
    told = {(row["experiment_id"], row["arm"]): row for row in _table(clean, "experiments")}
    assert told["x-aa", 1]["click_lift"] == 0
    assert told["x-broken", 0]["is_broken"]


def test_packs_bring_members_to_their_groups_and_not_to_the_held_out(clean: Simulated) -> None:
    exposures = distinct_records(clean.landing, "operations/exposures").values()
    arms = {
        (row["source"], row["experiment_id"], row["unit_id"]): row["variant"]
        for row in exposures
        if row["experiment_id"] in RECRUITS_PER_GROUP
    }
    joins = distinct_records(clean.landing, "group/memberships").values()
    # Two joins that name a pack may be one person's: what counts is who joined.
    named = {
        (row["source"], row["pack_id"], row["group_id"], row["member_id"])
        for row in joins
        if row.get("pack_id")
    }
    told = {(row["pack_id"], row["arm"]): row for row in _table(clean, "packs")}
    assert set(told) == {(pack, arm) for pack in RECRUITS_PER_GROUP for arm in ("holdout", "pack")}
    for (pack_id, arm), row in told.items():
        groups = {key[2] for key, variant in arms.items() if key[1] == pack_id and variant == arm}
        assert len(groups) == row["groups"]
        assert (row["recruits"] > 0) == (pack_id == "pack-1" and arm == "pack")
        found = sum(key[:2] == (row["source"], pack_id) and key[2] in groups for key in named)
        assert found >= row["recruits"]
        if arm == "pack":
            expected = RECRUITS_PER_GROUP[pack_id] * row["groups"]
            # Only those who are in no group yet can be won, and 3 % of joins are never logged.
            assert row["recruits"] <= expected + 4 * math.sqrt(expected)


def test_industry_groups_share_their_members(clean: Simulated) -> None:
    shares = [row["both"] / row["members_a"] for row in _table(clean, "industry_overlap")]
    assert len(shares) == 12
    assert sum(shares) / len(shares) == pytest.approx(0.78, abs=0.08)


def test_days_off_are_busier(clean: Simulated, events: list[Record]) -> None:
    calendar = Calendar(clean.config.start_date, clean.config.days)
    kind = dict(zip(calendar.dates, calendar.day_types, strict=True))
    active: dict[date, set[str]] = defaultdict(set)
    for event in events:
        day = moment(event["occurred_at"]).astimezone(ZONE).date()
        active[day].add(event["source"] + event["account_id"])
    by_kind: dict[str, list[int]] = defaultdict(list)
    for day, accounts in active.items():
        if day in kind:
            by_kind[DAY_TYPES[kind[day]]].append(len(accounts))
    mean = {name: sum(counts) / len(counts) for name, counts in by_kind.items()}
    assert mean["weekend"] > 1.05 * mean["workday"]


def test_the_calendar_knows_holidays_and_falls_back_beyond_its_years() -> None:
    spring = Calendar(date(2026, 2, 14), 10)
    kinds = dict(zip(spring.dates, (DAY_TYPES[k] for k in spring.day_types), strict=True))
    assert kinds[date(2026, 2, 14)] == "makeup_workday"
    assert kinds[date(2026, 2, 17)] == "holiday"
    later = Calendar(date(2041, 1, 5), 7)
    assert [DAY_TYPES[k] for k in later.day_types] == ["weekend"] * 2 + ["workday"] * 5


def test_tiers_persist_and_show_in_behaviour(
    clean: Simulated, events: list[Record], person_of: dict[tuple[str, str, str], int]
) -> None:
    months: dict[int, list[str]] = defaultdict(list)
    for row in _table(clean, "tiers"):
        months[row["person"]].append(row["tier"])
    steady = {person: tiers[0] for person, tiers in months.items() if len(set(tiers)) == 1}
    assert len(steady) > 0.6 * len(months)
    days: dict[int, set[date]] = defaultdict(set)
    for event in events:
        person = person_of[event["source"], "account", event["account_id"]]
        days[person].add(moment(event["occurred_at"]).astimezone(ZONE).date())
    mean: dict[str, float] = {}
    for tier in ("dormant", "lurker", "active", "core"):
        counts = [len(days[person]) for person, name in steady.items() if name == tier]
        mean[tier] = sum(counts) / max(len(counts), 1)
    assert mean["dormant"] < mean["lurker"] < mean["active"] < mean["core"]


def test_returns_are_as_expected_and_fade(clean: Simulated) -> None:
    rows = _table(clean, "returns")
    assert rows[0]["persons"] == rows[0]["active"] > 50
    for row in rows[1:]:
        assert abs(row["active"] - row["expected"]) < 5 * math.sqrt(row["expected"] + 1)
    early, late = rows[1:4], rows[15:18]
    share = [sum(r["expected"] for r in part) / sum(r["persons"] for r in part)
             for part in (early, late)]  # fmt: skip
    assert share[0] > share[1] > 0


def test_ids_collide_between_sources_and_exceed_floats(
    person_of: dict[tuple[str, str, str], int],
) -> None:
    plaza = {i: person for (source, _, i), person in person_of.items() if source == "plaza"}
    agora = {i: person for (source, _, i), person in person_of.items() if source == "agora"}
    same = set(plaza) & set(agora)
    assert len(same) > 50
    assert sum(plaza[i] != agora[i] for i in same) > 0.9 * len(same)
    assert min(int(i) for i in plaza) > 2**53


def test_joined_persons_follow_the_rules(clean: Simulated) -> None:
    rows = _table(clean, "identities")
    joined: dict[int, set[int]] = defaultdict(set)
    apart: dict[int, set[int]] = defaultdict(set)
    for row in rows:
        joined[row["joined_person"]].add(row["person"])
        apart[row["person"]].add(row["joined_person"])
    assert any(len(persons) == 2 for persons in joined.values())
    assert any(len(found) > 1 for found in apart.values())
    accounts = distinct_records(clean.landing, "community/accounts").values()
    phones = Counter(a["phone"] for a in accounts if a["source"] == "plaza" and "phone" in a)
    assert max(phones.values()) > IDENTITY_LIMIT
    assert max(len(persons) for persons in joined.values()) <= 4


def test_special_ids_exist(clean: Simulated, events: list[Record]) -> None:
    accounts = list(distinct_records(clean.landing, "community/accounts").values())
    for flag in ("is_bot", "is_staff", "is_test", "consent_audience"):
        assert any(account[flag] for account in accounts), flag
    assert any("birth_year" not in account for account in accounts)
    assert any(account.get("birth_year", 0) > 2008 for account in accounts)
    recorded = {(account["source"], account["account_id"]) for account in accounts}
    assert {(e["source"], e["account_id"]) for e in events} - recorded
    states = Counter((a["source"], a["account_id"]) for a in accounts)
    assert max(states.values()) > 1


def test_money_has_several_currencies_and_one_without_rate(clean: Simulated) -> None:
    orders = distinct_records(clean.landing, "commerce/orders").values()
    rates = distinct_records(clean.landing, "commerce/fx_rates").values()
    used = {order["currency"] for order in orders}
    assert {"CNY", "JPY", "KWD", "USD"} <= used
    assert {rate["currency"] for rate in rates} == {"USD", "JPY", "KWD", "EUR"}


def test_refunds_stay_within_their_orders_but_for_a_stray_one(clean: Simulated) -> None:
    orders = distinct_records(clean.landing, "commerce/orders")
    refunded: Counter[tuple[str, str]] = Counter()
    strays = 0
    for refund in distinct_records(clean.landing, "commerce/refunds").values():
        key = (refund["source"], refund["order_id"])
        if key not in orders:
            strays += 1
            continue
        assert moment(refund["refunded_at"]) > moment(orders[key]["paid_at"])
        refunded[key] += int(refund["amount_minor"])
    assert strays == 1
    assert refunded
    assert all(total <= int(orders[key]["amount_minor"]) for key, total in refunded.items())


def test_most_consults_are_answered_within_fifteen_seconds(clean: Simulated) -> None:
    sessions: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    for row in distinct_records(clean.landing, "group/consults").values():
        steps = sessions[row["source"], row["session_id"]]
        steps.setdefault(row["action"], moment(row["occurred_at"]))
    waits = [
        (s["ai_answer"] - s["question"]).total_seconds()
        for s in sessions.values()
        if "ai_answer" in s
    ]
    within = sum(wait < 15 for wait in waits)
    assert within / len(waits) > 0.9
    told = _table(clean, "consults")
    assert len(sessions) == sum(row["sessions"] for row in told)


def test_invitations_have_their_k_and_a_cycle(clean: Simulated) -> None:
    told = _table(clean, "fission")
    invites = sum(row["invites"] for row in told)
    assert sum(row["accepted"] for row in told) < invites
    inviter_of: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row in distinct_records(clean.landing, "operations/campaign_events").values():
        if row["action"] == "accept":
            key = (row["source"], row["campaign_id"], row["member_id"])
            inviter_of[key].add(row["inviter_member_id"])

    def reaches_itself(start: tuple[str, str, str]) -> bool:
        source, campaign, member = start
        seen: set[str] = set()
        todo = set(inviter_of[start])
        while todo:
            other = todo.pop()
            if other == member:
                return True
            if other not in seen:
                seen.add(other)
                todo |= inviter_of.get((source, campaign, other), set())
        return False

    assert any(reaches_itself(key) for key in list(inviter_of))
