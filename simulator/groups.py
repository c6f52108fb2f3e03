"""One group platform: its groups, who is in them and when, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from simulator.columns import (
    NEVER,
    Bools,
    Ints,
    choose,
    earlier_first,
    ids,
    integers,
    picked,
    spread,
    times,
)
from simulator.community import ORIGINS, TOPICS
from simulator.config import GroupSource, SimulatorConfig
from simulator.operations import RECRUITS_PER_GROUP, Experiment, FissionJoins, end_or_never
from simulator.population import INDUSTRY_OVERLAP, Ids, Population
from simulator.rhythm import DAY, HOUR, LEISURE_RHYTHM, SECOND, WORK_RHYTHM, Calendar, grown
from simulator.truth import Truth
from simulator.writing import Landing

GROUP_KINDS: Final = (
    "industry", "reading", "guild", "paid", "brand", "course", "dao", "other",
)  # fmt: skip
MESSAGE_KINDS: Final = (
    "text", "image", "voice", "video", "file", "link", "reaction", "system",
)  # fmt: skip
_WORK_KINDS: Final = ("industry", "paid", "course", "brand")
_MEAN_SIZE: Final = np.array([0, 45, 50, 30, 55, 40, 60, 15])
_KIND_WEIGHTS: Final = {
    "wecom": (0, 0.20, 0.10, 0.15, 0.25, 0.20, 0.02, 0.08),
    "telegram": (0, 0.25, 0.20, 0.05, 0.10, 0.05, 0.25, 0.10),
    "guildhall": (0, 0.10, 0.45, 0.05, 0.05, 0.05, 0.25, 0.05),
}
VIAS: Final = ("qr", "invite", "search", "link", "pack", "campaign", "other")
ROLES: Final = ("owner", "admin", "kol", "member")
_SPEAKS: Final = np.array([0.0, 0.0008, 0.022, 0.24])
"""Chance that a member speaks in one group on a workday, by tier."""
_MEAN_STAY_DAYS: Final = 220.0
_INDUSTRY_STAY_DAYS: Final = 2500.0
_TEXTS: Final = (
    "大家好", "收到，谢谢", "这个问题我也遇到过", "今晚八点直播，别忘了", "sample message",
    "资料已上传，请查收", "哈哈哈", "+1", "有人用过吗？", "Good morning, everyone", "打卡第 3 天",
    'a "quoted" reply, with a comma', "两行\n消息", "请问怎么报名", "欢迎新朋友",
)  # fmt: skip


class GroupPlatform:
    """Simulates one group source day by day; memberships are drawn beforehand."""

    def __init__(
        self, config: SimulatorConfig, source: GroupSource, people: Population, members: Ids
    ) -> None:
        self._config = config
        self._calendar: Calendar = people.calendar
        self.source = source
        self._people = people
        self.members = members
        self._make_groups(config.rng("groups", source.name))
        self._join_members(config.rng("joins", source.name))
        self._next_message = 0

    @property
    def groups(self) -> int:
        """Number of groups."""
        return len(self.kind)

    def can_act(self) -> Bools:
        """Members who are people and stay to the end."""
        people, person = self._people, self.members.person
        here = people.here(self._calendar.days - 1)[person]
        return here & ~people.is_bot[person] & (self.members.since < self._calendar.end)

    def welcome(self, joins: FissionJoins, group: int) -> None:
        """Add a fission campaign's joiners who are not members of its group yet."""
        inside = self.member[self.group == group]
        new = np.flatnonzero(~np.isin(joins.member, inside) & (joins.time < self._calendar.end))
        rng = self._config.rng("welcome", joins.campaign.number)
        stay = (rng.exponential(60 * DAY, len(new))).astype(np.int64)
        count = len(new)
        self._append(
            group=np.full(count, group),
            member=joins.member[new],
            join=joins.time[new],
            leave=end_or_never((joins.time[new] + HOUR + stay) // 1000 * 1000, self._calendar),
            via=np.full(count, VIAS.index("campaign")),
            inviter=joins.inviter[new],
            campaign=np.full(count, joins.campaign.number),
        )

    def tried_groups(self, experiment: Experiment) -> Ints:
        """The groups that are there when an experiment over groups begins.

        Industry groups are left out of a pack's: their overlap is known, and stays so.
        """
        noon = self._calendar.midnight(experiment.first_day) + 8 * HOUR
        there = (self.created < noon) & (self.closed > noon)
        if experiment.id in RECRUITS_PER_GROUP:
            there &= self.kind != 0
        return np.flatnonzero(there)

    def recruit(self, experiment: Experiment, per_group: float, truth: Truth) -> None:
        """Have the groups that got a pack win members who are in no group yet."""
        calendar, rng = self._calendar, self._config.rng("recruit", experiment.id)
        begin = calendar.midnight(experiment.first_day) + DAY
        tried = self.tried_groups(experiment)
        got_it = tried[experiment.arms[tried] == 1]
        free = np.setdiff1d(
            np.flatnonzero(self.can_act() & (self.members.since < begin)), self.member
        )
        owner, _ = spread(rng.poisson(per_group, len(got_it)))
        group = rng.permutation(got_it[owner])[: len(free)]
        member = rng.permutation(free)[: len(group)]
        join = (begin + rng.integers(0, 7 * DAY, len(group))) // SECOND * SECOND
        kept = (join < calendar.end) & (join < self.closed[group])
        group, member, join = group[kept], member[kept], join[kept]
        count, before = len(group), len(self.group)
        self._append(
            group=group, member=member, join=join, leave=np.full(count, NEVER),
            via=np.full(count, VIAS.index("pack")), inviter=np.full(count, -1),
            campaign=np.full(count, -1), pack=np.full(count, int(experiment.id[5:])),
        )  # fmt: skip
        for arm, variant in enumerate(experiment.variants):
            in_arm = experiment.arms[self.group[before:]] == arm
            truth.table(
                "packs",
                source=[experiment.source],
                pack_id=[experiment.id],
                arm=[variant],
                groups=[int((experiment.arms[tried] == arm).sum())],
                recruits=[int((in_arm & self._logged[before:]).sum())],
                recruits_per_group=[per_group if variant == "pack" else 0.0],
            )

    def write_structure(self, landing: Landing) -> None:
        """The `groups` and `memberships` logs, and the nodes the groups belong to."""
        self._write_groups(landing)
        self._write_memberships(landing)

    def inside(self, begin: int, end: int) -> Ints:
        """Memberships (rows) that hold at some moment of [begin, end)."""
        return np.flatnonzero((self.join < end) & (self.leave > begin))

    def expose(self, day: int, experiments: Sequence[Experiment]) -> None:
        """Member and group experiments: exposures of those who are there, every fourth day."""
        for experiment in experiments:
            if experiment.source != self.source.name or not experiment.runs(day):
                continue
            rng = self._config.rng("expose", experiment.id, day)
            noon = self._calendar.midnight(day) + 8 * HOUR
            if experiment.unit == "group" and day == experiment.first_day:
                units = self.tried_groups(experiment)
                arm, texts = experiment.arms[units], ids("gr", np.arange(self.groups))
            elif experiment.unit == "member" and (day - experiment.first_day) % 4 == 0:
                units = np.unique(self.member[self.inside(noon, noon + 1)])
                arm, texts = experiment.arms[self.members.person[units]], self.members.text
            else:
                continue
            at = noon + rng.integers(0, 600, len(units)) * SECOND
            experiment.expose(rng, texts, units, arm, at)

    def talk(self, day: int, landing: Landing, scene_of_group: Ints) -> int:
        """Write a day's messages; returns how many.

        Those of the evening belong to their group's scene of the day, where there is one.
        """
        rng = self._config.rng("messages", self.source.name, day)
        calendar, people = self._calendar, self._people
        midnight = calendar.midnight(day)
        row = self.inside(midnight, midnight + DAY)
        person = self.members.person[self.member[row]]
        chance = _SPEAKS[people.month_tier(day)[person]] * self._loudness[self.group[row]]
        rhythm = np.stack([LEISURE_RHYTHM, WORK_RHYTHM])[:, calendar.day_types[day]]
        chance *= rhythm[self._is_work[self.group[row]].astype(int)] * self.source.intensity
        chance = np.where(people.here(day)[person], chance, 0.0)
        chance = np.where(people.is_bot[person], 0.3, chance)
        speakers = row[rng.random(len(row)) < chance]
        owner, _ = spread(1 + rng.poisson(3.2 * self._config.activity, len(speakers)))
        row = speakers[owner]
        at = calendar.hours(rng, day, len(row))
        kept = (at > self.join[row]) & (at < self.leave[row]) & (at < self.closed[self.group[row]])
        row, at = row[kept], at[kept]
        order = np.lexsort((row, at, self.group[row]))
        row, at = row[order], at[order]
        greeted = np.flatnonzero(
            self._greeted & (self.join >= midnight) & (self.join < midnight + DAY)
        )
        scene = np.where(at >= midnight + 19 * HOUR, scene_of_group[self.group[row]], -1)
        self._write_messages(rng, landing, row, at, scene, greeted)
        return len(row) + len(greeted)

    def tell(self, truth: Truth) -> None:
        """Memberships as they really are, and the overlap of the industry groups at the end."""
        truth.table(
            "memberships",
            source=pa.repeat(self.source.name, len(self.group)),
            group_id=ids("gr", self.group),
            person=self.members.person[self.member],
            joined_at=times(self.join),
            left_at=times(self.leave),
            is_join_logged=self._logged,
        )
        held = self.inside(self._calendar.end - 1, self._calendar.end)
        industry = np.flatnonzero(self.kind == 0)
        sets = {
            int(g): set(self.members.person[self.member[held[self.group[held] == g]]].tolist())
            for g in industry
        }
        for a in sets:
            for b in sets:
                if a != b:
                    truth.table(
                        "industry_overlap",
                        source=[self.source.name],
                        group_a=[f"gr{a}"],
                        group_b=[f"gr{b}"],
                        members_a=[len(sets[a])],
                        both=[len(sets[a] & sets[b])],
                    )

    def _make_groups(self, rng: np.random.Generator) -> None:
        calendar = self._calendar
        count = max(5, len(self.members) // 26)
        self.kind = choose(rng, _KIND_WEIGHTS[self.source.name], count)
        self.kind[: self.source.industry_groups] = 0
        growth, hours = self._config.growth, int(calendar.days * 0.6) * 24
        share, weight = grown(0.7, np.ones(hours), growth)
        there = rng.random(count) < share
        before = calendar.start - rng.integers(1, 45 * 24, count) * HOUR
        later = rng.integers(0, hours, count) if growth == 1 else choose(rng, weight, count)
        self.created = np.where(there, before, calendar.start + later * HOUR)
        # Industry groups are there from the start, and so is the group fission campaigns fill.
        early = np.arange(count) <= self.source.industry_groups
        self.created[early] = calendar.start - 20 * DAY + np.flatnonzero(early) * HOUR
        self.kind[self.fission_group] = GROUP_KINDS.index("brand")
        self.closed = np.where(
            (rng.random(count) < 0.04) & ~early,
            np.maximum(self.created, calendar.start) + rng.integers(10, 60, count) * DAY,
            NEVER,
        )
        self.closed = end_or_never(self.closed, calendar)
        self._is_work = np.isin(self.kind, [GROUP_KINDS.index(kind) for kind in _WORK_KINDS])
        # A fifth of the groups have gone silent.
        self._loudness = np.where(rng.random(count) < 0.2, 0.02, rng.lognormal(-0.1, 0.5, count))
        staff = np.flatnonzero(self._people.is_staff[self.members.person])
        early_members = np.flatnonzero(
            (self.members.since < calendar.start - 46 * DAY)
            & self._people.here(calendar.days - 1)[self.members.person]
            & ~self._people.is_bot[self.members.person]
        )
        hosts = staff if len(staff) and self.source.name == "wecom" else early_members
        pick = np.where(rng.random(count) < 0.4, rng.choice(hosts, count), -1)
        self.owner = np.where(pick < 0, rng.choice(early_members, count), pick)

    @property
    def fission_group(self) -> int:
        """The group that fission campaigns invite to."""
        return self.source.industry_groups

    def _join_members(self, rng: np.random.Generator) -> None:
        """Draw who joins which group when, and when each leaves."""
        people, members = self._people, self.members
        size = np.maximum(3, rng.lognormal(-0.15, 0.55, self.groups) * _MEAN_SIZE[self.kind])
        size = np.minimum(size, max(8, len(members) // 8)).astype(np.int64)
        size[self.kind == 0] = 0
        group, _ = spread(size)
        weight = (0.15 + people.talent[members.person] ** 0.35) * (
            0.4 + people.tier[members.person].mean(axis=1)
        )
        weight[members.since >= self._calendar.end] = 0.0
        member = choose(rng, weight, len(group))
        pair = np.unique(group * len(members) + member)
        industry_group, industry_member = self._industry(rng)
        group = np.concatenate([pair // len(members), industry_group])
        member = np.concatenate([pair % len(members), industry_member])
        begin = np.maximum(self.created[group], members.since[member])
        prompt = rng.random(len(group)) < 0.6
        wait = np.where(
            prompt,
            rng.exponential(2.0, len(group)),
            rng.uniform(2, 0.9 * self._calendar.days, len(group)),
        )
        wait = np.where(self.kind[group] == 0, rng.exponential(3.0, len(group)), wait)
        join = begin + (wait * DAY).astype(np.int64) + 60 * SECOND
        mean = np.where(self.kind[group] == 0, _INDUSTRY_STAY_DAYS, _MEAN_STAY_DAYS)
        stay = (rng.exponential(1.0, len(group)) * mean * DAY).astype(np.int64) + HOUR
        leave = end_or_never((join + stay) // 1000 * 1000, self._calendar)
        via = choose(rng, (0.35, 0.25, 0.1, 0.15, 0.08, 0.0, 0.07), len(group))
        kept = (join < self._calendar.end) & (join < self.closed[group])
        self._clear()
        self._append(
            group=np.arange(self.groups), member=self.owner, join=self.created,
            leave=np.full(self.groups, NEVER), via=np.full(self.groups, -1),
            inviter=np.full(self.groups, -1), campaign=np.full(self.groups, -1),
        )  # fmt: skip
        kept &= member != self.owner[group]
        inviter = np.where(via == VIAS.index("invite"), self.owner[group], -1)
        self._append(
            group=group[kept], member=member[kept], join=join[kept] // 1000 * 1000,
            leave=leave[kept], via=via[kept], inviter=inviter[kept],
            campaign=np.full(int(kept.sum()), -1),
        )  # fmt: skip
        self._rejoin(rng)

    def _industry(self, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Industry groups: one shared core of members in all of them, the rest apart."""
        count = self.source.industry_groups
        ready = np.flatnonzero(
            (self.members.since < self._calendar.start)
            & ~self._people.is_bot[self.members.person]
            & self._people.here(self._calendar.days - 1)[self.members.person]
        )
        size = min(len(self.members) // 9, int(len(ready) / (count + 1))) if count else 0
        shared = round(INDUSTRY_OVERLAP * size)
        drawn = rng.permutation(ready)
        groups, members = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for group in range(count):
            own = drawn[shared + group * (size - shared) :][: size - shared]
            members.append(np.concatenate([drawn[:shared], own]))
            groups.append(np.full(len(members[-1]), group))
        return np.concatenate(groups), np.concatenate(members)

    def _rejoin(self, rng: np.random.Generator) -> None:
        """Some who left come back."""
        back = np.flatnonzero((self.leave != NEVER) & (rng.random(len(self.group)) < 0.08))
        join = self.leave[back] + rng.integers(2, 20, len(back)) * DAY
        back, join = back[join < self._calendar.end], join[join < self._calendar.end]
        count = len(back)
        self._append(
            group=self.group[back], member=self.member[back], join=join,
            leave=np.full(count, NEVER), via=np.full(count, VIAS.index("link")),
            inviter=np.full(count, -1), campaign=np.full(count, -1),
        )  # fmt: skip

    def _clear(self) -> None:
        empty = np.zeros(0, np.int64)
        self.group, self.member, self.join, self.leave = empty, empty, empty, empty
        self._via, self._inviter, self._campaign, self._pack = empty, empty, empty, empty
        self._logged: Bools = np.zeros(0, np.bool_)
        self._greeted: Bools = np.zeros(0, np.bool_)

    def _append(
        self,
        *,
        group: Ints,
        member: Ints,
        join: Ints,
        leave: Ints,
        via: Ints,
        inviter: Ints,
        campaign: Ints,
        pack: Ints | None = None,
    ) -> None:
        rng = self._config.rng("append", self.source.name, len(self.group))
        count = len(group)
        is_owner = via < 0
        logged = (rng.random(count) > 0.03) & ~is_owner
        greeted = logged & (rng.random(count) < 0.5)
        self.group = np.concatenate([self.group, group])
        self.member = np.concatenate([self.member, member])
        self.join = np.concatenate([self.join, join])
        self.leave = np.concatenate([self.leave, leave])
        self._via = np.concatenate([self._via, via])
        self._inviter = np.concatenate([self._inviter, inviter])
        self._campaign = np.concatenate([self._campaign, campaign])
        usual = np.where(via == VIAS.index("pack"), 1 + group % 3, -1)
        self._pack = np.concatenate([self._pack, usual if pack is None else pack])
        self._logged = np.concatenate([self._logged, logged])
        self._greeted = np.concatenate([self._greeted, greeted])

    def _write_groups(self, landing: Landing) -> None:
        calendar, source = self._calendar, self.source.name
        departments = ["root", "ops", "sales"]
        landing.add(
            "community/nodes",
            source,
            node_id=pa.array(departments),
            updated_at=times(np.full(3, calendar.midnight(-200))),
            level=pa.array(["platform", "channel", "channel"]),
            parent_node_id=pa.array([None, "root", "root"], pa.string()),
            name=pa.array([f"{source} {name}" for name in departments]),
        )
        everything = np.arange(self.groups)
        # One group has messages and members, but no record.
        recorded = everything[:-1]
        closed = recorded[self.closed[recorded] != NEVER]
        handed = recorded[(recorded % 11 == 5) & (self.closed[recorded] == NEVER)]
        handover = np.maximum(self.created, calendar.start) + 20 * DAY
        handed = handed[handover[handed] < calendar.end]
        for rows, updated, version in (
            (recorded, self.created, 0),
            (handed, handover, 1),
            (closed, self.closed, 2),
        ):
            observes = list(self.source.observes) if self.source.observes is not None else None
            landing.add(
                "group/groups",
                source,
                group_id=ids("gr", rows),
                updated_at=times(updated[rows]),
                created_at=times(self.created[rows]),
                kind=picked(GROUP_KINDS, self.kind[rows]),
                name=ids(f"示例群{'·新' * version} ", rows),
                node_id=picked(departments, rows % 3),
                owner_member_id=picked(self.members.text, self.owner[rows]),
                closed_at=times(np.where(version == 2, self.closed[rows], NEVER)),
                seed_pack_id=ids("pack-", np.where(rows % 7 == 3, 1 + rows % 3, -1)),
                observes=pa.array([observes] * len(rows), pa.list_(pa.string())),
            )

    def _write_memberships(self, landing: Landing) -> None:
        """Joins, leaves and roles, with what real logs do: repeats, strays, gaps."""
        rng = self._config.rng("memberships", self.source.name)
        sees_leaves = self.source.observes is None or "leave" in self.source.observes
        rows = np.arange(len(self.group))
        joins = np.flatnonzero(self._logged)
        doubled = joins[rng.random(len(joins)) < 0.015]
        leaves = rows[(self.leave != NEVER) & (sees_leaves | (rng.random(len(rows)) < 0.02))]
        gone_twice = leaves[rng.random(len(leaves)) < 0.05]
        people = self._people
        kols = joins[people.is_kol(self.members.person[self.member[joins]])]
        roles = np.concatenate([np.flatnonzero(self._via < 0), kols])
        role = np.concatenate([np.zeros(self.groups, int), np.full(len(kols), 2)])
        index = np.concatenate([joins, doubled, leaves, gone_twice, roles])
        sizes = [len(joins), len(doubled), len(leaves), len(gone_twice), len(roles)]
        action = np.repeat([0, 0, 1, 1, 2], sizes)
        at = np.concatenate(
            [
                self.join[joins],
                np.minimum(self.join[doubled] + 2 * DAY, self._calendar.end - SECOND),
                self.leave[leaves],
                np.minimum(self.leave[gone_twice] + DAY, self._calendar.end - SECOND),
                self.join[roles] + 30 * SECOND,
            ]
        )
        order = earlier_first(at)
        index, action, at = index[order], action[order], at[order]
        role = np.concatenate([np.full(sum(sizes[:4]), -1), role])[order]
        first = action == 0
        landing.add(
            "group/memberships",
            self.source.name,
            event_id=ids("ms", np.arange(len(index))),
            group_id=ids("gr", self.group[index]),
            member_id=picked(self.members.text, self.member[index]),
            action=picked(("join", "leave", "role"), action),
            occurred_at=times(at),
            role=picked(ROLES, np.where(first, 3, role)),
            inviter_member_id=picked(self.members.text, np.where(first, self._inviter[index], -1)),
            via=picked(VIAS, np.where(first, self._via[index], -1)),
            campaign_id=ids("k", np.where(first, self._campaign[index], -1)),
            pack_id=ids("pack-", np.where(first, self._pack[index], -1)),
        )

    def _write_messages(
        self,
        rng: np.random.Generator,
        landing: Landing,
        row: Ints,
        at: Ints,
        scene: Ints,
        greeted: Ints,
    ) -> None:
        """Messages in the order of (group, time): replies and reactions point to an earlier one."""
        count = len(row)
        if count + len(greeted) == 0:
            return
        group = self.group[row]
        place = np.arange(count)
        opens = np.concatenate([[True], group[1:] != group[:-1]])[:count]
        first = np.maximum.accumulate(np.where(opens, place, 0))
        target = np.maximum(place - rng.geometric(0.45, count), first)
        reacts = (place > first) & (rng.random(count) < 0.28)
        sees_reactions = self.source.observes is None or "reaction" in self.source.observes
        reacts &= sees_reactions
        replies = (place > first) & ~reacts & (rng.random(count) < 0.22)
        # A reaction's target should be a message, and the one before it usually is.
        while reacts[target[reacts]].any():
            chained = reacts & reacts[target]
            back = np.maximum(target - 1, first)
            reacts &= ~(chained & (back == target))
            target = np.where(chained, back, target)
        kind = choose(rng, (0.74, 0.10, 0.04, 0.02, 0.04, 0.06), count)
        kind[reacts] = MESSAGE_KINDS.index("reaction")
        is_text = kind == 0
        said = np.where(is_text, rng.integers(0, len(_TEXTS), count), -1)
        lengths = np.array([len(text) for text in _TEXTS])
        is_kol = self._people.is_kol(self.members.person[self.member[row]])
        is_bot = self._people.is_bot[self.members.person[self.member[row]]]
        origin = np.where(is_kol, 0, np.where(is_bot, 2, 1))
        origin = np.where(reacts | (rng.random(count) < 0.35), -1, origin)
        mentioned = np.where(is_text & (rng.random(count) < 0.05), self.member[row[target]], -1)
        none = np.full(len(greeted), -1)
        self._flush(
            landing,
            group=np.concatenate([group, self.group[greeted]]),
            member=np.concatenate([self.member[row], self.member[greeted]]),
            time=np.concatenate([at, self.join[greeted] + SECOND]),
            kind=np.concatenate([kind, np.full(len(greeted), MESSAGE_KINDS.index("system"))]),
            target=np.concatenate([np.where(reacts | replies, target, -1), none]),
            origin=np.concatenate([origin, none]),
            scene=np.concatenate([scene, none]),
            said=np.concatenate([said, none]),
            length=np.concatenate([np.where(is_text, lengths[said], -1), none]),
            mentioned=np.concatenate([mentioned, none]),
        )

    def _flush(self, landing: Landing, **columns: Ints) -> None:
        number = self._next_message + np.arange(len(columns["group"]))
        self._next_message += len(number)
        target, mentioned = columns["target"], columns["mentioned"]
        lists = pa.ListArray.from_arrays(
            pa.array(np.concatenate([[0], np.cumsum(mentioned >= 0)]), pa.int32()),
            picked(self.members.text, mentioned[mentioned >= 0]),
        )
        none = pa.nulls(len(number), lists.type)
        topics = (columns["group"] + columns["said"]) % len(TOPICS)
        landing.add(
            "group/messages",
            self.source.name,
            message_id=ids("m", number),
            group_id=ids("gr", columns["group"]),
            member_id=picked(self.members.text, columns["member"]),
            occurred_at=times(columns["time"]),
            kind=picked(MESSAGE_KINDS, columns["kind"]),
            reply_to_message_id=ids("m", np.where(target >= 0, number[target], -1)),
            origin_declared=picked(ORIGINS, columns["origin"]),
            scene_id=ids("sc", columns["scene"]),
            topic=picked(TOPICS, np.where(columns["said"] % 4 == 2, topics, -1)),
            text=picked(_TEXTS, columns["said"]),
            text_length=integers(columns["length"]),
            mentions=_where(mentioned >= 0, lists, none),
        )


def _where(condition: Bools, yes: pa.Array, no: pa.Array) -> pa.Array:
    """Rows of `yes` where the condition holds, else of `no`; works on lists."""
    both = pa.concat_arrays([yes, no])
    index = np.arange(len(yes)) + np.where(condition, 0, len(yes))
    return both.take(pa.array(index))
