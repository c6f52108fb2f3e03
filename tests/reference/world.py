"""What every reference mart starts from: current states, persons, active events, money.

Everything here follows the two contracts' text (raw logs, marts) sentence by sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

Record = Mapping[str, Any]
Records = Mapping[str, list[dict[str, Any]]]
Row = dict[str, Any]
Id = tuple[str, str, str]
"""(source, `account` or `member`, id)."""
Person = frozenset[Id]

CORES = ("community", "group", "all")
CONTRIBUTIONS = {"comment", "share", "checkin", "vote", "publish", "message", "submit"}
REACTIONS = {"like", "collect", "follow", "reaction"}
EXPONENTS = {"CNY": 2, "USD": 2, "EUR": 2, "JPY": 0, "KRW": 0, "KWD": 3, "BHD": 3}
ENTITY_KEYS = {
    "community/accounts": "account_id",
    "community/nodes": "node_id",
    "community/contents": "content_id",
    "group/groups": "group_id",
    "group/members": "member_id",
    "group/broadcasts": "broadcast_id",
    "group/scenes": "scene_id",
    "operations/experiments": "experiment_id",
}
DEFAULT_FUNNELS = {"default": (7, ["impression", "click", "group_join", "first_order"])}
DAY = timedelta(days=1)


class Open:
    """A value that the contract leaves open: equal to anything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "<open>"


OPEN = Open()


@dataclass(frozen=True)
class Parameters:
    """The settings that the marts depend on. `as_of_date` None takes the contract's default."""

    timezone: str = "Asia/Shanghai"
    as_of_date: date | None = None
    reporting_currency: str = "CNY"
    identity_max_ids: int = 20
    rfm_recency_days: int = 30
    rfm_frequency_orders: int = 2
    rfm_monetary_minor: int = 10_000
    tier_core_contribution_days: int = 7
    tier_active_days: int = 2
    creator_head_reads_28d: int = 10_000
    creator_mid_reads_28d: int = 1_000
    experiment_pre_days: int = 28
    experiment_sequential_units: int = 500
    experiment_srm_min_p: float = 0.001
    experiment_max_multi_exposed_bps: int = 100
    experiment_max_contaminated_bps: int = 500
    touch_landmark_hours: int = 48
    touch_conversion_days: int = 7
    touch_max_scenes: int = 5
    loop_supply_days: int = 14
    loop_reads_days: int = 7
    ltv_holdout_days: int = 90

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Parameters:
        """The parameters among `values`; other names are passed over."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names})


@dataclass(frozen=True)
class Activity:
    """One active event of a person that counts."""

    core: str
    source: str
    at: datetime
    day: date
    person: Person
    action: str
    content_id: str | None = None
    node_id: str | None = None
    group_id: str | None = None

    @property
    def is_contribution(self) -> bool:
        return self.action in CONTRIBUTIONS

    @property
    def is_reaction(self) -> bool:
        return self.action in REACTIONS


@dataclass(frozen=True)
class Order:
    """An order of a person that counts, with its refunds by as_of_date.

    `amount` is NULL where no rate is known; `raw_*` are in the order's own currency; `refunds`
    pairs a local date with the amount.
    """

    source: str
    order_id: str
    person: Person
    day: date
    at: datetime
    core: str
    content_id: str | None
    raw_amount: int
    raw_refunded: int
    amount: int | None
    refunds: tuple[tuple[date, int | None], ...]
    kind: str
    group_id: str | None

    @property
    def net(self) -> int:
        """Amount less refunds; what has no rate adds 0."""
        return (self.amount or 0) - self.refunded

    @property
    def refunded(self) -> int:
        return sum(amount for _, amount in self.refunds if amount is not None)


class World:
    """Accepted records under one set of parameters, as the marts see them.

    What no reference computes is taken from the warehouse: the opaque `person_ids`, the parameters
    of the `fits` of LTV models, and the declared `funnels` (name → window in days, steps).
    """

    def __init__(
        self,
        records: Records,
        parameters: Parameters,
        *,
        person_ids: Mapping[Person, str] | None = None,
        fits: Mapping[str, Row] | None = None,
        funnels: Mapping[str, tuple[int, list[str]]] | None = None,
    ) -> None:
        self.records = records
        self.parameters = parameters
        self.person_ids = person_ids or {}
        self.fits = fits or {}
        self.funnels = DEFAULT_FUNNELS if funnels is None else funnels
        self.zone = ZoneInfo(parameters.timezone)

    def log(self, name: str) -> list[dict[str, Any]]:
        """Records of a log, in any order."""
        return self.records.get(name, [])

    # Time

    def day(self, moment: datetime) -> date:
        """The business date of a moment."""
        return moment.astimezone(self.zone).date()

    def start_of(self, day: date) -> datetime:
        """The UTC moment at which a local date begins."""
        return datetime.combine(day, time.min, tzinfo=self.zone).astimezone(UTC)

    @cached_property
    def as_of(self) -> date | None:
        """The last complete local date; None when nothing says."""
        if self.parameters.as_of_date is not None:
            return self.parameters.as_of_date
        moments = [
            record["occurred_at"]
            for name in ("community/events", "group/messages")
            for record in self.log(name)
        ]
        return max((self.day(moment) for moment in moments), default=None)

    @cached_property
    def end(self) -> datetime:
        """The end of as_of_date, exclusive."""
        assert self.as_of is not None
        return self.start_of(self.as_of + DAY)

    # Entities

    def current(self, log: str) -> dict[tuple[str, str], dict[str, Any]]:
        """(source, key) → the current state: greatest updated_at, then greatest digest."""
        return self._current[log]

    @cached_property
    def _current(self) -> dict[str, dict[tuple[str, str], dict[str, Any]]]:
        found: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
        for log, key in ENTITY_KEYS.items():
            states: dict[tuple[str, str], dict[str, Any]] = {}
            for record in self.log(log):
                place = (record["source"], record[key])
                if place not in states or _version(record) > _version(states[place]):
                    states[place] = record
            found[log] = states
        return found

    # Persons

    @cached_property
    def recorded_ids(self) -> dict[Id, dict[str, Any]]:
        """Ids with an accounts or members record → the current state."""
        found: dict[Id, dict[str, Any]] = {}
        for (source, key), state in self.current("community/accounts").items():
            found[(source, "account", key)] = state
        for (source, key), state in self.current("group/members").items():
            found[(source, "member", key)] = state
        return found

    @cached_property
    def acting_ids(self) -> set[Id]:
        """Ids that act in an event, order, link or exposure."""
        found: set[Id] = set()
        for log in (
            "community/events",
            "group/memberships",
            "group/messages",
            "group/deliveries",
            "group/consults",
            "group/attendance",
            "operations/campaign_events",
            "operations/assistant_requests",
            "commerce/orders",
            "commerce/subscriptions",
        ):
            for record in self.log(log):
                for kind in ("account", "member"):
                    if record.get(f"{kind}_id") is not None:
                        found.add((record["source"], kind, record[f"{kind}_id"]))
        for content in self.current("community/contents").values():
            found.add((content["source"], "account", content["author_account_id"]))
        for link in self.log("commerce/identity_links"):
            found.update(_link_ends(link))
        for exposure in self.log("operations/exposures"):
            place = (exposure["source"], exposure["experiment_id"])
            experiment = self.current("operations/experiments").get(place)
            if experiment is not None and experiment["unit"] != "group":
                found.add((exposure["source"], experiment["unit"], exposure["unit_id"]))
        return found

    @cached_property
    def mentioned_ids(self) -> set[Id]:
        """Ids that a record names without their acting in it: owners, inviters, targets."""
        found: set[Id] = set()
        fields_of = {
            "account": ("inviter_account_id", "target_account_id", "author_account_id"),
            "member": ("inviter_member_id", "owner_member_id", "kol_member_id"),
        }
        for records in self.records.values():
            for record in records:
                for kind, names in fields_of.items():
                    for name in names:
                        if record.get(name) is not None:
                            found.add((record["source"], kind, record[name]))
                for member in record.get("mentions") or []:
                    found.add((record["source"], "member", member))
                if record.get("unit_id") is not None:
                    found.add((record["source"], "account", record["unit_id"]))
                    found.add((record["source"], "member", record["unit_id"]))
        return found

    @cached_property
    def live_links(self) -> list[tuple[Id, Id]]:
        """Pairs of account and member whose last action is `link`."""
        last: dict[tuple[Id, Id], dict[str, Any]] = {}
        for link in sorted(self.log("commerce/identity_links"), key=_order_of("link_id")):
            last[_link_ends(link)] = link
        return [ends for ends, link in last.items() if link["action"] == "link"]

    @cached_property
    def shared_keys(self) -> dict[tuple[str, str], set[Id]]:
        """(`union_id` or `phone`, value) → the ids whose current state holds it."""
        holders: dict[tuple[str, str], set[Id]] = {}
        for place, state in self.recorded_ids.items():
            union_id, phone = state.get("union_id"), normalised_phone(state.get("phone"))
            if union_id is not None:
                holders.setdefault(("union_id", union_id), set()).add(place)
            if phone is not None:
                holders.setdefault(("phone", phone), set()).add(place)
        return holders

    @cached_property
    def _person_by_id(self) -> dict[Id, Person]:
        groups = {place: {place} for place in self.recorded_ids | dict.fromkeys(self.acting_ids)}

        def join(left: Id, right: Id) -> None:
            merged = groups.setdefault(left, {left}) | groups.setdefault(right, {right})
            for place in merged:
                groups[place] = merged

        for account, member in self.live_links:
            join(account, member)
        for holders in self.shared_keys.values():
            if len(holders) <= self.parameters.identity_max_ids:
                first = min(holders)
                for place in holders:
                    join(first, place)
        return {place: frozenset(group) for place, group in groups.items()}

    def person(self, source: str, kind: str, key: str) -> Person:
        """The person of an id; an id that nothing joins is a person of its own."""
        place = (source, kind, key)
        return self._person_by_id.get(place, frozenset({place}))

    def person_of(self, record: Record) -> Person:
        """The person a record names: its account, else its member."""
        if record.get("account_id") is not None:
            return self.person(record["source"], "account", record["account_id"])
        return self.person(record["source"], "member", record["member_id"])

    @cached_property
    def persons(self) -> set[Person]:
        """Every person with a recorded or acting id."""
        return set(self._person_by_id.values())

    def _any(self, person: Person, *flags: str) -> bool:
        states = [self.recorded_ids[place] for place in person if place in self.recorded_ids]
        return any(state.get(flag) for state in states for flag in flags)

    def is_staff(self, person: Person) -> bool:
        return self._any(person, "is_staff")

    def is_excluded(self, person: Person) -> bool:
        """A bot or a test id is in the person."""
        return self._any(person, "is_bot", "is_test")

    def is_erased(self, person: Person) -> bool:
        return self._any(person, "erased_at")

    def counts(self, person: Person) -> bool:
        """Whether the person counts in measures; an erased person does."""
        return not self._any(person, "is_bot", "is_test", "is_staff")

    # Activity

    @cached_property
    def activity(self) -> list[Activity]:
        """Active events of persons that count, publishing included, of any date."""
        return [event for event in self._all_activity() if self.counts(event.person)]

    def _all_activity(self) -> Iterator[Activity]:
        for record in self.log("community/events"):
            if record["event_type"] != "impression":
                yield self._active(
                    "community",
                    record,
                    record["event_type"],
                    content_id=record.get("content_id"),
                    node_id=self.node_of(record),
                )
        for content in self.current("community/contents").values():
            author = self.person(content["source"], "account", content["author_account_id"])
            at = content["published_at"]
            yield Activity(
                "community",
                content["source"],
                at,
                self.day(at),
                author,
                "publish",
                content_id=content["content_id"],
                node_id=content["node_id"],
            )
        for record in self.log("group/messages"):
            if record["kind"] != "system":
                action = "reaction" if record["kind"] == "reaction" else "message"
                yield self._active("group", record, action, group_id=record["group_id"])
        for record in self.log("group/attendance"):
            action = "submit" if record["action"] == "submit" else "attend"
            yield self._active("group", record, action)
        for record in self.log("group/consults"):
            if record["action"] == "question":
                yield self._active("group", record, "question", group_id=record.get("group_id"))
        for record in self.log("group/deliveries"):
            if record["status"] in ("read", "click"):
                yield self._active("group", record, record["status"], group_id=record["group_id"])

    def _active(self, core: str, record: Record, action: str, **places: str | None) -> Activity:
        at = record["occurred_at"]
        person = self.person_of(record)
        return Activity(core, record["source"], at, self.day(at), person, action, **places)

    def node_of(self, event: Record) -> str | None:
        """The event's node, else its content's node."""
        if event.get("node_id") is not None:
            return str(event["node_id"])
        content = self.current("community/contents").get((event["source"], event.get("content_id")))
        return None if content is None else content["node_id"]

    def chain(self, source: str, node_id: str) -> list[str]:
        """A node and its ancestors, nearest first; ends at a missing record or a cycle."""
        found = [node_id]
        while True:
            state = self.current("community/nodes").get((source, found[-1]))
            parent = state.get("parent_node_id") if state else None
            if parent is None or parent in found:
                return found
            found.append(parent)

    @cached_property
    def first_days(self) -> dict[str, dict[Person, date]]:
        """core → person → first active date ever in it."""
        found: dict[str, dict[Person, date]] = {core: {} for core in CORES}
        for event in self.activity:
            for core in (event.core, "all"):
                known = found[core].get(event.person, event.day)
                found[core][event.person] = min(known, event.day)
        return found

    @cached_property
    def first_active_date(self) -> date | None:
        """The first active date of anybody in any core."""
        return min(self.first_days["all"].values(), default=None)

    def active_days(self, core: str) -> dict[Person, set[date]]:
        """Person → active dates in the core, up to as_of_date."""
        found: dict[Person, set[date]] = {}
        for event in self.activity:
            if core in (event.core, "all") and self.as_of is not None and event.day <= self.as_of:
                found.setdefault(event.person, set()).add(event.day)
        return found

    # Content

    def origin(self, record: Record) -> str:
        """The declared value, else the platform's label, else `unknown`."""
        return str(record.get("origin_declared") or record.get("origin_label") or "unknown")

    @cached_property
    def content_events(self) -> list[dict[str, Any]]:
        """Community events on a content by persons that count, before its deletion, in order."""
        kept = []
        for event in self.events_naming_content:
            content = self.current("community/contents").get((event["source"], event["content_id"]))
            deleted_at = content.get("deleted_at") if content else None
            if deleted_at is None or event["occurred_at"] < deleted_at:
                kept.append(event)
        return kept

    @cached_property
    def events_naming_content(self) -> list[dict[str, Any]]:
        """The same with what follows the deletion, which person measures keep."""
        kept = [
            event
            for event in self.log("community/events")
            if event.get("content_id") is not None and self.counts(self.person_of(event))
        ]
        return sorted(kept, key=_order_of("event_id"))

    @cached_property
    def publications(self) -> list[tuple[dict[str, Any], Person, date]]:
        """Contents of authors that count, published by as_of_date: content, author, date."""
        found = []
        for content in self.current("community/contents").values():
            author = self.person(content["source"], "account", content["author_account_id"])
            day = self.day(content["published_at"])
            if self.counts(author) and self.as_of is not None and day <= self.as_of:
                found.append((content, author, day))
        return found

    # Money

    def rate(self, currency: str, day: date) -> Fraction | None:
        """Reporting-currency units for one unit of the currency on a date, None if unknown."""
        if currency == self.parameters.reporting_currency:
            return Fraction(1)
        known = [
            (record["rate_date"], record["source"], record["rate_id"], record["rate"])
            for record in self.log("commerce/fx_rates")
            if record["currency"] == currency and record["rate_date"] <= day
        ]
        return Fraction(max(known)[3]) if known else None

    def converted(self, amount: int, currency: str, day: date) -> int | None:
        """Minor units of the reporting currency at a date's rate, half away from zero."""
        rate = self.rate(currency, day)
        if rate is None:
            return None
        shift = EXPONENTS[self.parameters.reporting_currency] - EXPONENTS[currency]
        return half_away(amount * rate * Fraction(10) ** shift)

    @cached_property
    def orders(self) -> list[Order]:
        """Orders of persons that count, of any date."""
        refunds: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for refund in self.log("commerce/refunds"):
            refunds.setdefault((refund["source"], refund["order_id"]), []).append(refund)
        found = []
        for order in self.log("commerce/orders"):
            person = self.person_of(order)
            if not self.counts(person):
                continue
            day, currency = self.day(order["paid_at"]), order["currency"]
            own = [
                refund
                for refund in refunds.get((order["source"], order["order_id"]), [])
                if self.as_of is not None and self.day(refund["refunded_at"]) <= self.as_of
            ]
            found.append(
                Order(
                    source=order["source"],
                    order_id=order["order_id"],
                    person=person,
                    day=day,
                    at=order["paid_at"],
                    core="community" if order.get("group_id") is None else "group",
                    content_id=order.get("content_id"),
                    raw_amount=order["amount_minor"],
                    raw_refunded=sum(refund["amount_minor"] for refund in own),
                    amount=self.converted(order["amount_minor"], currency, day),
                    refunds=tuple(
                        (
                            self.day(refund["refunded_at"]),
                            self.converted(refund["amount_minor"], currency, day),
                        )
                        for refund in own
                    ),
                    kind=order["kind"],
                    group_id=order.get("group_id"),
                )
            )
        return found


def half_away(value: Fraction) -> int:
    """Rounded to an integer, halves away from zero."""
    whole = int(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole


def normalised_phone(text: str | None) -> str | None:
    """Digits only, without an international prefix or China's code; None below 7 digits."""
    if text is None:
        return None
    folded = "".join(
        chr(ord(sign) - 0xFEE0) if "\uff10" <= sign <= "\uff19" else sign for sign in text
    )
    digits = "".join(sign for sign in folded if sign in "0123456789")
    if digits.startswith("00"):
        digits = digits[2:]
    if len(digits) == 13 and digits.startswith("86"):
        digits = digits[2:]
    return digits if len(digits) >= 7 else None


def days_between(first: date, last: date) -> Iterator[date]:
    """Every date from first to last, both included."""
    day = first
    while day <= last:
        yield day
        day += DAY


def monday(day: date) -> date:
    """The Monday of a date's week."""
    return day - timedelta(days=day.weekday())


def month_of(day: date) -> date:
    """The first day of a date's month."""
    return day.replace(day=1)


def next_month(day: date) -> date:
    """The first day of the month after a date's."""
    return month_of(month_of(day) + timedelta(days=31))


def months_between(first: date, last: date) -> Iterator[date]:
    """The first days of all months from first's to last's."""
    month = month_of(first)
    while month <= last:
        yield month
        month = next_month(month)


def _version(state: Record) -> tuple[datetime, str]:
    return (state["updated_at"], state.get("_state_sha256") or "")


def _order_of(key: str) -> Any:
    return lambda record: (record["occurred_at"], record["source"], record[key])


def in_order(records: Iterable[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Records by (occurred_at, source, id): the order in which ties are broken everywhere."""
    return sorted(records, key=_order_of(key))


def _link_ends(link: Record) -> tuple[Id, Id]:
    return (
        (link["account_source"], "account", link["account_id"]),
        (link["member_source"], "member", link["member_id"]),
    )
