"""Orders, refunds, subscriptions, shares and rates of exchange."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import numpy as np
import pyarrow as pa

from simulator.columns import Floats, Ints, choose, earlier_first, ids, integers, picked, times
from simulator.community import Community
from simulator.config import COMMUNITIES, PLATFORMS, SimulatorConfig
from simulator.groups import GroupPlatform
from simulator.operations import Experiment
from simulator.population import Population
from simulator.rhythm import DAY, HOUR, SECOND, Calendar
from simulator.truth import Truth
from simulator.writing import Landing

ORDER_KINDS: Final = ("membership", "column", "tip", "course", "goods", "service")
BUYERS: Final = 0.30
FIRST_ORDER_DAYS: Final = 25.0
BGNBD: Final = {"r": 0.9, "alpha": 24.0, "a": 1.0, "b": 5.0}
"""Repeat orders: rates ~ Gamma(r, alpha days), dropout after each order ~ Beta(a, b)."""
GAMMA_GAMMA: Final = {"p": 4.0, "q": 3.5, "v": 5600.0}
"""Order values in minor units: Gamma(p, ν) with ν ~ Gamma(q, v)."""
_ROUNDS: Final = 80
CURRENCIES: Final = {"USD": 7.18, "JPY": 0.0478, "KWD": 23.35, "EUR": 7.82}
_WITHOUT_RATE: Final = "ISK"
# What one CNY fen is in a currency's minor unit, roughly: prices look right everywhere.
_MINOR_PER_FEN: Final = {
    "CNY": 1.0,
    "USD": 0.14,
    "JPY": 0.21,
    "KWD": 0.43,
    "EUR": 0.13,
    "ISK": 0.19,
}
REFUNDED: Final = 0.06
PLANS: Final = (("monthly", 3_000, 1), ("plus", 6_800, 1), ("yearly", 29_800, 12))
SUBSCRIBERS: Final = 0.06
RENEWS: Final = 0.84
CHANGES: Final = 0.06


class Shop:
    """Draws all purchases beforehand and writes a day's orders when its contents are known."""

    def __init__(
        self,
        config: SimulatorConfig,
        people: Population,
        communities: list[Community],
        platforms: list[GroupPlatform],
        experiments: list[Experiment],
        landing: Landing,
    ) -> None:
        self._config = config
        self._calendar: Calendar = people.calendar
        self._people = people
        self._communities = communities
        self._platforms = platforms
        self._experiments = [e for e in experiments if (e.value_lift != 1).any()]
        self._landing = landing
        self._next = dict.fromkeys([source.name for source in (*COMMUNITIES, *PLATFORMS)], 1)
        self._holder = _holders(people)
        self._purchases(config.rng("purchases"))

    def day(self, day: int) -> int:
        """Write the orders that are paid on a day; returns how many."""
        begin = np.searchsorted(self._time, self._calendar.midnight(day))
        end = np.searchsorted(self._time, self._calendar.midnight(day + 1))
        rows = np.arange(begin, end)
        rng = self._config.rng("orders", day)
        written = 0
        for number, community in enumerate(self._communities):
            mine = rows[self._source[rows] == number]
            written += self._community_orders(rng, day, community, mine)
        for number, platform in enumerate(self._platforms, start=len(self._communities)):
            mine = rows[self._source[rows] == number]
            written += self._group_orders(rng, day, platform, mine)
        return written

    def tell(self, truth: Truth) -> None:
        """Parameters of repeat buying and each buyer's number of orders."""
        truth.fact("bgnbd", BGNBD | {"buyers": BUYERS, "first_order_days": FIRST_ORDER_DAYS})
        truth.fact("gamma_gamma", GAMMA_GAMMA)
        truth.fact("refunded_share", REFUNDED)
        person, orders = np.unique(self._person, return_counts=True)
        truth.table("buyers", person=person, orders=orders, rate_per_day=self._rate[person])

    def write_subscriptions(self) -> None:
        """Subscriptions of plaza and wecom with the orders that pay for their periods."""
        for number, source in ((0, "plaza"), (2, "wecom")):
            self._subscriptions(number, source)

    def write_reference(self) -> None:
        """`fx_rates`, `share_policies`, and a refund of an order that nobody has seen."""
        self._fx_rates()
        calendar = self._calendar
        self._landing.add(
            "commerce/refunds",
            "plaza",
            refund_id=pa.array(["r-stray"]),
            order_id=pa.array(["o-unknown"]),
            amount_minor=pa.array([1_200]),
            refunded_at=times(np.array([calendar.midnight(3) + 9 * HOUR])),
        )
        middle = calendar.dates[calendar.days // 2].replace(day=1)
        for source, rows in (
            ("plaza", [(date(2025, 1, 1), "platform", 3000, None), (middle, "platform", 6500, None),
                       (date(2025, 6, 1), "node", 7000, "ch2")]),
            ("agora", [(date(2025, 1, 1), "platform", 4000, None)]),
        ):  # fmt: skip
            valid_from, scope, bps, scope_id = zip(*rows, strict=True)
            self._landing.add(
                "commerce/share_policies",
                source,
                policy_id=ids("policy-", np.arange(len(rows))),
                scope=pa.array(scope),
                share_bps=pa.array(bps),
                valid_from=pa.array(valid_from),
                scope_id=pa.array(scope_id, pa.string()),
            )

    def _purchases(self, rng: np.random.Generator) -> None:
        """Times, persons, sources and values of all orders, in time order."""
        people, calendar = self._people, self._calendar
        n = people.n
        normal = ~(people.is_bot | people.is_staff)
        buys = (rng.random(n) < BUYERS) & normal
        rate = rng.gamma(BGNBD["r"], 1 / BGNBD["alpha"], n)
        dropout = rng.beta(BGNBD["a"], BGNBD["b"], n)
        scale = rng.gamma(GAMMA_GAMMA["q"], 1 / GAMMA_GAMMA["v"], n)
        self._rate: Floats = np.where(buys, rate, 0.0)
        begin = np.maximum(people.joined_at, calendar.start)
        wait = (rng.exponential(FIRST_ORDER_DAYS, n) * DAY).astype(np.int64)
        at = begin + wait + HOUR // 2
        buyer = np.flatnonzero(buys)
        persons, moments = [], []
        for _ in range(_ROUNDS):
            alive = at[buyer] < np.minimum(people.erased_at[buyer], calendar.end)
            buyer = buyer[alive]
            if len(buyer) == 0:
                break
            persons.append(buyer)
            moments.append(at[buyer])
            buyer = buyer[rng.random(len(buyer)) > dropout[buyer]]
            gap = rng.exponential(1.0, len(buyer)) / np.maximum(rate[buyer], 1e-5)
            at[buyer] += (np.minimum(gap, 5000.0) * DAY).astype(np.int64) + 60 * SECOND
        person = np.concatenate(persons) if persons else np.zeros(0, np.int64)
        time = (np.concatenate(moments) if moments else np.zeros(0, np.int64)) // 1000 * 1000
        # The day is the model's; the hour is people's.
        day = ((time - calendar.start) // DAY).astype(np.int64)
        hour = calendar.hours(rng, 0, len(time)) - calendar.midnight(0)
        moved = calendar.start + day * DAY + hour
        time = np.where(day == people.join_day[person], time, moved)
        kept = time < np.minimum(people.erased_at[person], calendar.end)
        order = earlier_first(time[kept])
        self._person: Ints = person[kept][order]
        self._time: Ints = time[kept][order]
        count = len(self._person)
        value = rng.gamma(GAMMA_GAMMA["p"], 1.0, count) / scale[self._person]
        self._value: Ints = np.maximum(value, 100).astype(np.int64)
        # Any of the person's ids pays, provided it was registered by then.
        usable = self._holder.since[:, self._person] <= self._time
        score = np.where(usable, rng.random(usable.shape), -1.0)
        self._source: Ints = np.where(usable.any(axis=0), score.argmax(axis=0), -1)

    def _community_orders(
        self, rng: np.random.Generator, day: int, community: Community, rows: Ints
    ) -> int:
        count = len(rows)
        if count == 0:
            return 0
        number = COMMUNITIES.index(community.source)
        kind = choose(rng, (0.05, 0.30, 0.25, 0.15, 0.15, 0.10), count)
        published = np.flatnonzero(
            (community.contents["paid"] > 0)
            & (community.contents["published"] < self._calendar.midnight(day))
        )
        about = (kind == 1) | (kind == 2)
        content = rng.choice(published, count) if len(published) else np.full(count, -1)
        value = self._value[rows].astype(np.float64)
        for experiment in self._experiments:
            if experiment.source == community.source.name and experiment.runs(day):
                value *= experiment.value_lift[experiment.arms[self._person[rows]]]
        campaign = community.campaign_of_day(rng, day, count, 0.10)
        self._write_orders(
            rng,
            community.source.name,
            community.source.currencies,
            rows,
            kind,
            value,
            account_id=picked(
                community.accounts.text, self._holder.row[number, self._person[rows]]
            ),
            content_id=ids("t", np.where(about, content, -1)),
            campaign_id=ids("k", campaign),
        )
        return count

    def _group_orders(
        self, rng: np.random.Generator, day: int, platform: GroupPlatform, rows: Ints
    ) -> int:
        count = len(rows)
        if count == 0:
            return 0
        number = len(COMMUNITIES) + PLATFORMS.index(platform.source)
        member = self._holder.row[number, self._person[rows]]
        held = platform.inside(self._calendar.midnight(day), self._calendar.midnight(day) + 1)
        group_of = np.full(len(platform.members), -1)
        group_of[platform.member[held]] = platform.group[held]
        names_group = rng.random(count) < 0.65
        self._write_orders(
            rng,
            platform.source.name,
            platform.source.currencies,
            rows,
            choose(rng, (0.10, 0.0, 0.0, 0.35, 0.40, 0.15), count),
            self._value[rows].astype(np.float64),
            member_id=picked(platform.members.text, member),
            group_id=ids("gr", np.where(names_group, group_of[member], -1)),
        )
        return count

    def _write_orders(
        self,
        rng: np.random.Generator,
        source: str,
        currencies: tuple[str, ...],
        rows: Ints,
        kind: Ints,
        value: Floats,
        **payer: pa.Array,
    ) -> None:
        count = len(rows)
        codes = (*currencies, _WITHOUT_RATE)
        currency = np.where(
            rng.random(count) < 0.004, len(currencies), rng.integers(0, len(currencies), count)
        )
        per_fen = np.array([_MINOR_PER_FEN[code] for code in codes])
        amount = np.maximum(1, value * per_fen[currency]).astype(np.int64)
        number = self._next[source] + np.arange(count)
        self._next[source] += count
        self._landing.add(
            "commerce/orders",
            source,
            order_id=ids("o", number),
            kind=picked(ORDER_KINDS, kind),
            amount_minor=integers(amount),
            currency=picked(codes, currency),
            paid_at=times(self._time[rows]),
            **payer,
        )
        self._refunds(rng, source, number, amount, self._time[rows])

    def _refunds(
        self, rng: np.random.Generator, source: str, number: Ints, amount: Ints, paid: Ints
    ) -> None:
        """Full and partial refunds; some orders get two."""
        chosen = np.flatnonzero(rng.random(len(number)) < REFUNDED)
        full = rng.random(len(chosen)) < 0.6
        part = np.where(full, amount[chosen], (amount[chosen] * 0.4).astype(np.int64))
        twice = np.flatnonzero(~full & (rng.random(len(chosen)) < 0.3))
        order = np.concatenate([number[chosen], number[chosen][twice]])
        amounts = np.concatenate([part, part[twice]])
        at = np.concatenate([paid[chosen], paid[chosen][twice] + 3 * DAY])
        at = at + rng.integers(2, 15 * 24, len(at)) * HOUR
        suffix = np.concatenate([np.ones(len(chosen), int), np.full(len(twice), 2)])
        kept = at < self._calendar.end
        refund = order * 10 + suffix
        self._landing.add(
            "commerce/refunds",
            source,
            refund_id=ids("r", refund[kept]),
            order_id=ids("o", order[kept]),
            amount_minor=integers(amounts[kept]),
            refunded_at=times(at[kept]),
        )

    def _subscriptions(self, holder: int, source: str) -> None:
        """Period after period until nobody renews; each paid period has its order."""
        rng = self._config.rng("subscriptions", source)
        people, calendar = self._people, self._calendar
        held = self._holder.row[holder]
        normal = (held >= 0) & ~people.is_bot & ~people.is_staff & people.here(calendar.days - 1)
        share = max(SUBSCRIBERS, 12 / people.n)
        person = np.flatnonzero(normal & (rng.random(people.n) < share))
        begin = np.maximum(self._holder.since[holder, person], calendar.start)
        at = begin + (rng.random(len(person)) * 0.8 * calendar.days * DAY).astype(np.int64)
        at = at // 1000 * 1000
        kept = at < calendar.end
        rows = [
            line
            for number, (who, time) in enumerate(zip(person[kept], at[kept], strict=True))
            for line in self._subscription(rng, number, int(who), int(time))
        ]
        if not rows:
            return
        rows.sort()
        time, number, who, action, plan, first, last, amount = map(list, zip(*rows, strict=True))
        community = source == "plaza"
        found = self._communities[0].accounts if community else self._platforms[0].members
        payer = {f"{found.kind}_id": picked(found.text, held[np.array(who)])}
        self._landing.add(
            "commerce/subscriptions",
            source,
            event_id=ids("se", np.arange(len(rows))),
            subscription_id=ids("sub-", np.array(number)),
            plan_id=pa.array(plan),
            action=pa.array(action),
            occurred_at=times(np.array(time)),
            period_start=pa.array(first),
            period_end=pa.array(last),
            amount_minor=pa.array(amount),
            currency="CNY",
            **payer,
        )
        paid = np.array([name != "cancel" for name in action])
        index = np.flatnonzero(paid)
        self._landing.add(
            "commerce/orders",
            source,
            order_id=ids("so", index),
            kind="membership",
            amount_minor=pa.array(np.array(amount)[index]),
            currency="CNY",
            paid_at=times(np.array(time)[index]),
            subscription_id=ids("sub-", np.array(number)[index]),
            **{name: column.take(pa.array(index)) for name, column in payer.items()},
        )

    def _subscription(
        self, rng: np.random.Generator, number: int, person: int, at: int
    ) -> list[tuple[int, int, int, str, str, date, date, int]]:
        """One subscription's records."""
        calendar = self._calendar
        plan, amount, months = PLANS[int(choose(rng, (0.55, 0.30, 0.15), 1)[0])]
        rows = []
        action = "start"
        first = calendar.first + timedelta(days=(at - calendar.start) // DAY)
        while at < calendar.end:
            last = first + timedelta(days=30 * months if months == 1 else 365)
            rows.append((at, number, person, action, plan, first, last, amount))
            end_at = calendar.start + (last - calendar.first).days * DAY
            if rng.random() < CHANGES and plan == "monthly":
                # An upgrade in mid-period starts a period of its own.
                changed_at = at + int(rng.integers(3, 20)) * DAY
                if changed_at >= calendar.end:
                    break
                plan, amount, months = PLANS[1]
                first = calendar.first + timedelta(days=(changed_at - calendar.start) // DAY)
                at, action = changed_at, "change"
                continue
            if rng.random() >= RENEWS:
                cancelled_at = at + int(rng.integers(2, 25)) * DAY
                if rng.random() < 0.6 and cancelled_at < calendar.end:
                    rows.append((cancelled_at, number, person, "cancel", plan, first, last, amount))
                break
            late = int(rng.integers(-2, 5)) * DAY + int(rng.integers(0, 20 * 3600)) * SECOND
            at = end_at + late
            first = max(last, calendar.first + timedelta(days=(at - calendar.start) // DAY))
            action = "renew"
        return rows

    def _fx_rates(self) -> None:
        """Rates of workdays alone, walking a little; from two weeks before the first day."""
        rng = self._config.rng("fx")
        calendar = self._calendar
        days = [calendar.first + timedelta(days=day) for day in range(-14, calendar.days)]
        for source in ("plaza", "wecom"):
            rows = []
            for currency, level in CURRENCIES.items():
                walk = level * np.exp(np.cumsum(rng.normal(0, 0.002, len(days))))
                rows += [
                    (day, currency, f"{rate:.6f}")
                    for day, rate in zip(days, walk, strict=True)
                    if day.weekday() < 5
                ]
            dates, currencies, rates = zip(*rows, strict=True)
            self._landing.add(
                "commerce/fx_rates",
                source,
                rate_id=ids("fx", np.arange(len(rows))),
                rate_date=pa.array(dates),
                currency=pa.array(currencies),
                rate=pa.array(rates),
            )


class _Holders:
    """Each person's first id in every source: its row (−1 for none) and registration."""

    def __init__(self, row: Ints, since: Ints) -> None:
        self.row = row
        self.since = since


def _holders(people: Population) -> _Holders:
    everyone = [*people.accounts, *people.members]
    row = np.full((len(everyone), people.n), -1)
    since = np.full((len(everyone), people.n), np.iinfo(np.int64).max)
    for number, found in enumerate(everyone):
        # Written backwards, so that the first of several ids stays.
        positions = np.arange(len(found))[::-1]
        row[number, found.person[positions]] = positions
        since[number, found.person[positions]] = found.since[positions]
    return _Holders(row, since)
