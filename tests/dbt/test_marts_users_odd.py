"""The marts of users and contents over odd input: each gives documented rows, or a clear error.

Three worlds, one parsed dbt project: nothing at all; one person on one day; and one in which
every source is odd in its own way.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import duckdb
import pytest

from data_quality.catalogue import suites
from orchestration.errors import SettingsError
from orchestration.plan import make_plan, write_plan
from orchestration.settings import load_settings
from orchestration.transform import DbtSession
from orchestration.warehouse import open_warehouse, set_key
from tests.support import Logs, fill_raw, test_settings

MARTS = (
    "users.daily_active",
    "users.node_daily_active",
    "users.lifecycle_weekly",
    "users.retention",
    "users.tier_daily",
    "users.tier_history",
    "users.tier_transitions",
    "users.rfm",
    "users.cross_core",
    "content.daily_performance",
    "content.supply_mix",
    "content.response_times",
    "content.creators_28d",
    "content.concentration",
)
BUILD = (
    "build --exclude-resource-type unit_test --full-refresh --indirect-selection buildable"
    " --select +path:models/marts/users +path:models/marts/content"
)
T0 = "2026-01-01T00:00:00+08:00"
WEEK, DAY, MONTH = date(2026, 1, 5), date(2026, 1, 7), date(2026, 1, 1)


def _account(source: str, account_id: str, **more: Any) -> dict[str, Any]:
    times = {"updated_at": T0, "registered_at": T0}
    return {"source": source, "account_id": account_id} | times | more


def _event(source: str, account_id: str, kind: str, at: str, **more: Any) -> dict[str, Any]:
    return {
        "source": source,
        "event_id": f"{account_id} {kind} {at}",
        "account_id": account_id,
        "event_type": kind,
        "occurred_at": f"2026-01-{at}:00+08:00",
    } | more


def _content(source: str, content_id: str, author: str, at: str, **more: Any) -> dict[str, Any]:
    return {
        "source": source,
        "content_id": content_id,
        "updated_at": T0,
        "author_account_id": author,
        "node_id": "x",
        "kind": "article",
        "published_at": f"2026-01-{at}:00+08:00",
    } | more


NOTHING: Logs = {}
ONE_DAY: Logs = {"community/events": [_event("s", "a", "read", "07T10:00")]}
# The last event lets the windows of seven days end.
ODD: Logs = {
    "community/accounts": [
        _account("self", "asker", phone="13800138000"),
        _account("self", "alias", phone="13800138000"),
    ],
    "community/nodes": [
        {"source": "cycle", "node_id": node, "updated_at": T0, "level": "circle"}
        | {"parent_node_id": parent}
        for node, parent in (("x", "y"), ("y", "x"))
    ],
    "community/contents": [
        _content("early", "c", "author", "05T12:00", origin_declared="ugc"),
        _content("self", "q", "asker", "05T12:00", kind="question"),
        _content("self", "own", "asker", "05T12:10", kind="answer", parent_content_id="q"),
        _content("self", "alias", "alias", "05T12:20", kind="comment", parent_content_id="q"),
        _content("cycle", "c", "author", "05T12:00"),
    ],
    "community/events": [
        _event("early", "reader", "read", "05T11:00", content_id="c"),
        _event("early", "reader", "read", "05T13:00", content_id="c"),
        _event("cycle", "reader", "read", "07T10:00", node_id="x"),
        _event("late", "somebody", "checkin", "20T10:00"),
    ],
}


@pytest.fixture(scope="module")
def worlds(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, duckdb.DuckDBPyConnection]]:
    """A connection to each built world, by name."""
    manifest: Any = None
    found = {}
    for name, logs in (("nothing", NOTHING), ("one day", ONE_DAY), ("odd", ODD)):
        settings = test_settings(tmp_path_factory.mktemp("world"))
        with open_warehouse(settings) as connection:
            fill_raw(connection, logs)
            write_plan(connection, settings, make_plan(connection, settings))
        session = DbtSession(settings, manifest=manifest)
        if manifest is None:
            session.parse()
            manifest = session.manifest
        session.invoke(BUILD.split())
        found[name] = duckdb.connect(str(settings.warehouse_path), read_only=True)
        found[name].execute("set timezone = 'UTC'")
        set_key(found[name], settings)
    yield found
    for connection in found.values():
        connection.close()


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


@pytest.mark.parametrize("world", ["nothing", "one day", "odd"])
@pytest.mark.parametrize("table", MARTS)
def test_the_gate_s_rules_hold(
    worlds: dict[str, duckdb.DuckDBPyConnection], world: str, table: str
) -> None:
    (suite,) = (suite for suite in suites("marts") if suite.table == table)
    broken = [
        rule.id
        for rule in suite.rules
        if rule.sql and _rows(worlds[world], rule.sql.format(batch=table))
    ]
    assert broken == []


@pytest.mark.parametrize("table", MARTS)
def test_no_events_give_empty_marts(
    worlds: dict[str, duckdb.DuckDBPyConnection], table: str
) -> None:
    assert _rows(worlds["nothing"], f"select count(*) from {table}") == [(0,)]


def test_one_person_on_one_day(worlds: dict[str, duckdb.DuckDBPyConnection]) -> None:
    one = worlds["one day"]
    assert _rows(
        one,
        "select date, core, source, dau, wau, mau28, mau30, new_persons, is_complete"
        " from users.daily_active where source = '*' order by core",
    ) == [
        (DAY, core, "*", n, n, n, n, n, True)
        for core, n in (("all", 1), ("community", 1), ("group", 0))
    ]
    # The week is not over, and no cohort is a day old.
    assert _rows(one, "select count(*) from users.lifecycle_weekly") == [(0,)]
    assert _rows(
        one,
        "select core, count(*), sum(cohort_size), sum(eligible), count(retained)"
        " from users.retention group by core order by core",
    ) == [("all", 10, 10, 0, 0), ("community", 10, 10, 0, 0)]
    assert _rows(one, "select date, tier, persons from users.tier_daily order by tier") == [
        (DAY, tier, int(tier == "lurker")) for tier in ("active", "core", "dormant", "lurker")
    ]
    assert _rows(one, "select tier, valid_from, valid_to from users.tier_history") == [
        ("lurker", DAY, None)
    ]
    assert _rows(
        one,
        "select month, from_tier, to_tier, persons, is_complete from users.tier_transitions",
    ) == [(MONTH, None, "lurker", 1, False)]
    assert _rows(
        one,
        'select month, community_only, group_only, "both", converted, eligible'
        " from users.cross_core",
    ) == [(MONTH, 1, 0, 0, 0, 1)]
    assert _rows(one, "select count(*) from users.rfm") == [(0,)]


def test_a_read_before_publishing_is_a_read_and_no_early_success(
    worlds: dict[str, duckdb.DuckDBPyConnection],
) -> None:
    assert _rows(
        worlds["odd"],
        "select date, reads, unique_viewers from content.daily_performance where source = 'early'",
    ) == [(WEEK, 2, 1)]
    assert _rows(
        worlds["odd"],
        "select node_id, origin, published, eligible_7d, reads_7d from content.supply_mix"
        " where source = 'early' order by node_id",
    ) == [("*", "ugc", 1, 1, 1), ("x", "ugc", 1, 1, 1)]


def test_nobody_answers_their_own_question(
    worlds: dict[str, duckdb.DuckDBPyConnection],
) -> None:
    assert _rows(
        worlds["odd"],
        "select week_start, questions, answered, eligible_7d, answered_7d, median_seconds_km,"
        " p90_seconds_km from content.response_times where source = 'self' and node_id = '*'",
    ) == [(WEEK, 1, 0, 1, 0, None, None)]
    # The answer is a content all the same.
    assert _rows(
        worlds["odd"],
        "select creators, contents, gini, bus_factor from content.concentration"
        " where source = 'self' and node_id = '*'",
    ) == [(1, 3, 0.0, 1)]


def test_a_node_cycle_counts_each_node_once(
    worlds: dict[str, duckdb.DuckDBPyConnection],
) -> None:
    assert _rows(
        worlds["odd"],
        "select date, node_id, dau from users.node_daily_active"
        " where source = 'cycle' order by date, node_id",
    ) == [(WEEK, "x", 1), (WEEK, "y", 1), (DAY, "x", 1), (DAY, "y", 1)]
    assert _rows(
        worlds["odd"],
        "select node_id, published from content.supply_mix where source = 'cycle' order by node_id",
    ) == [("*", 1), ("x", 1)]


@pytest.mark.parametrize("name", ["tier_core_contribution_days", "tier_active_days"])
def test_a_tier_threshold_of_0_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"TANDEM_{name.upper()}", "0")
    with pytest.raises(
        SettingsError, match=rf"TANDEM_{name.upper()}: .*greater than or equal to 1"
    ):
        load_settings()
