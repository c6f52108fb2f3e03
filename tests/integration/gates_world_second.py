"""The second platform of the gates' world: what the engagement and revenue marts need to show.

Two groups that share members, one of which governs itself and one that observes little, a
broadcast with every rung, answered and handed-off consults, a campaign with two generations,
streaks, orders with several touches, subscriptions over three month ends, and a paid column.
"""

from __future__ import annotations

from typing import Any

A, G = "douban", "telegram"


def _at(date: str, clock: str = "10:00:00") -> str:
    return f"{date}T{clock}+08:00"


def _numbered(source: str, key: str, prefix: str, rows: list[dict[str, Any]]) -> list[Any]:
    return [{"source": source, key: f"{prefix}{number}"} | row for number, row in enumerate(rows)]


def _joins() -> list[dict[str, Any]]:
    invited = {"via": "invite", "inviter_member_id": "p1", "campaign_id": "k2"}
    rows: list[tuple[str, str, str, str, dict[str, Any]]] = [
        ("g3", "p1", "join", _at("2025-10-01"), {}),
        ("g3", "p2", "join", _at("2025-11-30"), invited),
        ("g3", "p3", "join", _at("2025-12-02"), invited),
        ("g3", "p3", "leave", _at("2025-12-04", "20:00:00"), {}),
        ("g3", "p4", "leave", _at("2025-12-05"), {}),
        ("g4", "p1", "join", _at("2025-12-01"), {}),
        ("g4", "p2", "join", _at("2025-12-01"), {}),
        ("g4", "p2", "join", _at("2025-12-03"), {}),
        ("g5", "p2", "join", _at("2025-12-01"), {}),
    ]
    return [
        {"group_id": group, "member_id": member, "action": action, "occurred_at": time} | more
        for group, member, action, time, more in rows
    ]


def _deliveries() -> list[dict[str, Any]]:
    rows = [
        ("g3", "p1", ["targeted", "sent", "delivered", "read", "click"]),
        ("g3", "p2", ["targeted", "sent", "read"]),
        ("g3", "p3", ["targeted", "sent"]),
        ("g3", "p4", ["targeted", "failed"]),
        ("g5", "p2", ["targeted", "sent"]),
    ]
    return [
        {"broadcast_id": "b2", "group_id": group, "member_id": member, "status": status}
        | {"occurred_at": _at("2025-12-04", f"{12 + step}:00:00")}
        for group, member, statuses in rows
        for step, status in enumerate(statuses)
    ]


def _consults() -> list[dict[str, Any]]:
    rows = [
        ("s2", "p1", "question", "10:00:00", None),
        ("s2", "p1", "ai_answer", "10:00:05", None),
        ("s2", "p1", "close", "10:10:00", None),
        ("s2", "p1", "rate", "10:11:00", 4),
        ("s3", "p2", "question", "11:00:00", None),
        ("s3", "p2", "ai_answer", "11:00:40", None),
        ("s3", "p2", "handoff", "11:05:00", None),
        ("s3", "p2", "human_answer", "11:06:00", None),
        ("s3", "p2", "close", "11:20:00", None),
        ("s4", "p4", "question", "12:00:00", None),
        ("s4", "p4", "handoff", "12:01:00", None),
    ]
    return [
        {"session_id": session, "member_id": member, "action": action, "score": score}
        | {"occurred_at": _at("2025-12-04", clock)}
        for session, member, action, clock, score in rows
    ]


def _campaign_events() -> list[dict[str, Any]]:
    rows: list[tuple[str, str, str, str | None]] = [
        ("p1", "target", "2025-11-29", None),
        ("p2", "target", "2025-11-29", None),
        ("p1", "participate", "2025-11-29", None),
        ("p1", "invite", "2025-11-29", None),
        ("p1", "invite", "2025-11-29", None),
        ("p2", "accept", "2025-11-30", "p1"),
        ("p2", "participate", "2025-11-30", None),
        ("p2", "invite", "2025-12-01", None),
        ("p3", "accept", "2025-12-02", "p2"),
        *(("p1", "checkin", date, None) for date in ("2026-01-07", "2026-01-09", "2026-01-10")),
    ]
    return [
        {"campaign_id": "k2", "member_id": member, "action": action}
        | {"occurred_at": _at(date, f"10:{number:02d}:00"), "inviter_member_id": inviter}
        for number, (member, action, date, inviter) in enumerate(rows)
    ]


def _orders() -> list[dict[str, Any]]:
    return [
        {"source": G, "order_id": "o11", "kind": "membership", "amount_minor": 1000}
        | {"member_id": "p1", "paid_at": _at("2025-12-05"), "group_id": "g3", "campaign_id": "k2"},
        {"source": A, "order_id": "o12", "kind": "course", "amount_minor": 701}
        | {"account_id": "b1", "paid_at": _at("2025-12-15")},
        {"source": A, "order_id": "o13", "kind": "column", "amount_minor": 333}
        | {"account_id": "b2", "paid_at": _at("2025-12-06"), "content_id": "c11"},
        {"source": A, "order_id": "o14", "kind": "tip", "amount_minor": 101}
        | {"account_id": "b1", "paid_at": _at("2025-12-07"), "content_id": "c12"},
        {"source": A, "order_id": "o15", "kind": "goods", "amount_minor": 50}
        | {"account_id": "b4", "paid_at": _at("2025-12-20")},
    ]


def _subscriptions() -> list[dict[str, Any]]:
    rows = [
        ("sb2", "gold", "start", "2025-10-20", "2025-11-20", 930, "b1"),
        ("sb2", "gold", "renew", "2025-11-20", "2025-12-20", 600, "b1"),
        ("sb2", "gold", "renew", "2025-12-20", "2026-01-20", 1240, "b1"),
        ("sb3", "silver", "start", "2025-10-10", "2025-11-10", 310, "b2"),
        ("sb3", "silver", "renew", "2025-12-10", "2026-01-10", 310, "b2"),
        ("sb4", "silver", "start", "2025-11-25", "2025-12-25", 300, "b3"),
    ]
    return [
        {"subscription_id": subscription, "plan_id": plan, "action": action}
        | {"period_start": start, "period_end": end, "occurred_at": _at(start)}
        | {"amount_minor": amount, "currency": "CNY", "account_id": account}
        for subscription, plan, action, start, end, amount, account in rows
    ]


def _events() -> list[dict[str, Any]]:
    rows: list[tuple[str, str, str, dict[str, Any]]] = [
        ("b1", "click", _at("2025-12-04", "08:00:00"), {"campaign_id": "k3"}),
        ("b1", "read", _at("2025-12-04", "08:01:00"), {"content_id": "c11"}),
        ("b2", "read", _at("2025-12-06", "08:00:00"), {"content_id": "c12"}),
        ("b2", "read", _at("2025-12-06", "08:01:00"), {"content_id": "c11"}),
        ("b1", "vote", _at("2025-12-07", "09:00:00"), {}),
        ("b1", "vote", _at("2025-12-07", "09:01:00"), {}),
        ("b1", "space_enter", _at("2025-12-07", "09:02:00"), {}),
        ("b1", "space_exit", _at("2025-12-07", "09:04:00"), {}),
        ("b2", "space_enter", _at("2025-12-07", "09:05:00"), {}),
        ("b2", "checkin", _at("2026-01-09"), {}),
        ("b2", "checkin", _at("2026-01-10"), {}),
    ]
    return [
        {"account_id": account, "event_type": kind, "occurred_at": time} | more
        for account, kind, time, more in rows
    ]


def logs() -> dict[str, list[dict[str, Any]]]:
    """Records of the second platform, by log."""
    state = {"source": A, "updated_at": _at("2025-11-01")}
    group_state = state | {"source": G}
    account = state | {"registered_at": _at("2025-11-01")}
    content = state | {"node_id": "n11", "kind": "article", "is_paid": True}
    group = group_state | {"created_at": _at("2025-12-01"), "kind": "guild"}
    money = {"currency": "CNY"}
    channel = {"source": A, "target": "channel", "target_id": "store", "amount_minor": 80}
    return {
        "community/accounts": [
            account | {"account_id": "b1", "union_id": "second-1", "acquisition_channel": "store"},
            account | {"account_id": "b2", "union_id": "second-2"},
            account | {"account_id": "b3"},
            account | {"account_id": "b4"},
        ],
        "community/nodes": [state | {"node_id": "n11", "level": "platform"}],
        "community/contents": [
            content
            | {"content_id": "c11", "author_account_id": "b3"}
            | {"published_at": _at("2025-12-03")},
            content
            | {"content_id": "c12", "author_account_id": "b4"}
            | {"published_at": _at("2025-12-03")},
        ],
        "community/events": _numbered(A, "event_id", "f", _events()),
        "group/groups": [
            group | {"group_id": "g3"},
            group | {"group_id": "g4", "kind": "dao"},
            group | {"group_id": "g5", "observes": ["delivered", "leave", "reaction"]},
        ],
        "group/members": [
            group_state | {"member_id": "p1", "union_id": "second-1"},
            group_state | {"member_id": "p2", "union_id": "second-2"},
            group_state | {"member_id": "p3"},
            group_state | {"member_id": "p4"},
        ],
        "group/memberships": _numbered(G, "event_id", "u", _joins()),
        "group/messages": [
            {"source": G, "message_id": "v1", "group_id": "g4", "member_id": "p1", "kind": "text"}
            | {"occurred_at": _at("2025-12-05", "09:00:00"), "origin_declared": "ugc"},
        ],
        "group/broadcasts": [
            group_state
            | {"broadcast_id": "b2", "sent_at": _at("2025-12-04", "12:30:00"), "campaign_id": "k2"}
        ],
        "group/deliveries": _numbered(G, "event_id", "y", _deliveries()),
        "group/consults": _numbered(G, "event_id", "z", _consults()),
        "operations/campaigns": [
            group_state | {"campaign_id": "k2", "kind": "fission", "starts_at": _at("2025-11-28")},
            state | {"campaign_id": "k3", "kind": "daily", "starts_at": _at("2025-11-28")},
        ],
        "operations/campaign_events": _numbered(G, "event_id", "w", _campaign_events()),
        "operations/assistant_requests": [
            {"source": G, "request_id": "r2", "surface": "group", "outcome": "handoff"}
            | {"occurred_at": _at("2025-12-04"), "member_id": "p1", "latency_ms": 900},
            {"source": G, "request_id": "r3", "surface": "group", "outcome": "failed"}
            | {"occurred_at": _at("2025-12-04", "11:00:00"), "member_id": "p2"},
            {"source": G, "request_id": "r4", "surface": "group", "outcome": "answered"}
            | {"occurred_at": _at("2025-12-04", "12:00:00"), "latency_ms": 400},
        ],
        "operations/spend": [
            money
            | {"source": G, "spend_id": "sp2", "spent_on": "2025-11-29", "target": "campaign"}
            | {"target_id": "k2", "amount_minor": 250},
            money | channel | {"spend_id": "sp3", "spent_on": "2025-11-02"},
        ],
        "commerce/orders": [money | order for order in _orders()],
        "commerce/refunds": [
            {"source": A, "refund_id": "rf2", "order_id": "o12", "amount_minor": 100}
            | {"refunded_at": _at("2026-01-02")}
        ],
        "commerce/subscriptions": _numbered(A, "event_id", "sv", _subscriptions()),
        "commerce/share_policies": [
            {"source": A, "policy_id": "po2", "scope": "platform", "share_bps": 6500}
            | {"valid_from": "2025-01-01"},
            {"source": A, "policy_id": "po3", "scope": "node", "scope_id": "n11"}
            | {"share_bps": 3000, "valid_from": "2025-12-01"},
        ],
    }
