"""What makes a pack of the group experiment `x2` of the gates' world: money spent on it."""

from __future__ import annotations

from typing import Any


def logs() -> dict[str, list[dict[str, Any]]]:
    """Spend on the pack itself, before and after its experiment, and on one of its groups."""
    money = {"source": "wecom", "currency": "CNY"}
    rows = [
        ("sp21", "2026-01-03", "pack", "x2", 300),
        ("sp22", "2026-01-10", "pack", "x2", 50),
        ("sp23", "2026-01-08", "group", "g1", 200),
    ]
    return {
        "operations/spend": [
            money
            | {"spend_id": spend_id, "spent_on": date, "target": target}
            | {"target_id": target_id, "amount_minor": amount}
            for spend_id, date, target, target_id, amount in rows
        ]
    }
