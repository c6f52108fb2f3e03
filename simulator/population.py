"""The persons: when they come, how active they are, which ids they hold and what joins them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from simulator.columns import (
    NEVER,
    Bools,
    Floats,
    Ints,
    choose,
    flags,
    ids,
    integers,
    picked,
    times,
)
from simulator.config import COMMUNITIES, PLATFORMS, SimulatorConfig
from simulator.rhythm import COMMUNITY_RHYTHM, DAY, HOUR, SECOND, Calendar, grown
from simulator.truth import Truth
from simulator.writing import Landing

TIERS: Final = ("dormant", "lurker", "active", "core")
DAILY_PRESENCE: Final = np.array([0.005, 0.15, 0.50, 0.92])
"""Chance to be in the community on an ordinary workday, by tier, before the retention curve."""
TIER_TRANSITIONS: Final = np.array(
    [
        [0.86, 0.12, 0.02, 0.00],
        [0.14, 0.78, 0.08, 0.00],
        [0.03, 0.15, 0.76, 0.06],
        [0.01, 0.02, 0.14, 0.83],
    ]
)
_FIRST_TIERS: Final = {"old": (0.26, 0.46, 0.21, 0.07), "new": (0.02, 0.62, 0.29, 0.07)}
THERE_BEFORE: Final = 0.55
"""Share of the persons who were there before the first day, with a growth of 1."""
RETENTION_FLOOR: Final = 0.60
RETENTION_DECAY: Final = 0.70
"""Presence n days after joining is multiplied by floor + (1 − floor) · (1 + n)^−decay."""
INDUSTRY_OVERLAP: Final = 0.78

GENDERS: Final = ("f", "m", "x")
REGIONS: Final = (
    "CN-BJ", "CN-SH", "CN-GD", "CN-ZJ", "CN-JS", "CN-SC", "CN-HB", "CN-SN", "CN-FJ", "CN-HN",
    "CN-SD", "CN-HA", "CN-LN", "HK", "SG-01", "US-CA", "JP-13",
)  # fmt: skip
CHANNELS: Final = ("organic", "search", "invite", "ads_feed", "ads_search", "campaign", "partner")
IDENTITY_LIMIT: Final = 20
_SHARED_PHONE_IDS: Final = 26
_FIRST_BIG_ID: Final = 2**53 + 1


@dataclass(frozen=True)
class Ids:
    """The accounts or members of one source, by position.

    `person` owns the id; `text` is the id; `since` the time of registration; `phone` and `union`
    are the keys its record holds (−1 for none).
    """

    source: str
    kind: str
    person: Ints
    text: pa.Array
    since: Ints
    has_record: Bools
    phone: Ints
    union: Ints

    def __len__(self) -> int:
        return len(self.person)


class Population:
    """All persons, by position; days count from the first simulated one."""

    def __init__(self, config: SimulatorConfig, calendar: Calendar) -> None:
        self._config = config
        self.calendar = calendar
        self.n = n = config.persons
        rng = config.rng("population")
        self.join_day = _join_days(rng, config, calendar)
        self.joined_at = calendar.start + self.join_day * DAY + rng.integers(7 * HOUR, 23 * HOUR, n)
        self.is_new = self.join_day >= 0
        self.level = rng.lognormal(-0.18, 0.6, n)
        """Number of sessions and messages relative to others of the tier (mean about 1)."""
        self.talent = 1.0 / (1.0 + rng.permutation(n)) ** 0.9
        """Zipf weights: how much each writes and is chosen for groups."""
        self.tier = self._tiers(rng)
        self.is_bot, self.is_staff, self.is_test = self._roles(rng)
        self.erased_at = np.full(n, NEVER)
        erased = np.flatnonzero(rng.random(n) < 0.006)
        day = np.maximum(self.join_day[erased], 0) + rng.integers(5, calendar.days, len(erased))
        self.erased_at[erased] = calendar.start + day * DAY + rng.integers(9 * HOUR, 18 * HOUR)
        self.erased_at[self.erased_at > calendar.end] = NEVER
        self.birth_year = np.where(
            rng.random(n) < 0.08, -1, 2026 - rng.gamma(9.0, 3.4, n).astype(np.int64).clip(12, 85)
        )
        self.gender = np.where(rng.random(n) < 0.15, -1, choose(rng, (0.49, 0.49, 0.02), n))
        self.region = choose(rng, np.arange(1.0, len(REGIONS) + 1) ** -0.8, n)
        self.channel = choose(rng, (0.30, 0.16, 0.18, 0.16, 0.08, 0.08, 0.04), n)
        self.consents = rng.random(n) < 0.62
        self._presence: tuple[int, Floats] = (-1, np.zeros(0))
        self.accounts, self.members = self._make_ids()
        self.links = self._make_links()

    def month_tier(self, day: int) -> Ints:
        """Each person's true tier (index of TIERS) in the month of a day."""
        tiers: Ints = self.tier[:, self.calendar.month_of_day[day]]
        return tiers

    def here(self, day: int) -> Bools:
        """Who has joined by a day and not asked for erasure before it ends."""
        return (self.join_day <= day) & (self.erased_at >= self.calendar.midnight(day + 1))

    def presence(self, day: int) -> Floats:
        """Each person's chance to be in a community on a day; 1 on the day of joining."""
        if self._presence[0] != day:
            age = np.maximum(day - self.join_day, 0)
            chance = DAILY_PRESENCE[self.month_tier(day)] * retention_curve(age)
            chance *= COMMUNITY_RHYTHM[self.calendar.day_types[day]]
            chance[self.is_bot] = 0.95
            chance[self.join_day == day] = 1.0
            self._presence = (day, np.where(self.here(day), chance.clip(0, 1), 0.0))
        return self._presence[1]

    def write(self, landing: Landing) -> None:
        """The `accounts`, `members` and `identity_links` logs."""
        for accounts in self.accounts:
            self._write_states(landing, accounts, "community/accounts")
        for members in self.members:
            self._write_states(landing, members, "group/members")
        links = self.links
        accounts_text = pa.concat_arrays([found.text for found in self.accounts])
        members_text = pa.concat_arrays([found.text for found in self.members])
        landing.add(
            "commerce/identity_links",
            PLATFORMS[0].name,
            link_id=ids("l", np.arange(len(links["account"]))),
            account_source=picked([s.name for s in COMMUNITIES], links["account_source"]),
            account_id=picked(accounts_text, links["account"]),
            member_source=picked([s.name for s in PLATFORMS], links["member_source"]),
            member_id=picked(members_text, links["member"]),
            action=picked(("link", "unlink"), links["action"]),
            method=picked(("login", "phone", "union_id", "manual"), links["method"]),
            occurred_at=times(links["time"]),
        )

    def tell(self, truth: Truth) -> None:
        """Persons, tiers and identities as they really are, and as the rules should see them."""
        truth.table(
            "persons",
            person=np.arange(self.n),
            joined_at=times(self.joined_at),
            join_date=pa.array(
                np.datetime64(self.calendar.first) + self.join_day.astype("timedelta64[D]")
            ),
            is_bot=self.is_bot,
            is_staff=self.is_staff,
            is_test=self.is_test,
            erased_at=times(self.erased_at),
            level=self.level,
        )
        months = [f"{year}-{month:02d}" for year, month in self.calendar.months]
        truth.table(
            "tiers",
            person=np.repeat(np.arange(self.n), len(months)),
            month=pa.array(months * self.n),
            tier=picked(TIERS, self.tier.reshape(-1)),
        )
        everyone = [*self.accounts, *self.members]
        joined = self._joined(everyone)
        begin = 0
        for found in everyone:
            registered = np.flatnonzero(found.since < self.calendar.end)
            truth.table(
                "identities",
                source=pa.repeat(found.source, len(registered)),
                id_kind=pa.repeat(found.kind, len(registered)),
                id=picked(found.text, registered),
                person=found.person[registered],
                joined_person=joined[begin + registered],
                has_record=found.has_record[registered],
            )
            begin += len(found)
        truth.fact(
            "retention",
            {
                "floor": RETENTION_FLOOR,
                "decay": RETENTION_DECAY,
                "presence_by_tier": dict(zip(TIERS, DAILY_PRESENCE.tolist(), strict=True)),
                "transitions": TIER_TRANSITIONS.tolist(),
            },
        )

    def _joined(self, everyone: list[Ids]) -> Ints:
        """The person that links and shared keys make of each id, by the contract's rules."""
        accounts = sum(len(found) for found in self.accounts)
        total = sum(len(found) for found in everyone)
        last: dict[tuple[int, int], bool] = {}
        links = self.links
        for row in np.argsort(links["time"], kind="stable"):
            pair = (int(links["account"][row]), accounts + int(links["member"][row]))
            last[pair] = links["action"][row] == 0
        edges = [pair for pair, live in last.items() if live]
        for keys in ("phone", "union"):
            values = np.concatenate(
                [np.where(found.has_record, getattr(found, keys), -1) for found in everyone]
            )
            order = np.argsort(values, kind="stable")
            order = order[values[order] >= 0]
            _, start, count = np.unique(values[order], return_index=True, return_counts=True)
            for first, size in zip(start, count, strict=True):
                if 1 < size <= IDENTITY_LIMIT:
                    edges += [
                        (int(order[first]), int(other)) for other in order[first + 1 : first + size]
                    ]
        left, right = np.array(edges or [(0, 0)]).T
        graph = coo_array((np.ones(len(left)), (left, right)), shape=(total, total))
        components: Ints = connected_components(graph, directed=False)[1].astype(np.int64)
        return components

    def _tiers(self, rng: np.random.Generator) -> Ints:
        """True tier by person and month, a Markov chain."""
        months = len(self.calendar.months)
        tier = np.zeros((self.n, months), np.int64)
        tier[:, 0] = np.where(
            self.is_new,
            choose(rng, _FIRST_TIERS["new"], self.n),
            choose(rng, _FIRST_TIERS["old"], self.n),
        )
        month_joined = self.calendar.month_of_day[self.join_day.clip(0)]
        cdf = np.cumsum(TIER_TRANSITIONS, axis=1)
        for month in range(1, months):
            before = tier[:, month - 1]
            moved = (rng.random(self.n)[:, None] > cdf[before]).sum(axis=1).clip(0, 3)
            tier[:, month] = np.where(month_joined >= month, before, moved)
        return tier

    def _roles(self, rng: np.random.Generator) -> tuple[Bools, Bools, Bools]:
        order = rng.permutation(self.n)
        sizes = [max(2, self.n * share // 1000) for share in (6, 6, 3)]
        flag = np.zeros((3, self.n), np.bool_)
        begin = 0
        for row, size in enumerate(sizes):
            flag[row, order[begin : begin + size]] = True
            begin += size
        # Bots, staff and test ids were there before the simulated days began.
        special = flag.any(axis=0)
        self.join_day[special] = -30
        self.joined_at[special] = self.calendar.midnight(-30) + 9 * HOUR
        self.is_new[special] = False
        return flag[0], flag[1], flag[2]

    def _make_ids(self) -> tuple[list[Ids], list[Ids]]:
        rng = self._config.rng("ids")
        in_source = rng.random((self.n, len(COMMUNITIES) + len(PLATFORMS))) < np.array(
            [source.share for source in (*COMMUNITIES, *PLATFORMS)]
        )
        in_source[self.is_staff, :3] = True
        in_source[~in_source.any(axis=1), 0] = True
        shares_phone = rng.random(self.n) < 0.45
        shares_union = rng.random(self.n) < 0.35
        # A relative's phone joins two persons; a shop's phone is on more ids than may be joined.
        phone_of = np.arange(self.n)
        relatives = rng.choice(self.n, max(4, self.n // 60) // 2 * 2, replace=False)
        phone_of[relatives[::2]] = relatives[1::2]
        shares_phone[relatives] = True
        accounts: list[Ids] = []
        members: list[Ids] = []
        names = [source.name for source in (*COMMUNITIES, *PLATFORMS)]
        for number, source in enumerate(names):
            is_account = number < len(COMMUNITIES)
            person = np.flatnonzero(in_source[:, number])
            second = person[rng.random(len(person)) < 0.015]
            person = np.concatenate([person, second])
            count = len(person)
            is_second = np.arange(count) >= count - len(second)
            lag = np.where(rng.random(count) < 0.5, 0, rng.exponential(9, count))
            lag = np.where(is_second, lag + 4, lag) * (number > 0)
            since = self.joined_at[person] + (lag * DAY).astype(np.int64) // SECOND * SECOND
            key = np.where(shares_phone[person] | is_second, phone_of[person], -1)
            shop = number == 0
            if shop:
                plain = np.flatnonzero((key < 0) & ~is_second)[:_SHARED_PHONE_IDS]
                key[plain] = self.n + 1
            alone = (key < 0) & (rng.random(count) < 0.5)
            key[alone] = self.n + 100 + number * 2 * self.n + np.arange(count)[alone]
            found = Ids(
                source=source,
                kind="account" if is_account else "member",
                person=person,
                text=_id_texts(source, count, rng),
                since=since,
                has_record=(since < self.calendar.end)
                & ((rng.random(count) > 0.01) | self.is_bot[person] | self.is_test[person]),
                phone=key,
                union=np.where(shares_union[person], person, -1),
            )
            (accounts if is_account else members).append(found)
        return accounts, members

    def _make_links(self) -> dict[str, Ints]:
        """Link and unlink records between a person's first account and first member id."""
        rng = self._config.rng("links")
        rows: dict[str, list[Ints]] = {
            name: []
            for name in (
                "account", "account_source", "member", "member_source", "action", "method", "time",
            )
        }  # fmt: skip
        account_base = 0
        for account_source, accounts in enumerate(self.accounts):
            member_base = 0
            for member_source, members in enumerate(self.members):
                _, account, member = np.intersect1d(
                    accounts.person, members.person, return_indices=True
                )
                chosen = rng.random(len(account)) < 0.30
                account, member = account[chosen], member[chosen]
                begin = np.maximum(accounts.since[account], members.since[member])
                linked = np.maximum(begin, self.calendar.start) + rng.integers(
                    HOUR, 6 * DAY, len(account)
                )
                linked = linked // 1000 * 1000
                unlinks = np.flatnonzero(rng.random(len(account)) < 0.08)
                relinks = unlinks[rng.random(len(unlinks)) < 0.25]
                method = rng.integers(0, 4, len(account))
                for action, row, delay in (
                    (0, np.arange(len(account)), 0),
                    (1, unlinks, 12 * DAY),
                    (0, relinks, 15 * DAY),
                ):
                    time = linked[row] + delay
                    row = row[time < self.calendar.end]
                    rows["account"].append(account_base + account[row])
                    rows["account_source"].append(np.full(len(row), account_source))
                    rows["member"].append(member_base + member[row])
                    rows["member_source"].append(np.full(len(row), member_source))
                    rows["action"].append(np.full(len(row), action))
                    rows["method"].append(method[row])
                    rows["time"].append(linked[row] + delay)
                member_base += len(members)
            account_base += len(accounts)
        return {name: np.concatenate(parts) for name, parts in rows.items()}

    def _write_states(self, landing: Landing, found: Ids, log: str) -> None:
        """First states, and later ones: new names, bots found out, consent, erasure."""
        rng = self._config.rng("states", found.source)
        alive = found.has_record & (found.since < self.calendar.end)
        first = np.flatnonzero(alive)
        person = found.person
        days = self.calendar.days
        middle = np.maximum(found.since, self.calendar.start) + rng.integers(
            1 * DAY, max(2, days - 2) * DAY, len(found)
        ) // 1000 * 1000  # fmt: skip
        middle = np.where(middle < self.calendar.end, middle, NEVER)
        changes = alive & (middle != NEVER) & (rng.random(len(found)) < 0.06)
        changes |= alive & self.is_bot[person] & (middle != NEVER)
        renamed = np.flatnonzero(changes)
        erased = np.flatnonzero(alive & (self.erased_at[person] > found.since))
        erased = erased[self.erased_at[person[erased]] != NEVER]
        for index, updated, version in (
            (first, found.since[first], 0),
            (renamed, middle[renamed], 1),
            (erased, self.erased_at[person[erased]], 2),
        ):
            self._write_state(landing, found, log, index, updated, version, changes)

    def _write_state(
        self,
        landing: Landing,
        found: Ids,
        log: str,
        index: Ints,
        updated: Ints,
        version: int,
        changes: Bools,
    ) -> None:
        person = found.person[index]
        # A bot is flagged when it is found out: at its change, or from the start.
        bot = self.is_bot[person] & ((version > 0) | ~changes[index])
        columns = {
            f"{found.kind}_id": picked(found.text, index),
            "updated_at": times(updated),
            "display_name": names(person, version),
            "phone": phones(found.phone[index]),
            "union_id": ids("union-", found.union[index]),
            "is_bot": flags(bot),
            "is_staff": flags(self.is_staff[person]),
            "is_test": flags(self.is_test[person]),
        }
        if version == 2:
            columns["erased_at"] = times(self.erased_at[person])
            columns |= {"display_name": pa.nulls(len(index), pa.string())}
        if found.kind == "account":
            columns |= {
                "registered_at": times(found.since[index]),
                "email": emails(person),
                "birth_year": integers(self.birth_year[person]),
                "gender": picked(GENDERS, self.gender[person]),
                "region": picked(REGIONS, self.region[person]),
                "acquisition_channel": picked(CHANNELS, self.channel[person]),
                "inviter_account_id": picked(
                    found.text, np.where((self.channel[person] == 2) & (index > 0), index // 2, -1)
                ),
                "consent_audience": flags(self.consents[person] ^ (version == 1)),
            }
        else:
            columns["is_kol"] = flags(self.is_kol(person))
        landing.add(log, found.source, **columns)

    def is_kol(self, person: Ints) -> Bools:
        """Key opinion leaders: the persons with the greatest talent, without the machines."""
        threshold = np.sort(self.talent)[-max(3, self.n // 60)]
        result: Bools = (self.talent[person] >= threshold) & ~self.is_bot[person]
        return result


def retention_curve(age: Ints) -> Floats:
    """What presence is multiplied by, n days after joining."""
    fading: Floats = np.power(1.0 + age, -RETENTION_DECAY)
    return RETENTION_FLOOR + (1 - RETENTION_FLOOR) * fading


def names(person: Ints, version: int) -> pa.Array:
    """Display names that are obviously made up, some of them awkward to write in CSV."""
    styles = ("示例用户", "Sample Person ", 'Sample "Quoted", ', "示例，逗号 ", "Sample\nLine ")
    style = np.where(person % 50 < 5, person % 5, person % 2)
    return pc.binary_join_element_wise(picked(styles, style), ids("", person + 1000 * version), "")


def phones(key: Ints) -> pa.Array:
    """Numbers of the unassigned 100 prefix, written in the ways people write them."""
    digits = pc.utf8_lpad(ids("", key), 8, "0")
    prefixes = picked(
        ("100", "+86 100", "0086100", "86-100", "１００"), np.where(key < 0, -1, key % 5)
    )
    return pc.binary_join_element_wise(prefixes, digits, "")


def emails(person: Ints) -> pa.Array:
    """Addresses under the reserved `invalid` domain."""
    text = pc.binary_join_element_wise(ids("user", person), "@example.invalid", "")
    return pc.if_else(pa.array(person % 9 == 0), pc.utf8_upper(text), text)


def _join_days(rng: np.random.Generator, config: SimulatorConfig, calendar: Calendar) -> Ints:
    """Many persons were there before, the others join over the days; growth with the week."""
    n = config.persons
    before = -rng.geometric(1 / 200, n)
    weight = calendar.factors(COMMUNITY_RHYTHM) * np.linspace(0.8, 1.2, calendar.days)
    share, weight = grown(THERE_BEFORE, weight, config.growth)
    during = choose(rng, weight, n)
    return np.where(rng.random(n) < share, before, during)


def _id_texts(source: str, count: int, rng: np.random.Generator) -> pa.Array:
    """Ids in the shape of each source.

    plaza, agora and telegram share one range of integers above 2^53, dealt out differently: the
    same text names different persons, and a float would merge neighbours.
    """
    if source == "wecom":
        return ids("wm", 100_000 + rng.permutation(count))
    if source == "guildhall":
        return ids("g-", 1 + rng.permutation(count))
    return ids("", _FIRST_BIG_ID + rng.permutation(count))
