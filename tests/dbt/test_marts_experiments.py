"""Experiments from raw records to the marts, by hand, with all that goes wrong in them."""

from __future__ import annotations

import math
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pytest
from scipy import stats

from orchestration.errors import SettingsError
from orchestration.plan import make_plan, write_plan
from orchestration.settings import load_settings
from orchestration.transform import DbtSession
from orchestration.warehouse import open_warehouse
from tests.support import fill_raw, test_settings

UNIT_TESTED = (
    "int_experiment_arms",
    "int_experiment_events",
    "int_experiment_exposures",
    "int_experiment_moments",
    "int_experiment_reached",
    "int_experiment_units",
    "int_experiment_values",
    "experiment_health",
)
S = {"source": "s"}
# Reads of a person while measured: of a, b, c in the control and d, e, f in the treatment.
READS = {"a": 3, "b": 5, "c": 4, "d": 6, "e": 9, "f": 9}
ARM = {name: "old" if name in "abc" else "new" for name in READS}
EVEN = {"old": 1, "new": 1}


def at(day: int, clock: str = "10:00:00") -> str:
    return f"2026-03-{day:02d}T{clock}+08:00"


def experiment(name: str, variants: dict[str, float], **more: Any) -> dict[str, Any]:
    base = {"experiment_id": name, "updated_at": at(1), "unit": "account", "starts_at": at(1)}
    return S | base | {"variants": variants} | more


def logs() -> dict[str, list[dict[str, Any]]]:
    number = count()

    def event(account: str, kind: str, time: str, content: str = "c") -> dict[str, Any]:
        key = {"event_id": f"e{next(number)}", "account_id": account, "event_type": kind}
        return S | key | {"occurred_at": time, "content_id": content}

    def exposure(name: str, variant: str, unit: str, time: str) -> dict[str, Any]:
        key = {"event_id": f"x{next(number)}", "experiment_id": name, "variant": variant}
        return S | key | {"unit_id": unit, "occurred_at": time}

    def order(account: str, time: str, amount: int, group: str | None = None) -> dict[str, Any]:
        key = {"order_id": f"o{account}{time}", "kind": "goods", "account_id": account}
        money = {"amount_minor": amount, "currency": "CNY", "paid_at": time, "group_id": group}
        return S | key | money

    events = [event(who, "read", at(10)) for who, reads in READS.items() for _ in range(reads)]
    events += [event(who, "read", at(9)) for who in READS]
    # The second account of a clicks what the first was shown.
    events += [
        event("a", "impression", at(11)),
        event("a2", "click", at(11, "10:30:00")),
        event("b", "impression", at(11)),
        event("d", "impression", at(11)),
        event("d", "click", at(11, "10:01:00")),
        event("a", "read", at(20, "00:00:00")),
        event("z", "read", at(25)),
    ]
    exposures = [exposure("reads", ARM[who], who, at(10, "00:00:00")) for who in READS]
    exposures += [
        exposure("reads", "old", "a2", at(12)),
        exposure("reads", "new", "both", at(10)),
        exposure("reads", "old", "both", at(11)),
        exposure("reads", "new", "bot", at(10)),
        exposure("reads", "new", "late", at(20, "00:00:00")),
        exposure("paused", "off", "a", at(10)),
        *(exposure("paused", ARM[who], who, at(10)) for who in READS),
        *(exposure("alone", "only", who, at(10)) for who in "ab"),
        exposure("stray", "old", "a", at(10)),
        exposure("stray", "odd", "b", at(10)),
        exposure("late", "old", "a", at(20)),
        exposure("unknown", "old", "a", at(10)),
        *(exposure("huge", ARM[who], who, at(10)) for who in READS),
        *(exposure("groups", ARM[who], f"g{who}", at(10)) for who in "abde"),
    ]
    return {
        "community/accounts": [
            S | {"account_id": "bot", "updated_at": at(1), "registered_at": at(1), "is_bot": True},
            *(
                S | {"account_id": who, "updated_at": at(1), "registered_at": at(1)}
                | {"union_id": "same"}
                for who in ("a", "a2")
            ),
        ],
        "community/events": events,
        "operations/experiments": [
            experiment("reads", EVEN, ends_at=at(20, "00:00:00")),
            experiment("paused", EVEN | {"off": 0}),
            experiment("alone", {"only": 1}),
            experiment("stray", EVEN),
            experiment("late", EVEN, ends_at=at(5)),
            experiment("unseen", EVEN),
            experiment("huge", EVEN, starts_at=at(9), ends_at=at(20)),
            experiment("groups", EVEN, unit="group"),
        ],
        "operations/exposures": exposures,
        "commerce/orders": [
            order("d", at(12), 900),
            order("d", at(9), 100),
            order("f", at(13), 4 * 10**18),
            order("z", at(12), 800, "ga"),
            order("z", at(13), 600, "gd"),
            order("z", at(14), 1000, "ge"),
        ],
        "commerce/refunds": [
            S | {"refund_id": "r", "order_id": f"od{at(12)}", "amount_minor": 300}
            | {"refunded_at": at(24)}
        ],
        "group/memberships": [
            S | {"event_id": f"m{group}{member}", "group_id": group, "member_id": member}
            | {"action": "join", "occurred_at": at(1)}
            for group, members in {"ga": "12", "gb": "34", "gd": "35", "ge": "6"}.items()
            for member in members
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> DbtSession:
    settings = test_settings(tmp_path_factory.mktemp("experiments"))
    with open_warehouse(settings) as connection:
        fill_raw(connection, logs())
        write_plan(connection, settings, make_plan(connection, settings))
    session = DbtSession(settings)
    session.parse()
    marts = ["+experiment_results", "+experiment_health"]
    session.invoke(["build", "--exclude-resource-type", "unit_test", "test", "--select", *marts])
    return session


@pytest.fixture(scope="module")
def built(session: DbtSession) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The results by (experiment, metric, variant)."""
    with open_warehouse(session.settings, read_only=True) as connection:
        rows = _rows(connection, "engagement.experiment_results")
    return {(row["experiment_id"], row["metric"], row["variant"]): row for row in rows}


def _rows(connection: duckdb.DuckDBPyConnection, table: str) -> list[dict[str, Any]]:
    cursor = connection.execute(f"select * from {table}")
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def test_hand_computed_unit_tests_pass(session: DbtSession) -> None:
    outcomes = session.invoke(
        ["test", "--select", *(f"{name},test_type:unit" for name in UNIT_TESTED)]
    )
    assert len(outcomes) == len(UNIT_TESTED)


def test_reads_compare_by_welch(built: Any) -> None:
    control, treatment = built["reads", "reads", "old"], built["reads", "reads", "new"]
    assert (control["units"], control["mean"], control["variance"]) == (3, 4.0, 1.0)
    assert (treatment["units"], treatment["mean"], treatment["variance"]) == (3, 8.0, 3.0)
    assert treatment["control_mean"] == 4.0
    assert treatment["std_error"] == pytest.approx(math.sqrt(1 / 3 + 3 / 3))
    known = stats.ttest_ind([6, 9, 9], [3, 5, 4], equal_var=False)
    assert treatment["p_value"] == pytest.approx(known.pvalue)
    assert treatment["ci_low"] == pytest.approx(known.confidence_interval(0.95).low)
    # Everybody read once the day before: nothing to foretell from.
    assert treatment["difference_cuped"] == treatment["difference"] == 4.0


def test_a_click_of_the_persons_other_account_is_credited(built: Any) -> None:
    """One of two impressions of the control, and the treatment's only one."""
    assert built["reads", "ctr", "old"]["mean"] == 0.5
    assert built["reads", "ctr", "new"]["mean"] == 1.0
    assert built["reads", "ctr", "new"]["difference"] == 0.5
    # Linearised: (1 − ½, 0 − ½, 0) over 2/3 impressions a person.
    assert built["reads", "ctr", "old"]["variance"] == pytest.approx(0.5 / 2 / (2 / 3) ** 2)


def test_revenue_is_net_of_refunds_and_of_the_window(built: Any) -> None:
    assert built["paused", "revenue", "old"]["mean"] == 0.0
    assert built["groups", "revenue", "new"]["mean"] == 800.0
    assert built["groups", "revenue", "new"]["difference"] == 400.0
    # 1600 over 3 members, less 800 over 4.
    per_member = built["groups", "revenue", "new"]["difference_per_member"]
    assert per_member == pytest.approx(1600 / 3 - 800 / 4)
    assert {key[1] for key in built if key[0] == "groups"} == {"revenue"}


def test_retention_waits_until_its_date_is_over(built: Any) -> None:
    """Exposed on the 10th; the 17th is over before the end on the 20th; nobody was active."""
    assert built["reads", "retained_d7", "new"]["units"] == 3
    assert built["reads", "retained_d7", "new"]["mean"] == 0.0
    assert built["reads", "retained_d7", "new"]["p_value"] is None


def test_an_amount_beyond_all_reason_leaves_its_arm_unknown(built: Any) -> None:
    assert built["huge", "revenue", "new"]["units"] == 3
    assert built["huge", "revenue", "new"]["mean"] is None
    assert built["huge", "revenue", "new"]["control_mean"] == 0.0
    assert built["huge", "reads", "new"]["difference"] is not None


def test_without_a_control_nothing_compares(built: Any) -> None:
    assert built["alone", "reads", "only"]["units"] == 2
    assert built["alone", "reads", "only"]["difference"] is None
    assert built["stray", "reads", "odd"]["difference"] is not None
    assert not [key for key in built if key[0] in ("late", "unseen", "unknown")]


def test_health_names_what_went_wrong(session: DbtSession) -> None:
    with open_warehouse(session.settings, read_only=True) as connection:
        rows = _rows(connection, "engagement.experiment_health")
    health = {row.pop("experiment_id"): row for row in rows}
    assert set(health) == {"reads", "paused", "alone", "stray", "late", "huge", "groups"}
    nothing = {"source": "s", "multi_exposed": 0, "reached": 0, "contaminated": 0}
    nothing |= {"late_exposures": 0, "undeclared_units": 0}
    assert health["huge"] == nothing | {"units": 6, "srm_p": 1.0, "is_valid": True}
    # One of seven units is more than one in a hundred.
    expected = nothing | {"units": 7, "multi_exposed": 1, "late_exposures": 1}
    assert health["reads"] == expected | {"srm_p": 1.0, "is_valid": False}
    # a saw the paused arm first, so two persons against three are left; the arm itself is not.
    expected = nothing | {"units": 6, "multi_exposed": 1, "is_valid": False}
    srm_p = pytest.approx(stats.chi2.sf(0.2, 1))
    assert health["paused"] == expected | {"srm_p": srm_p}
    assert health["alone"] == nothing | {"units": 2, "srm_p": None, "is_valid": False}
    expected = nothing | {"units": 2, "undeclared_units": 1, "is_valid": True}
    assert health["stray"] == expected | {"srm_p": pytest.approx(stats.chi2.sf(1, 1))}
    expected = nothing | {"units": 0, "late_exposures": 1}
    assert health["late"] == expected | {"srm_p": None, "is_valid": False}
    # Member 3 is in a group of each arm.
    expected = nothing | {"units": 4, "reached": 6, "contaminated": 1}
    assert health["groups"] == expected | {"srm_p": 1.0, "is_valid": False}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("experiment_pre_days", 0),
        ("experiment_sequential_units", 0),
        ("experiment_srm_min_p", 0.0),
        ("experiment_srm_min_p", 1.0),
        ("experiment_max_multi_exposed_bps", 10_001),
        ("experiment_max_contaminated_bps", -1),
    ],
)
def test_limits_without_sense_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: float
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=name):
        load_settings(**{name: value})
