"""Reference of `revenue.creator_payouts` and `revenue.payout_ledger`, in exact fractions."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import date
from fractions import Fraction
from math import floor
from typing import Any

from tests.reference.world import DAY, Order, Person, Row, World, half_away, month_of, next_month

MODELS = ("pro_rata", "user_centric")
_Payee = Person | str


def creator_payouts(world: World) -> list[Row]:
    """`revenue.creator_payouts`."""
    if world.as_of is None:
        return []
    money: dict[date, Counter[Person]] = {}
    for order in world.orders:
        if order.day <= world.as_of and is_in_pool(world, order):
            month = month_of(order.day)
            share = Fraction(share_bps(world, order, month), 10_000)
            own = money.setdefault(month, Counter())
            own[order.person] += order.net * share  # type: ignore[assignment]
    rows = []
    for month, by_payer in money.items():
        total = Fraction(sum(by_payer.values()))
        pool = half_away(total)
        reads = paid_reads(world, month)
        for model in MODELS:
            exact = _shares(model, by_payer, total, reads)
            paid: Counter[_Payee] = Counter()
            for person, amount in apportion(pool, exact).items():
                paid["(erased)" if world.is_erased(person) else person] += amount
            if not exact:
                paid["(none)"] = pool
            rows += [
                {
                    "month": month,
                    "model": model,
                    "person_id": payee,
                    "pool_minor": pool,
                    "payout_minor": amount,
                    "is_complete": next_month(month) - DAY <= world.as_of,
                }
                for payee, amount in paid.items()
            ]
    return rows


def is_in_pool(world: World, order: Order) -> bool:
    """Tips and columns, and what names a paid content."""
    if order.kind in ("column", "tip"):
        return True
    content = world.current("community/contents").get((order.source, order.content_id or ""))
    return bool(content and content.get("is_paid"))


def share_bps(world: World, order: Order, month: date) -> int:
    """The policy in force of the content's node, its nearest ancestor with one, the platform."""
    policies = [
        policy
        for policy in world.log("commerce/share_policies")
        if policy["source"] == order.source and policy["valid_from"] <= month
    ]
    content = world.current("community/contents").get((order.source, order.content_id or ""))
    scopes: list[tuple[str, str | None]] = [("platform", None)]
    if content is not None:
        chain = world.chain(order.source, content["node_id"])
        scopes = [("node", node_id) for node_id in chain] + scopes
    for scope, scope_id in scopes:
        own = [
            policy
            for policy in policies
            if policy["scope"] == scope and (scope == "platform" or policy["scope_id"] == scope_id)
        ]
        if own:
            return int(max(own, key=lambda p: (p["valid_from"], p["policy_id"]))["share_bps"])
    return 0


def paid_reads(world: World, month: date) -> dict[Person, Counter[Person]]:
    """Reader → creator → reads of paid contents in the month; both of them count."""
    found: dict[Person, Counter[Person]] = {}
    for event in world.content_events:
        day = world.day(event["occurred_at"])
        content = world.current("community/contents").get((event["source"], event["content_id"]))
        if event["event_type"] != "read" or month_of(day) != month or content is None:
            continue
        author = world.person(event["source"], "account", content["author_account_id"])
        if content.get("is_paid") and world.counts(author) and world.as_of and day <= world.as_of:
            found.setdefault(world.person_of(event), Counter())[author] += 1
    return found


def _shares(
    model: str, money: Counter[Person], total: Fraction, reads: dict[Person, Counter[Person]]
) -> dict[Person, Fraction]:
    """Creator → exact share of the money; {} where nobody read."""
    everybody: Counter[Person] = sum(reads.values(), Counter())
    shares = dict.fromkeys(everybody, Fraction(0))
    if not everybody:
        return {}
    parts = [(total, everybody)]
    if model == "user_centric":
        parts = [(Fraction(own), reads.get(payer, everybody)) for payer, own in money.items()]
    for amount, read in parts:
        for creator, number in read.items():
            shares[creator] += amount * Fraction(number, sum(read.values()))
    return shares


def apportion(whole: int, exact: dict[Person, Fraction]) -> dict[Person, int]:
    """Rounded down, and what is left over to the largest remainders."""
    paid = {person: floor(share) for person, share in exact.items()}
    order = sorted(exact, key=lambda p: (paid[p] - exact[p], min((s, key) for s, _, key in p)))
    for person in order[: whole - sum(paid.values())]:
        paid[person] += 1
    return paid


def payout_ledger(world: World) -> list[Row]:
    """`revenue.payout_ledger` after a first build: what complete months owe, once."""
    return [
        {
            "month": row["month"],
            "model": row["model"],
            "person_id": row["person_id"],
            "entry_kind": "payout",
            "posted_on": world.as_of,
            "amount_minor": row["payout_minor"],
        }
        for row in creator_payouts(world)
        if row["is_complete"] and row["payout_minor"]
    ]


def chain_faults(rows: list[Row]) -> list[str]:
    """Where a ledger's numbers or hashes are not those of the documented text."""
    faults = []
    head = "0" * 64
    for number, row in enumerate(sorted(rows, key=lambda row: row["seq"]), start=1):
        text = "|".join(str(row[name]) for name in _HASHED)
        digest = hashlib.sha256((head + text).encode("ascii")).hexdigest()
        found: Any = (row["seq"], row["prev_hash"], row["row_hash"])
        if found != (number, head, digest):
            faults.append(f"entry {number}: should be {(number, head, digest)}, is {found}")
        head = row["row_hash"]
    return faults


_HASHED = (
    *("seq", "posted_on", "month", "model", "entry_kind", "amount_minor"),
    "payee_commitment",
)
