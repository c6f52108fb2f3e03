"""One community: its nodes, its contents, and what its accounts do on each day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from simulator.columns import (
    NEVER,
    Bools,
    Floats,
    Ints,
    Store,
    choose,
    earlier_first,
    flags,
    ids,
    integers,
    picked,
    spread,
    times,
)
from simulator.config import CommunitySource, SimulatorConfig
from simulator.operations import AssistantDesk, Campaign, Experiment
from simulator.population import Ids, Population
from simulator.rhythm import DAY, HOUR, SECOND, Calendar
from simulator.truth import Truth
from simulator.writing import Landing

EVENT_TYPES: Final = (
    "impression", "click", "read", "like", "unlike", "comment", "share", "collect", "follow",
    "unfollow", "search", "checkin", "vote", "space_enter", "space_exit",
)  # fmt: skip
KINDS: Final = ("article", "question", "answer", "video", "post", "comment")
ORIGINS: Final = ("pgc", "ugc", "agc", "ai_assisted")
TOPICS: Final = (
    "career", "reading", "parenting", "fitness", "photography", "coding", "finance", "travel",
    "cooking", "film", "gaming", "health",
)  # fmt: skip
CLICK_RATE: Final = np.array([0.16, 0.12, 0.07, 0.10])
"""Chance that an impression in the first position is clicked, by true origin."""
POSITION_FACTOR: Final = 1.0 / (1.0 + 0.06 * np.arange(30))
_PLATFORMS: Final = ("ios", "android", "web", "mini", "other")
_QUERIES: Final = (
    "怎么写简历",
    "入门 书单",
    "how to start",
    "sample query",
    "周末去哪",
    "best lens",
)
# Means by tier: dormant, lurker, active, core.
_EXTRA_SESSIONS: Final = np.array([0.1, 0.3, 0.8, 1.6])
_FEED_LENGTH: Final = np.array([2.2, 3.0, 3.7, 4.3])
_REACTS: Final = np.array([0.0, 0.0015, 0.45, 0.65])
_CONTRIBUTES: Final = np.array([0.0, 0.001, 0.08, 0.62])
_POOL_DAYS: Final = 14
_UNANSWERED: Final = 0.22
_GOVERNANCE_CIRCLE: Final = "c-dao"
_SPACE_CIRCLE: Final = "c-hall"
_DELETED: Final = 0.02


@dataclass(frozen=True)
class _Nodes:
    ids: list[str]
    levels: list[str]
    parents: list[str | None]
    circles: list[int]


def _make_nodes() -> _Nodes:
    """A platform, six channels, five circles each, and two circles inside other circles."""
    rows: list[tuple[str, str, str | None]] = [("root", "platform", None)]
    for channel in range(6):
        rows.append((f"ch{channel}", "channel", "root"))
        rows += [(f"c{channel}-{circle}", "circle", f"ch{channel}") for circle in range(5)]
    rows += [("c0-0-a", "circle", "c0-0"), ("c1-0-a", "circle", "c1-0")]
    rows += [(_GOVERNANCE_CIRCLE, "circle", "ch5"), (_SPACE_CIRCLE, "circle", "ch5")]
    # Its channel is in no record: chains of parents may end anywhere.
    rows.append(("c-lost", "circle", "ch-unknown"))
    names, levels, parents = map(list, zip(*rows, strict=True))
    circles = [i for i, level in enumerate(levels) if level == "circle"]
    return _Nodes(names, levels, parents, circles)


class _Batch:
    """A day's events in pieces; fields that a piece does not give are −1."""

    FIELDS: Final = (
        "account", "type", "time", "content", "node", "target", "impression", "dwell", "query",
        "topic", "position", "campaign", "assistant", "platform",
    )  # fmt: skip

    def __init__(self) -> None:
        self._pieces: list[dict[str, Ints]] = []
        self.rows = 0

    def add(self, kind: str, account: Ints, time: Ints, **fields: Ints | int) -> None:
        """Append events of one type."""
        rows = len(account)
        values: dict[str, Any] = {"account": account, "time": time}
        values |= {"type": EVENT_TYPES.index(kind)} | fields
        self._pieces.append(
            {name: np.broadcast_to(values.get(name, -1), (rows,)) for name in self.FIELDS}
        )
        self.rows += rows

    def in_order(self) -> dict[str, Ints]:
        """Columns in time order; `impression` becomes a position in that order."""
        columns = {
            name: np.concatenate([piece[name] for piece in self._pieces]) for name in self.FIELDS
        }
        order = earlier_first(columns["time"])
        columns = {name: column[order] for name, column in columns.items()}
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        linked = columns["impression"] >= 0
        columns["impression"][linked] = place[columns["impression"][linked]]
        return columns


class Community:
    """Simulates one community source day by day.

    `today` holds each account's chance to be active on the day simulated last, and who was.
    """

    def __init__(
        self,
        config: SimulatorConfig,
        source: CommunitySource,
        people: Population,
        accounts: Ids,
        landing: Landing,
        experiments: Sequence[Experiment],
        campaigns: Sequence[Campaign],
        desk: AssistantDesk,
    ) -> None:
        self._config = config
        self._calendar: Calendar = people.calendar
        self.source = source
        self._people = people
        self.accounts = accounts
        self._landing = landing
        self._experiments = experiments
        self._campaigns = campaigns
        self._desk = desk
        self._nodes = _make_nodes()
        self.contents = Store(
            "author", "node", "kind", "published", "origin", "shown_origin", "quality", "topic",
            "paid", "parent",
        )  # fmt: skip
        self._first_content_of_day: list[int] = []
        self._next_event = 1
        self.today: tuple[Floats, Ints] = (np.zeros(len(accounts)), np.zeros(0, np.int64))
        self._ctr = np.zeros((len(ORIGINS) + 1, 3))
        self._arm_ctr: dict[tuple[str, int], Floats] = {}
        rng = config.rng("community", source.name)
        person = accounts.person
        self._platform = choose(rng, (0.3, 0.4, 0.12, 0.15, 0.03), len(accounts))
        self._home = rng.choice(self._nodes.circles, len(accounts))
        # A fifth of the persons ever write; a few of them write most.
        writes = (rng.random(len(accounts)) < 0.2) & ~people.is_bot[person]
        self._writing = np.where(writes, people.talent[person] ** 0.7, 0.0)
        self._writing *= 0.011 * len(accounts) / max(self._writing.sum(), 1e-9)

    def open(self) -> None:
        """Write the nodes, and the editors' contents that the first day finds."""
        nodes, calendar = self._nodes, self._calendar
        rows = len(nodes.ids)
        names = [f"{self.source.name} {name}" for name in nodes.ids]
        for part, updated, suffix in (
            (np.arange(rows), calendar.midnight(-200), ""),
            (np.array([2, 9]), calendar.midnight(calendar.days // 3) + 10 * HOUR, " (renamed)"),
        ):
            self._landing.add(
                "community/nodes",
                self.source.name,
                node_id=picked(nodes.ids, part),
                updated_at=times(np.full(len(part), updated)),
                level=picked(nodes.levels, part),
                parent_node_id=picked(pa.array(nodes.parents, pa.string()), part),
                name=picked([name + suffix for name in names], part),
            )
        rng = self._config.rng("editors", self.source.name)
        editors = np.flatnonzero(self._people.is_staff[self.accounts.person])
        count = 60
        self._publish(
            rng,
            author=rng.choice(editors, count),
            published=calendar.midnight(-1) + rng.integers(9 * HOUR, 18 * HOUR, count),
            kind=choose(rng, (0.7, 0, 0, 0.3), count),
            origin=np.zeros(count, np.int64),
            parent=np.full(count, -1),
        )

    def day(self, day: int) -> int:
        """Simulate one day; returns how many events and contents it gave."""
        rng = self._config.rng("community", self.source.name, day)
        people, accounts = self._people, self.accounts
        before = self.contents.rows
        self._first_content_of_day.append(before)
        midnight = self._calendar.midnight(day)
        registered_today = (accounts.since >= midnight) & (accounts.since < midnight + DAY)
        chance = people.presence(day)[accounts.person] * self.source.intensity
        chance[accounts.since >= midnight] = 0.0
        chance[registered_today & people.here(day)[accounts.person]] = 1.0
        active = np.flatnonzero(rng.random(len(accounts)) < chance)
        self.today = (chance, active)
        if len(active) == 0:
            return 0
        tier = people.month_tier(day)[accounts.person[active]]
        earliest = np.where(registered_today[active], accounts.since[active], midnight)
        batch = _Batch()
        feed = self._sessions(rng, day, batch, active, tier, earliest)
        self._reactions(rng, batch, active, tier, feed)
        self._contributions(rng, batch, active, tier, feed)
        self._publish_day(rng, day, active, tier, feed)
        self._write_events(day, batch)
        return batch.rows + self.contents.rows - before

    def campaign_of_day(self, rng: np.random.Generator, day: int, count: int, share: float) -> Ints:
        """Numbers of running campaigns for a share of `count` records, else −1."""
        running = [campaign.number for campaign in self._campaigns if campaign.runs(day)]
        if not running:
            return np.full(count, -1)
        return np.where(rng.random(count) < share, rng.choice(running, count), -1)

    def tell(self, truth: Truth) -> None:
        """Click rates by origin and by experiment arm: impressions, expected and true clicks."""
        for origin, (impressions, expected, clicks) in zip(
            (*ORIGINS, "unknown"), self._ctr, strict=True
        ):
            truth.table(
                "click_rates",
                source=[self.source.name],
                origin=[origin],
                impressions=[int(impressions)],
                expected_clicks=[float(expected)],
                clicks=[int(clicks)],
            )
        for (experiment, arm), (impressions, expected, clicks) in self._arm_ctr.items():
            truth.table(
                "click_rates_by_arm",
                source=[self.source.name],
                experiment_id=[experiment],
                arm=[arm],
                impressions=[int(impressions)],
                expected_clicks=[float(expected)],
                clicks=[int(clicks)],
            )

    def _sessions(
        self,
        rng: np.random.Generator,
        day: int,
        batch: _Batch,
        active: Ints,
        tier: Ints,
        earliest: Ints,
    ) -> dict[str, Ints]:
        """Feeds with clicks and reads, searches and visits.

        Returns the impressions (content, time) and each active account's range of them.
        """
        level = self._people.level[self.accounts.person[active]] * self._config.activity
        is_bot = self._people.is_bot[self.accounts.person[active]]
        sessions = 1 + rng.poisson(_EXTRA_SESSIONS[tier] * level * np.where(is_bot, 4, 1))
        owner, _ = spread(sessions)
        start = np.maximum(
            self._calendar.hours(rng, day, len(owner)),
            earliest[owner] + rng.integers(5, 90, len(owner)) * SECOND,
        )
        account = active[owner]
        lift = self._expose(rng, day, account, start)
        count = rng.geometric(1 / _FEED_LENGTH[tier[owner]])
        shown_in, position = spread(count)
        gap = rng.integers(4_000, 18_000, len(shown_in)) * 1000
        walked = np.cumsum(gap)
        walked -= np.repeat((walked - gap)[np.cumsum(count) - count], count)
        pool, popularity = self._pool(day)
        content = pool[choose(rng, popularity, len(shown_in))]
        shown_at = start[shown_in] + walked
        store = self.contents
        viewer = account[shown_in]
        platform = self._platform[viewer]
        batch.add(
            "impression", viewer, shown_at, content=content, position=position.clip(0, 29),
            platform=platform,
        )  # fmt: skip
        origin = store["origin"][content]
        chance = CLICK_RATE[origin] * POSITION_FACTOR[position.clip(0, 29)] * lift[shown_in]
        clicked = np.flatnonzero(rng.random(len(content)) < chance)
        self._count_clicks(store["shown_origin"][content], chance, clicked, account, shown_in, day)
        clicked_at = shown_at[clicked] + rng.integers(900, 25_000, len(clicked)) * 1000
        campaign = self.campaign_of_day(rng, day, len(clicked), 0.04)
        batch.add(
            "click", viewer[clicked], clicked_at, content=content[clicked], impression=clicked,
            platform=platform[clicked], campaign=campaign,
        )  # fmt: skip
        self._reads(rng, batch, viewer[clicked], clicked_at, content[clicked])
        self._detours(rng, day, batch, account, start, pool, popularity)
        shown = np.bincount(owner[shown_in], minlength=len(active))
        return {
            "content": content,
            "time": shown_at,
            "first": np.cumsum(shown) - shown,
            "shown": shown,
        }

    def _reads(
        self,
        rng: np.random.Generator,
        batch: _Batch,
        account: Ints,
        clicked_at: Ints,
        content: Ints,
    ) -> None:
        stays = np.flatnonzero(rng.random(len(account)) < 0.85)
        dwell = rng.lognormal(3.4, 1.0, len(stays)).clip(1, 3600) * 1000
        batch.add(
            "read", account[stays], clicked_at[stays] + SECOND, content=content[stays],
            dwell=dwell.astype(np.int64), platform=self._platform[account[stays]],
        )  # fmt: skip

    def _detours(
        self,
        rng: np.random.Generator,
        day: int,
        batch: _Batch,
        account: Ints,
        start: Ints,
        pool: Ints,
        popularity: Floats,
    ) -> None:
        """Searches, clicks without an impression, and visits of the virtual space."""
        searches = np.flatnonzero(rng.random(len(account)) < 0.10)
        topic = rng.integers(0, len(TOPICS), len(searches))
        asks = rng.random(len(searches)) < 0.12
        session = self._desk.ask(
            rng, self.source.name, "account", self.accounts.text, account[searches][asks],
            start[searches][asks],
        )  # fmt: skip
        assistant = np.full(len(searches), -1)
        assistant[asks] = session
        batch.add(
            "search", account[searches], start[searches], topic=topic, assistant=assistant,
            query=rng.integers(0, len(_QUERIES), len(searches)),
        )  # fmt: skip
        direct = np.flatnonzero(rng.random(len(account)) < 0.02)
        at = start[direct] + rng.integers(0, 300, len(direct)) * SECOND
        content = pool[choose(rng, popularity, len(direct))]
        batch.add("click", account[direct], at, content=content)
        self._reads(rng, batch, account[direct], at, content)
        visits = np.flatnonzero(rng.random(len(account)) < 0.02)
        entered = start[visits] + rng.integers(0, 600, len(visits)) * SECOND
        space = self._nodes.ids.index(_SPACE_CIRCLE)
        batch.add("space_enter", account[visits], entered, node=space)
        left = rng.random(len(visits)) < 0.9
        stay = (rng.lognormal(6.0, 0.9, len(visits)).clip(10, 6 * 3600) * SECOND).astype(np.int64)
        out = (entered + stay)[left]
        inside = out < self._calendar.midnight(day + 1)
        batch.add("space_exit", account[visits][left][inside], out[inside], node=space)

    def _reactions(
        self,
        rng: np.random.Generator,
        batch: _Batch,
        active: Ints,
        tier: Ints,
        feed: dict[str, Ints],
    ) -> None:
        """Likes, collects and follows of what was shown; some are taken back."""
        reacts = np.flatnonzero(rng.random(len(active)) < _REACTS[tier])
        owner, _ = spread(1 + rng.poisson(0.8 * self._config.activity, len(reacts)))
        at = reacts[owner]
        account = active[at]
        seen = feed["first"][at] + (rng.random(len(at)) * feed["shown"][at]).astype(np.int64)
        content = feed["content"][seen]
        time = feed["time"][seen] + rng.integers(20_000, 120_000, len(at)) * 1000
        author = self.contents["author"][content]
        kind = choose(rng, (0.62, 0.2, 0.18), len(at))
        for name, code in (("like", 0), ("collect", 1)):
            chosen = kind == code
            batch.add(name, account[chosen], time[chosen], content=content[chosen])
        follows = kind == 2
        batch.add("follow", account[follows], time[follows], target=author[follows])
        later = time + rng.integers(30, 2400, len(at)) * SECOND
        undone = (kind == 0) & (rng.random(len(at)) < 0.06)
        batch.add("unlike", account[undone], later[undone], content=content[undone])
        undone = follows & (rng.random(len(at)) < 0.05)
        batch.add("unfollow", account[undone], later[undone], target=author[undone])

    def _contributions(
        self,
        rng: np.random.Generator,
        batch: _Batch,
        active: Ints,
        tier: Ints,
        feed: dict[str, Ints],
    ) -> None:
        """Comments, shares, check-ins and votes."""
        gives = np.flatnonzero(rng.random(len(active)) < _CONTRIBUTES[tier])
        owner, _ = spread(1 + rng.poisson(0.5 * self._config.activity, len(gives)))
        at = gives[owner]
        account = active[at]
        seen = feed["first"][at] + (rng.random(len(at)) * feed["shown"][at]).astype(np.int64)
        content = feed["content"][seen]
        time = feed["time"][seen] + rng.integers(30_000, 240_000, len(at)) * 1000
        kind = choose(rng, (0.5, 0.2, 0.2, 0.1), len(at))
        for name, code in (("comment", 0), ("share", 1)):
            chosen = kind == code
            batch.add(
                name, account[chosen], time[chosen], content=content[chosen],
                node=self.contents["node"][content[chosen]],
            )  # fmt: skip
        checkin, vote = kind == 2, kind == 3
        batch.add("checkin", account[checkin], time[checkin], node=self._home[account[checkin]])
        governance = self._nodes.ids.index(_GOVERNANCE_CIRCLE)
        batch.add("vote", account[vote], time[vote], node=governance)

    def _publish_day(
        self, rng: np.random.Generator, day: int, active: Ints, tier: Ints, feed: dict[str, Ints]
    ) -> None:
        """New contents of the day, and the answers that its questions will get."""
        people = self._people
        weight = self._writing[active] * np.array([0, 0.05, 1.0, 2.2])[tier]
        present = (people.presence(day)[self.accounts.person[active]]).clip(0.05)
        owner, _ = spread(rng.poisson(np.minimum(4.0 * weight / present, 4.0)))
        author = active[owner]
        count = len(author)
        if count == 0:
            return
        published = np.maximum(
            self._calendar.hours(rng, day, count), feed["time"][feed["first"][owner]]
        )
        published = np.minimum(published, self._calendar.midnight(day + 1) - SECOND)
        heads = self._writing[author] > np.quantile(self._writing[self._writing > 0], 0.9)
        origin = np.where(
            heads & (rng.random(count) < 0.7), 0, 1 + choose(rng, (0.8, 0.1, 0.1), count)
        )
        kind = choose(rng, (0.26, 0.27, 0.0, 0.14, 0.33), count)
        rows = self._publish(
            rng, author=author, published=published, kind=kind, origin=origin,
            parent=np.full(count, -1),
        )  # fmt: skip
        self._answer(rng, day, rows[kind == KINDS.index("question")])

    def _answer(self, rng: np.random.Generator, day: int, questions: Ints) -> None:
        """Answers and comments under questions; about a fifth never get one."""
        people = self._people
        replies = np.where(
            rng.random(len(questions)) < _UNANSWERED, 0, 1 + rng.poisson(1.6, len(questions))
        )
        owner, _ = spread(replies)
        question = questions[owner]
        delay = (rng.lognormal(8.9, 1.7, len(question)).clip(20, 40 * 86400) * SECOND).astype(int)
        published = self.contents["published"][question] + delay // 1000 * 1000
        likely = people.month_tier(day) >= 2
        likely &= people.here(min(day + 40, self._calendar.days - 1)) & (people.join_day <= day)
        weight = np.where(likely, people.talent**0.5, 0.0)[self.accounts.person]
        weight[self.accounts.since >= self._calendar.midnight(day)] = 0.0
        weight[people.is_bot[self.accounts.person]] = weight.sum() * 0.004
        if weight.sum() == 0.0 or len(question) == 0:
            return
        author = choose(rng, weight, len(question))
        own = rng.random(len(question)) < 0.03
        author = np.where(own, self.contents["author"][question], author)
        kept = published < self._calendar.end
        count = int(kept.sum())
        self._publish(
            rng,
            author=author[kept],
            published=published[kept],
            kind=np.where(rng.random(count) < 0.75, 2, 5),
            origin=1 + choose(rng, (0.82, 0.10, 0.08), count),
            parent=question[kept],
        )

    def _publish(
        self,
        rng: np.random.Generator,
        *,
        author: Ints,
        published: Ints,
        kind: Ints,
        origin: Ints,
        parent: Ints,
    ) -> Ints:
        """Store contents and queue their records: first states, labels, titles, deletions."""
        count = len(author)
        home = np.where(
            rng.random(count) < 0.7, self._home[author], rng.choice(self._nodes.circles)
        )
        known = parent.clip(0)
        node = np.where(parent < 0, home, self.contents["node"][known] if self.contents.rows else 0)
        topic = np.where(
            parent < 0,
            node % len(TOPICS),
            self.contents["topic"][known] if self.contents.rows else 0,
        )
        declares = rng.random(count) < np.where(origin >= 2, 0.55, 0.72)
        labelled = rng.random(count) < np.where(origin >= 2, 0.5, 0.2)
        paid = (kind <= 3) & (kind != 1) & (kind != 2) & (rng.random(count) < 0.07)
        quality = rng.lognormal(0, 1.1, count) * (0.3 + self._people.talent[
            self.accounts.person[author]
        ] ** 0.25)  # fmt: skip
        rows = self.contents.append(
            author=author,
            node=node,
            kind=kind,
            published=published,
            origin=origin,
            shown_origin=np.where(declares | labelled, origin, len(ORIGINS)),
            quality=(quality * 1000).astype(np.int64),
            topic=topic,
            paid=paid,
            parent=parent,
        )
        declared = np.where(declares, origin, -1)
        label = np.where(labelled, origin, -1)
        deleted = np.where(
            rng.random(count) < _DELETED, published + rng.integers(1, 20 * 24, count) * HOUR, NEVER
        )
        deleted[deleted >= self._calendar.end] = NEVER
        edited = np.flatnonzero(rng.random(count) < 0.04)
        self._write_contents(rows, published[:], declared, label, np.full(count, NEVER), "")
        later = np.minimum(published[edited] + 2 * HOUR, self._calendar.end - SECOND)
        self._write_contents(
            rows[edited], later, declared[edited], label[edited], np.full(len(edited), NEVER), "*"
        )
        gone = np.flatnonzero((deleted != NEVER) & (deleted > published + 2 * HOUR))
        self._write_contents(
            rows[gone], deleted[gone], declared[gone], label[gone], deleted[gone], ""
        )
        return rows

    def _write_contents(
        self, rows: Ints, updated: Ints, declared: Ints, label: Ints, deleted: Ints, mark: str
    ) -> None:
        store = self.contents
        self._landing.add(
            "community/contents",
            self.source.name,
            content_id=ids("t", rows),
            updated_at=times(updated),
            author_account_id=picked(self.accounts.text, store["author"][rows]),
            node_id=picked(self._nodes.ids, store["node"][rows]),
            kind=picked(KINDS, store["kind"][rows]),
            published_at=times(store["published"][rows]),
            parent_content_id=ids("t", store["parent"][rows]),
            title=ids(f"示例标题{mark} ", np.where(store["parent"][rows] < 0, rows, -1)),
            topic=picked(TOPICS, store["topic"][rows]),
            origin_declared=picked(ORIGINS, declared),
            origin_label=picked(ORIGINS, label),
            is_paid=flags(store["paid"][rows] > 0),
            deleted_at=times(deleted),
        )

    def _pool(self, day: int) -> tuple[Ints, Floats]:
        """What a day's feeds show: the last two weeks' contents and their weights."""
        first = 0 if day < _POOL_DAYS else self._first_content_of_day[day - _POOL_DAYS]
        rows = np.arange(first, self.contents.rows)
        midnight = self._calendar.midnight(day)
        age = (midnight - self.contents["published"][rows]) / DAY
        shown = (age > 0) & (self.contents["kind"][rows] != KINDS.index("comment"))
        if not shown.any():
            rows, shown, age = np.arange(60), np.ones(60, np.bool_), np.full(60, 1.0)
        weight = self.contents["quality"][rows] * np.exp(-age / 4.0)
        return rows[shown], weight[shown]

    def _expose(self, rng: np.random.Generator, day: int, account: Ints, start: Ints) -> Floats:
        """Write the day's exposures; returns each session's lift of the click rate."""
        lift = np.ones(len(account))
        for experiment in self._experiments:
            if not experiment.runs(day):
                continue
            arm = experiment.arms[self.accounts.person[account]]
            lift *= experiment.click_lift[arm]
            seen, first = np.unique(account, return_index=True)
            earliest = np.full(len(self.accounts), NEVER)
            np.minimum.at(earliest, account, start)
            experiment.expose(rng, self.accounts.text, seen, arm[first], earliest[seen])
        return lift

    def _count_clicks(
        self,
        shown_origin: Ints,
        chance: Floats,
        clicked: Ints,
        account: Ints,
        shown_in: Ints,
        day: int,
    ) -> None:
        hit = np.zeros(len(chance))
        hit[clicked] = 1.0
        person = self.accounts.person[account][shown_in]
        people = self._people
        counts = ~(people.is_bot | people.is_test | people.is_staff)[person]
        figures = (np.ones(len(chance)), chance, hit)
        self._ctr += np.stack(
            [
                np.bincount(shown_origin[counts], figure[counts], len(ORIGINS) + 1)
                for figure in figures
            ],
            axis=1,
        )
        for experiment in self._experiments:
            if experiment.runs(day):
                arm = experiment.arms[person]
                for number in range(len(experiment.variants)):
                    chosen: Bools = counts & (arm == number)
                    key = (experiment.id, number)
                    added = np.array([figure[chosen].sum() for figure in figures])
                    self._arm_ctr[key] = self._arm_ctr.get(key, np.zeros(3)) + added

    def _write_events(self, day: int, batch: _Batch) -> None:
        columns = batch.in_order()
        number = self._next_event + np.arange(batch.rows)
        self._next_event += batch.rows
        impression = columns["impression"]
        # The last seconds of the calendar belong to a day that is not simulated.
        kept = np.flatnonzero(columns["time"] < self._calendar.end)
        columns = {name: column[kept] for name, column in columns.items()}
        impression, account = impression[kept], columns["account"]
        drift = {}
        if self.source.name == "agora" and day >= self._calendar.days * 2 // 3:
            drift["app_version"] = picked(("8.1", "8.2"), account % 2)
        self._landing.add(
            "community/events",
            self.source.name,
            event_id=ids("e", number[kept]),
            account_id=picked(self.accounts.text, account),
            event_type=picked(EVENT_TYPES, columns["type"]),
            occurred_at=times(columns["time"]),
            content_id=ids("t", columns["content"]),
            node_id=picked(self._nodes.ids, columns["node"]),
            target_account_id=picked(self.accounts.text, columns["target"]),
            impression_id=ids("e", np.where(impression >= 0, number[impression], -1)),
            dwell_ms=integers(columns["dwell"]),
            query=picked(_QUERIES, columns["query"]),
            topic=picked(TOPICS, columns["topic"]),
            platform=picked(_PLATFORMS, columns["platform"]),
            device_id=ids("dev-", np.where(columns["type"] == 1, account, -1)),
            campaign_id=ids("k", columns["campaign"]),
            assistant_session_id=ids("s", columns["assistant"]),
            properties=picked(_POSITIONS, columns["position"]),
            **drift,
        )


_POSITIONS: Final = [f'{{"position":{position}}}' for position in range(30)]


class Returns:
    """Who comes back to any community n days after the first day there: expected and true.

    Only persons whose first day is simulated, and who count.
    """

    def __init__(self, people: Population, communities: Sequence[Community]) -> None:
        self._communities = communities
        first = np.full(people.n, NEVER)
        for community in communities:
            np.minimum.at(first, community.accounts.person, community.accounts.since)
        calendar = people.calendar
        self._first_day = np.where(
            (first >= calendar.start) & (first < calendar.end),
            (first - calendar.start) // DAY,
            NEVER,
        )
        left_out = people.is_bot | people.is_staff | people.is_test | (people.erased_at != NEVER)
        self._first_day[left_out] = NEVER
        self._figures = np.zeros((calendar.days, 3))

    def day(self, day: int) -> None:
        """Count a day; call after every community has simulated it."""
        persons = np.flatnonzero(self._first_day <= day)
        absent = np.ones(len(self._first_day))
        present = np.zeros(len(self._first_day))
        for community in self._communities:
            chance, active = community.today
            np.multiply.at(absent, community.accounts.person, 1 - chance)
            present[community.accounts.person[active]] = 1.0
        age = day - self._first_day[persons]
        for column, figure in enumerate((np.ones(len(absent)), 1 - absent, present)):
            self._figures[:, column] += np.bincount(age, figure[persons], len(self._figures))

    def tell(self, truth: Truth) -> None:
        """By day_n: persons whose n-th day is simulated, the expected and the true returners."""
        truth.table(
            "returns",
            day_n=np.arange(len(self._figures)),
            persons=self._figures[:, 0].astype(np.int64),
            expected=self._figures[:, 1],
            active=self._figures[:, 2].astype(np.int64),
        )
