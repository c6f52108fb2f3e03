"""A small warehouse that passes every gate, with legal dirt: bots, staff, an erased person,
ids without records, a person with two ids, a platform that does not observe leaving, a refund,
a foreign currency, a deleted content. Most of it lies in one week of January; December has what
needs weeks and months to go by: cohorts, tiers, an answered question, a person joining later.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from orchestration.contracts import contracts
from orchestration.plan import make_plan, write_plan
from orchestration.settings import Settings
from orchestration.transform import DbtSession
from orchestration.warehouse import open_warehouse
from tests.integration import gates_world_loops, gates_world_packs, gates_world_second
from tests.integration.gates_world_audience import land_packs
from tests.support import fill_raw, test_settings

PHONE, EMAIL, NAME = "13800138000", "planted@example.org", "王小明 Planted"
A, G = "zhihu", "wecom"


def _at(day: int, clock: str = "10:00") -> str:
    return f"2026-01-{day:02d}T{clock}:00+08:00"


def _december(day: int, clock: str = "10:00") -> str:
    return f"2025-12-{day:02d}T{clock}:00+08:00"


def _accounts() -> list[dict[str, Any]]:
    base = {"source": A, "updated_at": _at(1), "registered_at": _at(1)}
    return [
        base | {"account_id": "a1", "display_name": NAME, "phone": PHONE, "birth_year": 1990},
        base | {"account_id": "a1", "updated_at": _at(3), "phone": PHONE, "gender": "f"},
        base | {"account_id": "a2", "email": EMAIL, "union_id": "planted-union"},
        base | {"account_id": "a3", "is_bot": True},
        base | {"account_id": "a4", "is_staff": True},
        base | {"account_id": "a5", "erased_at": _at(9)},
        base | {"account_id": "a6", "union_id": "planted-union-6"},
        base | {"account_id": "a7", "union_id": "planted-union-7"},
        base | {"account_id": "a8"},
    ]


def _events() -> list[dict[str, Any]]:
    rows: list[tuple[str, str, str, str, dict[str, Any]]] = [
        ("a1", "impression", _at(5), "c1", {}),
        ("a1", "click", _at(5, "10:05"), "c1", {}),
        ("a1", "read", _at(5, "10:06"), "c1", {"dwell_ms": 900, "device_id": "planted-device"}),
        ("a2", "impression", _at(6), "c1", {}),
        ("a2", "read", _at(6, "11:00"), "c1", {}),
        ("a2", "like", _at(6, "11:01"), "c1", {}),
        ("a2", "unlike", _at(7, "11:01"), "c1", {}),
        ("a2", "share", _at(8), "c2", {}),
        ("a2", "collect", _at(8, "12:00"), "c2", {}),
        ("a2", "comment", _at(8, "13:00"), "c2", {}),
        ("a3", "read", _at(8), "c1", {}),
        ("a4", "read", _at(8), "c1", {}),
        ("a5", "read", _at(8), "c1", {}),
        ("a1", "search", _at(9), "", {"query": f"call {PHONE}", "node_id": "n3"}),
        ("a2", "checkin", _at(10), "", {"received_at": _at(10, "10:01")}),
        ("a2", "follow", _at(10, "11:00"), "", {"target_account_id": "a1"}),
        ("a7", "read", _december(15), "c4", {}),
        ("a6", "like", _december(16), "c5", {}),
        ("a7", "read", _december(22), "c4", {}),
        ("a6", "read", _at(2), "c6", {}),
        ("a7", "read", _at(3), "c4", {}),
        ("a8", "checkin", "2025-11-28T10:00:00+08:00", "", {}),
    ]
    return [
        {
            "source": A,
            "event_id": f"e{number}",
            "account_id": account,
            "event_type": kind,
            "occurred_at": time,
            "content_id": content or None,
            "platform": "ios",
        }
        | more
        for number, (account, kind, time, content, more) in enumerate(rows)
    ]


def _memberships() -> list[dict[str, Any]]:
    rows = [
        ("g1", "m1", "join", _at(2)),
        ("g1", "m2", "join", _at(3)),
        ("g1", "m2", "leave", _at(7)),
        ("g2", "m1", "join", _at(3)),
        ("g1", "m9", "role", _at(2)),
        ("g1", "m6", "join", _at(8)),
        ("g1", "m7", "join", _december(20)),
    ]
    return [
        {
            "source": G,
            "event_id": f"s{number}",
            "group_id": group,
            "member_id": member,
            "action": action,
            "occurred_at": time,
            "role": "owner" if action == "role" else None,
        }
        for number, (group, member, action, time) in enumerate(rows)
    ]


def _messages() -> list[dict[str, Any]]:
    rows = [
        ("g1", "m1", "text", _at(4), None, "ugc"),
        ("g1", "m2", "text", _at(4, "11:00"), "t0", None),
        ("g1", "m2", "reaction", _at(4, "12:00"), "t0", None),
        ("g1", "m3", "text", _at(5), None, "pgc"),
        ("g2", "m1", "image", _at(9), None, None),
        ("g2", "m9", "system", _at(9), None, None),
    ]
    return [
        {
            "source": G,
            "message_id": f"t{number}",
            "group_id": group,
            "member_id": member,
            "kind": kind,
            "occurred_at": time,
            "reply_to_message_id": reply,
            "origin_declared": origin,
            "text": f"ring {PHONE}" if kind == "text" else None,
            "text_length": 16,
            "mentions": ["m1"],
        }
        for number, (group, member, kind, time, reply, origin) in enumerate(rows)
    ]


def _exposures() -> list[dict[str, Any]]:
    """One account sees both variants; m1 is in groups of both; the last comes after the end."""
    rows = [
        (A, "x1", "new", "a1", _at(5)),
        (A, "x1", "new", "a7", _at(4)),
        (A, "x1", "control", "a2", _at(4)),
        (A, "x1", "control", "a6", _at(4)),
        (A, "x1", "new", "a8", _at(4)),
        (A, "x1", "control", "a8", _at(6)),
        (A, "x1", "new", "a3", _at(4)),
        (G, "x2", "control", "g1", _at(4)),
        (G, "x2", "new", "g2", _at(4)),
        (G, "x2", "new", "g1", _at(9)),
    ]
    return [
        {"source": source, "event_id": f"xe{number}", "experiment_id": experiment}
        | {"variant": variant, "unit_id": unit, "occurred_at": time}
        for number, (source, experiment, variant, unit, time) in enumerate(rows, start=1)
    ]


def logs() -> dict[str, list[dict[str, Any]]]:
    """Records of all 25 logs, of both platforms."""
    more = [world.logs() for world in (gates_world_second, gates_world_loops, gates_world_packs)]
    return {
        log: rows + [row for logs in more for row in logs.get(log, [])]
        for log, rows in _first_platform().items()
    }


def _first_platform() -> dict[str, list[dict[str, Any]]]:
    state = {"source": A, "updated_at": _at(1)}
    group_state = {"source": G, "updated_at": _at(1)}
    content = state | {"node_id": "n3", "kind": "article"}
    money = {"source": A, "currency": "CNY"}
    return {
        "community/accounts": _accounts(),
        "community/nodes": [
            state | {"node_id": "n1", "level": "platform", "name": "Platform"},
            state | {"node_id": "n2", "level": "channel", "parent_node_id": "n1"},
            state | {"node_id": "n3", "level": "circle", "parent_node_id": "n2"},
        ],
        "community/contents": [
            content
            | {
                "content_id": "c1",
                "author_account_id": "a1",
                "published_at": _at(4),
                "title": "First",
                "origin_declared": "ugc",
            },
            content
            | {"content_id": "c2", "author_account_id": "a2", "published_at": _at(7)}
            | {"deleted_at": _at(9), "kind": "post"},
            content
            | {"content_id": "c3", "author_account_id": "a5", "published_at": _at(7)}
            | {"kind": "question", "topic": "数据"},
            content
            | {"content_id": "c4", "author_account_id": "a6", "published_at": _december(14)}
            | {"kind": "question", "origin_declared": "pgc"},
            content
            | {"content_id": "c5", "author_account_id": "a7"}
            | {"published_at": _december(14, "10:30"), "kind": "answer"}
            | {"parent_content_id": "c4", "origin_declared": "ugc"},
            content
            | {"content_id": "c6", "author_account_id": "a7", "node_id": "n2"}
            | {"published_at": _december(14, "12:00")},
        ],
        "community/events": _events(),
        "group/groups": [
            group_state
            | {"group_id": "g1", "created_at": _at(2), "kind": "reading"}
            | {"owner_member_id": "m9"},
            group_state
            | {"group_id": "g2", "created_at": _at(3), "kind": "paid", "closed_at": _at(9)}
            | {"observes": ["read", "click"]},
        ],
        "group/members": [
            group_state | {"member_id": "m1", "phone": f"+86 {PHONE}", "display_name": NAME},
            group_state | {"member_id": "m2"},
            group_state | {"member_id": "m6", "union_id": "planted-union-6"},
            group_state | {"member_id": "m7", "union_id": "planted-union-7"},
            group_state | {"member_id": "m9", "is_kol": True},
        ],
        "group/memberships": _memberships(),
        "group/messages": _messages(),
        "group/broadcasts": [group_state | {"broadcast_id": "b1", "sent_at": _at(5)}],
        "group/deliveries": [
            {"source": G, "event_id": f"d{number}", "broadcast_id": "b1", "group_id": "g1"}
            | {"member_id": "m1", "status": status, "occurred_at": _at(5, f"1{number}:00")}
            for number, status in enumerate(["targeted", "sent", "read"])
        ],
        "group/consults": [
            {"source": G, "event_id": "q1", "session_id": "s1", "member_id": "m2"}
            | {"action": "question", "occurred_at": _at(6)},
            {"source": G, "event_id": "q2", "session_id": "s1", "member_id": "m2"}
            | {"action": "rate", "score": 5, "occurred_at": _at(6, "10:30")},
        ],
        "group/scenes": [
            group_state
            | {"scene_id": "sc1", "group_id": "g1", "kind": "live_class", "starts_at": _at(6)}
        ],
        "group/attendance": [
            {"source": G, "event_id": "at1", "scene_id": "sc1", "member_id": "m1"}
            | {"action": "submit", "occurred_at": _at(6)}
        ],
        "operations/campaigns": [
            state | {"campaign_id": "k1", "kind": "theme", "starts_at": _at(4), "name": "Spring"}
        ],
        "operations/campaign_events": [
            {"source": A, "event_id": "ce1", "campaign_id": "k1", "action": "participate"}
            | {"occurred_at": _at(5), "account_id": "a1"}
        ],
        "operations/experiments": [
            state
            | {"experiment_id": "x1", "unit": "account", "starts_at": _at(4)}
            | {"variants": {"control": 1, "new": 1}},
            group_state
            | {"experiment_id": "x2", "unit": "group", "starts_at": _at(4), "ends_at": _at(9)}
            | {"variants": {"control": 1, "new": 1}},
        ],
        "operations/exposures": _exposures(),
        "operations/assistant_requests": [
            {"source": A, "request_id": "r1", "surface": "community", "occurred_at": _at(5)}
            | {"account_id": "a1", "latency_ms": 300, "outcome": "answered"}
        ],
        "operations/spend": [
            money
            | {"spend_id": "sp1", "spent_on": "2026-01-04", "target": "campaign"}
            | {"target_id": "k1", "amount_minor": 500}
        ],
        "commerce/orders": [
            money
            | {"order_id": "o1", "kind": "membership", "amount_minor": 1000, "paid_at": _at(5)}
            | {"account_id": "a1"},
            money
            | {"order_id": "o2", "kind": "goods", "amount_minor": 200, "paid_at": _at(6)}
            | {"account_id": "a2", "currency": "USD", "content_id": "c1"},
        ],
        "commerce/refunds": [
            {"source": A, "refund_id": "rf1", "order_id": "o1", "amount_minor": 300}
            | {"refunded_at": _at(7)}
        ],
        "commerce/subscriptions": [
            money
            | {"event_id": "su1", "subscription_id": "sb1", "plan_id": "p", "action": "start"}
            | {"occurred_at": _at(5), "period_start": "2026-01-05", "period_end": "2026-02-05"}
            | {"amount_minor": 1000, "account_id": "a1"}
        ],
        "commerce/share_policies": [
            {"source": A, "policy_id": "po1", "scope": "platform", "share_bps": 7000}
            | {"valid_from": "2026-01-01"}
        ],
        "commerce/fx_rates": [
            {"source": A, "rate_id": f"fx{day}", "rate_date": f"2026-01-0{day}"}
            | {"currency": "USD", "rate": "7.1"}
            for day in (4, 5)
        ],
        "commerce/identity_links": [
            {"source": A, "link_id": "l1", "account_source": A, "account_id": "a2"}
            | {"member_source": G, "member_id": "m2", "action": "link", "method": "login"}
            | {"occurred_at": _at(4)}
        ],
    }


def land(connection: duckdb.DuckDBPyConnection) -> None:
    """Fill raw, and the ledger as ingestion would: one loaded file a log."""
    records = logs()
    fill_raw(connection, records)
    for number, (log, rows) in enumerate(records.items(), start=1):
        connection.execute(f"update raw.{contracts()[log].table} set _file_id = ?", [number])
        connection.execute(
            """
            insert into control.files
            select ?, ?, ?, sha256(?), 100, 0, 'jsonl', 'loaded', null, ?, ?, 0, 0, 1, now()
            """,
            [number, log, f"{log}/1.jsonl", log, len(rows), len(rows)],
        )
    land_packs(connection)


def build(home: Path) -> Settings:
    """The warehouse of `logs`, transformed by dbt."""
    settings = test_settings(home)
    with open_warehouse(settings) as connection:
        land(connection)
        write_plan(connection, settings, make_plan(connection, settings))
    DbtSession(settings).invoke(
        ["build", "--exclude-resource-type", "unit_test", "test", "--full-refresh"]
    )
    return settings
