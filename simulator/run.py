"""Simulates a platform and its groups into a landing zone."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa

from orchestration.errors import TandemError
from simulator.commerce import Shop
from simulator.community import CLICK_RATE, ORIGINS, POSITION_FACTOR, Community, Returns
from simulator.config import COMMUNITIES, PLATFORMS, REJECT_REASONS, SimulatorConfig
from simulator.groups import GroupPlatform
from simulator.operations import (
    RECRUITS_PER_GROUP,
    AssistantDesk,
    CampaignLog,
    make_campaigns,
    make_experiments,
    tell_experiments,
    write_pack_spend,
    write_spend,
)
from simulator.population import INDUSTRY_OVERLAP, Population
from simulator.rhythm import COMMUNITY_RHYTHM, DAY_TYPES, Calendar
from simulator.service import (
    AI_SECONDS,
    AI_SILENT,
    HANDOFF,
    HUMAN_SECONDS,
    HUMAN_SILENT,
    GroupService,
    write_future_scene,
)
from simulator.truth import Truth
from simulator.writing import FileTruth, Landing

MARKER: Final = "_simulated.json"
"""In the landing zone's root: the configuration that its simulated files come from."""

Progress = Callable[[int, int], None]


class _Teller(Protocol):
    def tell(self, truth: Truth) -> None: ...


@dataclass(frozen=True)
class LogTotals:
    """One log's lines; lines = records + duplicates + rejected, `records` being distinct."""

    files: int = 0
    lines: int = 0
    records: int = 0
    duplicates: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class SimulationReport:
    """What a simulation wrote. `seconds` is wall time; 0 when the files were there already."""

    files: int
    lines: int
    bytes: int
    seconds: float
    logs: dict[str, LogTotals] = field(default_factory=dict)


def simulate(
    config: SimulatorConfig,
    landing: Path,
    truth: Path | None = None,
    progress: Progress | None = None,
) -> SimulationReport:
    """Write the 25 logs under `landing` and what is true of them under `truth`.

    `progress` is called with (days done, days in all). Files are named
    `<core>/<log>/<source>/<last date>.<format>`; equal configurations give equal bytes, so a
    landing zone that holds this very simulation is left as it is. Raises TandemError when it
    holds another one.
    """
    identity = config.model_dump(mode="json") | {"version": _code_version()}
    marker = landing / MARKER
    if marker.exists():
        known = json.loads(marker.read_text(encoding="utf-8"))
        if known["config"] != identity:
            raise TandemError(
                f"{landing} holds another simulation ({MARKER}): its ids would be mixed up with "
                "this one's; simulate into an empty folder"
            )
        if known["report"] and (truth is None or (truth / "facts.json").exists()):
            return _report_from(known["report"])
    landing.mkdir(parents=True, exist_ok=True)
    _write_marker(marker, identity, None)
    began = time.perf_counter()
    calendar = Calendar(config.start_date, config.days)
    facts = Truth()
    with Landing(landing, config, calendar) as files:
        _Run(config, calendar, files, facts).all_days(progress or (lambda _done, _total: None))
    _tell_files(facts, files.files)
    if truth is not None:
        facts.write(truth)
    report = _summary(files.files, time.perf_counter() - began)
    _write_marker(marker, identity, report)
    return report


class _Run:
    """The parts of one simulation, put together."""

    def __init__(
        self, config: SimulatorConfig, calendar: Calendar, landing: Landing, truth: Truth
    ) -> None:
        self._calendar = calendar
        self._landing = landing
        self._truth = truth
        self._people = people = Population(config, calendar)
        self._campaigns = make_campaigns(calendar)
        self._experiments = make_experiments(config, calendar, landing, people)
        self._campaign_log = CampaignLog(config, calendar, landing, truth)
        desk = AssistantDesk(landing)
        self._communities = [
            Community(
                config,
                source,
                people,
                accounts,
                landing,
                [e for e in self._experiments if e.source == source.name],
                [c for c in self._campaigns if c.source == source.name],
                desk,
            )
            for source, accounts in zip(COMMUNITIES, people.accounts, strict=True)
        ]
        self._returns = Returns(people, self._communities)
        self._platforms = [
            GroupPlatform(config, source, people, members)
            for source, members in zip(PLATFORMS, people.members, strict=True)
        ]
        self._services = [
            GroupService(config, platform, people, landing, desk, self._campaigns)
            for platform in self._platforms
        ]
        self._config = config
        self._shop = Shop(
            config, people, self._communities, self._platforms, self._experiments, landing
        )

    def all_days(self, progress: Progress) -> None:
        self._before()
        days = self._calendar.days
        for day in range(days):
            for community in self._communities:
                community.day(day)
            self._returns.day(day)
            for platform, service in zip(self._platforms, self._services, strict=True):
                platform.expose(day, self._experiments)
                _, scenes = service.day(day)
                platform.talk(day, self._landing, scenes)
            self._shop.day(day)
            self._landing.day_done(day)
            progress(day + 1, days)
        self._landing.finish()
        self._tell()

    def _before(self) -> None:
        """What does not depend on the days: records of persons, groups, plans and prices."""
        self._people.write(self._landing)
        self._campaign_log.write_plans(self._campaigns, self._experiments)
        holders = {p.source.name: (p.members, p.can_act()) for p in self._platforms}
        for community in self._communities:
            community.open()
            accounts = community.accounts
            here = self._people.here(self._calendar.days - 1)[accounts.person]
            holders[community.source.name] = (accounts, here)
        platforms = {platform.source.name: platform for platform in self._platforms}
        for campaign in self._campaigns:
            found, can_act = holders[campaign.source]
            if campaign.kind == "fission":
                platform = platforms[campaign.source]
                group = platform.fission_group
                joins = self._campaign_log.run_fission(campaign, found, can_act, group)
                platform.welcome(joins, group)
            else:
                self._campaign_log.run_without_invites(campaign, found, can_act)
        for experiment in self._experiments:
            if experiment.id in RECRUITS_PER_GROUP:
                platform = platforms[experiment.source]
                platform.recruit(experiment, RECRUITS_PER_GROUP[experiment.id], self._truth)
                write_pack_spend(
                    self._config,
                    self._calendar,
                    self._landing,
                    experiment,
                    platform.tried_groups(experiment),
                    platform.source.currencies,
                )
        for platform in self._platforms:
            platform.write_structure(self._landing)
        write_future_scene(self._platforms[0], self._landing, self._calendar)
        write_spend(self._config, self._calendar, self._landing, self._campaigns)
        self._shop.write_subscriptions()
        self._shop.write_reference()

    def _tell(self) -> None:
        truth = self._truth
        parts: list[_Teller] = [self._people, *self._communities, *self._platforms]
        for part in [*parts, *self._services, self._returns, self._shop]:
            part.tell(truth)
        tell_experiments(truth, self._experiments)
        truth.fact("config", self._config.model_dump(mode="json"))
        truth.fact("industry_overlap", INDUSTRY_OVERLAP)
        truth.fact(
            "click_rate_at_first_position", dict(zip(ORIGINS, CLICK_RATE.tolist(), strict=True))
        )
        truth.fact("position_factor", POSITION_FACTOR.tolist())
        truth.fact("community_rhythm", dict(zip(DAY_TYPES, COMMUNITY_RHYTHM.tolist(), strict=True)))
        truth.fact(
            "consults",
            {
                "ai_seconds_lognormal": AI_SECONDS,
                "human_seconds_lognormal": HUMAN_SECONDS,
                "ai_silent": AI_SILENT,
                "handoff": HANDOFF,
                "human_silent": HUMAN_SILENT,
            },
        )


def _tell_files(truth: Truth, files: list[FileTruth]) -> None:
    truth.table(
        "files",
        path=[file.path for file in files],
        log=[file.log for file in files],
        lines=[file.lines for file in files],
        records=[file.records for file in files],
        duplicates=[file.duplicates for file in files],
        **{reason: [file.rejected[reason] for file in files] for reason in REJECT_REASONS},
        bytes=[file.bytes for file in files],
    )
    truth.fact("logs", {log: vars(totals) for log, totals in _by_log(files).items()})


def _by_log(files: list[FileTruth]) -> dict[str, LogTotals]:
    sums: dict[str, Counter[str]] = {}
    for file in files:
        sums.setdefault(file.log, Counter()).update(
            files=1,
            lines=file.lines,
            records=file.records,
            duplicates=file.duplicates,
            rejected=file.rejected.total(),
        )
    return {log: LogTotals(**sums[log]) for log in sorted(sums)}


def _summary(files: list[FileTruth], seconds: float) -> SimulationReport:
    return SimulationReport(
        files=len(files),
        lines=sum(file.lines for file in files),
        bytes=sum(file.bytes for file in files),
        seconds=seconds,
        logs=_by_log(files),
    )


def _report_from(values: dict[str, Any]) -> SimulationReport:
    logs = {log: LogTotals(**totals) for log, totals in values["logs"].items()}
    return SimulationReport(**(values | {"logs": logs, "seconds": 0.0}))


def _write_marker(
    marker: Path, identity: dict[str, object], report: SimulationReport | None
) -> None:
    body: dict[str, Any] | None = None
    if report is not None:
        # Without the time it took: the marker, too, is the same for the same configuration.
        body = {name: value for name, value in asdict(report).items() if name != "seconds"}
    temporary = marker.with_name(f"{marker.name}.tmp")
    temporary.write_text(json.dumps({"config": identity, "report": body}), encoding="utf-8")
    temporary.replace(marker)


def _code_version() -> str:
    """Changes with the simulator's code and with the libraries that shape its bytes."""
    digest = hashlib.sha256(f"{np.__version__}/{pa.__version__}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
