"""A small platform, built once, with new files waiting; and its home at each stage's boundary."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import pickle
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.build import held_back, release
from benchmarks.crashes.victim import Place
from orchestration import build as builds
from orchestration import gates, plan, transform
from orchestration.audience.release import build_pack
from orchestration.build import Build, Observer, StageResult, open_build
from orchestration.ingest import load
from orchestration.lock import build_lock
from orchestration.settings import Settings
from simulator import Dirt, SimulatorConfig, simulate

PACK = "channel_region_week"
BOUNDARIES = {
    "plan": "staging",
    "gate staging": "intermediate",
    "gate intermediate": "marts",
    "gate marts": "publish",
}
"""Stage after which the home is kept → the stage that starts from there."""
FILES_A_BATCH = 12
_KEY = "crash-key-0123456789abcdef"


def settings_at(home: Path) -> Settings:
    """Settings of a throw-away home, one thread, a fixed key."""
    return Settings(home=home, key=_KEY, threads=1, memory_limit="700MB")


class ForkedWorker(gates.GateWorker):
    """The gates' process, forked from what is imported already in place of a fresh interpreter."""

    def __init__(self) -> None:
        super().__init__()
        self._pool = concurrent.futures.ProcessPoolExecutor(
            max_workers=1,
            mp_context=multiprocessing.get_context("fork"),
            initializer=gates._end_well,
        )
        self._pool.submit(gates._import).result()


def load_everything() -> None:
    """Import what a build needs, and pin what only changes when the code does.

    Nothing here may start a thread or open a connection: this process is forked.
    """
    import dagster  # noqa: F401
    import great_expectations  # noqa: F401
    from dbt.cli.main import dbtRunner  # noqa: F401
    from dp_accounting.pld import privacy_loss_distribution  # noqa: F401

    import orchestration.audience.attacks
    import orchestration.erasure.run
    import orchestration.publish  # noqa: F401

    for module, name in (
        (transform, "project_fingerprint"),
        (plan, "code_fingerprint"),
    ):
        setattr(module, name, partial(str, getattr(module, name)()))
    load.BATCH_FILES = FILES_A_BATCH


def keep_manifest(home: Path) -> None:
    """Have every fork begin with the dbt project parsed, as `home` keeps it."""
    manifest = transform._saved_manifest(home / "dbt")

    def parsed(session: transform.DbtSession) -> None:
        session.manifest = manifest

    transform.DbtSession.parse = parsed  # type: ignore[assignment]


def fork_worker() -> None:
    """Start the gates' process before anything else of a build: it must inherit no open file."""
    worker = ForkedWorker()
    gates.GateWorker = lambda: worker  # type: ignore[assignment,misc]


class Tell(Observer):
    """Notes where a build is; keeps its home at the boundaries if told where."""

    def __init__(self, place: Place, settings: Settings, keep: Path | None = None) -> None:
        self.place, self.settings, self.keep = place, settings, keep
        self.seconds: dict[str, float] = {}
        self.build: Build | None = None

    def started(self, stage: str) -> None:
        """Note it."""
        self.place.note(stage)

    def progressed(self, stage: str, done: int, total: int | None, unit: str) -> None:  # noqa: ARG002
        """Note how far."""
        self.place.note(f"{stage}, {done} {unit}")

    def finished(self, result: StageResult) -> None:
        """Note it, and keep the home."""
        self.seconds[result.stage] = result.seconds
        if self.keep is None or self.build is None or result.stage not in BOUNDARIES:
            return
        saved = Saved(
            self.build.build_id, self.build.plan, list(self.build.stages), self.build.outcomes
        )
        if saved.plan is None:
            # `plan_build` puts it in place after its stage has ended.
            from orchestration.warehouse import open_warehouse

            with open_warehouse(self.settings, read_only=True) as connection:
                saved.plan = plan.make_plan(connection, self.settings)
        target = self.keep / BOUNDARIES[result.stage]
        copy_home(self.settings.home, target)
        target.with_suffix(".saved").write_bytes(pickle.dumps(saved))


@dataclass
class Saved:
    """What a build's process knows at a boundary, beside its home."""

    build_id: str
    plan: Any
    stages: list[StageResult]
    outcomes: list[Any]


@contextmanager
def continued(settings: Settings, saved: Saved, place: Place) -> Iterator[Build]:
    """The build that had come as far as `saved`, in this process: it holds the lock."""
    with build_lock(settings):
        build = Build(
            settings=settings,
            build_id=saved.build_id,
            work=settings,
            dbt=transform.DbtSession(settings, target=settings.home.absolute() / "dbt"),
            gates=gates.GateWorker(),
            observer=Tell(place, settings),
            plan=saved.plan,
            stages=saved.stages,
            outcomes=saved.outcomes,
        )
        build.dbt.parse()
        yield build


def stage_work(settings: Settings, stage: str, saved: Saved | None) -> Any:
    """What the process of one stage does, from its boundary to its end."""

    def work(place: Place) -> None:
        if stage == "ingest":
            with open_build(settings, observer=Tell(place, settings)) as build:
                builds.run_ingest(build)
        elif stage == "release":
            place.note("release")
            build_pack(settings, PACK)
        elif saved is not None:
            with continued(settings, saved, place) as build:
                if stage == "publish":
                    builds.run_publish(build)
                    return
                builds.run_layer(build, stage)
                builds.raise_if_failed(build)
                builds.run_gate(build, stage)

    return work


def whole_build(settings: Settings, keep: Path | None = None, **named: Any) -> Any:
    """A whole `tandem build` without Dagster; gives its stages' seconds."""

    def work(place: Place) -> dict[str, float]:
        tell = Tell(place, settings, keep)
        if keep is not None:
            real = builds.open_build

            @contextmanager
            def opened(*values: Any, **more: Any) -> Iterator[Build]:
                with real(*values, **more) as build:
                    tell.build = build
                    yield build

            builds.open_build = opened
        builds.run_build(settings, observer=tell, **named)
        return tell.seconds

    return work


def land(home: Path, persons: int, days: int, seed: int) -> list[Path]:
    """Simulate into a home's landing zone; the last two days' files are held back."""
    config = SimulatorConfig(persons=persons, days=days, seed=seed, dirt=Dirt.every_kind(0.003))
    simulate(config, home / "landing")
    hidden = []
    for back in (0, 1):
        hidden += held_back(home / "landing", config.end_date - timedelta(days=back))
    return hidden


def let_arrive(hidden: list[Path]) -> None:
    """The files that were held back."""
    release([path for path in hidden if path.exists()])


def copy_home(home: Path, target: Path) -> Path:
    """A copy of a home, times of change included; what was at `target` goes."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(home, target, symlinks=True, copy_function=shutil.copy2)
    return target


def elapsed(started: float) -> float:
    """Seconds since a monotonic moment."""
    return time.monotonic() - started
