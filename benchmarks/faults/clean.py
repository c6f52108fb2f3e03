"""False alarms: growing, clean platforms, built day by day as a schedule would build them.

Each seed is a platform of its own: weekends, campaigns, late and repeated records, a growth, and
another season, so that the seeds together see every kind of Chinese holiday. Every local day its
files land as a nightly upload would bring them, and are taken in and judged as `raw`; on the days
asked for, all of `tandem build` follows: incremental models, every gate, dbt's tests, a publish.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from benchmarks.faults.judge import failures
from benchmarks.faults.world import KEY, plant_packs
from orchestration.build import (
    open_build,
    plan_build,
    raise_if_failed,
    run_gate,
    run_ingest,
    run_layer,
    run_publish,
)
from orchestration.errors import GateError
from orchestration.gates import GateWorker
from orchestration.ingest.load import ingest
from orchestration.plan import LAYERS
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse
from simulator import SimulatorConfig, simulate

INTENDED: Final = frozenset(
    {
        "control.schema_drift: no_drift",
        "raw.commerce__refunds: orders_known",
        "raw.group__deliveries: broadcast_id_recorded",
        "intermediate.int_orders: rates_found",
    }
)
"""What the contract means to say of the simulator's deliberate dirt: a field that no contract
names, a refund of an unknown order, the last broadcasts without a record, a currency without a
rate."""

END_DATES: Final = (
    date(2026, 6, 30),
    date(2026, 3, 12),
    date(2025, 10, 31),
    date(2026, 5, 20),
    date(2026, 1, 20),
)
"""Of the seeds in turn: with 60 days, Dragon Boat, Spring Festival, National Day, Qingming and
Labour Day, New Year."""

Say = Callable[[str], None]
_PASSED: Final = ("pass", "success")


@dataclass
class CleanRun:
    """One seed: what failed though nothing was wrong, and what was meant to.

    `alarms` and `intended` map a rule to the days on which it failed; `judged` counts the days
    whose raw was judged, `built` those of whole builds, `verdicts` every verdict that was given.
    """

    seed: int
    end_date: date
    growth: float
    judged: int = 0
    built: int = 0
    verdicts: int = 0
    seconds: float = 0.0
    alarms: dict[str, list[date]] = field(default_factory=dict)
    intended: dict[str, list[date]] = field(default_factory=dict)

    def saw(self, day: date, failed: Collection[str]) -> None:
        """Note what failed on a day, each rule once."""
        for rule in sorted(failed):
            kept = self.intended if rule in INTENDED else self.alarms
            days = kept.setdefault(rule, [])
            if day not in days:
                days.append(day)


def run_clean(
    seeds: Sequence[int],
    persons: int,
    days: int,
    growth: float,
    build_every: Callable[[int], int],
    say: Say,
    results: Path | None = None,
) -> list[CleanRun]:
    """Judge one platform a seed; each lives in its own folder and is dropped afterwards.

    `build_every` gives for a seed how many days lie between whole builds; the last day is one.
    A seed whose outcome `results` already holds is not run again.
    """
    runs = []
    if results is not None:
        results.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        kept = results / f"seed{seed}.json" if results is not None else None
        if kept is not None and kept.exists():
            runs.append(_RUN.validate_json(kept.read_bytes()))
            continue
        end = END_DATES[(seed - 1) % len(END_DATES)]
        config = SimulatorConfig(
            persons=persons,
            days=days,
            seed=seed,
            end_date=end,
            growth=growth,
            daily_files=True,
        )
        with tempfile.TemporaryDirectory() as folder:
            run = run_platform(Path(folder), config, build_every(seed), say)
        if kept is not None:
            kept.write_bytes(_RUN.dump_json(run, indent=1))
        runs.append(run)
    return runs


def run_platform(folder: Path, config: SimulatorConfig, build_every: int, say: Say) -> CleanRun:
    """Let one platform's days arrive under `folder`, in order, and judge each."""
    uploads = _uploads(folder / "uploads", config)
    run = CleanRun(config.seed, config.end_date, config.growth)
    began = time.monotonic()
    with GateWorker() as gates:
        _live(folder, uploads, config, build_every, run, gates, say)
    run.seconds = time.monotonic() - began
    return run


def _live(
    folder: Path,
    uploads: dict[date, list[Path]],
    config: SimulatorConfig,
    build_every: int,
    run: CleanRun,
    gates: GateWorker,
    say: Say,
) -> None:
    planted = False
    for number in range(config.days):
        day = config.start_date + timedelta(days=number)
        # Three in the morning of the next day, in the platform's zone.
        now = datetime(day.year, day.month, day.day, 19, tzinfo=UTC)
        settings = Settings.model_validate(
            {"home": folder / "home", "key": KEY, "threads": 2, "now": now}
        )
        for path in uploads.get(day, ()):
            target = settings.landing_path / path.relative_to(folder / "uploads")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
        is_last = number == config.days - 1
        if (number + 1) % build_every == 0 or is_last:
            failed = _build(run, settings, gates)
            if not planted:
                with open_warehouse(settings) as connection:
                    plant_packs(connection, now.replace(tzinfo=None))
                planted = True
            run.built += 1
        else:
            ingest(settings)
            with open_warehouse(settings) as connection:
                failed = set(failures(connection, "raw"))
        run.judged += 1
        run.saw(day, failed)
        say(f"seed {run.seed} {day}: {', '.join(sorted(failed - INTENDED)) or 'quiet'}")


def _uploads(folder: Path, config: SimulatorConfig) -> dict[date, list[Path]]:
    """The platform's files by the day on which they arrive."""
    simulate(config, folder)
    found: dict[date, list[Path]] = {}
    for path in sorted(folder.glob("*/*/*/*")):
        found.setdefault(date.fromisoformat(path.name[:10]), []).append(path)
    return found


def _build(run: CleanRun, settings: Settings, gates: GateWorker) -> set[str]:
    """One whole build; returns what failed. A gate that blocks is an alarm, and ends it."""
    failed: set[str] = set()
    with open_build(settings) as build:
        # One worker for all builds: most of its cost is to import Great Expectations.
        build.gates = gates
        try:
            run_ingest(build)
            run_gate(build, "raw")
            raise_if_failed(build)
            plan_build(build)
            for layer in LAYERS:
                outcomes = run_layer(build, layer)
                tests = [item for item in outcomes if item.resource_type == "test"]
                run.verdicts += len(tests)
                failed |= {f"dbt: {item.name}" for item in tests if item.status not in _PASSED}
                raise_if_failed(build)
                run_gate(build, layer)
                raise_if_failed(build)
            run_publish(build)
        except GateError:
            pass
        run.verdicts += len(build.outcomes)
        failed |= {
            f"{item.table_name}: {item.expectation}" for item in build.outcomes if not item.success
        }
    return failed


_RUN: Final = TypeAdapter(CleanRun)


def as_page(runs: Sequence[CleanRun], persons: int, days: int) -> str:
    """docs/false-alarms.md."""
    alarms = Counter(rule for run in runs for rule in run.alarms)
    total = sum(len(found) for run in runs for found in run.alarms.values())
    growth = runs[0].growth if runs else 1.0
    lines = [
        "# False alarms",
        "",
        "Written by `python -m benchmarks.faults --clean --out docs/false-alarms.md`. "
        f"Clean platforms ({len(runs)} of {len(END_DATES)} seeds) of {persons} persons live through"
        f" {days} days each, with weekends, campaigns, late and repeated records, and a `growth`"
        f" of {growth:g}"
        " ([simulator.md](simulator.md)): what happens in a day grows about threefold from the"
        " first week to the last. Every day's files arrive as a nightly upload would bring them."
        " Each day they are ingested and judged as `raw`; on the days of a build all of"
        " `tandem build` follows, incremental, through every gate and dbt test, to the publish."
        " A rule that fails on such a day, critical or warning, is a false alarm. Rules that had"
        " cried wolf on these very platforms were made milder, so that the count says less of"
        " others.",
        "",
        f"**False alarms: {total}.**",
        "",
        "| seed | first day | last day | days judged | builds | verdicts of builds | alarms |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {run.seed} | {run.end_date - timedelta(days=days - 1)} | {run.end_date}"
        f" | {run.judged} | {run.built} | {run.verdicts}"
        f" | {sum(map(len, run.alarms.values()))} |"
        for run in runs
    ]
    if alarms:
        lines += ["", "| rule | seed | days |", "|---|---|---|"]
        lines += [
            f"| `{rule}` | {run.seed} | {_shown(found)} |"
            for rule in sorted(alarms)
            for run in runs
            for found in [run.alarms.get(rule, [])]
            if found
        ]
    lines += [
        "",
        "The simulator plants four oddities that a rule is meant to report, and these do not"
        " count: a field that no contract names, a refund of an unknown order, the last broadcasts"
        " without a record, and a currency without a rate.",
        "",
        "| rule | days |",
        "|---|---|",
    ]
    meant = Counter({rule: 0 for run in runs for rule in run.intended})
    for run in runs:
        meant.update({rule: len(found) for rule, found in run.intended.items()})
    lines += [f"| `{rule}` | {count} |" for rule, count in sorted(meant.items())]
    return "\n".join(lines) + "\n"


def _shown(days: Sequence[date]) -> str:
    first = ", ".join(day.isoformat() for day in days[:3])
    return first if len(days) <= 3 else f"{first} and {len(days) - 3} more"
