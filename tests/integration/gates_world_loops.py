"""What the second platform of the gates' world does for funnels, KOL touches and the value loop.

Of its persons, 2 goes through the whole default funnel and 1 only clicks; 1 buys before the
landmark after a KOL's scene and 2 after it; a search is met by a content within the day, a late
one is not due yet.
"""

from __future__ import annotations

from typing import Any

A, G = "douban", "telegram"


def _at(date: str, clock: str) -> str:
    return f"{date}T{clock}:00+08:00"


def _events() -> list[dict[str, Any]]:
    rows: list[tuple[str, str, str, dict[str, Any]]] = [
        ("b1", "impression", _at("2025-11-30", "07:00"), {}),
        ("b2", "impression", _at("2025-11-30", "08:00"), {}),
        ("b2", "click", _at("2025-11-30", "11:00"), {}),
        ("b1", "search", _at("2025-12-03", "09:00"), {"topic": "tea"}),
        ("b2", "search", _at("2026-01-09", "09:00"), {"topic": "tea"}),
    ]
    return [
        {"source": A, "event_id": f"loop{number}", "account_id": account, "event_type": kind}
        | {"occurred_at": time}
        | more
        for number, (account, kind, time, more) in enumerate(rows)
    ]


def logs() -> dict[str, list[dict[str, Any]]]:
    """Records to add to those of the second platform, by log."""
    scene = {"source": G, "updated_at": _at("2025-12-01", "10:00"), "group_id": "g3"}
    scene |= {"kind": "live_class", "starts_at": _at("2025-12-04", "09:00")}
    attendance = [
        ("sc3", "p2", "enter", _at("2025-12-04", "09:00")),
        ("sc4", "p2", "enter", _at("2025-12-04", "13:00")),
        ("sc3", "p1", "enter", _at("2025-12-05", "21:00")),
    ]
    return {
        "community/contents": [
            {"source": A, "content_id": "c11", "updated_at": _at("2025-12-10", "10:00")}
            | {"author_account_id": "b3", "node_id": "n11", "kind": "article", "is_paid": True}
            | {"published_at": _at("2025-12-03", "10:00"), "topic": "tea"},
        ],
        "community/events": _events(),
        "group/scenes": [
            scene | {"scene_id": "sc3", "kol_member_id": "p3", "campaign_id": "k2"},
            scene | {"scene_id": "sc4"},
        ],
        "group/attendance": [
            {"source": G, "event_id": f"loop{number}", "scene_id": scene_id}
            | {"member_id": member, "action": action, "occurred_at": time}
            for number, (scene_id, member, action, time) in enumerate(attendance)
        ],
    }
