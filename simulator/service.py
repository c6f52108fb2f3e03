"""What a group platform's operators do for its groups: scenes, broadcasts and consults."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from simulator.columns import NEVER, Ints, choose, earlier_first, ids, integers, picked, times
from simulator.community import TOPICS
from simulator.config import SimulatorConfig
from simulator.groups import GroupPlatform
from simulator.operations import AssistantDesk, Campaign
from simulator.population import Population
from simulator.rhythm import DAY, HOUR, SECOND, Calendar
from simulator.truth import Truth
from simulator.writing import Landing

SCENE_KINDS: Final = (
    "live_class", "homework", "study_team", "case_review", "weekday_tips", "weekend_social",
    "festival", "other",
)  # fmt: skip
STATUSES: Final = ("targeted", "sent", "delivered", "read", "click", "failed")
CONSULT_ACTIONS: Final = (
    "question", "ai_answer", "handoff", "human_answer", "close", "reopen", "rate",
)  # fmt: skip
_SENDS: Final = 0.985
_DELIVERS: Final = 0.97
_READS: Final = 0.55
_CLICKS: Final = 0.22
"""Chance of each rung for who is on the one before; tiers scale reads and clicks."""
_EAGERNESS: Final = np.array([0.05, 0.35, 1.3, 1.7])
AI_SECONDS: Final = (1.4, 0.75)
HUMAN_SECONDS: Final = (5.6, 1.1)
"""Log-normal parameters (mean and spread of the logarithm) of answer times."""
AI_SILENT: Final = 0.03
HANDOFF: Final = 0.14
HUMAN_SILENT: Final = 0.06


class GroupService:
    """Simulates one platform's scenes, broadcasts and consults day by day."""

    def __init__(
        self,
        config: SimulatorConfig,
        platform: GroupPlatform,
        people: Population,
        landing: Landing,
        desk: AssistantDesk,
        campaigns: list[Campaign],
    ) -> None:
        self._config = config
        self._calendar: Calendar = people.calendar
        self._platform = platform
        self._source = platform.source.name
        self._people = people
        self._landing = landing
        self._desk = desk
        self._campaigns = [c for c in campaigns if c.source == self._source]
        self._next = dict.fromkeys(("scene", "attendance", "broadcast", "delivery", "consult"), 0)
        self._session = 0
        self._figures = np.zeros(6, np.int64)

    def day(self, day: int) -> tuple[int, Ints]:
        """Simulate a day; returns its number of records and each group's scene (−1 for none)."""
        rng = self._config.rng("service", self._source, day)
        attended, scene_of_group = self._scenes(rng, day)
        return attended + self._broadcasts(rng, day) + self._consults(rng, day), scene_of_group

    def tell(self, truth: Truth) -> None:
        """Parameters of the service, and how many sessions went which way."""
        names = ("sessions", "ai_answered", "ai_within_15s", "handoffs", "human_answered", "closed")
        truth.table(
            "consults",
            source=[self._source],
            **{name: [int(value)] for name, value in zip(names, self._figures, strict=True)},
        )

    def _number(self, what: str, count: int) -> Ints:
        self._next[what] += count
        return self._next[what] - count + np.arange(count)

    def _tier(self, day: int, member: Ints) -> Ints:
        tiers: Ints = self._people.month_tier(day)[self._platform.members.person[member]]
        return tiers

    def _alive(self, day: int, member: Ints) -> Ints:
        """Positions of the members who are people and still here."""
        person = self._platform.members.person[member]
        return np.flatnonzero(self._people.here(day)[person] & ~self._people.is_bot[person])

    def _scenes(self, rng: np.random.Generator, day: int) -> tuple[int, Ints]:
        """Each group has a scene on one weekday; about half the weeks."""
        platform, calendar = self._platform, self._calendar
        weekday = calendar.dates[day].weekday()
        everything = np.arange(platform.groups)
        start = calendar.midnight(day) + 19 * HOUR + (everything % 4) * HOUR // 2
        ready = (platform.created < calendar.midnight(day)) & (platform.closed > start + 3 * HOUR)
        chosen = ready & ((everything * 5) % 7 == weekday) & (rng.random(platform.groups) < 0.5)
        groups = np.flatnonzero(chosen)
        scene_of_group = np.full(platform.groups, -1)
        if len(groups) == 0:
            return 0, scene_of_group
        number = self._number("scene", len(groups))
        scene_of_group[groups] = number
        is_off = calendar.day_types[day] in (1, 2)
        kind = np.where(is_off, 5 + (groups % 2), groups % 5)
        self._write_scenes(number, groups, kind, start[groups], day)
        row = platform.inside(calendar.midnight(day), calendar.midnight(day + 1))
        row = row[scene_of_group[platform.group[row]] >= 0]
        row = row[self._alive(day, platform.member[row])]
        attends = np.array([0, 0.01, 0.14, 0.30])[self._tier(day, platform.member[row])]
        row = row[rng.random(len(row)) < attends]
        entered = start[platform.group[row]] + rng.integers(-300, 1500, len(row)) * SECOND
        inside = (platform.join[row] < entered) & (platform.leave[row] > entered)
        row, entered = row[inside], entered[inside]
        left = entered + rng.integers(300, 5400, len(row)) * SECOND
        leaves, submits = rng.random(len(row)) < 0.85, rng.random(len(row)) < 0.25
        index = np.concatenate([row, row[leaves], row[submits]])
        action = np.repeat([0, 1, 2], [len(row), int(leaves.sum()), int(submits.sum())])
        at = np.concatenate([entered, left[leaves], left[submits] - 30 * SECOND])
        index, action, at = (
            index[at < calendar.end],
            action[at < calendar.end],
            at[at < calendar.end],
        )
        order = earlier_first(at)
        index, action, at = index[order], action[order], at[order]
        self._landing.add(
            "group/attendance",
            self._source,
            event_id=ids("at", self._number("attendance", len(index))),
            scene_id=ids("sc", scene_of_group[platform.group[index]]),
            member_id=picked(platform.members.text, platform.member[index]),
            action=picked(("enter", "leave", "submit"), action),
            occurred_at=times(at),
        )
        return len(index), scene_of_group

    def _write_scenes(self, number: Ints, groups: Ints, kind: Ints, start: Ints, day: int) -> None:
        platform, members = self._platform, self._platform.members
        kols = np.flatnonzero(self._people.is_kol(members.person))
        hosted = (groups % 3 > 0) & (len(kols) > 0)
        host = np.where(hosted, kols[groups % max(len(kols), 1)] if len(kols) else -1, -1)
        running = [c.number for c in self._campaigns if c.runs(day)]
        campaign = np.where(groups % 5 == 1, running[0] if running else -1, -1)
        self._landing.add(
            "group/scenes",
            self._source,
            scene_id=ids("sc", number),
            updated_at=times(np.maximum(start - 3 * DAY, platform.created[groups])),
            group_id=ids("gr", groups),
            kind=picked(SCENE_KINDS, kind),
            starts_at=times(start),
            ends_at=times(start + 90 * 60 * SECOND),
            kol_member_id=picked(members.text, host),
            campaign_id=ids("k", campaign),
        )

    def _broadcasts(self, rng: np.random.Generator, day: int) -> int:
        """Tuesdays and Fridays: one broadcast to a third of the groups."""
        platform, calendar = self._platform, self._calendar
        if calendar.dates[day].weekday() not in (1, 4):
            return 0
        sent = calendar.midnight(day) + 20 * HOUR
        number = int(self._number("broadcast", 1)[0])
        running = [c.number for c in self._campaigns if c.runs(day)]
        groups = rng.random(platform.groups) < 0.3
        row = platform.inside(sent, sent + 1)
        row = row[groups[platform.group[row]] & (platform.closed[platform.group[row]] > sent)]
        row = row[self._people.here(day)[platform.members.person[platform.member[row]]]]
        if len(row) == 0:
            return 0
        # The last broadcast has deliveries, but no record.
        if day < calendar.days - 4:
            self._landing.add(
                "group/broadcasts",
                self._source,
                broadcast_id=ids("b", np.array([number])),
                updated_at=times(np.array([sent - HOUR])),
                sent_at=times(np.array([sent])),
                campaign_id=ids("k", np.array([rng.choice(running) if running else -1])),
                content_id=ids("t", np.array([number])),
            )
        eager = _EAGERNESS[self._tier(day, platform.member[row])]
        at = sent - rng.integers(60, 600, len(row)) * SECOND
        sends = rng.random(len(row)) < _SENDS
        delivers = sends & (rng.random(len(row)) < _DELIVERS)
        reads = delivers & (rng.random(len(row)) < np.minimum(_READS * eager, 0.95))
        reads &= ~self._people.is_bot[platform.members.person[platform.member[row]]]
        clicks = reads & (rng.random(len(row)) < np.minimum(_CLICKS * eager, 0.9))
        sent_at = sent + rng.integers(0, 120, len(row)) * SECOND
        delivered_at = sent_at + rng.integers(1, 90, len(row)) * SECOND
        read_at = delivered_at + (rng.lognormal(8.5, 1.4, len(row)).clip(3, 40 * 3600)).astype(
            int
        ) * (SECOND)
        clicked_at = read_at + rng.integers(2, 300, len(row)) * SECOND
        # Some collectors lose a read whose click they have.
        seen_read = reads & ~(clicks & (rng.random(len(row)) < 0.08))
        observes = platform.source.observes
        pieces = []
        for status, holds, when in (
            ("targeted", np.ones(len(row), np.bool_), at),
            ("sent", sends, sent_at),
            ("delivered", delivers, delivered_at),
            ("read", seen_read, read_at),
            ("click", clicks, clicked_at),
            ("failed", ~sends, sent_at),
        ):
            if status in ("delivered", "read", "click") and observes and status not in observes:
                continue
            chosen = np.flatnonzero(holds & (when < calendar.end))
            code = np.full(len(chosen), STATUSES.index(status))
            pieces.append((row[chosen], code, when[chosen]))
        index, code, when = (np.concatenate(column) for column in zip(*pieces, strict=True))
        order = earlier_first(when)
        self._landing.add(
            "group/deliveries",
            self._source,
            event_id=ids("d", self._number("delivery", len(index))),
            broadcast_id=pa.repeat(f"b{number}", len(index)),
            group_id=ids("gr", platform.group[index[order]]),
            member_id=picked(platform.members.text, platform.member[index[order]]),
            status=picked(STATUSES, code[order]),
            occurred_at=times(when[order]),
        )
        return len(index)

    def _consults(self, rng: np.random.Generator, day: int) -> int:
        """Service sessions: the AI answers, a person takes over where it cannot."""
        platform, calendar = self._platform, self._calendar
        row = platform.inside(calendar.midnight(day), calendar.midnight(day) + 1)
        row = row[self._alive(day, platform.member[row])]
        asks = np.array([0.0, 0.0006, 0.008, 0.012])[self._tier(day, platform.member[row])]
        row = row[rng.random(len(row)) < asks * min(self._config.activity, 10.0)]
        count = len(row)
        if count == 0:
            return 0
        asked = calendar.hours(rng, day, count)
        session = self._session + np.arange(count)
        self._session += count
        ai_seconds = rng.lognormal(*AI_SECONDS, count).clip(0.4, 600)
        human_seconds = rng.lognormal(*HUMAN_SECONDS, count).clip(5, 86_400)
        answered = rng.random(count) >= AI_SILENT
        handed = rng.random(count) < np.where(answered, HANDOFF, 0.6)
        helped = handed & (rng.random(count) >= HUMAN_SILENT)
        ai_at = asked + (ai_seconds * 1000).astype(np.int64) * 1000
        handoff_at = ai_at + rng.integers(10, 120, count) * SECOND
        human_at = handoff_at + (human_seconds * 1000).astype(np.int64) * 1000
        solved = (answered & ~handed) | helped
        closes = solved & (rng.random(count) < 0.88)
        close_at = np.where(handed, human_at, ai_at) + rng.integers(120, 3600, count) * SECOND
        reopens = closes & (rng.random(count) < 0.05)
        reopen_at = close_at + rng.integers(1, 100, count) * HOUR
        rates = closes & (rng.random(count) < 0.35)
        self._figures += [
            count, int(answered.sum()), int((answered & (ai_seconds < 15)).sum()),
            int(handed.sum()), int(helped.sum()), int(closes.sum()),
        ]  # fmt: skip
        pieces = [(np.arange(count), np.zeros(count, np.int64), asked)]
        for step, holds, at in (
            (1, answered, ai_at), (2, handed, handoff_at), (3, helped, human_at),
            (4, closes, close_at), (5, reopens, reopen_at), (6, rates, close_at + 60 * SECOND),
        ):  # fmt: skip
            chosen = np.flatnonzero(holds & (at < calendar.end))
            pieces.append((chosen, np.full(len(chosen), step), at[chosen]))
        index, code, at = (np.concatenate(column) for column in zip(*pieces, strict=True))
        order = earlier_first(at)
        index, code, at = index[order], code[order], at[order]
        score = np.where(code == 6, 1 + choose(rng, (0.04, 0.06, 0.15, 0.35, 0.4), len(code)), -1)
        self._landing.add(
            "group/consults",
            self._source,
            event_id=ids("cs", self._number("consult", len(index))),
            session_id=ids("session-", session[index]),
            member_id=picked(platform.members.text, platform.member[row[index]]),
            action=picked(CONSULT_ACTIONS, code),
            occurred_at=times(at),
            group_id=ids("gr", platform.group[row[index]]),
            topic=picked(TOPICS, np.where(code == 0, session[index] % len(TOPICS), -1)),
            score=integers(score),
        )
        outcome = np.where(handed, 1, np.where(answered, 0, 2))
        self._desk.ask(
            rng, self._source, "member", platform.members.text, platform.member[row], asked,
            groups=platform.group[row], outcome=outcome,
        )  # fmt: skip
        return len(index)


def write_future_scene(platform: GroupPlatform, landing: Landing, calendar: Calendar) -> None:
    """A scene that is planned beyond the last day; its start may lie in the future."""
    landing.add(
        "group/scenes",
        platform.source.name,
        scene_id=pa.array(["sc-planned"]),
        updated_at=times(np.array([calendar.end - DAY])),
        group_id=ids("gr", np.array([0])),
        kind="festival",
        starts_at=times(np.array([calendar.end + 6 * DAY])),
        ends_at=times(np.array([NEVER])),
    )
