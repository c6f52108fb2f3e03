"""Reference of `revenue.daily`."""

from __future__ import annotations

from datetime import date

from tests.reference.world import Row, World


def daily(world: World) -> list[Row]:
    """`revenue.daily`; refunds by order date are open where one came after as_of_date."""
    keys: set[tuple[date, str]] = set()
    for order in world.orders:
        keys.add((order.day, order.core))
        keys.update((day, order.core) for day, _ in order.refunds)
    rows = []
    for day, core in keys:
        if world.as_of is None or day > world.as_of:
            continue
        orders = [order for order in world.orders if (order.day, order.core) == (day, core)]
        gmv = sum(order.amount or 0 for order in orders)
        by_order = sum(order.refunded for order in orders)
        by_refund = sum(
            amount or 0
            for order in world.orders
            for refund_day, amount in order.refunds
            if (refund_day, order.core) == (day, core)
        )
        rows.append(
            {
                "date": day,
                "core": core,
                "orders": len(orders),
                "payers": len({order.person for order in orders}),
                "gmv_minor": gmv,
                "refunds_cash_minor": by_refund,
                "refunds_order_minor": by_order,
                "net_cash_minor": gmv - by_refund,
                "net_order_minor": gmv - by_order,
            }
        )
    return rows
