"""The first marts: a small world computed by hand, and the hand-computed dbt unit tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pytest

from orchestration.plan import make_plan, write_plan
from orchestration.settings import Settings
from orchestration.transform import DbtSession
from orchestration.warehouse import open_warehouse
from tests.support import fill_raw, test_settings

NIGHT, DAY = date(2026, 1, 10), date(2026, 1, 11)
MARTS = (
    "daily_active",
    "node_daily_active",
    "daily_performance",
    "group_daily",
    "daily",
    "groups",
    "contents",
    "campaigns",
    "scenes",
    "ingestion",
    "rejected",
    "freshness",
    "validations",
    "reconciliation",
)
UNIT_TESTED = (
    "daily_active",
    "node_daily_active",
    "daily_performance",
    "group_daily",
    "daily",
    "int_content_days",
    "int_like_days",
    "int_node_ancestors",
    "int_membership_changes",
    "int_conversion_rates",
)
T0 = "2026-01-01T00:00:00Z"


def _account(account_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "source": "s",
        "account_id": account_id,
        "updated_at": T0,
        "registered_at": T0,
    } | fields


def _member(member_id: str, **fields: Any) -> dict[str, Any]:
    return {"source": "s", "member_id": member_id, "updated_at": T0} | fields


def _event(number: int, account_id: str, kind: str, at: str, content_id: str) -> dict[str, Any]:
    return {
        "source": "s",
        "event_id": f"e{number:02d}",
        "account_id": account_id,
        "event_type": kind,
        "occurred_at": at,
        "content_id": content_id,
    }


def _content(content_id: str, author: str, **fields: Any) -> dict[str, Any]:
    return {
        "source": "s",
        "content_id": content_id,
        "updated_at": T0,
        "author_account_id": author,
        "node_id": "circle",
        "kind": "post",
        "published_at": "2026-01-09T16:00:00Z",
    } | fields


def _order(order_id: str, amount: int, currency: str, **fields: Any) -> dict[str, Any]:
    return {
        "source": "s",
        "order_id": order_id,
        "kind": "goods",
        "amount_minor": amount,
        "currency": currency,
        "paid_at": "2026-01-10T16:00:00Z",
    } | fields


def _refund(refund_id: str, order_id: str, amount: int, at: str) -> dict[str, Any]:
    return {
        "source": "s",
        "refund_id": refund_id,
        "order_id": order_id,
        "amount_minor": amount,
        "refunded_at": at,
    }


def _rate(rate_id: str, day: str, currency: str, rate: str) -> dict[str, Any]:
    return {
        "source": "s",
        "rate_id": rate_id,
        "rate_date": day,
        "currency": currency,
        "rate": rate,
    }


def _message(message_id: str, member_id: str, kind: str, at: str) -> dict[str, Any]:
    return {
        "source": "s",
        "message_id": message_id,
        "group_id": "g",
        "member_id": member_id,
        "occurred_at": at,
        "kind": kind,
    }


LOGS: dict[str, list[dict[str, Any]]] = {
    # a1 and a2 share a phone number and are one person.
    "community/accounts": [
        _account("a1", phone="13800000001"),
        _account("a2", phone="+86 138 0000 0001"),
        _account("b"),
        _account("bot", is_bot=True),
        _account("staff", is_staff=True),
        _account("gone", erased_at=T0),
    ],
    "community/nodes": [
        {"source": "s", "node_id": "top", "updated_at": T0, "level": "platform"},
        {
            "source": "s",
            "node_id": "circle",
            "updated_at": T0,
            "level": "circle",
            "parent_node_id": "top",
        },
    ],
    "community/contents": [
        _content("k1", "b", kind="question", origin_label="pgc"),
        # Deleted at five past midnight of the business date.
        _content("k2", "gone", deleted_at="2026-01-10T16:05:00Z", origin_declared="ugc"),
        _content("k3", "b", kind="answer", parent_content_id="k1"),
        _content("k4", "b", kind="comment", parent_content_id="k3"),
    ],
    "community/events": [
        _event(1, "a1", "impression", "2026-01-10T15:50:00Z", "k1"),
        _event(2, "a2", "click", "2026-01-10T16:10:00Z", "k1"),
        _event(3, "a1", "click", "2026-01-10T16:15:00Z", "k1"),
        _event(4, "b", "impression", "2026-01-10T15:58:00Z", "k2"),
        _event(5, "b", "click", "2026-01-10T16:04:00Z", "k2"),
        _event(6, "gone", "impression", "2026-01-10T15:59:00Z", "k2"),
        _event(7, "gone", "click", "2026-01-10T16:06:00Z", "k2"),
        _event(8, "gone", "read", "2026-01-10T16:01:00Z", "k2"),
        _event(9, "bot", "impression", "2026-01-10T15:50:00Z", "k1"),
        _event(10, "bot", "click", "2026-01-10T15:51:00Z", "k1"),
        _event(11, "staff", "read", "2026-01-10T15:51:00Z", "k1"),
        _event(12, "a1", "unlike", "2026-01-10T15:51:00Z", "k1"),
        _event(13, "a2", "like", "2026-01-10T16:00:00Z", "k1"),
    ],
    "group/groups": [
        {
            "source": "s",
            "group_id": "g",
            "updated_at": T0,
            "created_at": "2026-01-10T00:00:00Z",
            "kind": "guild",
            "owner_member_id": "m_gone",
            "observes": ["read"],
        }
    ],
    "group/members": [
        _member("m"),
        _member("m_gone", erased_at=T0),
        _member("m_staff", is_staff=True),
    ],
    "group/messages": [
        _message("m1", "m", "text", "2026-01-10T16:30:00Z"),
        _message("m2", "m", "system", "2026-01-10T15:00:00Z"),
        _message("m3", "m_staff", "text", "2026-01-10T16:30:00Z"),
    ],
    "group/scenes": [
        {
            "source": "s",
            "scene_id": "sc",
            "updated_at": T0,
            "group_id": "g",
            "kind": "festival",
            "starts_at": "2026-01-10T16:00:00Z",
            "kol_member_id": "m_gone",
        }
    ],
    "operations/campaigns": [
        {
            "source": "s",
            "campaign_id": "c",
            "updated_at": T0,
            "kind": "theme",
            "starts_at": "2026-01-10T15:59:59Z",
        }
    ],
    "commerce/orders": [
        _order("o1", 1005, "USD", member_id="m", group_id="g"),
        _order("o2", 1001, "JPY", account_id="b"),
        _order("o3", 1001, "KWD", account_id="b"),
        _order("o4", 777, "GBP", account_id="gone"),
        _order("o5", 100, "CNY", account_id="a1", member_id="m_staff"),
        _order("o6", 9999, "CNY", account_id="bot"),
    ],
    "commerce/refunds": [
        _refund("r1", "o1", 5, "2026-01-10T17:00:00Z"),
        _refund("r2", "o1", 5, "2026-01-11T16:00:00Z"),
        _refund("r3", "unknown", 5, "2026-01-10T17:00:00Z"),
        _refund("r4", "o4", 5, "2026-01-10T17:00:00Z"),
    ],
    "commerce/fx_rates": [
        _rate("1", "2026-01-11", "USD", "7.1"),
        _rate("2", "2026-01-12", "USD", "7.5"),
        _rate("3", "2025-12-01", "JPY", "0.0465"),
        _rate("4", "2025-12-01", "KWD", "23.35"),
        _rate("5", "2026-01-12", "GBP", "9"),
    ],
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> DbtSession:
    settings = test_settings(tmp_path_factory.mktemp("golden"))
    _fill(settings)
    session = DbtSession(settings)
    session.parse()
    session.invoke(["seed"])
    session.invoke(["run", "--full-refresh", "--select", *(f"+{name}" for name in MARTS)])
    return session


def _fill(settings: Settings) -> None:
    loaded_at = datetime(2026, 1, 12, tzinfo=UTC).replace(tzinfo=None)
    with open_warehouse(settings) as connection:
        fill_raw(connection, LOGS)
        connection.execute(
            "insert into control.files (file_id, log, path, state, reason, lines_read, accepted,"
            " rejected, duplicates, batch_id, loaded_at) values"
            " (1, 'commerce/orders', 'commerce/orders/a.jsonl', 'loaded', null, 8, 6, 1, 1, 1, ?),"
            " (2, 'commerce/orders', 'commerce/orders/b.gz', 'quarantined', 'unreadable_file',"
            " 0, 0, 0, 0, null, ?)",
            [loaded_at, loaded_at],
        )
        connection.execute(
            "insert into quarantine.lines values (1, 'commerce/orders/a.jsonl', 'commerce/orders',"
            " 3, 'bad_type', 'amount_minor', 'secret text', 1, ?)",
            [loaded_at],
        )
        write_plan(connection, settings, make_plan(connection, settings))


@pytest.fixture
def marts(session: DbtSession) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_warehouse(session.settings, read_only=True) as connection:
        yield connection


def test_dbt_unit_tests_pass(session: DbtSession) -> None:
    outcomes = session.invoke(
        ["test", "--select", *(f"{name},test_type:unit" for name in UNIT_TESTED)]
    )
    assert len(outcomes) >= len(UNIT_TESTED)


def _rows(marts: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return marts.execute(query).fetchall()


def test_clicks_meet_impressions_across_accounts_midnight_and_deletion(
    marts: duckdb.DuckDBPyConnection,
) -> None:
    rows = _rows(
        marts,
        "select date, content_id, impressions, clicks, clicks_credited, reads, likes,"
        " unique_viewers from content.daily_performance order by content_id, date",
    )
    assert rows == [
        (NIGHT, "k1", 1, 0, 1, 0, 0, 0),
        (DAY, "k1", 0, 2, 0, 0, 1, 0),
        (NIGHT, "k2", 2, 0, 1, 0, 0, 0),
        (DAY, "k2", 0, 1, 0, 1, 0, 1),
    ]


def test_two_accounts_are_one_person(marts: duckdb.DuckDBPyConnection) -> None:
    rows = _rows(
        marts,
        "select date, dau, wau, new_persons from users.daily_active"
        " where core = 'community' and source = '*' order by date",
    )
    # Publishing on the 10th by b and the erased author; a1's unlike is active before midnight.
    assert rows == [(NIGHT, 3, 3, 3), (DAY, 3, 3, 0)]
    nodes = _rows(marts, "select date, node_id, dau from users.node_daily_active order by all")
    assert nodes == [(NIGHT, "circle", 3), (NIGHT, "top", 3), (DAY, "circle", 3), (DAY, "top", 3)]


def test_money_is_exact_in_every_currency(marts: duckdb.DuckDBPyConnection) -> None:
    assert _rows(marts, "select * from revenue.daily order by core") == [
        (DAY, "community", 4, 3, 4655 + 2337 + 100, 0, 0, 7092, 7092),
        (DAY, "group", 1, 1, 7136, 36, 36, 7100, 7100),
    ]


def test_group_without_leaves_seen(marts: duckdb.DuckDBPyConnection) -> None:
    rows = _rows(
        marts,
        "select date, members_open, joins, inferred_joins, leaves, members_close, speakers,"
        " messages, is_silent from engagement.group_daily order by date",
    )
    assert rows == [
        (NIGHT, 0, 0, 1, None, 1, 0, 0, True),
        (DAY, 1, 0, 1, None, 2, 1, 1, False),
    ]


def test_dims_name_no_erased_person(marts: duckdb.DuckDBPyConnection) -> None:
    contents = _rows(
        marts,
        "select content_id, origin, root_question_id, author_person_id is null, published_date"
        " from dim.contents order by content_id",
    )
    assert contents == [
        ("k1", "pgc", "k1", False, NIGHT),
        ("k2", "ugc", None, True, NIGHT),
        ("k3", "unknown", "k1", False, NIGHT),
        ("k4", "unknown", "k1", False, NIGHT),
    ]
    assert _rows(
        marts, "select owner_person_id, observes_leave, observes_read from dim.groups"
    ) == [(None, False, True)]
    assert _rows(marts, "select kol_person_id, start_date from dim.scenes") == [(None, DAY)]
    assert _rows(marts, "select campaign_id, start_date, end_date from dim.campaigns") == [
        ("c", NIGHT, None)
    ]


def test_quality_tells_what_happened_and_quotes_nothing(marts: duckdb.DuckDBPyConnection) -> None:
    ingestion = _rows(
        marts,
        "select file, log, lines_read, accepted, rejected, duplicates from quality.ingestion"
        " order by file",
    )
    assert ingestion == [
        ("commerce/orders/a.jsonl", "commerce/orders", 8, 6, 1, 1),
        ("commerce/orders/b.gz", "commerce/orders", 0, 0, 0, 0),
    ]
    rejected = _rows(marts, "select file, line, reason, field from quality.rejected order by file")
    assert rejected == [
        ("commerce/orders/a.jsonl", 3, "bad_type", "amount_minor"),
        ("commerce/orders/b.gz", None, "unreadable_file", None),
    ]
    assert "secret text" not in str(_rows(marts, "select * from quality.rejected"))
    freshness = dict(_rows(marts, "select log, lag_seconds from quality.freshness"))
    assert freshness.pop("commerce/orders") == 32 * 3600
    assert len(freshness) == 24
    assert set(freshness.values()) == {None}
    assert _rows(marts, "select run, success from quality.validations") == []


def test_every_pair_of_stages_adds_up(marts: duckdb.DuckDBPyConnection) -> None:
    pairs = {
        row[0]: row[1:]
        for row in _rows(
            marts,
            'select stage_pair, "in", out, explained, unexplained from quality.reconciliation',
        )
    }
    assert pairs["landing/commerce/orders -> raw.commerce__orders"] == (8, 6, 2, 0)
    assert pairs["intermediate.int_orders -> intermediate.int_orders.reporting_minor"] == (
        (6, 5, 1, 0)
    )
    assert pairs["intermediate.int_orders -> revenue.daily"] == (6, 5, 1, 0)
    assert pairs["staging.stg_commerce__refunds -> intermediate.int_refunds"] == (4, 3, 1, 0)
    assert pairs["staging -> intermediate.int_activity"] == (20, 15, 5, 0)
    assert {
        pair: row for pair, row in pairs.items() if row[3] and not pair.startswith("landing/")
    } == {}
