"""What the operators do: campaigns, experiments, the assistant and what they spend."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from simulator.columns import (
    NEVER,
    Bools,
    Floats,
    Ints,
    choose,
    earlier_first,
    ids,
    integers,
    picked,
    spread,
    times,
)
from simulator.config import COMMUNITIES, PLATFORMS, SimulatorConfig
from simulator.population import CHANNELS, Ids, Population
from simulator.rhythm import DAY, HOUR, SECOND, Calendar
from simulator.truth import Truth
from simulator.writing import Landing

CAMPAIGN_ACTIONS: Final = ("target", "participate", "invite", "accept", "checkin", "complete")
CLICK_LIFT: Final = 0.15
VALUE_LIFT: Final = 0.30
INVITES_PER_PARTICIPANT: Final = 2.4
ACCEPTANCE: Final = 0.30
RECRUITS_PER_GROUP: Final = {"pack-1": 5.0, "pack-2": 0.0}
"""Packs tried on half of the groups, and the members that each brings a group on average."""
_GENERATIONS: Final = 6
_CAMPAIGN_DAYS: Final = 24


@dataclass(frozen=True)
class Campaign:
    """A campaign of one source; `number` makes its id (`k<number>`)."""

    number: int
    source: str
    kind: str
    first_day: int
    last_day: int

    def runs(self, day: int) -> bool:
        """Whether the campaign is on at a day."""
        return self.first_day <= day <= self.last_day


def make_campaigns(calendar: Calendar) -> list[Campaign]:
    """Fission on the group platforms, themes and daily check-ins everywhere."""
    days = calendar.days
    plan = [
        ("plaza", "theme", 0.15),
        ("plaza", "daily", 0.05),
        ("agora", "theme", 0.45),
        ("wecom", "fission", 0.10),
        ("wecom", "fission", 0.45),
        ("wecom", "daily", 0.20),
        ("telegram", "fission", 0.25),
        ("guildhall", "theme", 0.35),
    ]
    return [
        Campaign(
            number=number,
            source=source,
            kind=kind,
            first_day=int(days * begin),
            last_day=min(int(days * begin) + _CAMPAIGN_DAYS, days - 1),
        )
        for number, (source, kind, begin) in enumerate(plan, start=1)
    ]


@dataclass
class Experiment:
    """An experiment with known effects: the multiplier of click rate and of order amounts by arm.

    `arms` is the arm of every person, or of every group for a unit of groups.
    """

    id: str
    source: str
    unit: str
    weights: dict[str, int]
    click_lift: Floats
    value_lift: Floats
    first_day: int
    last_day: int
    arms: Ints
    landing: Landing
    exposures: int = 0
    _seen: Bools | None = None

    @property
    def variants(self) -> list[str]:
        """Names of the arms; the first is the control."""
        return list(self.weights)

    def runs(self, day: int) -> bool:
        """Whether the experiment is on at a day."""
        return self.first_day <= day <= self.last_day

    def expose(
        self, rng: np.random.Generator, texts: pa.Array, units: Ints, arms: Ints, at: Ints
    ) -> None:
        """Write exposures one second before `at`: a unit's first, and some of the later ones.

        A few units get a wrong arm now and then.
        """
        if self._seen is None:
            self._seen = np.zeros(len(texts), np.bool_)
        again = rng.random(len(units)) < 0.3
        shown_now = np.flatnonzero(again | ~self._seen[units])
        units, arms, at = units[shown_now], arms[shown_now], at[shown_now]
        self._seen[units] = True
        wrong = rng.random(len(units)) < 0.001
        shown = np.where(wrong, (arms + 1) % 2, arms)
        number = self.exposures + np.arange(len(units))
        self.exposures += len(units)
        self.landing.add(
            "operations/exposures",
            self.source,
            event_id=ids(f"{self.id}-", number),
            experiment_id=self.id,
            variant=picked(self.variants, shown),
            unit_id=picked(texts, units),
            occurred_at=times(at - SECOND),
        )


def make_experiments(
    config: SimulatorConfig, calendar: Calendar, landing: Landing, people: Population
) -> list[Experiment]:
    """One lift of clicks, one of order value, an A/A test, a broken split, and groups as units.

    Two packs have a hold-out of groups: one brings members, one brings nobody.
    """
    days, n = calendar.days, people.n
    even = {"control": 1, "treatment": 1}
    held_out = {"holdout": 1, "pack": 1}
    none = np.ones(2)
    plan = [
        ("x-ranker", "plaza", "account", even, np.array([1.0, 1 + CLICK_LIFT]), none, 0.20, 0.5),
        ("x-offer", "plaza", "account", even, none, np.array([1.0, 1 + VALUE_LIFT]), 0.30, 0.5),
        ("x-aa", "agora", "account", even | {"paused": 0}, np.ones(3), np.ones(3), 0.10, 0.5),
        ("x-broken", "agora", "account", even, none, none, 0.35, 0.5),
        ("x-greeting", "wecom", "member", even, none, none, 0.25, 0.5),
        ("x-host", "wecom", "group", even, none, none, 0.30, 0.5),
        ("pack-1", "wecom", "group", held_out, none, none, 0.20, 0.5),
        ("pack-2", "guildhall", "group", held_out, none, none, 0.20, 0.5),
    ]
    experiments = []
    for name, source, unit, weights, click_lift, value_lift, begin, length in plan:
        rng = config.rng("experiment", name)
        share = 0.60 if name == "x-broken" else 0.5
        experiments.append(
            Experiment(
                id=name,
                source=source,
                unit=unit,
                weights=weights,
                click_lift=click_lift,
                value_lift=value_lift,
                first_day=int(days * begin),
                last_day=int(days * (begin + length)),
                arms=(rng.random(n) < share).astype(np.int64),
                landing=landing,
            )
        )
    return experiments


class AssistantDesk:
    """The AI assistant of all sources: one record a request."""

    def __init__(self, landing: Landing) -> None:
        self._landing = landing
        self._next: Counter[str] = Counter()

    def ask(
        self,
        rng: np.random.Generator,
        source: str,
        kind: str,
        texts: pa.Array,
        who: Ints,
        at: Ints,
        groups: Ints | None = None,
        outcome: Ints | None = None,
    ) -> Ints:
        """Write requests of accounts or members; returns their session numbers."""
        number = self._next[source] + np.arange(len(who))
        self._next[source] += len(who)
        if outcome is None:
            outcome = choose(rng, (0.88, 0.08, 0.04), len(who))
        latency = (rng.lognormal(7.0, 0.6, len(who))).clip(80, 60_000).astype(np.int64)
        person = {f"{kind}_id": picked(texts, who)}
        if groups is not None:
            person["group_id"] = ids("gr", groups)
        self._landing.add(
            "operations/assistant_requests",
            source,
            request_id=ids("q", number),
            surface="community" if kind == "account" else "group",
            occurred_at=times(at),
            latency_ms=integers(np.where(outcome == 2, -1, latency)),
            outcome=picked(("answered", "handoff", "failed"), outcome),
            intent=picked(("howto", "order", "content", "other"), rng.integers(0, 4, len(who))),
            **person,
        )
        return number


@dataclass(frozen=True)
class FissionJoins:
    """Members who came through a fission campaign, to be made members of its group."""

    campaign: Campaign
    member: Ints
    inviter: Ints
    time: Ints


class CampaignLog:
    """Writes `campaigns` and `campaign_events`, and keeps what is true of them."""

    def __init__(
        self, config: SimulatorConfig, calendar: Calendar, landing: Landing, truth: Truth
    ) -> None:
        self._config = config
        self._calendar = calendar
        self._landing = landing
        self._truth = truth
        self._next: Counter[str] = Counter()

    def write_plans(self, campaigns: list[Campaign], experiments: list[Experiment]) -> None:
        """The `campaigns` and `experiments` logs."""
        for campaign in campaigns:
            for updated, suffix in ((campaign.first_day - 5, ""), (campaign.last_day, " 已结束")):
                self._landing.add(
                    "operations/campaigns",
                    campaign.source,
                    campaign_id=ids("k", np.array([campaign.number])),
                    updated_at=times(np.array([self._calendar.midnight(updated)])),
                    kind=campaign.kind,
                    starts_at=times(np.array([self._calendar.midnight(campaign.first_day)])),
                    ends_at=times(np.array([self._calendar.midnight(campaign.last_day + 1)])),
                    name=f"{campaign.kind} {campaign.number}{suffix}",
                )
        for experiment in experiments:
            self._landing.add(
                "operations/experiments",
                experiment.source,
                experiment_id=pa.array([experiment.id]),
                updated_at=times(np.array([self._calendar.midnight(experiment.first_day - 1)])),
                unit=experiment.unit,
                starts_at=times(np.array([self._calendar.midnight(experiment.first_day)])),
                ends_at=times(np.array([self._calendar.midnight(experiment.last_day + 1)])),
                variants=str(experiment.weights).replace("'", '"'),
                hypothesis=f"{experiment.id} changes what it is meant to change",
            )

    def add(self, source: str, campaign: Ints, action: Ints, at: Ints, **columns: pa.Array) -> None:
        """Write campaign events that happen before the calendar ends."""
        kept = np.flatnonzero(at < self._calendar.end)
        number = self._next[source] + np.arange(len(kept))
        self._next[source] += len(kept)
        self._landing.add(
            "operations/campaign_events",
            source,
            event_id=ids("ce", number),
            campaign_id=ids("k", campaign[kept]),
            action=picked(CAMPAIGN_ACTIONS, action[kept]),
            occurred_at=times(at[kept]),
            **{name: column.take(pa.array(kept)) for name, column in columns.items()},
        )

    def run_without_invites(self, campaign: Campaign, found: Ids, can_act: Bools) -> None:
        """A theme or daily campaign: targets, participants, their check-ins and completions."""
        rng = self._config.rng("campaign", campaign.number)
        start = self._calendar.midnight(campaign.first_day)
        ready = np.flatnonzero(can_act & (found.since < start))
        targets = ready[rng.random(len(ready)) < 0.4]
        takes = targets[rng.random(len(targets)) < 0.25]
        joined = start + (rng.exponential(4 * DAY, len(takes))).astype(np.int64)
        days = np.where(campaign.kind == "daily", rng.integers(1, _CAMPAIGN_DAYS, len(takes)), 0)
        owner, ordinal = spread(days)
        shows_up = rng.random(len(owner)) < 0.8
        owner, ordinal = owner[shows_up], ordinal[shows_up]
        done = np.flatnonzero(rng.random(len(takes)) < 0.4)
        who = np.concatenate([targets, takes, takes[owner], takes[done]])
        action = np.repeat(
            [0, 1, 4, 5], [len(targets), len(takes), len(owner), len(done)]
        )  # fmt: skip
        at = np.concatenate(
            [
                start + rng.integers(0, 12 * HOUR, len(targets)),
                joined,
                joined[owner] + ordinal * DAY + rng.integers(0, 3 * HOUR, len(owner)),
                joined[done] + 6 * DAY,
            ]
        )
        at = at // 1000 * 1000
        order = np.argsort(at, kind="stable")
        self.add(
            campaign.source,
            np.full(len(order), campaign.number),
            action[order],
            at[order],
            **{f"{found.kind}_id": picked(found.text, who[order])},
        )

    def run_fission(
        self, campaign: Campaign, members: Ids, can_act: Bools, group: int
    ) -> FissionJoins:
        """An invite tree of known K = invites per participant × acceptance."""
        rng = self._config.rng("campaign", campaign.number)
        start = self._calendar.midnight(campaign.first_day)
        pool = rng.permutation(np.flatnonzero(can_act & (members.since < start)))
        targets, strangers = pool[: len(pool) // 4], pool[len(pool) // 4 :]
        seeds = targets[rng.random(len(targets)) < 0.25]
        tree = _Tree()
        tree.add("target", targets, start + rng.integers(0, HOUR, len(targets)))
        _grow(rng, tree, seeds, start + rng.integers(HOUR, 2 * DAY, len(seeds)), strangers)
        who, action, inviter, at = tree.in_order()
        self.add(
            campaign.source,
            np.full(len(who), campaign.number),
            action,
            at,
            member_id=picked(members.text, who),
            inviter_member_id=picked(members.text, inviter),
            group_id=ids("gr", np.where(inviter >= 0, group, -1)),
        )
        happened = Counter(action[at < self._calendar.end].tolist())
        self._truth.table(
            "fission",
            source=[campaign.source],
            campaign_id=[f"k{campaign.number}"],
            participants=[happened[CAMPAIGN_ACTIONS.index("participate")]],
            invites=[happened[CAMPAIGN_ACTIONS.index("invite")]],
            accepted=[happened[CAMPAIGN_ACTIONS.index("accept")]],
            k=[INVITES_PER_PARTICIPANT * ACCEPTANCE],
        )
        came = inviter >= 0
        return FissionJoins(campaign, who[came], inviter[came], at[came] + 5 * SECOND)


class _Tree:
    """A campaign's events as they grow; −1 for no inviter."""

    def __init__(self) -> None:
        self._parts: list[tuple[Ints, Ints, Ints, Ints]] = []

    def add(self, action: str, who: Ints, at: Ints, inviter: Ints | None = None) -> None:
        codes = np.full(len(who), CAMPAIGN_ACTIONS.index(action))
        nobody = np.full(len(who), -1)
        self._parts.append((who, codes, nobody if inviter is None else inviter, at))

    def in_order(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Who, action, inviter and time, by time."""
        columns = [np.concatenate(column) for column in zip(*self._parts, strict=True)]
        at = columns[3] // 1000 * 1000
        order = earlier_first(at)
        return columns[0][order], columns[1][order], columns[2][order], at[order]


def _grow(rng: np.random.Generator, tree: _Tree, seeds: Ints, at: Ints, strangers: Ints) -> None:
    """Generations of invitations to strangers.

    At last one descendant's invitation goes back to its own seed: a cycle that counting has to
    cut.
    """
    wave, root = seeds, seeds
    cycle = None
    for _ in range(_GENERATIONS):
        tree.add("participate", wave, at)
        inviter, _ = spread(rng.poisson(INVITES_PER_PARTICIPANT, len(wave)))
        sent = at[inviter] + rng.integers(0, 20 * HOUR, len(inviter))
        tree.add("invite", wave[inviter], sent)
        yes = np.flatnonzero(rng.random(len(inviter)) < ACCEPTANCE)[: len(strangers)]
        came, strangers = strangers[: len(yes)], strangers[len(yes) :]
        came_at = sent[yes] + rng.integers(60 * SECOND, 20 * HOUR, len(yes))
        tree.add("accept", came, came_at, inviter=wave[inviter[yes]])
        if len(came) == 0:
            break
        cycle = (root[inviter[yes]][:1], came[:1], came_at[:1] + 2 * HOUR)
        takes_part = rng.random(len(came)) < 0.75
        wave, root = came[takes_part], root[inviter[yes]][takes_part]
        at = came_at[takes_part] + HOUR
    if cycle is not None:
        seed, descendant, closed_at = cycle
        tree.add("accept", seed, closed_at, inviter=descendant)


def write_spend(
    config: SimulatorConfig, calendar: Calendar, landing: Landing, campaigns: list[Campaign]
) -> None:
    """The `spend` log: channels daily, campaigns while they run, packs, groups and contents."""
    rng = config.rng("spend")
    targets = ("channel", "campaign", "pack", "group", "content")
    day0 = np.datetime64(calendar.first)
    for source in (*COMMUNITIES, *PLATFORMS):
        rows: list[tuple[int, int, str]] = []
        for day in range(calendar.days):
            rows += [(day, 0, CHANNELS[channel]) for channel in (3, 4)]
            rows += [
                (day, 1, f"k{c.number}")
                for c in campaigns
                if c.source == source.name and c.runs(day)
            ]
            if day % 7 == 2:
                rows += [(day, 2, f"pack-{1 + day // 28}"), (day, 3, f"gr{day // 7}")]
                rows += [(day, 4, f"t{day}")]
        day_of, target, target_id = zip(*rows, strict=True)
        count = len(rows)
        landing.add(
            "operations/spend",
            source.name,
            spend_id=ids("sp", np.arange(count)),
            spent_on=pa.array(day0 + np.array(day_of).astype("timedelta64[D]")),
            target=picked(targets, np.array(target)),
            target_id=pa.array(target_id),
            amount_minor=integers(rng.gamma(2.0, 8000, count).astype(np.int64)),
            currency=picked(source.currencies, rng.integers(0, len(source.currencies), count)),
        )


def write_pack_spend(
    config: SimulatorConfig,
    calendar: Calendar,
    landing: Landing,
    experiment: Experiment,
    groups: Ints,
    currencies: tuple[str, ...],
) -> None:
    """What recruiting costs while a pack is tried: the same for a group of either arm."""
    rng = config.rng("pack spend", experiment.id)
    day = np.datetime64(calendar.first) + np.timedelta64(experiment.first_day + 1, "D")
    landing.add(
        "operations/spend",
        experiment.source,
        spend_id=ids(f"sp-{experiment.id}-", groups),
        spent_on=pa.array(np.full(len(groups), day)),
        target="group",
        target_id=ids("gr", groups),
        amount_minor=integers(rng.gamma(20.0, 1000, len(groups)).astype(np.int64)),
        currency=currencies[0],
    )


def tell_experiments(truth: Truth, experiments: list[Experiment]) -> None:
    """Known effects of every arm."""
    for experiment in experiments:
        for number, name in enumerate(experiment.variants):
            truth.table(
                "experiments",
                source=[experiment.source],
                experiment_id=[experiment.id],
                unit=[experiment.unit],
                arm=[number],
                variant=[name],
                click_lift=[float(experiment.click_lift[number] - 1)],
                value_lift=[float(experiment.value_lift[number] - 1)],
                is_broken=[experiment.id == "x-broken"],
            )


def end_or_never(values: Ints, calendar: Calendar) -> Ints:
    """Times, NEVER where they lie beyond the calendar."""
    return np.where(values < calendar.end, values, NEVER)
